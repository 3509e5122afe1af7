"""Features of asking events read from tables: what monitoring and evaluation use where no stream has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.core.usecase import UseCase
from pipelines.features import candidates

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.features.candidates import Index
    from pipelines.features.database import Tables


class BatchReader:
    """Features of asks over event tables: implements core.protocols.FeatureReader. Visible is what had arrived by each ask's ts.

    Answers the same columns as stream.StreamReader; the offset is the largest in the tables (0 where they have none).
    """

    def __init__(self, case: UseCase, tables: Tables, *, as_of: int, index: Index | None = None, threads: int = 1) -> None:
        if isinstance(case.answers, Ranking) and index is None:
            raise ShelflifeError(f"{case.name} finds its candidates in an index; give the reader one")
        self._case, self._tables, self._as_of, self._index, self._threads = case, tables, as_of, index, threads

    def read(self, asks: Sequence[Event]) -> tuple[dict[str, np.ndarray], int]:
        """The columns and the offset of the log that they had seen."""
        from pipelines.features import batch
        from pipelines.features.database import Database, fields_needed

        case, asked = self._case, self._table(asks)
        with Database(self._tables, fields_needed(case.features.counted), as_of=self._as_of, threads=self._threads) as database:
            pairs = expand_events(asks, case.answers, self._index) if isinstance(case.answers, Ranking) else None
            if pairs is None:
                made = batch.features_of(case.features, database, case.asks.kind, asked)
            else:
                made = batch.expanded_features(case.features, database, case.asks.kind, asked, pairs)
            offset = database.last_offset()
        columns = {name: batch.plain(values) for name, values in made.items()}
        return columns | (pairs or {}), offset

    def _table(self, asks: Sequence[Event]) -> pa.Table:
        import pyarrow as pa

        from pipelines.shop.tables import schema

        wanted = schema(self._case.asks)
        known = {
            "id": [e.id for e in asks],
            "ts": [e.ts for e in asks],
            "arrived": [e.arrived for e in asks],
            "offset": [e.offset for e in asks],
        }
        fields = {field.name: [event.body.get(field.name) for event in asks] for field in self._case.asks.fields}
        return pa.table(known | fields, schema=wanted)


def given_columns(asks: Sequence[Event], features: FeatureSet, pairs: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """`ts` and the given features of asking events, a row per ask (per candidate, where there are pairs)."""
    columns: dict[str, np.ndarray] = {"ts": np.array([event.ts for event in asks], dtype=np.float64)}
    for name in features.given:
        values = [event.body.get(name) for event in asks]
        columns[name] = _numbers(values) if features.kind(name) == "number" else np.array(values, dtype=object)
    return columns if pairs is None else {name: values[pairs["ask"]] for name, values in columns.items()}


def expand_events(asks: Sequence[Event], answers: Any, index: Any) -> dict[str, np.ndarray]:
    """The candidates of asking events: candidates.expand over their bodies."""
    trails = np.empty(len(asks), dtype=object)
    trails[:] = [list(event.body.get(answers.trail) or []) for event in asks]
    items = np.array([event.body.get(answers.item) for event in asks], dtype=object)
    return candidates.expand(index, {"ts": [event.ts for event in asks], "item": items, "trail": trails}, answers)


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
