"""The stream engine: events in, features as known now out. States and the log's offset change in one transaction.

After applying every event that had arrived by a moment, reading at that moment gives what the batch engine gives. Where the
store has seen more (an ask is a little older than the newest event), a late event may count that had not arrived at the ask's
`ts`: the reader says which offset it had seen, the answer logs it, and batch, told so (`seen`), gives the same again. Events
at or after the near edge never count, whatever the store has seen.

State is bounded by `expire`: rows and tiles older than any window go, tiles of an EVER window are folded into one. A late event
older than that still enters an EVER tile; a correction of an event so old is counted as a new event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.clock import iso
from pipelines.core.contract import Contract
from pipelines.core.decision import Answers, Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features import derive
from pipelines.features.kept import Head
from pipelines.features.keyvalue import HEAD, Moved
from pipelines.features.moment import AT_ONCE, Moment
from pipelines.features.online import OnlineStore
from pipelines.features.plan import Question, plain, plain_key, plan
from pipelines.features.reader import expand_events, given_columns
from pipelines.features.state import Row, unpack_row, value_key
from pipelines.features.tiles import FOREVER

if TYPE_CHECKING:
    from pipelines.features.candidates import Index

__all__ = ["OnlineStore", "StreamReader"]

MANY = 8
"""Rows from which on a question is answered for all of them at once; for fewer, one by one is faster."""

TRIES = 20
"""How often a read begins again because its keys were changed in the middle of it."""

Keys = tuple[list[Any], list[bytes]]
"""Per row the key (None: it has no past) and where its value is kept."""


class StreamReader:
    """Features of asks as known now: implements core.protocols.FeatureReader. A ranking needs its answers and index too.

    Columns: every name of `features.names` (and, for a ranking, `ask` (row among the asks), `candidate`, candidates.FEATURES and
    `reason`), numbers as float64 with NaN as null, categories and texts as objects with None.
    """

    def __init__(
        self,
        store: OnlineStore,
        features: FeatureSet,
        asks: Contract,
        *,
        answers: Answers | None = None,
        index: Index | None = None,
    ) -> None:
        if store.plan.digest != plan(features).digest:
            raise ShelflifeError(
                "wanted the online store of these features, got one of other definitions; open it with OnlineStore.at"
            )
        if isinstance(answers, Ranking) and index is None:
            raise ShelflifeError("a ranking finds its candidates in an index; give the reader the one of its bundle")
        self._store, self._features, self._asks = store, features, asks
        self._ranking, self._index = (answers if isinstance(answers, Ranking) else None), index

    def read(self, asks: Sequence[Event]) -> tuple[dict[str, np.ndarray], int]:
        """The columns and the offset of the log that they had seen."""
        pairs = expand_events(asks, self._ranking, self._index) if self._ranking else None
        counted, offset = self._counted(asks, pairs)
        columns = given_columns(asks, self._features, pairs)
        columns |= counted
        columns |= derive.evaluate(self._features.derived, columns)
        columns.pop("ts")
        return columns | (pairs or {}), offset

    def _counted(self, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None) -> tuple[dict[str, np.ndarray], int]:
        """A column per counted feature, and the offset: all of one moment of the store."""
        owner = range(len(asks)) if pairs is None else pairs["ask"].tolist()
        keys = self._keys(asks, pairs, owner)
        for _ in range(TRIES):
            try:
                return self._at_one_moment(asks, owner, keys)
            except Moved:
                continue
        raise ShelflifeError("the online features change faster than they can be read; ask for fewer at once")

    def _at_one_moment(
        self, asks: Sequence[Event], owner: Sequence[int], keys: dict[tuple[Any, ...], Keys]
    ) -> tuple[dict[str, np.ndarray], int]:
        store = self._store
        own_kept = self._asks.kind in store.plan.fields
        ids = [store.id_key(self._asks.kind, event.id) for event in asks] if own_kept else []
        names = dict.fromkeys(name for _, found in keys.values() for name in found)
        found = store.values.get([HEAD, *names, *ids])
        head = store.head(found.get(HEAD))
        own = [_own(found.get(name), event.ts) for name, event in zip(ids, asks, strict=True)] if ids else [None] * len(asks)
        moment = Moment(store, found)
        cells: dict[str, np.ndarray] = {}
        for question in store.plan.questions:
            self._check_horizon(head, question, asks)
            mine = own if question.window.of == self._asks.kind else [None] * len(asks)
            cells |= self._answers(moment, question, asks, owner, keys[_asked(question)], mine)
        return {feature.name: cells[feature.name] for feature in self._features.counted}, head.offset

    def _keys(
        self, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None, owner: Sequence[int]
    ) -> dict[tuple[Any, ...], Keys]:
        """Per group and the columns that are looked up in it: the keys of the rows."""
        found: dict[tuple[Any, ...], Keys] = {}
        columns: dict[str, list[Any]] = {}
        for question in self._store.plan.questions:
            if _asked(question) in found:
                continue
            for name in question.window.key:
                columns[name] = columns.get(name) or self._column(name, asks, pairs, owner)
            asked = [columns[name] for name in question.window.key]
            keys = asked[0] if len(asked) == 1 else [plain_key(values) for values in zip(*asked, strict=True)]
            names = {key: value_key(question.group, key) for key in set(keys)}
            found[_asked(question)] = keys, [names[key] for key in keys]
        return found

    def _column(self, name: str, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None, owner: Sequence[int]) -> list[Any]:
        if pairs is not None and name == "candidate":
            return pairs["candidate"].tolist()
        values = [event.id if name == "id" else event.body.get(name) for event in asks]
        values = [value if value.__class__ is str else plain(value) for value in values]
        return values if pairs is None else [values[n] for n in owner]

    def _answers(
        self,
        moment: Moment,
        question: Question,
        asks: Sequence[Event],
        owner: Sequence[int],
        keys: Keys,
        own: Sequence[Row | None],
    ) -> dict[str, np.ndarray]:
        """The question's columns: at once for the rows where that holds, one by one for the others."""
        if len(owner) == 1:
            answer = self._one(moment, question, asks[owner[0]], keys, own[owner[0]])
            return {f.name: _column([value]) for f, value in zip(question.features, answer, strict=True)}
        rows: list[Sequence[Any]] = [()] * len(owner)
        at_once, left = None, list(range(len(owner)))
        if len(owner) >= MANY and all(feature.how.how in AT_ONCE for feature in question.features):
            ts = np.array([event.ts for event in asks], dtype=np.int64)[owner]
            at_once, holds = moment.at_once(question, keys[1], ts)
            holds &= np.array([row is None for row in own])[owner]
            left = np.flatnonzero(~holds).tolist()
        empty = [feature.how.empty for feature in question.features]
        answered: dict[tuple[Any, int], Sequence[Any]] = {}
        for row in left:
            key, n = keys[0][row], owner[row]
            if (key, n) not in answered:
                answered[key, n] = empty if key is None else moment.window(question, key, keys[1][row], asks[n].ts, own[n])
            rows[row] = answered[key, n]
        if at_once is None:
            return {f.name: _column([row[i] for row in rows]) for i, f in enumerate(question.features)}
        for i, column in enumerate(at_once):
            column[left] = [np.nan if rows[row][i] is None else rows[row][i] for row in left]
        return {f.name: column for f, column in zip(question.features, at_once, strict=True)}

    def _one(self, moment: Moment, question: Question, ask: Event, keys: Keys, own: Row | None) -> Sequence[Any]:
        (key,), (name,) = keys
        if key is None:
            return [feature.how.empty for feature in question.features]
        return moment.window(question, key, name, ask.ts, own)

    def _check_horizon(self, head: Head, question: Question, asks: Sequence[Event]) -> None:
        """Refuses a moment whose window has expired in part: a count too low would look like an answer."""
        horizon = head.horizons.get(question.window.of, -FOREVER)
        if horizon == -FOREVER or not asks:
            return
        ts = min(event.ts for event in asks)
        low, end = question.window.edges(ts)
        if (end if question.window.ever else low) < horizon:
            raise ShelflifeError(
                f"wanted features at {iso(ts)}, but the store keeps {question.window.of} from {iso(horizon)} on; read them in batch"
            )


def _asked(question: Question) -> tuple[Any, ...]:
    return (question.group.number, question.window.key)


def _own(data: bytes | None, ts: int) -> Row | None:
    """The ask's own event, where the store has a version of it that lies before the ask."""
    row = unpack_row(data) if data else None
    return row if row is not None and row[0] < ts else None


def _column(values: list[Any]) -> np.ndarray:
    """Numbers as float64 with NaN as null; objects where there is a text."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
