"""What a store knew of some keys at one moment, and the windows of each, exactly, whatever the moment.

A window is its tiles from the far edge to the last tile that ends at or before the near edge, and the rows from there on. Where
a key has no row at or after the near edge, the tile that holds the edge is whole, and no row need be looked at: that is the common
case of an ask of now, which answer.py and together.py answer sooner.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

from pipelines.core.aggregation import OverCap
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted
from pipelines.features.keyvalue import Moved
from pipelines.features.merge import Sums, finished, gather, joined
from pipelines.features.online import OnlineStore
from pipelines.features.plan import FROM, NEWEST, ROWS, SINCE, Group, Question
from pipelines.features.state import Packed, Row, State, between, blank, chunk_keys, unpack, unpack_row, unpack_rows
from pipelines.features.tiles import FOREVER

HEAD_OF = struct.Struct("<2d").unpack_from
"""The newest ts and since when all rows are at hand, of a packed value."""

Asked = tuple[Question, Any, bytes, int, "Row | None"]
"""A question about a key at a ts: the question, the key, where its value is kept, ts, and the row of the ask's own event, which is
never among its past."""


class Unread(Exception):
    """Older rows are needed that have not been read yet."""


class Moment:
    """The values of some keys as one read of the store gave them."""

    def __init__(self, store: OnlineStore, found: Mapping[bytes, bytes]) -> None:
        self._store, self.found = store, found
        self._states: dict[bytes, State] = {}
        self._chunks: dict[bytes, list[Packed]] = {}
        self._wanted: dict[bytes, bytes] = {}
        self._spans: dict[tuple[bytes, int, int], list[bytes]] = {}

    def windows(self, asked: Sequence[Asked]) -> list[list[Any]]:
        """The features of each, in its question's order. Older rows that several need are read together. Raises Moved where a key
        has changed since it was read."""
        answers: list[list[Any]] = [[]] * len(asked)
        for question, key, name, ts, _ in asked:
            if question.window.lag and name in self.found:
                self._expect(question, key, name, ts)
        if self._wanted:
            self._read_wanted()
        left = list(range(len(asked)))
        while left:
            unread = []
            for n in left:
                try:
                    answers[n] = self._window(*asked[n])
                except Unread:
                    unread.append(n)
            if unread:
                self._read_wanted()
            left = unread
        return answers

    def _expect(self, question: Question, key: Any, name: bytes, ts: int) -> None:
        """Wants the rows of the tile that the near edge of a delayed window cuts, which are older than what a key has at hand."""
        newest, since = HEAD_OF(self.found[name])
        end = question.window.edges(ts)[1]
        cut = end - end % question.series.grain
        if end <= newest and cut < since:
            for chunk in self._names(question.group, key, name, cut, int(min(end, since))):
                if chunk not in self._chunks:
                    self._wanted[chunk] = name

    def _window(self, question: Question, key: Any, name: bytes, ts: int, own: Row | None) -> list[Any]:
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
        tiles, spans = [(low, cut)], [(cut, end)] if cut < end else []
        if own is not None and low <= own[0] < end:
            hole = own[0] - own[0] % series.grain
            tiles = [(low, min(hole, cut)), (hole + series.grain, cut)]
            spans = [(hole, min(hole + series.grain, end))] + (spans if hole < cut else [])
        rows = [row for span in spans for row in self._between(question.group, key, name, state, *span)]
        sums = [gather(state, series, cells, *span) for span in tiles] + ([self._without(question, rows, own)] if spans else [])
        return reduce(partial(joined, cells), sums)

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
            data = self.found.get(name)
            self._states[name] = unpack(data, group) if data else blank(group)
        return self._states[name]

    def _between(self, group: Group, key: Any, name: bytes, state: State, low: int, end: int) -> list[Row]:
        """A key's rows with `low <= ts < end`."""
        rows: list[Packed] = state[ROWS]
        if low < state[SINCE]:
            rows = [*rows, *self._older(self._names(group, key, name, low, min(end, state[SINCE])), name)]
        return list(map(unpack_row, between(rows, low, end)))

    def _names(self, group: Group, key: Any, name: bytes, low: int, end: int) -> list[bytes]:
        if (name, low, end) not in self._spans:
            self._spans[name, low, end] = chunk_keys(group, key, low, end)
        return self._spans[name, low, end]

    def _older(self, names: list[bytes], value: bytes) -> list[Packed]:
        """The rows of some chunks."""
        if missing := [name for name in names if name not in self._chunks]:
            self._wanted |= dict.fromkeys(missing, value)
            raise Unread
        return [row for name in names for row in self._chunks[name]]

    def _read_wanted(self) -> None:
        """Reads chunks together with the values of their keys, which must be the ones that were read before."""
        values = set(self._wanted.values())
        found = self._store.values.get([*values, *self._wanted])
        if any(found.get(value) != self.found.get(value) for value in values):
            raise Moved
        self._chunks |= {name: unpack_rows(found[name]) if name in found else [] for name in self._wanted}
        self._wanted = {}
