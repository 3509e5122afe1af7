"""`python -m benchmarks.lifecycle`: measure what is not measured yet, a file a seed and use case, then write docs/lifecycle.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.lifecycle import figures, page
from benchmarks.lifecycle.shop import Setting

ROOT = Path(__file__).resolve().parents[2]
CASES = ("fraud", "demand")
FIRST = {"fraud": 301, "demand": 501}
SEEDS = 20
"""Shops below the first were for looking while the decisions were made; those that are reported decided nothing."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lifecycle", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many shops ({SEEDS})")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="which use cases to measure (both)")
    parser.add_argument("--processes", type=int, default=2, help="how many at once (2)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".shelflife" / "lifecycle", help="where finished seasons are kept"
    )
    parser.add_argument("--page", action="store_true", help="write the page from the seasons that there are")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not asked.page:
        _measure(asked.seeds, asked.cases, asked.folder, asked.processes)
    kept = json.loads(page.FIGURES.read_text("utf-8"))["cases"] if page.FIGURES.exists() else {}
    seasons = {case: read(asked.folder, case) for case in CASES}
    cases = kept | {case: figures.summary(found) for case, found in seasons.items() if found}
    done = {"setting": vars(Setting()), "machine": _machine(), "cases": {case: cases[case] for case in CASES if case in cases}}
    page.FIGURES.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page.write()
    print(f"wrote {page.PAGE}")
    return 0


def _measure(seeds: int, cases: Sequence[str], folder: Path, processes: int) -> None:
    """Each use case's first shops, one to a process; what has been measured before is not measured again."""
    shops = [(case, seed) for case in cases for seed in range(FIRST[case], FIRST[case] + seeds)]
    waiting = [(case, seed) for case, seed in shops if not _file(folder, case, seed).exists()]
    with ProcessPoolExecutor(processes) if processes > 1 else nullcontext() as pool:
        done = (pool.map if pool else map)(one, *zip(*waiting, strict=True), [folder] * len(waiting)) if waiting else ()
        for (case, seed), seconds in zip(waiting, done, strict=True):
            print(f"{case}, shop {seed}: {seconds:.0f} s of CPU", file=sys.stderr, flush=True)


def one(case: str, seed: int, folder: Path) -> float:
    """Simulate the shop of this seed and take the use case through it; the CPU seconds that it took."""
    from benchmarks.lifecycle.season import block_of, season
    from benchmarks.lifecycle.shop import simulated
    from pipelines.steps.workspace import Workspace

    began = time.process_time()
    shop, workspace = simulated(Setting(), seed), Workspace(ROOT)
    found = season(shop, workspace.case(case), block_of(workspace, case, shop.setting))
    part = _file(folder, case, seed).with_suffix(".part")
    part.write_text(json.dumps(found))
    part.rename(_file(folder, case, seed))
    return time.process_time() - began


def _file(folder: Path, case: str, seed: int) -> Path:
    return folder / f"{case}-{seed:03d}.json"


def read(folder: Path, case: str) -> list[dict[str, Any]]:
    """The finished seasons of a use case, by seed; of the shops for looking, none."""
    files = sorted(file for file in folder.glob(f"{case}-*.json") if int(file.stem.split("-")[1]) >= FIRST[case])
    return [json.loads(file.read_text()) for file in files]


def _machine() -> str:
    import platform

    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
