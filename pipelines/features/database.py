"""Event tables in a locked-down DuckDB: what the generated SQL runs on. No file, no network, one connection, thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from pipelines.core.aggregation import Aggregation, over_cap
from pipelines.core.contract import ENVELOPE
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, Label
from pipelines.features import history, ordered, sql
from pipelines.features.dialect import quote
from pipelines.features.tiles import Window, by_window, columns_read

Tables: TypeAlias = Mapping[str, "pa.Table | Sequence[Path]"]
"""Per kind of event its table, or the Parquet files that hold it."""

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
        self._by_offset, self._as_of = by_offset, as_of
        self._sources = {kind: Source.of(tables, kind, wanted) for kind, wanted in fields.items()}
        self.types = {kind: source.types for kind, source in self._sources.items()}
        self._repeated: set[str] = set()
        self._named: dict[str, bool] = {}

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def _load(self, kind: str, *, named: bool = False) -> None:
        """The events' times and fields, where they are not there yet; their ids and offsets only where they are wanted (`named`) or
        an id occurs more than once. Then every field is loaded: two versions may differ in one that nobody asked for."""
        named = named or self._by_offset
        if self._named.get(kind, -1) >= named:
            return
        source, read = self._sources[kind], sorted(self._sources[kind].fields)
        if kind not in self._named and self._has_repeats(source):
            self._repeated.add(kind)
        if kind in self._repeated:
            named, read = True, [name for name in source.names if name not in ENVELOPE]
        self._pour(kind, [*(ENVELOPE if named else ("ts", "arrived")), *(name for name in read if name not in ENVELOPE)])
        axis = "offset" if self._by_offset else "arrived"
        past = (
            f"TABLE {quote(f'past {kind}')} AS {sql.versions(kind, read, axis)}"
            if kind in self._repeated
            else f"VIEW {quote(f'past {kind}')} AS {sql.unique_versions(kind, read, axis, named=named)}"
        )
        self._connection.execute(f"CREATE OR REPLACE {past}")
        self._named[kind] = named

    def _pour(self, kind: str, names: Sequence[str]) -> None:
        """Those columns of what had arrived, batch by batch into a table of their own."""
        columns = ", ".join(map(quote, names))
        with self._incoming(self._sources[kind].read(names)):
            self._connection.execute(
                f"CREATE OR REPLACE TABLE {quote(f'raw {kind}')} AS SELECT {columns} FROM incoming WHERE arrived <= {self._as_of}"  # noqa: S608
            )

    def _has_repeats(self, source: Source) -> bool:
        """Whether an id occurs more than once; two ids of one hash make it yes, which costs time and changes nothing."""
        with self._incoming(source.read(["id", "arrived"])):
            query = f"SELECT hash(id) AS h FROM incoming WHERE arrived <= {self._as_of}"  # noqa: S608
            hashes = self._connection.sql(query).fetchnumpy()["h"]
        hashes.sort()
        return bool((hashes[1:] == hashes[:-1]).any())

    @contextmanager
    def _incoming(self, reader: Any) -> Iterator[None]:
        self._register("incoming", reader)
        yield
        self._connection.unregister("incoming")

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.sql(query).fetchall()

    def _register(self, name: str, table: Any) -> None:
        self._connection.register(name, table)

    def last_offset(self) -> int:
        """The largest offset of the events; 0 where they have none."""
        return max((source.last_offset(self._as_of) for source in self._sources.values()), default=0)

    def first_versions(self, kind: str) -> pa.Table:
        """One row an event, as it was when it was first known, by (ts, id)."""
        self._load(kind, named=True)
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
        together: dict[tuple[Any, ...], list[Counted]] = {}
        for window, group in by_window(features).items():
            check(group, self.types[window.of], asks)
            self._load(window.of)
            own = window.of == kind and window.of in self._repeated
            pairs = sql.by_pairs(group, every=self._by_offset or own)
            for some in pairs:
                query = sql.pairs(window, some, self.types[window.of], by_offset=self._by_offset, own=own)
                found |= self._run(query, {feature.name: feature.how for feature in some}, rows)
            rest = [feature for feature in group if not any(feature in some for some in pairs)]
            if rest:
                together.setdefault((window.of, window.by, window.key), []).extend(rest)
        for (of, _, _), some in together.items():
            found |= self._ordered(some, of, rows)
        return {feature.name: found[feature.name] for feature in features}

    def label(self, label: Label, kind: str, asks: Mapping[str, Any]) -> np.ndarray:
        """The label of each ask as it is known now, not yet turned into 1 or 0; null as in the definition."""
        self._load(label.of, named=True)
        types = self.types[label.of]
        if problem := sql.problems(label.of, label.how, types):
            raise ShelflifeError(problem)
        rows = len(asks["ts"])
        self._register("asks", pa.table({"row": np.arange(rows), **asks}))
        return self._run(sql.label(label, kind, types), {"label": label.how}, rows)["label"]

    def _ordered(self, features: Sequence[Counted], of: str, rows: int) -> dict[str, np.ndarray]:
        """The features of one kind of events by one key, in one pass over them."""
        self._connection.execute(ordered.numbered(Window.of_feature(features[0])))
        read = partial(history.columns, self._query, features, self.types[of], rows, versions=of in self._repeated)
        try:
            return read(named=self._named[of])
        except history.Tied:
            self._load(of, named=True)
            return read(named=True)

    def _query(self, query: str) -> pa.Table:
        return self._connection.sql(query).to_arrow_table()

    def _run(self, query: str, wanted: Mapping[str, Aggregation], rows: int) -> dict[str, np.ndarray]:
        answer = self._query(query)
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
    """Where the events of a kind are, a table or Parquet files, and the fields that are wanted of them."""

    kind: str
    table: pa.Table | None
    files: tuple[Path, ...]
    fields: tuple[str, ...]

    @staticmethod
    def of(tables: Tables, kind: str, fields: Iterable[str]) -> Source:
        """Raises ShelflifeError, naming the kind, where there is none, and where it lacks a field."""
        if kind not in tables:
            raise ShelflifeError(
                f"wanted a table of {kind} events, got tables of {', '.join(sorted(tables)) or 'nothing'}; ingest that kind too"
            )
        found = tables[kind]
        if isinstance(found, pa.Table):
            return Source(kind, found, (), tuple(fields)).checked()
        if not found:
            raise ShelflifeError(
                f"wanted at least one Parquet file of {kind} events, got none; an empty day is a file without rows"
            )
        return Source(kind, None, tuple(found), tuple(fields)).checked()

    def checked(self) -> Source:
        if missing := [name for name in (*ENVELOPE, *self.fields) if name not in self.names]:
            raise ShelflifeError(
                f"the {self.kind} events have no column {', '.join(missing)}; they have {', '.join(self.names)}"
            )
        return self

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

    @property
    def types(self) -> dict[str, str]:
        """DuckDB's names of the fields' types."""
        return {field.name: _sql_type(field.type) for field in self.schema if field.name not in ENVELOPE}

    def last_offset(self, as_of: int) -> int:
        """The largest offset of what had arrived; 0 where there is none."""
        import pyarrow.compute as pc

        found = self.read(["offset", "arrived"])
        table = found if isinstance(found, pa.Table) else found.read_all()
        return pc.max(table["offset"].filter(pc.less_equal(table["arrived"], as_of))).as_py() or 0

    def read(self, names: Sequence[str]) -> Any:
        """Those columns, as a table or a reader of batches; every page's checksum is verified before it is parsed."""
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
