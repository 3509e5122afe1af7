"""The newest days of a feed against its own past: volume, nulls, and numbers whose unit has changed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import DAY, day_of
from pipelines.core.verdict import Finding, Status

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pipelines.checks.suite import History

FEWEST_DAYS = 3
"""So many earlier days must be known before a day is compared with them."""

WEEKS = 8
"""How many weeks back a day is compared with."""

FEWEST_ROWS = 30
"""Of fewer rows, no share and no median is compared."""

SPREAD = 4.0
"""Shares differ by chance: nulls have risen by what is more than so many standard deviations of the share in so few rows."""

CHANCE = 6.0
"""Counts differ by chance: a volume is off only where the roots of the counts lie this far apart (about 4 standard deviations)."""


@dataclass(frozen=True)
class Days:
    """The rows by the UTC day on which they arrived: `index` counts days from the first, `size` is up to the moment. Days that are
    `held` are neither looked at nor anybody's past: that they are empty is a person's or the watch's doing. `length` is how many
    days one of them holds: 7 where a feed is so small that only its weeks can be compared."""

    index: np.ndarray
    first: int
    size: int
    held: frozenset[str] = frozenset()
    length: int = 1

    @staticmethod
    def of(arrived: np.ndarray, as_of: int, held: Collection[str] = ()) -> Days:
        """Days up to the last one that was closed at the moment; a moment inside a day leaves that day out."""
        import numpy as np

        day = np.asarray(arrived, np.int64) // DAY
        first = int(day.min()) if len(day) else as_of // DAY
        return Days(day - first, first, max(as_of // DAY - first, 0), frozenset(held))

    def weeks(self) -> Days:
        """The same rows by weeks, the last of which ends at the moment."""
        ahead = -self.size % 7
        return Days((self.index + ahead) // 7, self.first - ahead, (self.size + ahead) // 7, length=7)

    def counts(self) -> np.ndarray:
        import numpy as np

        return np.bincount(self.index[self.index < self.size], minlength=self.size)[: self.size]

    def name(self, day: int) -> str:
        return day_of((self.first + day * self.length) * DAY)

    def newest(self, days: int) -> list[int]:
        """The days that are looked at: those with a past to compare with."""
        return self._free(range(max(self.size - math.ceil(days / self.length), FEWEST_DAYS), self.size))

    def past(self, day: int) -> list[int]:
        """The same weekdays before it; where those are too few, all days of the weeks before it."""
        same = self._free(range(day - 7, max(day - 7 * WEEKS, 0) - 1, -7))
        return same if len(same) >= FEWEST_DAYS else self._free(range(max(day - 7 * WEEKS, 0), day))

    def _free(self, days: range) -> list[int]:
        return [day for day in days if not self.held or self.name(day) not in self.held]


def names(kind: str, history: History) -> list[str]:
    """The findings that `compare` returns, fixed before any row is seen."""
    units = [f"{kind}.{column}: {how} against history" for how, block in _units(history) for column in block]
    return [f"{kind}: volume", f"{kind}: nulls against history", *units]


def compare(kind: str, table: pa.Table, history: History, *, as_of: int, held: Collection[str] = ()) -> list[Finding]:
    """A finding per name of `names`; `held` are the days (YYYY-MM-DD) that were kept out of the table.

    Fewer than three earlier days cannot decide: unsure, never a pass.
    """
    days = Days.of(_arrived(table), as_of, held)
    due = _due(table)
    late = int((due != _arrived(table)).sum())
    found = [
        _volume(f"{kind}: volume", Days.of(due, as_of, held), history, late),
        _nulls(f"{kind}: nulls against history", table, days, history),
    ]
    for how, block in _units(history):
        found += [
            _unit(f"{kind}.{c}: {how} against history", table, c, how, times, days, history) for c, times in block.items()
        ]
    return found


def _units(history: History) -> Iterator[tuple[str, Mapping[str, float]]]:
    yield "median", history.median
    yield "mean", history.mean


def _arrived(table: pa.Table) -> np.ndarray:
    """When each row arrived; when it happened, where nobody says."""
    import pyarrow.compute as pc

    when = table["ts"] if "arrived" not in table.column_names else pc.coalesce(table["arrived"], table["ts"])
    return when.drop_null().to_numpy()


def _due(table: pa.Table) -> np.ndarray:
    """When each row was due: what a silent feed held back counts for the day on which it happened."""
    from pipelines.shop.backlog import due

    known = "arrived" in table.column_names and not table["ts"].null_count
    return due(table["ts"].to_numpy(), _arrived(table)) if known else _arrived(table)


def _volume(name: str, days: Days, history: History, late: int) -> Finding:
    """The day that is furthest off its same weekdays, or all newest days together, as a ratio; `late` rows were held back."""
    import numpy as np

    wanted = f"rows within {history.volume:g} times those of the same weekdays before, a day and over {history.days} days"
    counts, newest = days.counts(), days.newest(history.days)
    looks = [(float(counts[day]), float(np.median(counts[days.past(day)])), f"on {days.name(day)}") for day in newest]
    usual = sum(float(np.mean(counts[days.past(day)])) for day in newest)
    looks.append((float(sum(counts[day] for day in newest)), usual, f"in the newest {len(newest)} days"))
    rows, usual, when = max(looks, key=lambda look: _off(*look[:2]))
    bad = _off(rows, usual) > np.log(history.volume)
    held_back = f"; {late:,} rows came after the feed had been silent, and count for the day on which they happened"
    words = f"{rows:,.0f} rows {when}, usually {usual:,.0f}{held_back if late else ''}"
    return _said(name, _ratio(rows, usual), wanted, bad, words, days, history)


def _ratio(rows: float, usual: float) -> float:
    return (rows + 0.5) / (usual + 0.5)


def _off(rows: float, usual: float) -> float:
    """How far the ratio lies from one, in logarithms; nothing where chance explains it."""
    far = 2 * abs(math.sqrt(rows) - math.sqrt(usual)) >= CHANCE
    return abs(math.log(_ratio(rows, usual))) if far else 0.0


def _nulls(name: str, table: pa.Table, days: Days, history: History) -> Finding:
    """The column and day whose share of nulls has risen most, beyond what chance does to so few rows."""
    wanted = f"no column's nulls up by more than {history.nulls:.0%} of the rows"
    worst, words = 0.0, ""
    for column in table.column_names:
        if column in ("id", "ts", "arrived", "offset"):
            continue
        rise, day = _rise(table[column].is_null(nan_is_null=True).to_numpy(), days, history)
        if rise > worst:
            worst, words = rise, f"{column} on {days.name(day)}: {rise:.0%} more of the rows are null than before"
    return _said(name, worst, wanted, worst > history.nulls, words, days, history)


def _rise(null: np.ndarray, days: Days, history: History) -> tuple[float, int]:
    import numpy as np

    if len(null) != len(days.index) or not null.any():
        return 0.0, 0
    counts = np.maximum(days.counts(), 1)
    nulls = np.bincount(days.index[null & (days.index < days.size)], minlength=days.size)[: days.size]
    share = nulls / counts
    rises = []
    for day in days.newest(history.days):
        past = days.past(day)
        if counts[day] < FEWEST_ROWS or not past:
            continue
        usual = nulls[past].sum() / counts[past].sum()
        chance = SPREAD * math.sqrt(usual * (1 - usual) / counts[day])
        rises.append((float(share[day] - np.median(share[past]) - chance), day))
    return max(rises, default=(0.0, 0))


def _unit(name: str, table: pa.Table, column: str, how: str, times: float, days: Days, history: History) -> Finding:
    """The day (the week, of a small feed) whose median or mean lies furthest from the usual one of those before."""
    import numpy as np

    wanted = f"a daily {how} within {times:g} times the days before"
    values = table[column].to_numpy().astype(float) if column in table.column_names else np.zeros(0)
    values = values if len(values) == len(days.index) else np.full(len(days.index), np.nan)
    for spans, when in ((days, "on"), (days.weeks(), "in the week from")):
        by_day = _by_day(values, spans, how)
        factors = {day: _factor(by_day, day) for day in spans.newest(history.days) if day in by_day}
        known = {day: factor for day, factor in factors.items() if factor is not None}
        if known:
            day = max(known, key=lambda day: abs(np.log(known[day])))
            words = f"{by_day[day]:,.6g} {when} {spans.name(day)}"
            return _said(name, float(known[day]), wanted, abs(np.log(known[day])) > np.log(times), words, days, history, how)
    few = f"neither a day nor a week has {FEWEST_ROWS} values and {FEWEST_DAYS} such before it"
    return Finding(name, "unsure", None, wanted, advice=few)


def _by_day(values: np.ndarray, days: Days, how: str) -> dict[int, float]:
    """The finite values' median or mean of each day that has enough of them."""
    import numpy as np

    kept = np.isfinite(values) & (days.index < days.size)
    order = np.argsort(days.index[kept], kind="stable")
    day, value = days.index[kept][order], values[kept][order]
    found, start = np.unique(day, return_index=True)
    parts = zip(found.tolist(), np.split(value, start[1:]), strict=True) if len(found) else ()
    return {d: float(getattr(np, how)(part)) for d, part in parts if len(part) >= FEWEST_ROWS}


def _factor(by_day: Mapping[int, float], day: int) -> float | None:
    """The day's value over the usual one of the weeks before; None where that is not known or nothing to divide by."""
    import numpy as np

    past = [value for d, value in by_day.items() if day - 7 * WEEKS <= d < day]
    usual = float(np.median(past)) if len(past) >= FEWEST_DAYS else 0.0
    if usual <= 0:
        return None
    return max(by_day[day], 1e-12) / usual


def _said(name: str, seen: float, wanted: str, bad: Any, words: str, days: Days, history: History, how: str = "") -> Finding:
    """The finding; unsure where no day had a past, and a mere warning where the suite says so."""
    if not days.newest(history.days):
        return Finding(name, "unsure", None, wanted, advice=f"{days.size} closed days are known, {FEWEST_DAYS + 1} are needed")
    mild = bool(bad) and (how or name.split(": ")[1].partition(" ")[0]) in history.warnings
    status: Status = "fail" if bad and not mild else "pass"
    return Finding(name, status, seen, wanted, advice=f"warning: {words}" if mild else words)
