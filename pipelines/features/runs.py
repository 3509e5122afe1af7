"""What a window holds, as runs of its key's events in the order of time: the arithmetic on positions that answers any window.

Between two moments of a key lies a slice of its events. Taken out of it are the few that were not known at the ask's moment: what is
left are runs, mostly one an ask. Sums are differences of running sums at the ends of runs, the smallest and the largest come from
stretches of two to the power of n values, first and last are ends of runs. So nothing that a window holds is looked at one by one,
however many there are, but for counts of what is different.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

LAID = 4_000_000
"""Events that are laid out one by one at once, where that is needed: bounds the memory."""

EXACT = 2**62
"""Integers whose sum may be larger are summed as Python's."""


@dataclass(frozen=True)
class Runs:
    """Runs `[begin, end)` of positions, by ask; `first` is where each ask's runs begin, None where each has one."""

    begin: Array
    end: Array
    first: Array | None

    @staticmethod
    def without(begin: Array, end: Array, ask: Array, place: Array) -> Runs:
        """One slice an ask without some places, which lie inside and are in the order of ask and place."""
        if not len(ask):
            return Runs(begin, end, None)
        asks = np.arange(len(begin))
        after = np.argsort(np.concatenate([asks, ask]), kind="stable")
        before = np.argsort(np.concatenate([ask, asks]), kind="stable")
        first = asks + np.concatenate([[0], np.cumsum(np.bincount(ask, minlength=len(begin)))[:-1]])
        return Runs(np.concatenate([begin, place + 1])[after], np.concatenate([place, end])[before], first)

    def among(self, rank: Array) -> Runs:
        """The same in the positions of some events alone; `rank`: how many of those lie before each position."""
        return Runs(rank[self.begin], rank[self.end], self.first)

    def added(self, values: Array) -> Array:
        """A sum an ask, of a value a run."""
        return values if self.first is None else np.add.reduceat(values, self.first)

    def count(self) -> Array:
        return self.added(self.end - self.begin)

    def sum(self, values: Array) -> Array:
        """The exact sum of integers; of fractions, one run's after the other, so that what lies before does not blur it."""
        if values.dtype.kind == "f":
            return self.added(_reduced(np.add, values, self.begin, self.end))
        running = np.concatenate([values[:0], [0], np.cumsum(values)])
        return self.added(running[self.end] - running[self.begin])

    def extreme(self, ufunc: np.ufunc, values: Array) -> Array:
        """The smallest or largest (np.fmin, np.fmax) of fractions, NaN in an empty window."""
        found = _extreme(ufunc, values, self.begin, self.end)
        return found if self.first is None else ufunc.reduceat(found, self.first)

    def last(self) -> Array:
        """The last position, -1 in an empty window."""
        places = np.where(self.end > self.begin, self.end - 1, -1)
        return places if self.first is None else np.maximum.reduceat(places, self.first)

    def earliest(self) -> Array:
        """The first position, -1 in an empty window."""
        nowhere = np.iinfo(np.int64).max
        places = np.where(self.end > self.begin, self.begin, nowhere)
        places = places if self.first is None else np.minimum.reduceat(places, self.first)
        return np.where(places == nowhere, -1, places)

    def different(self, label: Array, before: Array) -> Array:
        """How many different labels. `before`: for each position the last one before it of the same key and label, or -1. Asks
        whose runs begin at one place share the laying out, so that it takes no more than an event a tile of the window."""
        asks = len(self.begin) if self.first is None else len(self.first)
        many = np.zeros(asks, dtype=bool) if self.first is None else np.diff(np.append(self.first, len(self.begin))) > 1
        found = np.zeros(asks, dtype=np.int64)
        at = np.arange(asks) if self.first is None else self.first
        found[~many] = _different(self.begin[at[~many]], self.end[at[~many]], before)
        if many.any():
            owner = np.repeat(np.arange(asks), 1 if self.first is None else np.diff(np.append(self.first, len(self.begin))))
            mine = many[owner]
            found += _counted_out(owner[mine], self.begin[mine], self.end[mine], label, asks)
        return found


def exact(values: Array, power: int = 1) -> Array:
    """Integers to a power, as Python's where a sum of them could pass 64 bits."""
    if len(values) and float(np.abs(values.astype(np.float64)).max()) ** power * len(values) >= EXACT:
        values = values.astype(object)
    return values if power == 1 else values**power


