"""How long the everyday commands take, with peak memory: `make bench`, in a checkout whose stages have run.

Times are of whole processes, the median of three runs after a warm-up, beside an empty Python process in the same rounds: the
ratio holds where the seconds of another machine do not.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RUNS = 3
PARSE = (
    "import sys, time; sys.path.insert(0, 'dags'); import airflow.sdk; "
    "start = time.perf_counter(); import learn; print(f'{time.perf_counter() - start:.6f}')"
)
WORK: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("shelflife --help", ("-m", "pipelines", "--help"), 0.5),
    ("a DAG file parses", ("-c", PARSE), 1.0),
    ("dvc repro, nothing changed", ("-m", "dvc", "repro"), 5.0),
)


def measure(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of one Python process; where it prints a number last, that is its seconds."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    out = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(words)} failed in {folder}; run the stages there first (make demo leaves such checkouts)")
    printed = re.fullmatch(r"\d+\.\d+", (out.strip().splitlines() or [""])[-1])
    return float(printed[0]) if printed else seconds, used.ru_maxrss / 1024


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT, help="a checkout whose stages have run")
    folder = parser.parse_args().folder.resolve()
    table = Table(title=f"the median of {RUNS} runs")
    for name in ("work", "seconds", "times an empty Python", "peak MB", "wanted below"):
        table.add_column(name)
    for name, words, wanted in WORK:
        measure(words, folder)
        rounds = [(measure(words, folder), measure(("-c", ""), folder)[0]) for _ in range(RUNS)]
        seconds = statistics.median(found[0] for found, _ in rounds)
        ratio = statistics.median(found[0] / empty for found, empty in rounds)
        table.add_row(name, f"{seconds:.2f}", f"{ratio:.1f}", f"{max(found[1] for found, _ in rounds):.0f}", f"{wanted:g} s")
    Console().print(table)


if __name__ == "__main__":
    main()
