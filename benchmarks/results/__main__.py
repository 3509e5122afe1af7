"""`python -m benchmarks.results [SECTION..]`: measure, keep the figures in figures.json, write docs/results.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from typing import Any

from benchmarks.results import data, page
from pipelines.core.errors import ShelflifeError

SECTIONS = ("fraud", "demand", "recommend", "sentiment")
TITLES = {"fraud": "Fraud", "demand": "Demand", "recommend": "Recommend", "sentiment": "Sentiment"}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results", description="Figures on public data into docs/results.md."
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"which to measure again, of {', '.join(SECTIONS)} (all)"
    )
    parser.add_argument("--alone", choices=SECTIONS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        return _measure(asked.alone)
    if unknown := sorted(set(asked.sections) - set(SECTIONS)):
        parser.error(f"there is no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    kept = json.loads(page.FIGURES.read_text("utf-8"))["sections"] if page.FIGURES.exists() and asked.sections else {}
    for name in asked.sections or SECTIONS:
        kept[name] = _apart(name)
    figures = {"machine": _machine(), "sections": {name: kept[name] for name in SECTIONS if name in kept}}
    page.FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page.write()
    print(f"wrote {page.PAGE}")
    return 0


def _apart(name: str) -> dict[str, Any]:
    """A section measured in a process of its own, so that its peak memory is its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "benchmarks.results", "--alone", name]
    done = subprocess.run(command, cwd=data.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} was not measured; what went wrong is above, nothing was written")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(name: str) -> int:
    """Measure one section; its figures are the last line of the output, the progress goes to the error stream."""
    section = importlib.import_module(f"benchmarks.results.{name}")
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {name}: {what}", file=sys.stderr, flush=True)

    absent = [word for word in map(data.missing, section.DATASETS) if word]
    found: dict[str, Any] = {"title": TITLES[name], "sources": [data.source(one) for one in section.DATASETS], "absent": absent}
    for word in absent:
        tell(word)
    if len(absent) < len(section.DATASETS):
        try:
            found |= section.run(tell)
        except ShelflifeError as error:
            tell(str(error))
            return 1
        found |= {"seconds": time.monotonic() - began, "peak_mb": _peak()}
        tell("done")
    print(json.dumps(found, ensure_ascii=False))
    return 0


def _peak() -> float:
    """The most memory that this process, or a program it started, held at once, in MB."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