def bisect(values: Array, low: Array, high: Array, wanted: Array) -> Array:
    """For each of the wanted the first position in `[low, high)` whose value is not less, else high; values rise within."""
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        less = (low < high) & (values[np.minimum(middle, len(values) - 1)] < wanted)
        low, high = np.where(less, middle + 1, low), np.where(less, high, middle)
    return low


def previous(label: Array) -> Array:
    """For each position the last one before it with the same label, -1 where there is none."""
    order = np.argsort(label, kind="stable")
    same = label[order[1:]] == label[order[:-1]]
    before = np.full(len(label), -1)
    before[order[1:][same]] = order[:-1][same]
    return before


def laid_out(low: Array, high: Array) -> tuple[Array, Array]:
    """The positions of some slices one after the other, each with the number of its slice."""
    size = high - low
    owner = np.repeat(np.arange(len(size)), size)
    return owner, np.arange(len(owner)) + np.repeat(low - (np.cumsum(size) - size), size)


def _parts(size: Array) -> Iterator[slice]:
    """Neighbours that hold about LAID together."""
    total = np.cumsum(size)
    edges = np.searchsorted(total, np.arange(LAID, max(int(size.sum()), 1), LAID)) if len(size) else np.array([], int)
    for low, high in pairwise([0, *edges.tolist(), len(size)]):
        yield slice(low, high)


def _reduced(ufunc: np.ufunc, values: Array, begin: Array, end: Array) -> Array:
    """A ufunc over each slice; 0 where it is empty."""
    found = np.zeros(len(begin))
    some = np.flatnonzero(end > begin)
    edges = np.column_stack([begin[some], end[some]]).ravel()
    if len(some):
        found[some] = ufunc.reduceat(np.append(values, 0.0), edges)[::2]
    return found


def _extreme(ufunc: np.ufunc, values: Array, begin: Array, end: Array) -> Array:
    """Any slice is covered by two stretches of 2 ** n values that may overlap; those of each length are made in turn."""
    found, size = np.full(len(begin), np.nan), end - begin
    level = np.where(size > 0, np.frexp(size.astype(np.float64))[1] - 1, -1)
    order = np.argsort(level, kind="stable")
    edges = np.searchsorted(level[order], np.arange(level.max(initial=-1) + 2))
    reach = 1
    for low, high in pairwise(edges.tolist()):
        rows = order[low:high]
        found[rows] = ufunc(values[begin[rows]], values[end[rows] - reach])
        values = ufunc(values[:-reach], values[reach:])
        reach *= 2
    return found


def _different(begin: Array, end: Array, before: Array) -> Array:
    """A label is new in a slice where the last of its kind lies before the slice. Slices are in the order of their begin."""
    found = np.zeros(len(begin), dtype=np.int64)
    if not len(begin):
        return found
    opens = np.flatnonzero(np.concatenate([[True], begin[1:] != begin[:-1]]))
    shared, farthest = begin[opens], np.maximum.reduceat(end, opens)
    rows = np.append(opens, len(begin))
    for part in _parts(farthest - shared):
        low, high = shared[part], farthest[part]
        owner, place = laid_out(low, high)
        new = np.concatenate([[0], np.cumsum(before[place] < low[owner])])
        mine = slice(rows[part.start], rows[part.stop])
        start = np.repeat(np.cumsum(high - low) - (high - low), np.diff(rows[part.start : part.stop + 1]))
        found[mine] = new[start + end[mine] - begin[mine]] - new[start]
    return found


def _counted_out(owner: Array, begin: Array, end: Array, label: Array, asks: int) -> Array:
    """The same for asks of several runs: the labels of each, every one once. `owner` rises."""
    found = np.zeros(asks, dtype=np.int64)
    labels = int(label.max(initial=0)) + 1
    edges = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    sizes = np.add.reduceat(end - begin, edges)
    rows = np.append(edges, len(owner))
    for part in _parts(sizes):
        mine = slice(rows[part.start], rows[part.stop])
        run, place = laid_out(begin[mine], end[mine])
        pairs = np.unique(owner[mine][run] * labels + label[place])
        found += np.bincount(pairs // labels, minlength=asks)
    return found
