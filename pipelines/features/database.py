"""Event tables in a locked-down DuckDB: what the generated SQL runs on. No file, no network, one connection, thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from pipelines.core.aggregation import Aggregation, over_cap
from pipelines.core.contract import ENVELOPE
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, Label
from pipelines.features import sql
from pipelines.features.dialect import quote
from pipelines.features.tiles import Window, by_window, columns_read

Tables: TypeAlias = Mapping[str, "pa.Table | Sequence[Path]"]
"""Per kind of event its table, or the Parquet files that hold it."""

MANY = 2
"""Where there are more than so many moments an event, min, max, first, last and distinct are worked out per change instead."""

CROWDED = 5
"""Where there are more than so many pairs of ask and event to an event, sums are running sums and the rest goes by tiles."""

TILED = 4
"""How many events a tile must hold on average to be worth its making."""

BATCH = 200_000
"""Rows that are read from Parquet at a time."""


class Database:
    """The events of some kinds as known at `as_of`. `by_offset`: visible means an offset up to the ask's `sees`, not arrival."""

    def __init__(
        self, tables: Tables, fields: Mapping[str, Iterable[str]], *, as_of: int, by_offset: bool = False, threads: int = 1
    ) -> None:
        import duckdb

        self._connection = duckdb.connect(
            config={"threads": threads, "enable_external_access": False, "preserve_insertion_order": True}
        )
        self._by_offset = by_offset
        self._repeated: set[str] = set()
        self.types: dict[str, dict[str, str]] = {}
        for kind, wanted in fields.items():
            self._load(kind, Source.of(tables, kind), wanted, as_of)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def _load(self, kind: str, source: Source, wanted: Iterable[str], as_of: int) -> None:
        """The events' envelope and fields, or every field where an id occurs more than once: two versions may differ in a field
        that nobody asked for."""
        names = self._pour(kind, source, [*ENVELOPE, *sorted(set(wanted))], as_of)
        if self._has_repeats(kind):
            self._repeated.add(kind)
            names = self._pour(kind, source, source.names, as_of)
        raw, past = quote(f"raw {kind}"), quote(f"past {kind}")
        self.types[kind] = {name: kind for name, kind, *_ in self._rows(f"DESCRIBE {raw}") if name not in ENVELOPE}
        axis = "offset" if self._by_offset else "arrived"
        if kind in self._repeated:
            self._connection.execute(f"CREATE TABLE {past} AS {sql.versions(kind, names[len(ENVELOPE) :], axis)}")
        else:
            self._connection.execute(f"CREATE VIEW {past} AS {sql.unique_versions(kind, names[len(ENVELOPE) :], axis)}")

    def _pour(self, kind: str, source: Source, names: Sequence[str], as_of: int) -> list[str]:
        """The columns of what had arrived, batch by batch into a table of their own. Their names, the envelope's first."""
        listed = [*ENVELOPE, *(name for name in names if name not in ENVELOPE)]
        self._register("incoming", source.read(kind, listed))
        columns = ", ".join(map(quote, listed))
        self._connection.execute(
            f"CREATE OR REPLACE TABLE {quote(f'raw {kind}')} AS SELECT {columns} FROM incoming WHERE arrived <= {as_of}"  # noqa: S608
        )
        self._connection.unregister("incoming")
        return listed

    def _has_repeats(self, kind: str) -> bool:
        """Whether an id occurs more than once; two ids of one hash make it yes, which costs time and changes nothing."""
        hashes = self._connection.sql(f"SELECT hash(id) AS h FROM {quote(f'raw {kind}')}").fetchnumpy()["h"]  # noqa: S608
        hashes.sort()
        return bool((hashes[1:] == hashes[:-1]).any())

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.sql(query).fetchall()

    def _register(self, name: str, table: Any) -> None:
        self._connection.register(name, table)

    def last_offset(self) -> int:
        """The largest offset of the events; 0 where they have none."""
        query = 'SELECT coalesce(max("offset"), 0) FROM '
        return max((self._rows(query + quote(f"raw {kind}"))[0][0] for kind in self.types), default=0)

    def first_versions(self, kind: str) -> pa.Table:
        """One row an event, as it was when it was first known, by (ts, id)."""
        order = 'ORDER BY arrived, "offset" NULLS LAST, rowid'
        once = f"QUALIFY row_number() OVER (PARTITION BY id {order}) = 1" if kind in self._repeated else ""
        query = f"SELECT * FROM {quote(f'raw {kind}')} {once} ORDER BY ts, id"  # noqa: S608  quoted names
        return self._connection.sql(query).to_arrow_table()

    def counted(self, features: Sequence[Counted], kind: str, asks: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A column per feature, a row per ask, float64 (or objects, for the first, last or top of a category).

        `asks` are columns: id, ts, every key that is looked up and, by offset, `sees`.
        """
        rows = len(asks["ts"])
        found: dict[str, np.ndarray] = {}
        self._register("asks", pa.table({"row": np.arange(rows), **asks}))
        for window, group in by_window(features).items():
            check(group, self.types[window.of], asks)
            for query in self._queries(window, group, kind, rows):
                found |= self._run(query, {feature.name: feature.how for feature in group}, rows)
        return {feature.name: found[feature.name] for feature in features}

    def label(self, label: Label, kind: str, asks: Mapping[str, Any]) -> np.ndarray:
        """The label of each ask as it is known now, not yet turned into 1 or 0; null as in the definition."""
        types = self.types[label.of]
        if problem := sql.problems(label.of, label.how, types):
            raise ShelflifeError(problem)
        rows = len(asks["ts"])
        self._register("asks", pa.table({"row": np.arange(rows), **asks}))
        return self._run(sql.label(label, kind, types), {"label": label.how}, rows)["label"]

    def _queries(self, window: Window, group: Sequence[Counted], kind: str, rows: int) -> list[str]:
        """The SQL of one window's features, each by the plan that costs least."""
        types, own = self.types[window.of], window.of == kind and window.of in self._repeated
        tops, group = [[f] for f in group if f.how.how == "top"], [f for f in group if f.how.how != "top"]
        queries = [sql.pairs(window, top, types, by_offset=self._by_offset, own=own) for top in tops]
        if self._by_offset or own:
            return [*queries, sql.pairs(window, group, types, by_offset=self._by_offset, own=own)] if group else queries
        events, pairs, lateness, span = self._rows(sql.crowd(window))[0]
        pairs *= 1 if window.ever or not span else min(1, (window.length + window.grain) / span)
        sums = [f for f in group if sql.additive(f, types) and pairs > CROWDED * events]
        rest = [f for f in group if f not in sums]
        queries += [sql.steps(window, sums, types)] if sums else []
        if rest and rows > MANY * events:
            return [*queries, sql.changes(window, rest, types)]
        return queries + self._by_pairs(window, rest, types, events, pairs, lateness)

    def _by_pairs(
        self,
        window: Window,
        group: Sequence[Counted],
        types: Mapping[str, str],
        events: int,
        pairs: float,
        lateness: int | None,
    ) -> list[str]:
        """Sets cannot be kept by tile; what can, is, where tiles hold a few events each and there is much to be joined."""
        dense = pairs > CROWDED * events and window.grain + (lateness or 0) < window.length // 2
        if window.of in self._repeated or not dense or TILED * self._rows(sql.tiles_of(window))[0][0] > events:
            return [sql.pairs(window, group, types)] if group else []
        sets = [f for f in group if any(part.op == "bag" for part in f.how.parts)]
        rest = [f for f in group if f not in sets]
        queries = [sql.pairs(window, sets, types)] if sets else []
        return [*queries, sql.pairs(window, rest, types, lateness=lateness)] if rest else queries

    def _run(self, query: str, wanted: Mapping[str, Aggregation], rows: int) -> dict[str, np.ndarray]:
        answer = self._connection.sql(query).to_arrow_table()
        return {name: column(answer, name, how, rows) for name, how in wanted.items() if name in answer.column_names}


def check(group: Sequence[Counted], types: Mapping[str, str], asks: Mapping[str, Any]) -> None:
    """Raises ShelflifeError for a feature that cannot be computed from fields of these types for asks with these keys."""
    for feature in group:
        problem = sql.problems(feature.of, feature.how, types)
        for by, key in zip(feature.keys, feature.asked, strict=True):
            if not problem and _sql_type(asks[key].type) != types[by]:
                problem = f"wanted a key {key} of {feature.of}.{by}'s type {types[by]}, got {asks[key].type}"
        if problem:
            raise ShelflifeError(f"feature {feature.name}: {problem}; correct its definition")


@dataclass(frozen=True)
class Source:
    """Where the events of a kind are: a table, or Parquet files."""

    table: pa.Table | None
    files: tuple[Path, ...]

    @staticmethod
    def of(tables: Tables, kind: str) -> Source:
        """Raises ShelflifeError, naming the kind, where there is none."""
        if kind not in tables:
            raise ShelflifeError(
                f"wanted a table of {kind} events, got tables of {', '.join(sorted(tables)) or 'nothing'}; ingest that kind too"
            )
        found = tables[kind]
        if isinstance(found, pa.Table):
            return Source(found, ())
        if not found:
            raise ShelflifeError(
                f"wanted at least one Parquet file of {kind} events, got none; an empty day is a file without rows"
            )
        return Source(None, tuple(found))

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of all files together."""
        import pyarrow.parquet as pq

        if self.table is not None:
            return self.table.schema
        return pa.unify_schemas([pq.read_schema(path).remove_metadata() for path in self.files], promote_options="permissive")

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def read(self, kind: str, names: Sequence[str]) -> Any:
        """Those columns, as a table or a reader of batches; every page's checksum is verified before it is parsed."""
        if missing := [name for name in names if name not in self.names]:
            raise ShelflifeError(f"the {kind} events have no column {', '.join(missing)}; they have {', '.join(self.names)}")
        if self.table is not None:
            return self.table.select(list(names))
        wanted = pa.schema([self.schema.field(name) for name in names])
        return pa.RecordBatchReader.from_batches(wanted, self._batches(wanted))

    def _batches(self, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        for path in self.files:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                present = [name for name in wanted.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(BATCH, columns=present):
                    columns = [
                        batch[name].cast(field.type) if (name := field.name) in present else pa.nulls(len(batch), field.type)
                        for field in wanted
                    ]
                    yield pa.RecordBatch.from_arrays(columns, schema=wanted)


def column(answer: pa.Table, name: str, how: Aggregation, rows: int) -> np.ndarray:
    """The answer's column at its rows. Raises ShelflifeError where a set holds more than its cap."""
    import pyarrow.compute as pc

    for held in how.halves or (how,):
        if held.cap is not None and (pc.max(answer[sql.different(name, held.field)]).as_py() or 0) > held.cap:
            raise ShelflifeError(f"feature {name}: {over_cap(held)}")
    return _scatter(answer, name, rows, np.nan if how.empty is None else how.empty)


def fields_needed(features: Iterable[Counted], label: Label | None = None) -> dict[str, set[str]]:
    """Per kind, the fields that the features and the label read."""
    needed = {kind: set(fields) for kind, fields in columns_read(features).items()}
    if label:
        needed.setdefault(label.of, set()).update(label.fields)
    return needed


def _scatter(answer: pa.Table, name: str, rows: int, empty: float) -> np.ndarray:
    """The answer's column at its rows; elsewhere what an empty window gives."""
    at, values = answer["row"].to_numpy(), answer[name]
    if pa.types.is_string(values.type):
        column = np.full(rows, None, dtype=object)
        column[at] = values.to_numpy()
        return column
    column = np.full(rows, empty, dtype=np.float64)
    column[at] = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return column


def _sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of the Arrow type, for the few types that an event table has."""
    names = {
        pa.int64(): "BIGINT",
        pa.float64(): "DOUBLE",
        pa.bool_(): "BOOLEAN",
        pa.string(): "VARCHAR",
        pa.large_string(): "VARCHAR",
    }
    return "VARCHAR[]" if pa.types.is_list(kind) else names.get(kind, str(kind))
