"""The stream engine: events in, features as known now out. Rows, tiles and the log's offset change in one transaction.

After applying every event that had arrived by a moment, reading at that moment gives what the batch engine gives. Where the
store has seen more (an ask is a little older than the newest event), a late event may count that had not arrived at the ask's
`ts`: the reader says which offset it had seen, the answer logs it, and batch, told so (`seen`), gives the same again. Events
at or after the near edge never count, whatever the store has seen.

State is bounded by `expire`: rows and tiles older than any window go, tiles of an EVER window are folded into one. A late event
older than that still enters an EVER tile; a correction of an event so old is counted as a new event. First, last and distinct
over EVER read rows, so the rows of such a kind stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.contract import Contract
from pipelines.core.decision import Answers, Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features import derive
from pipelines.features.online import OnlineStore
from pipelines.features.plan import Question, plan, stored
from pipelines.features.reader import expand_events, given_columns
from pipelines.features.tiles import EMPTY

if TYPE_CHECKING:
    from pipelines.features.candidates import Index

__all__ = ["OnlineStore", "StreamReader"]


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
        pairs = self._expand(asks) if self._ranking else None
        with self._store.snapshot() as offset:
            counted = self._counted(asks, pairs)
        columns = given_columns(asks, self._features, pairs)
        columns |= counted
        columns |= derive.evaluate(self._features.derived, columns)
        columns.pop("ts")
        return columns | (pairs or {}), offset

    def _expand(self, asks: Sequence[Event]) -> dict[str, np.ndarray]:
        return expand_events(asks, self._ranking, self._index)

    def _counted(self, asks: Sequence[Event], pairs: dict[str, np.ndarray] | None) -> dict[str, np.ndarray]:
        """A column per counted feature: window by window, ask by ask, all candidates of an ask at once."""
        spans = [(n, n + 1) for n in range(len(asks))] if pairs is None else _spans(pairs["ask"], len(asks))
        cells: dict[str, list[Any]] = {c.name: [] for c in self._features.counted}
        for event, (start, end) in zip(asks, spans, strict=True):
            own = event.id if self._store.holds(event.kind, event.id, event.ts) else None
            for question in self._store.plan.questions:
                keys = self._keys(event, question, pairs, start, end)
                self._fill(cells, question, keys, event, own)
        return {name: _column(values) for name, values in cells.items()}

    def _keys(self, event: Event, question: Question, pairs: dict[str, np.ndarray] | None, start: int, end: int) -> list[Any]:
        (key,) = question.window.key
        if pairs is not None and key == "candidate":
            return pairs["candidate"][start:end].tolist()
        value = event.id if key == "id" else event.body.get(key)
        return [stored(value)] * (end - start)

    def _fill(self, cells: dict[str, list[Any]], question: Question, keys: list[Any], event: Event, own: str | None) -> None:
        different = list(dict.fromkeys(key for key in keys if key is not None))
        excluded = own if question.window.of == event.kind else None
        found = self._store.ask(question, different, event.ts, excluded) if different else {}
        for feature in question.features:
            empty = EMPTY.get(feature.how.how)
            cells[feature.name] += [found[key][feature.name] if key in found else empty for key in keys]


def _column(values: list[Any]) -> np.ndarray:
    """Numbers as float64 with NaN as null; objects where there is a text."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([float("nan") if value is None else value for value in values], dtype=np.float64)


def _spans(ask: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Where each ask's candidates begin and end."""
    edges = np.searchsorted(ask, np.arange(count + 1))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
