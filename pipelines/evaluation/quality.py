"""Is the data itself broken: nulls, infinities, units, spellings, volume and freshness, before any talk of drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pipelines.core.clock import iso, micros, spell
from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding
from pipelines.evaluation.statistic import Array, nulls
from pipelines.evaluation.units import unit_change
from pipelines.evaluation.usual import FEWEST_PAST, SIGMAS, scatter, threshold
from pipelines.evaluation.windows import Columns, Windows, few_rows

NULLS = 0.05
"""So many more nulls than the past ever had are a fault (share of rows)."""
UNSEEN = 0.5
"""When so many rows carry categories never seen before, the encoding changed, not the world."""
VOLUME = np.log(3.0)
"""A window three times larger than past ones is a fault of the feed; a promotion is not."""
LOSS = np.log(1.8)
"""A window that lacks so much of the past's rows is a fault: shops seldom lose nearly half of their business in a day."""
CHANCE = 6.0
"""Counts differ by chance: a volume is off only where the roots of the counts lie this far apart (about 4 standard deviations)."""
SHARE = 0.02
"""Known categories that are spelt otherwise are reported from so many rows on."""


def quality(
    columns: Columns,
    kinds: Mapping[str, str],
    ts: Array,
    seen: Windows,
    monitor: Monitor,
    *,
    now: int,
    freshness_us: int | None = None,
    odd: Mapping[str, Array] | None = None,
    most: Mapping[str, float] = MappingProxyType({}),
    due: Windows | None = None,
) -> list[Finding]:
    """The channel of data quality: one finding a check, naming the worst columns, so that one fault is one alarm.

    `freshness_us` is how old the newest row may be at `now`, defaults to the watch's window. `odd` are masks of odd rows;
    `most` is the largest value of a column that a row may have and not be refused. Volume is counted by when rows were `due`.
    """
    kind = {name: kinds.get(name, "number") for name in columns}
    checks: dict[str, Callable[[str], tuple[float, str]]] = {
        "null share": lambda c: _null_jump(columns[c], seen),
        "infinite": lambda c: _infinite(columns[c], seen),
        "constant": lambda c: _constant(columns[c], kind[c], seen),
        "unit change": lambda c: unit_change(columns[c], kind[c], seen, most.get(c, np.inf)),
        "spelling": lambda c: _respelt(columns[c], kind[c], seen),
    }
    wanted = {
        "null share": f"at most {NULLS:g} above the past", "infinite": "no infinite numbers", "constant": "columns that vary still vary",
        "unit change": "values in the past's unit", "spelling": f"fewer than {UNSEEN:.0%} unseen categories, none of them only respelt",
    }  # fmt: skip
    found = [_volume(due or seen, monitor), _fresh(ts, now, micros(monitor.window) if freshness_us is None else freshness_us)]
    too_few = few_rows(seen, monitor)
    for name, check in checks.items():
        if too_few:
            found.append(Finding(f"quality: {name}", "unsure", None, wanted[name], advice=too_few))
            continue
        faults = {c: check(c) for c in columns}
        found.append(_worst(f"quality: {name}", {c: fault for c, fault in faults.items() if fault[0] > 0}, wanted[name]))
    if odd and not too_few:
        faults = {name: _odd_jump(mask, seen) for name, mask in odd.items()}
        found.append(
            _worst("quality: odd rows", {c: fault for c, fault in faults.items() if fault[0] > 0}, wanted["null share"])
        )
    return found


def _worst(name: str, faults: Mapping[str, tuple[float, str]], wanted: str) -> Finding:
    """One finding from the faults by column: `observed` is the largest, the columns are named worst first."""
    if not faults:
        return Finding(name, "pass", 0.0, wanted)
    order = sorted(faults, key=lambda column: -faults[column][0])
    words = "; ".join(f"{column}: {faults[column][1]}" for column in order[:5])
    more = f"; and {len(order) - 5} more" if len(order) > 5 else ""
    return Finding(name, "fail", float(faults[order[0]][0]), wanted, advice=words + more)


NO_FAULT = (0.0, "")


def _null_jump(column: Array, seen: Windows) -> tuple[float, str]:
    """How far the null share lies above the past's, when that is more than past windows, five points and chance explain."""
    jump, share, usual = _jump(nulls(column), seen)
    return (jump, f"{share:.0%} nulls, {usual:.0%} before") if jump else NO_FAULT


