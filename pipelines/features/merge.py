"""Tiles into one: what each part of a window adds up to over the tiles inside, and over two such sums."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipelines.features.plan import Cell, Series
from pipelines.features.state import State
from pipelines.features.update import EMPTY, HIGH

Sums = list[Any]
"""Per cell: a float (an exact int for q), the smallest or largest as an infinity where there is none, an object or None."""

GATHER: Mapping[str, Callable[[Iterable[float]], float]] = {
    "n": sum,
    "c": sum,
    "s": sum,
    "lo": lambda cells: min(cells, default=EMPTY["lo"]),
    "hi": lambda cells: max(cells, default=EMPTY["hi"]),
    "newest": lambda cells: max(cells, default=EMPTY["newest"]),
}


def gather(state: State, series: Series, cells: Iterable[Cell], low: float, end: float) -> Sums:
    """The cells over the tiles that begin in `[low, end)`."""
    numbers, width = state[series.slot], series.width
    starts = numbers[::width]
    first, last = bisect_left(starts, low) * width, bisect_left(starts, end) * width
    sums: Sums = []
    for op, slot, column in cells:
        if not column:
            sums.append(objects(op, [entry[1] for entry in state[slot] if low <= entry[0] < end]))
        elif op == "q":
            high, rest = (int(sum(numbers[first + c : last : width])) for c in (column, column + 1))
            sums.append((high << HIGH) + rest)
        else:
            sums.append(GATHER[op](numbers[first + column : last : width]))
    return sums


def joined(cells: Sequence[Cell], one: Sums, other: Sums) -> Sums:
    """Two disjoint sums as one."""
    return [_join(cell.op, *values) for cell, *values in zip(cells, one, other, strict=True)]


def finished(cells: Sequence[Cell], sums: Sums) -> Sums:
    """The cells as core's Aggregation takes them: integers where they are whole, None where there is nothing."""
    return [FINAL[cell.op](value) for cell, value in zip(cells, sums, strict=True)]


def tile(series: Series, start: int, sums: Sums) -> array[float]:
    """The numbers of one tile that holds the sums of all the series' cells."""
    cells: list[float] = [start]
    for cell, value in zip(series.cells, sums, strict=True):
        if cell.column:
            cells += [value >> HIGH, value & (2**HIGH - 1)] if cell.op == "q" else [value]
    return array("d", cells)


def _join(op: str, one: Any, other: Any) -> Any:
    if op in ("n", "c", "s", "q"):
        return one + other
    if op == "lo":
        return min(one, other)
    if op in ("hi", "newest"):
        return max(one, other)
    return objects(op, [one, other])


def objects(op: str, found: list[Any]) -> Any:
    """Several firsts, lasts or bags as one."""
    found = [one for one in found if one]
    if len(found) < 2:
        return found[0] if found else None
    if op != "bag":
        return (min if op == "first" else max)(found, key=lambda one: (one[0], one[1]))
    total = dict(found[0])
    for bag in found[1:]:
        for value, times in bag.items():
            total[value] = total.get(value, 0) + times
    return total


def _extreme(value: float) -> float | None:
    return None if value in (EMPTY["lo"], EMPTY["hi"]) else value


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


FINAL: Mapping[str, Callable[[Any], Any]] = {
    "n": int,
    "c": int,
    "s": _whole,
    "q": int,
    "lo": _extreme,
    "hi": _extreme,
    "newest": lambda value: None if value == EMPTY["newest"] else int(value),
    "first": lambda value: value[2] if value else None,
    "last": lambda value: value[2] if value else None,
    "bag": lambda value: value,
}
