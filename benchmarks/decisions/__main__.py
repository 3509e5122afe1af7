"""`python -m benchmarks.decisions [SECTION..]`: measure, keep the figures in figures.json, write docs/decisions.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time

from benchmarks.decisions import page


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description="Error rates into docs/decisions.md.")
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"which to measure again, of {', '.join(page.SECTIONS)} (all)"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="so large a share of the runs, for a quick look; nothing is written"
    )
    asked = parser.parse_args()
    if unknown := sorted(set(asked.sections) - set(page.SECTIONS)):
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(page.SECTIONS)}")
    kept = json.loads(page.FIGURES.read_text("utf-8"))["sections"] if page.FIGURES.exists() else {}
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)

    for name in asked.sections or page.SECTIONS:
        kept[name] = importlib.import_module(f"benchmarks.decisions.{name}").run(tell, asked.share)
    if asked.share < 1:
        return 0
    figures = {"machine": _machine(), "sections": kept}
    page.FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page.write()
    print(f"wrote {page.PAGE}")
    return 0


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
