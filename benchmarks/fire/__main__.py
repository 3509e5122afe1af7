"""The full drills, into benchmarks/fire/figures.json and docs/reliability.md: `make test-fire`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from benchmarks.fire import live, page
from benchmarks.fire.damage import damage, swapped_after_it_was_verified
from benchmarks.fire.kills import kills
from benchmarks.fire.page import Row
from benchmarks.fire.race import race
from benchmarks.fire.shop import CONDUCTS, ROOT

MEMORY = Path("/dev/shm")  # where a sync costs nothing; a kill leaves the same there as on a disk


def machine(folder: Path) -> list[Row]:
    """The state machine over the real store, and the seeded bugs that it must find within ten seconds of CPU each."""
    report = folder / "report.xml"
    words = [
        "-q",
        "tests/store/test_machine.py",
        "-k",
        "seeded_bug_is or for_long",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
    ]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False)
    cases = ET.parse(report).getroot().iter("testcase")  # our own file
    told = {case.get("name", ""): case.find("failure") is None and case.find("error") is None for case in cases}
    bugs = [good for name, good in told.items() if "seeded_bug" in name]
    long = [good for name, good in told.items() if "for_long" in name]
    return [
        Row("seeded bugs in the store that the state machine must find", len(bugs), bugs.count(False)),
        Row("runs of 25 acts in any order, with kills, rivals and tampering", 60 * len(long), 60 * long.count(False)),
    ]


def killed(folder: Path) -> list[Row]:
    told = kills(folder, 1000)
    return [
        Row("kill -9 during promotion, rollback or fall: neither the old nor the new", told.kills, told.torn),
        Row("reads meanwhile: unreadable, nobody, or not promoted", told.reads, told.unreadable + told.none + told.ungated),
    ]


def raced(folder: Path) -> list[Row]:
    told = race(folder)
    return [
        Row("acts of 8 processes at once that broke", told.tried, told.broken),
        Row("their changes: lost, or not linked to the one before", told.done, told.lost + told.unlinked),
    ]


def damaged(folder: Path) -> list[Row]:
    told = damage(folder)
    whole, swapped, other = swapped_after_it_was_verified(folder / "swapped")
    return [
        Row(f"damaged files of {told.formats} formats that were accepted", told.cases, told.accepted),
        Row("damaged files that any parser saw", told.cases, told.parsed),
        Row("files swapped after they were verified that were parsed", 1, int(swapped != whole or swapped == other)),
    ]


def warm(folder: Path) -> list[Row]:
    told = live.warm(folder, 200)
    return [
        Row("rollbacks under load, the 99th percentile until the one before answers", len(told.seconds), 0, told.p99, 1.0, "s"),
        Row("requests meanwhile that failed", told.requests, told.failed),
        Row("requests meanwhile whose answer mixed two releases", told.requests, told.mixed),
    ]


def cold(folder: Path) -> list[Row]:
    told = live.cold(folder, 20)
    return [Row("rollbacks while the server is dead, the slowest until a new one answers", 20, 0, max(told.seconds), 5.0, "s")]


def bad(folder: Path) -> list[Row]:
    rows = []
    for conduct in CONDUCTS:
        if conduct == "good":
            told = live.bad(folder / conduct, conduct, answers=1000)
            rows.append(Row("answers of a good release beside which it fell", told.affected, int(told.fell)))
            continue
        told = live.bad(folder / conduct, conduct)
        ended = told.fell and told.held and told.mails == 1 and not told.failed
        words = f"a release that is bad live ({conduct}): {told.affected} answers of its own until it fell"
        rows.append(Row(words, 1, int(not ended), told.seconds, 60.0, "s"))
    return rows


DRILLS: dict[str, Callable[[Path], list[Row]]] = {
    "1 machine": machine, "2 kills": killed, "3 race": raced, "4 damage": damaged, "5 warm": warm, "6 cold": cold, "7 bad": bad,
}  # fmt: skip


def main() -> int:
    """Run the drills that are named, or all; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="benchmarks.fire", description=__doc__)
    parser.add_argument("drill", nargs="*", choices=[[], *(name.split()[1] for name in DRILLS)], help="which (all)")
    wanted, broken = parser.parse_args().drill, False
    for name, drill in DRILLS.items():
        if wanted and name.split()[1] not in wanted:
            continue
        with tempfile.TemporaryDirectory(
            prefix="shelflife-fire-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None
        ) as folder:
            rows = drill(Path(folder))
        page.keep(name, rows)
        for row in rows:
            print(f"{'kept  ' if row.kept else 'BROKEN'} {row}", flush=True)
            broken |= not row.kept
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