def _odd_jump(odd: Array, seen: Windows) -> tuple[float, str]:
    """The same of rows that are odd in one way."""
    jump, share, usual = _jump(odd, seen)
    return (jump, f"{share:.0%} of the rows, {usual:.0%} before") if jump else NO_FAULT


def _jump(mask: Array, seen: Windows) -> tuple[float, float, float]:
    """How far the share of masked rows lies above the past's where that is a fault, else 0; the share, and the usual one."""
    rows = max(int(seen.current.sum()), 1)
    share, usual = float(mask[seen.current].mean()), float(mask[seen.reference].mean())
    past = [float(mask[window].mean()) - usual for window in seen.past if window.any()]
    chance = SIGMAS * np.sqrt(usual * (1 - usual) / rows) + 2 / rows
    jump = share - usual
    return (jump if jump > max(threshold(past, NULLS), float(chance)) else 0.0), share, usual


def _infinite(column: Array, seen: Windows) -> tuple[float, str]:
    if column.dtype.kind != "f":
        return NO_FAULT
    share = float(np.isinf(column[seen.current]).mean())
    return (share, f"{share:.1%} infinite") if share else NO_FAULT


def _constant(column: Array, kind: str, seen: Windows) -> tuple[float, str]:
    """A column that took several values in every past window, and now takes one."""
    if kind == "text" or _distinct(column[seen.current]) != 1:
        return NO_FAULT
    varied = all(_distinct(column[mask]) > 1 for mask in seen.past if mask.any()) and _distinct(column[seen.reference]) > 1
    return (1.0, "one value only") if varied else NO_FAULT


def _distinct(column: Array) -> int:
    kept = column[~nulls(column)]
    return len(np.unique(kept.astype(str) if kept.dtype == object else kept))


def _respelt(column: Array, kind: str, seen: Windows) -> tuple[float, str]:
    """Categories never seen before: most of the rows, or ones that differ from known ones by case and blanks alone."""
    if kind != "category":
        return NO_FAULT
    past, current = column[seen.reference], column[seen.current]
    known = set(past[~nulls(past)].astype(str))
    names, counts = np.unique(current[~nulls(current)].astype(str), return_counts=True)
    plain = {name.strip().casefold() for name in known}
    total = max(int(counts.sum()), 1)
    unseen = sum(int(n) for name, n in zip(names, counts, strict=True) if name not in known) / total
    respelt = (
        sum(int(n) for name, n in zip(names, counts, strict=True) if name not in known and name.strip().casefold() in plain)
        / total
    )
    if respelt >= SHARE:
        return respelt, f"{respelt:.0%} of the rows spell known categories differently"
    return (unseen, f"{unseen:.0%} of the rows carry unseen categories") if known and unseen >= UNSEEN else NO_FAULT


def _volume(seen: Windows, monitor: Monitor) -> Finding:
    """Rows of the window against past windows, as a ratio."""
    name, wanted = "quality: volume", "more than half and less than three times the past's rows"
    past = np.array([int(mask.sum()) for mask in seen.past])
    rows, usual = int(seen.current.sum()), float(np.median(past)) if len(past) else 0.0
    if not rows:
        return Finding(name, "fail", 0.0, wanted, advice="the window is empty")
    if usual < monitor.min_rows:
        return Finding(name, "unsure", None, wanted, advice=f"past windows have {usual:.0f} rows, wanted {monitor.min_rows}")
    middle, spread = scatter(np.abs(np.log(np.maximum(past, 1) / usual)))
    restless = middle + SIGMAS * spread if len(past) >= FEWEST_PAST else 0.0
    limit = max(VOLUME if rows > usual else LOSS, restless)
    by_chance = 2 * abs(np.sqrt(rows) - np.sqrt(usual)) < CHANCE
    off = abs(np.log(rows / usual)) > limit and not by_chance
    return Finding(
        name,
        "fail" if off else "pass",
        rows / usual,
        wanted,
        advice=f"{rows} rows, {usual:.0f} before",
    )


def _fresh(ts: Array, now: int, freshness_us: int) -> Finding:
    name = "quality: freshness"
    from datetime import timedelta

    wanted = f"the newest row at most {spell(timedelta(microseconds=freshness_us))} old"
    past = ts[ts < now]
    if not len(past):
        return Finding(name, "fail", "no rows at all", wanted)
    newest = int(past.max())
    return Finding(name, "fail" if now - newest > freshness_us else "pass", iso(newest), wanted)
