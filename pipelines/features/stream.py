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
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.aggregation import TEXTS
from pipelines.core.clock import iso
from pipelines.core.contract import Contract
from pipelines.core.decision import Answers, Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features import derive
from pipelines.features.answer import answer_of
from pipelines.features.kept import Head
from pipelines.features.keyvalue import HEAD, Moved
from pipelines.features.moment import Moment
from pipelines.features.online import OnlineStore
from pipelines.features.plan import Question, plain, plain_key, plan
from pipelines.features.reader import expand_events, given_columns
from pipelines.features.state import SIMPLE, Row, blank, pack, unpack_row, value_keys
from pipelines.features.together import Together, at_once

if TYPE_CHECKING:
    from pipelines.features.candidates import Index

__all__ = ["OnlineStore", "StreamReader"]

MANY = 8
"""Rows from which on a question is answered for all of them at once; for fewer, one by one is faster."""

TRIES = 20
"""How often a read begins again because its keys were changed in the middle of it."""

Keys = tuple[list[Any], list[bytes]]
"""Per row the key (None: it has no past) and where its value is kept."""


class Lookup:
    """The questions that are answered together: those about one group of events by one key, up to the same near edge."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions, self.group, self.key = questions, questions[0].group, questions[0].window.key
        self.features = [feature for question in questions for feature in question.features]
        self.names = [feature.name for feature in self.features]
        self.at_once = not questions[0].window.lag and all(map(at_once, self.features))
        self.nothing = pack(blank(self.group), self.group)
        self.answer = answer_of(self.group, questions)
        self.empty = tuple(feature.how.empty for feature in self.features)
        self._texts = [n for n, feature in enumerate(self.features) if feature.how.how in TEXTS]

    def columns(self, rows: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """Numbers as float64 with NaN as null; objects where there is a text."""
        if any(row[n].__class__ is str for n in self._texts for row in rows):
            return [_column(list(values)) for values in zip(*rows, strict=True)]
        return list(np.array(rows, dtype=np.float64).reshape(-1, len(self.features)).T)


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
        together: dict[tuple[Any, ...], list[Question]] = {}
        for question in store.plan.questions:
            window = question.window
            together.setdefault((question.group.number, window.key, window.lag), []).append(question)
        self._lookups = [Lookup(questions) for questions in together.values()]
        self._names = [feature.name for feature in features.counted]
        self._in_order = [name for lookup in self._lookups for name in lookup.names] == self._names
        self._own_kept = asks.kind in store.plan.fields

    def read(self, asks: Sequence[Event]) -> tuple[dict[str, np.ndarray], int]:
        """The columns and the offset of the log that they had seen."""
        pairs = expand_events(asks, self._ranking, self._index) if self._ranking else None
        counted, offset = self._counted(asks, pairs)
        if self._features.given or self._features.derived:
            columns = given_columns(asks, self._features, pairs) | counted
            counted = columns | derive.evaluate(self._features.derived, columns)
            counted.pop("ts")
        return counted | (pairs or {}), offset

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
        self, asks: Sequence[Event], owner: Sequence[int], keys: Sequence[Keys]
    ) -> tuple[dict[str, np.ndarray], int]:
        store = self._store
        ids = [store.id_key(self._asks.kind, event.id) for event in asks] if self._own_kept else []
        found = store.values.get([HEAD, *set().union(*(names for _, names in keys)), *ids])
        head = store.head(found.get(HEAD))
        if head.horizons:
            self._check_horizons(head, asks)
        own = [_own(found.get(name), event.ts) for name, event in zip(ids, asks, strict=True)] if ids else []
        moment, nobody = Moment(store, found), [None] * len(asks)
        cells: dict[str, np.ndarray] = {}
        for lookup, mine in zip(self._lookups, keys, strict=True):
            unless = own if own and lookup.group.of == self._asks.kind else nobody
            answers = self._arrays if lookup.at_once and len(owner) >= MANY else self._rows
            cells.update(zip(lookup.names, answers(moment, lookup, asks, owner, mine, unless), strict=True))
        return cells if self._in_order else {name: cells[name] for name in self._names}, head.offset

    def _keys(self, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None, owner: Sequence[int]) -> list[Keys]:
        """For each lookup the keys of the rows."""
        columns: dict[str, list[Any]] = {}
        found = []
        for lookup in self._lookups:
            for name in lookup.key:
                if name not in columns:
                    columns[name] = self._column(name, asks, pairs, owner)
            asked = [columns[name] for name in lookup.key]
            keys = asked[0] if len(asked) == 1 else [plain_key(values) for values in zip(*asked, strict=True)]
            found.append((keys, value_keys(lookup.group, keys)))
        return found

    def _column(self, name: str, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None, owner: Sequence[int]) -> list[Any]:
        if pairs is not None and name == "candidate":
            return pairs["candidate"].tolist()
        values = [event.id for event in asks] if name == "id" else [event.body.get(name) for event in asks]
        if not SIMPLE.issuperset(map(type, values)):
            values = list(map(plain, values))
        return values if pairs is None else [values[n] for n in owner]

    def _rows(
        self, moment: Moment, lookup: Lookup, asks: Sequence[Event], owner: Sequence[int], keys: Keys, own: Sequence[Row | None]
    ) -> list[np.ndarray]:
        """The lookup's columns, row by row; what one ask asks of one key is answered once."""
        if (
            len(owner) == 1
            and own[owner[0]] is None
            and (data := moment.found.get(keys[1][0])) is not None
            and keys[0][0] is not None
        ):
            answer = lookup.answer(data, asks[owner[0]].ts)
            if answer is not None:
                return lookup.columns([answer])
        found: dict[tuple[bytes, int], Sequence[Any]] = {}
        left: dict[tuple[bytes, int], Any] = {}
        for key, name, n in zip(*keys, owner, strict=True):
            if (name, n) in found or (name, n) in left:
                continue
            if key is None or (data := moment.found.get(name)) is None:
                found[name, n] = lookup.empty
            elif own[n] is None and (answer := lookup.answer(data, asks[n].ts)) is not None:
                found[name, n] = answer
            else:
                left[name, n] = key
        if left:
            found |= zip(
                left,
                _alone(moment, lookup.questions, [(key, name, asks[n].ts, own[n]) for (name, n), key in left.items()]),
                strict=True,
            )
        return lookup.columns([found[name, n] for name, n in zip(keys[1], owner, strict=True)])

    def _arrays(
        self, moment: Moment, lookup: Lookup, asks: Sequence[Event], owner: Sequence[int], keys: Keys, own: Sequence[Row | None]
    ) -> list[np.ndarray]:
        """The lookup's columns, each for all rows at once but for those where that does not hold."""
        ts = np.fromiter((asks[n].ts for n in owner), np.int64, len(owner))
        together = Together(lookup.group, list(map(moment.found.get, keys[1], repeat(lookup.nothing))))
        columns: list[np.ndarray] = []
        left: set[int] = {row for row, n in enumerate(owner) if own[n] is not None} if any(own) else set()
        for question in lookup.questions:
            found, holds = together.answers(question, ts)
            columns += found
            if not holds.all():
                left |= set(np.flatnonzero(~holds).tolist())
        rows = [row for row in sorted(left) if keys[0][row] is not None]
        asked = [(keys[0][row], keys[1][row], asks[owner[row]].ts, own[owner[row]]) for row in rows]
        for row, answer in zip(rows, _alone(moment, lookup.questions, asked), strict=True):
            for column, value in zip(columns, answer, strict=True):
                column[row] = np.nan if value is None else value
        return columns

    def _check_horizons(self, head: Head, asks: Sequence[Event]) -> None:
        """Refuses a moment whose window has expired in part: a count too low would look like an answer."""
        for question in self._store.plan.questions if asks else ():
            horizon = head.horizon(question.window.of)
            ts = min(event.ts for event in asks)
            low, end = question.window.edges(ts)
            if (end if question.window.ever else low) < horizon:
                raise ShelflifeError(
                    f"wanted features at {iso(ts)}, but the store keeps {question.window.of} from {iso(horizon)} on; read them in batch"
                )


def _alone(
    moment: Moment, questions: Sequence[Question], asked: Sequence[tuple[Any, bytes, int, Row | None]]
) -> list[list[Any]]:
    """What each row (key, name, ts, own) is answered to all questions, one after the other."""
    answers = iter(moment.windows([(question, *one) for one in asked for question in questions]))
    return [[value for _ in questions for value in next(answers)] for _ in asked]


def _own(data: bytes | None, ts: int) -> Row | None:
    """The ask's own event, where the store has a version of it that lies before the ask."""
    row = unpack_row(data) if data else None
    return row if row is not None and row[0] < ts else None


def _column(values: list[Any]) -> np.ndarray:
    """Numbers as float64 with NaN as null; objects where there is a text."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
