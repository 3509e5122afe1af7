"""`python -m benchmarks.features`: measure, keep the figures in figures.json, write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.features import page
from benchmarks.features.contest import WORK

PARTS = ("training", "stream", "reads")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description="The features room beside its peers.")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part again and keep the others' figures")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody runs (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="the size of the made-up shop; other than 1 is not written")
    parser.add_argument(
        "--more", action="store_true", help="add the rounds to those that are there, measured at the same scale"
    )
    parser.add_argument("--work", type=Path, default=WORK, help="where data and results lie (.benchmarks/features)")
    asked = parser.parse_args()
    kept = json.loads(page.FIGURES.read_text("utf-8")) if page.FIGURES.exists() else {"parts": {}}
    for name in asked.only or PARTS:
        found = importlib.import_module(f"benchmarks.features.{name}").run(asked.scale, asked.rounds, asked.work)
        found |= {"machine": _machine(), "load": os.getloadavg()[1]}
        kept["parts"][name] = _added(kept["parts"].get(name), found) if asked.more else found
        if asked.scale == 1:
            _write(kept)
    if asked.scale != 1:
        print(json.dumps(kept["parts"], indent=1))
    return 0


def _added(before: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """This run's figures with the rounds of an earlier run before its own."""
    if before is None or before["scale"] != found["scale"]:
        return found
    return found | {"rounds": {name: [*before["rounds"].get(name, []), *mine] for name, mine in found["rounds"].items()}}


def _write(figures: dict[str, Any]) -> None:
    ordered = {"parts": {name: figures["parts"][name] for name in PARTS if name in figures["parts"]}}
    page.FIGURES.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    page.write()
    print(f"wrote {page.PAGE}")


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
