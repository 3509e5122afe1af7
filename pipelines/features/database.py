"""Event tables in a locked-down DuckDB: what the generated SQL runs on. No file, no network, one connection, thrown away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        self.types: dict[str, dict[str, str]] = {}
        self.raw: dict[str, pa.Table] = {}
        self._repeated: set[str] = set()
        for kind, wanted in fields.items():
            self._load(kind, load(tables, kind, wanted, as_of))

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def _load(self, kind: str, table: pa.Table) -> None:
        names = [name for name in table.column_names if name not in ENVELOPE]
        self.raw[kind] = table
        self.types[kind] = {name: _sql_type(table.schema.field(name).type) for name in names}
        self._register(f"raw {kind}", table.append_column("ordinal", pa.array(np.arange(len(table)))))
        repeated = table["id"].combine_chunks().unique()
        if len(repeated) < len(table):
            self._repeated.add(kind)
        make = sql.versions if kind in self._repeated else sql.unique_versions
        past = make(kind, names, "offset" if self._by_offset else "arrived")
        self._connection.execute(f"CREATE TABLE {quote(f'past {kind}')} AS {past}")

    def _register(self, name: str, table: pa.Table) -> None:
        self._connection.register(name, table)

    def first_versions(self, kind: str) -> pa.Table:
        """One row an event, as it was when it was first known, by (ts, id)."""
        order = 'ORDER BY arrived, "offset" NULLS LAST, ordinal'
        once = f"QUALIFY row_number() OVER (PARTITION BY id {order}) = 1" if kind in self._repeated else ""
        query = f"SELECT * EXCLUDE (ordinal) FROM {quote(f'raw {kind}')} {once} ORDER BY ts, id"  # noqa: S608  quoted names
        return self._connection.sql(query).to_arrow_table()

    def counted(self, features: Sequence[Counted], kind: str, asks: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A column per feature, a row per ask, float64 (or objects, for the first or last of a category).

        `asks` are columns: id, ts, every key that is looked up and, by offset, `sees`.
        """
        rows = len(asks["ts"])
        found: dict[str, np.ndarray] = {}
        self._register("asks", pa.table({"row": np.arange(rows), **asks}))
        for window, group in by_window(features).items():
            self._check(group, asks)
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

    def _check(self, group: Sequence[Counted], asks: Mapping[str, Any]) -> None:
        for feature in group:
            types = self.types[feature.of]
            problem = sql.problems(feature.of, feature.how, types)
            for by, key in zip(feature.keys, feature.asked, strict=True):
                if not problem and _sql_type(asks[key].type) != types[by]:
                    problem = f"wanted a key {key} of {feature.of}.{by}'s type {types[by]}, got {asks[key].type}"
            if problem:
                raise ShelflifeError(f"feature {feature.name}: {problem}; correct its definition")

    def _queries(self, window: Window, group: Sequence[Counted], kind: str, rows: int) -> list[str]:
        """The SQL of one window's features: by steps where that is exact, by pairs or changes for the rest."""
        types, own = self.types[window.of], window.of == kind
        tops = [[f] for f in group if f.how.how == "top"]
        queries = [sql.pairs(window, top, types, by_offset=self._by_offset, own=own) for top in tops]
        group = [f for f in group if f.how.how != "top"]
        by_pairs = self._by_offset or (own and window.of in self._repeated)
        sums = [] if by_pairs else [f for f in group if sql.additive(f, types)]
        rest = [f for f in group if f not in sums]
        queries += [sql.steps(window, sums, types)] if sums else []
        if rest and not by_pairs and rows > MANY * len(self.raw[window.of]):
            return [*queries, sql.changes(window, rest, types)]
        return [*queries, sql.pairs(window, rest, types, by_offset=self._by_offset, own=own)] if rest else queries

    def _run(self, query: str, wanted: Mapping[str, Aggregation], rows: int) -> dict[str, np.ndarray]:
        answer = self._connection.sql(query).to_arrow_table()
        return {name: _column(answer, name, how, rows) for name, how in wanted.items() if name in answer.column_names}


def _column(answer: pa.Table, name: str, how: Aggregation, rows: int) -> np.ndarray:
    """The answer's column at its rows. Raises ShelflifeError where a set holds more than its cap."""
    import pyarrow.compute as pc

    for held in how.halves or (how,):
        if held.cap is not None and (pc.max(answer[sql.different(name, held.field)]).as_py() or 0) > held.cap:
            raise ShelflifeError(f"feature {name}: {over_cap(held)}")
    return _scatter(answer, name, rows, np.nan if how.empty is None else how.empty)


def load(tables: Tables, kind: str, fields: Iterable[str], as_of: int) -> pa.Table:
    """The events of a kind that had arrived by as_of: envelope and fields, or every field where an id occurs more than once
    (two versions may differ in a field that nobody asked for). Raises ShelflifeError, naming the kind or field that is missing."""
    import pyarrow.compute as pc

    if kind not in tables:
        raise ShelflifeError(
            f"wanted a table of {kind} events, got tables of {', '.join(sorted(tables)) or 'nothing'}; ingest that kind too"
        )
    wanted = [*ENVELOPE, *sorted(set(fields))]
    table = _read(tables[kind], kind, wanted)
    if pc.count_distinct(table["id"]).as_py() < len(table):
        table = _read(tables[kind], kind, None)
    if missing := [name for name in wanted if name not in table.column_names]:
        raise ShelflifeError(
            f"the {kind} events have no column {', '.join(missing)}; they have {', '.join(table.column_names)}"
        )
    return table.filter(pc.less_equal(table["arrived"], as_of))


def _read(source: pa.Table | Sequence[Path], kind: str, columns: Sequence[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    if isinstance(source, pa.Table):
        present = [name for name in columns or source.column_names if name in source.column_names]
        return source.select(present)
    if not source:
        raise ShelflifeError(
            f"wanted at least one Parquet file of {kind} events, got none; an empty day is a file without rows"
        )
    tables = []
    for path in source:
        present = [name for name in pq.read_schema(path).names if columns is None or name in columns]
        tables.append(pq.read_table(path, columns=present, page_checksum_verification=True))
    table = pa.concat_tables(tables, promote_options="permissive")
    return table.select([name for name in columns or table.column_names if name in table.column_names])


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
