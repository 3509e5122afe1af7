"""Tiles into one: what each part of a window adds up to over the tiles inside, and over two such sums."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipelines.core.aggregation import Part
from pipelines.features.plan import Series
from pipelines.features.state import State
from pipelines.features.update import EMPTY, HIGH

Sums = dict[Part, Any]
"""Per part: a float (an exact int for q), the smallest or largest as ±inf where there is none, an object or None."""

GATHER: Mapping[str, Callable[[Iterable[float]], float]] = {
    "n": sum,
    "c": sum,
    "s": sum,
    "lo": lambda cells: min(cells, default=EMPTY["lo"]),
    "hi": lambda cells: max(cells, default=EMPTY["hi"]),
    "newest": lambda cells: max(cells, default=EMPTY["newest"]),
}


def gather(state: State, series: Series, parts: Iterable[Part], low: float, end: float) -> Sums:
    """The parts over the tiles that begin in `[low, end)`."""
    numbers, width = state[series.slot], series.width
    starts = numbers[::width]
    first, last = bisect_left(starts, low) * width, bisect_left(starts, end) * width
    sums: Sums = {}
    for part in parts:
        if (column := series.columns.get(part)) is None:
            sums[part] = _objects(part, [e[1] for e in state[series.lists[part]] if low <= e[0] < end])
        elif part.op == "q":
            high, rest = (int(sum(numbers[first + c : last : width])) for c in (column, column + 1))
            sums[part] = (high << HIGH) + rest
        else:
            sums[part] = GATHER[part.op](numbers[first + column : last : width])
    return sums


def joined(one: Sums, other: Sums) -> Sums:
    """Two disjoint sums as one."""
    return {part: _join(part, value, other[part]) for part, value in one.items()}


def finished(sums: Sums) -> dict[Part, Any]:
    """The parts as core's Aggregation.finish takes them: integers where they are whole, None where there is nothing."""
    return {part: _final(part, value) for part, value in sums.items()}


def tile(series: Series, start: int, sums: Sums) -> array[float]:
    """The numbers of one tile that holds these sums."""
    cells: list[float] = [start]
    for part in series.numbers:
        value = sums[part]
        cells += [value >> HIGH, value & (2**HIGH - 1)] if part.op == "q" else [value]
    return array("d", cells)


def _join(part: Part, one: Any, other: Any) -> Any:
    if part.op in ("n", "c", "s", "q"):
        return one + other
    if part.op == "lo":
        return min(one, other)
    if part.op in ("hi", "newest"):
        return max(one, other)
    return _objects(part, [one, other])


def _objects(part: Part, found: list[Any]) -> Any:
    found = [one for one in found if one]
    if len(found) < 2:
        return found[0] if found else None
    if part.op != "bag":
        return (min if part.op == "first" else max)(found, key=lambda one: (one[0], one[1]))
    total = dict(found[0])
    for bag in found[1:]:
        for value, times in bag.items():
            total[value] = total.get(value, 0) + times
    return total


def _final(part: Part, value: Any) -> Any:
    if part.op in ("n", "c"):
        return int(value)
    if part.op in ("lo", "hi", "newest"):
        return None if value in (EMPTY["lo"], EMPTY["hi"]) else int(value) if part.op == "newest" else value
    if part.op in ("first", "last"):
        return value[2] if value else None
    return int(value) if part.op == "s" and value == int(value) else value
