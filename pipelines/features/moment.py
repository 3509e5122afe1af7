"""What a store knew of many keys at one moment, and the windows of them: exactly, key by key, or for all keys at once.

A window is its tiles from the far edge to the last tile that ends at or before the near edge, and the rows from there on. Where
a key has no row at or after the near edge, the tile that holds the edge is whole, and no row need be looked at: that is the common
case of an ask of now, and what `at_once` answers for a hundred keys in one go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.core.aggregation import OverCap
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted
from pipelines.features.keyvalue import Moved
from pipelines.features.merge import Sums, finished, gather, joined
from pipelines.features.online import OnlineStore
from pipelines.features.plan import FROM, NEWEST, ROWS, SINCE, Group, Question
from pipelines.features.state import WORD, Row, State, blank, chunk_keys, pack, unpack, unpack_rows
from pipelines.features.tiles import FOREVER
from pipelines.features.update import EMPTY

AT_ONCE = frozenset({"count", "sum", "mean", "min", "max"})
"""Aggregations that arrays answer."""


class Moment:
    """The values of some keys as one read of the store gave them."""

    def __init__(self, store: OnlineStore, found: Mapping[bytes, bytes]) -> None:
        self._store, self._found = store, found
        self._states: dict[bytes, State] = {}
        self._chunks: dict[bytes, list[Row]] = {}
        self._arrays: dict[int, tuple[Any, tuple[np.ndarray, ...]]] = {}

    def window(self, question: Question, key: Any, name: bytes, ts: int, own: Row | None) -> list[Any]:
        """The features of one key at ts, in the question's order. `name` is where the key's value is kept, `own` the row of the
        ask's own event, which is never among its past. Raises Moved where the key has changed since it was read."""
        low, end = question.window.edges(ts)
        state = self._state(question.group, name)
        sums = finished(question.cells, self._sums(question, key, name, state, low, end, own))
        return [
            self._ended(feature, [sums[n] for n in takes], end)
            for feature, takes in zip(question.features, question.takes, strict=True)
        ]

    def _sums(self, question: Question, key: Any, name: bytes, state: State, low: int, end: int, own: Row | None) -> Sums:
        """Whole tiles, and rows for the rest: the tile that the near edge cuts, and the one that holds the ask's own event."""
        series, cells = question.series, question.cells
        cut = FOREVER if state[NEWEST] < end else max(end - end % series.grain, low)
        if (begin := state[FROM][question.number]) > low:
            begin = begin if begin <= cut else end
            older = self._without(question, self._between(question.group, key, name, state, low, begin), own)
            return joined(cells, older, self._sums(question, key, name, state, begin, end, own)) if begin < end else older
        if own is not None and low <= own[0] < end:
            hole = own[0] - own[0] % series.grain
            before = gather(state, series, cells, low, min(hole, cut))
            sums = joined(cells, before, gather(state, series, cells, hole + series.grain, cut))
            spans = [(hole, min(hole + series.grain, end))] + ([(cut, end)] if hole < cut < end else [])
        else:
            sums = gather(state, series, cells, low, cut)
            spans = [(cut, end)] if cut < end else []
        if not spans:
            return sums
        rows = [row for span in spans for row in self._between(question.group, key, name, state, *span)]
        return joined(cells, sums, self._without(question, rows, own))

    def _without(self, question: Question, rows: Sequence[Row], own: Row | None) -> Sums:
        """The parts over rows, the ask's own event left out."""
        rows = [row for row in rows if own is None or row[1] != own[1]]
        state = blank(question.group)
        self._store.fills[question.group.number][question.number](state, rows)
        return gather(state, question.series, question.cells, -FOREVER, FOREVER)

    def _ended(self, feature: Counted, got: list[Any], end: int) -> Any:
        try:
            return feature.how.ended(got, end)
        except OverCap as error:
            raise ShelflifeError(f"feature {feature.name}: {error}") from None

    def _state(self, group: Group, name: bytes) -> State:
        if name not in self._states:
            data = self._found.get(name)
            self._states[name] = unpack(data, group) if data else blank(group)
        return self._states[name]

    def _between(self, group: Group, key: Any, name: bytes, state: State, low: int, end: int) -> list[Row]:
        """A key's rows with `low <= ts < end`."""
        rows: list[Row] = state[ROWS]
        if low < state[SINCE]:
            rows = [*rows, *self._older(chunk_keys(group, key, low, min(end, state[SINCE])), name)]
        return [row for row in rows if low <= row[0] < end]

    def _older(self, names: list[bytes], value: bytes) -> list[Row]:
        """The rows of some chunks, read together with the key's value, which must be the one that was read before."""
        if missing := [name for name in names if name not in self._chunks]:
            found = self._store.values.get([value, *missing])
            if found.get(value) != self._found.get(value):
                raise Moved
            self._chunks |= {name: unpack_rows(found[name]) if name in found else [] for name in missing}
        return [row for name in names for row in self._chunks[name]]

    def at_once(self, question: Question, names: Sequence[bytes], ts: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """The features of many keys, each at its own ts: an array each, and for which keys they hold. They hold where the key has
        no row at or after the near edge. Only for questions of AT_ONCE."""
        group, series = question.group, question.series
        words, starts, head, lengths = self._together(group, names)
        mine = question.number
        begins = starts + head.shape[1] + lengths[:, :mine].sum(axis=1)
        tiles = lengths[:, mine] // series.width
        owner = np.repeat(np.arange(len(names)), tiles)
        at = np.repeat(begins - (np.cumsum(tiles) - tiles) * series.width, tiles) + np.arange(len(owner)) * series.width
        ends = ts - question.window.lag
        low = np.full(len(names), -FOREVER)
        if not question.window.ever:
            low = ends - question.window.length
            low -= low % series.grain
        inside = words[at] >= low[owner]
        owner, at = owner[inside], at[inside]
        found = [_total(cell.op, words[at + cell.column], owner, len(names)) for cell in question.cells]
        values = [_value(f, [found[n] for n in takes]) for f, takes in zip(question.features, question.takes, strict=True)]
        return values, (head[:, 0] < ends) & (head[:, 2 + mine] <= low)

    def _together(self, group: Group, names: Sequence[bytes]) -> tuple[np.ndarray, ...]:
        """Many values as one array of doubles, where each begins, their heads, and the lengths of their arrays."""
        if group.number not in self._arrays or self._arrays[group.number][0] is not names:
            nothing = pack(blank(group), group)
            values = [self._found.get(name, nothing) for name in names]
            words = np.frombuffer(b"".join(values), dtype="<f8")
            starts = np.cumsum([0, *map(len, values)])[:-1] // WORD
            head = words[starts[:, None] + np.arange(2 + 2 * len(group.series))]
            self._arrays[group.number] = names, (words, starts, head, head[:, 2 + len(group.series) :].astype(np.int64))
        return self._arrays[group.number][1]


def _total(op: str, cells: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    if op in ("lo", "hi"):
        total = np.full(count, EMPTY[op])
        (np.minimum if op == "lo" else np.maximum).at(total, owner, cells)
        return total
    return np.bincount(owner, weights=cells, minlength=count)


def _value(feature: Counted, parts: Sequence[np.ndarray]) -> np.ndarray:
    """core's Aggregation.ended over arrays."""
    if feature.how.how == "mean":
        return np.divide(parts[0], parts[1], out=np.full(len(parts[0]), np.nan), where=parts[1] > 0)
    return np.where(np.isinf(parts[0]), np.nan, parts[0]) if feature.how.how in ("min", "max") else parts[0]
