"""docs/reliability.md out of figures.json: the counts of the last full run, and nothing typed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.fire.shop import ROOT

FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- make test-fire -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Row:
    """One promise put to the test: how often, how often it was broken, and, where a number is promised, which was measured."""

    what: str
    n: int
    failures: int
    measured: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def kept(self) -> bool:
        return self.n > 0 and self.failures == 0 and (self.most is None or (self.measured or 0.0) <= self.most)


def bound(n: int, failures: int) -> float:
    """The highest rate of failures that so many of n still allow, at 95 % (Clopper and Pearson, one-sided)."""
    return 1.0 if failures >= n else float(stats.beta.ppf(0.95, failures + 1, n - failures))


def keep(drill: str, rows: Sequence[Row]) -> None:
    """Put what a drill has shown in place of what it showed before, in the figures and on the page."""
    figures = read() | {drill: [asdict(row) for row in rows]}
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    write()


def write() -> None:
    """The page's table anew, out of the figures that there are."""
    figures, text = read(), PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(before + BEGIN + table(figures) + END + after)


def read() -> dict[str, Any]:
    return json.loads(FIGURES.read_text()) if FIGURES.exists() else {}


def table(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown, a line for each promise."""
    if not figures:
        return "No full run yet: `make test-fire` writes its counts here.\n"
    head = "| what was tried | times | failures | failure rate below (95 %) | measured | wanted | kept |\n|---|---:|---:|---:|---:|---:|---|\n"
    return head + "".join(_line(Row(**row)) for rows in figures.values() for row in rows)


def _line(row: Row) -> str:
    measured = "" if row.measured is None else f"{row.measured:.2f} {row.unit}"
    wanted = "0 failures" if row.most is None else f"0 failures, at most {row.most:g} {row.unit}"
    rate = f"{100 * bound(row.n, row.failures):.2g} %"
    kept = "yes" if row.kept else "**no**"
    return f"| {row.what} | {row.n:,} | {row.failures:,} | {rate} | {measured} | {wanted} | {kept} |\n"
