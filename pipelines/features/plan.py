"""The shape of the online store: tables, tiles and the questions asked of them, as SQLite text made from the definitions.

Per kind of event one table of rows with what the features read, per window's grain one table of tiles. A window is its tiles
from the far edge to the last tile that ends at or before the near edge, and the rows from there to the near edge: the fresh
head. First, last and distinct are read from the rows alone, by index.
"""
# ruff: noqa: S608  statements are made of our own table names and quoted fields; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.core.clock import DAY
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, FeatureSet, Filter
from pipelines.features.dialect import SQLITE, quote
from pipelines.features.sql import matches
from pipelines.features.tiles import FOREVER, Window, by_window, columns_read

FORMAT = 1
TILED = ("count", "sum", "mean", "min", "max")
"""Aggregations that tiles hold; their state per tile is a few numbers. The others read rows."""


@dataclass(frozen=True)
class Series:
    """One table of tiles: which events it counts, by which key, how long a tile is, and of which fields it keeps numbers."""

    table: str
    of: str
    by: str
    where: Filter
    grain: int
    ever: bool
    fields: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """n, then count, sum, smallest and largest of each field."""
        return ("n", *(f"{part}_{field}" for field in self.fields for part in ("c", "s", "lo", "hi")))

    def create(self) -> str:
        numbers = ", ".join(map(quote, self.columns))
        return f"CREATE TABLE {self.table} (key, start INTEGER, {numbers}, PRIMARY KEY (key, start)) WITHOUT ROWID"

    def add(self) -> str:
        """Merges a tile's numbers into what is there."""
        marks = ", ".join("?" * (2 + len(self.columns)))
        merged = ", ".join(f"{quote(name)} = {_merge(name)}" for name in self.columns)
        return f"INSERT INTO {self.table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {merged}"

    def rebuild(self) -> str:
        """One tile again from its rows; parameters: key, start, key, first ts, last ts (exclusive)."""
        numbers = ", ".join(["count(*) AS n", *(_numbers(quote(field)) for field in self.fields)])
        return f"""INSERT INTO {self.table} SELECT * FROM (SELECT ?, ?, {numbers} FROM {rows_table(self.of)}
WHERE {quote(self.by)} = ? AND ts >= ? AND ts < ? AND {matches(self.where, SQLITE)}) WHERE n > 0"""

    def fold(self) -> str:
        """Tiles before a horizon into the one that holds everything older; parameter: the horizon."""
        numbers = ", ".join(f"{_fold(name)}({quote(name)})" for name in self.columns)
        merged = ", ".join(f"{quote(name)} = {_merge(name)}" for name in self.columns)
        return f"""INSERT INTO {self.table} SELECT key, {-FOREVER}, {numbers} FROM {self.table}
WHERE start > {-FOREVER} AND start < ? GROUP BY key ON CONFLICT DO UPDATE SET {merged}"""


@dataclass(frozen=True)
class Question:
    """One window's statement: a row per key with a column per feature. `tiles`: its series, None where rows alone answer."""

    window: Window
    features: tuple[Counted, ...]
    series: Series | None

    @cached_property
    def text(self) -> str:
        """Parameters: see `parameters`."""
        return self._statement(exclude=False)

    @cached_property
    def without(self) -> str:
        """The same from rows (and what was folded), leaving out one event by its id: the ask itself."""
        return self._statement(exclude=True)

    def parameters(self, keys: str, ts: int, exclude: str | None = None) -> dict[str, Any]:
        """For the keys (a JSON list) at the moment ts."""
        low, end = self.window.edges(ts)
        head = end - end % self.window.grain
        return {"keys": keys, "low": low, "head": head if exclude is None else low, "end": end, "own": exclude}

    def _statement(self, *, exclude: bool) -> str:
        if self.series is None:
            cells = ", ".join(f"({self._from_rows(f, exclude=exclude)})" for f in self.features)
            return f"SELECT k.value, {cells} FROM json_each(:keys) k"
        return self._merged(self.series, exclude=exclude)

    def _merged(self, series: Series, *, exclude: bool) -> str:
        """Tiles and head together, aggregated once; a key without any event gives no row."""
        tiles = f"t.start = {-FOREVER}" if exclude else "t.start >= :low AND t.start < :head"
        kept = ", ".join(f"t.{quote(name)}" for name in series.columns)
        fresh = ", ".join(["1 AS n", *(_as_numbers(field) for field in series.fields)])
        total = ", ".join(f"{_fold(name)}({quote(name)})" for name in series.columns)
        return f"""SELECT key, {total} FROM (
SELECT t.key, {kept} FROM json_each(:keys) k CROSS JOIN {series.table} t ON t.key = k.value AND {tiles}
UNION ALL SELECT k.value, {fresh} FROM json_each(:keys) k CROSS JOIN {rows_table(series.of)} r ON {self._inside(":head", exclude=exclude)}
) GROUP BY key"""

    def _from_rows(self, feature: Counted, *, exclude: bool) -> str:
        value, table = f"r.{quote(str(feature.how.field))}", f"{rows_table(self.window.of)} r"
        inside = f"{self._inside(':low', exclude=exclude)} AND {value} IS NOT NULL"
        if feature.how.how == "distinct":
            return f"SELECT count(DISTINCT {value}) FROM {table} WHERE {inside}"
        order = "ASC" if feature.how.how == "first" else "DESC"
        return f"SELECT {value} FROM {table} WHERE {inside} ORDER BY r.ts {order}, r.id {order} LIMIT 1"

    def _inside(self, low: str, *, exclude: bool) -> str:
        kept = matches(self.window.where, SQLITE, "r.")
        own = " AND r.id <> :own" if exclude else ""
        return f"r.{quote(self.window.by[0])} = k.value AND r.ts >= {low} AND r.ts < :end AND {kept}{own}"


@dataclass(frozen=True)
class Plan:
    """Everything the store keeps for a feature set."""

    features: FeatureSet
    series: tuple[Series, ...]
    questions: tuple[Question, ...]

    @cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        return columns_read(self.features.counted)

    @cached_property
    def digest(self) -> str:
        """Of the definitions that the store's state depends on."""
        return digest({"format": FORMAT, "counted": [c.to_dict() for c in self.features.counted]})

    def create(self) -> list[str]:
        """The statements that make an empty store."""
        made = ["CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID"]
        for kind, fields in self.fields.items():
            made.append(
                f"CREATE TABLE {rows_table(kind)} (id TEXT PRIMARY KEY, ts INTEGER, {', '.join(map(quote, fields))}) WITHOUT ROWID"
            )
            keys = sorted({c.keys[0] for c in self.features.counted if c.of == kind})
            made += [f"CREATE INDEX {quote(f'{kind} by {by}')} ON {rows_table(kind)} ({quote(by)}, ts, id)" for by in keys]
            made.append(f"CREATE INDEX {quote(f'{kind} by ts')} ON {rows_table(kind)} (ts)")
        return made + [series.create() for series in self.series]

    def reach(self, kind: str, keep: int) -> int | None:
        """How far back (microseconds) the rows of a kind may be asked for; None: always, they cannot expire."""
        windows = [q for q in self.questions if q.window.of == kind]
        if any(q.window.ever and q.series is None for q in windows):
            return None
        return max(q.window.lag + (keep if q.window.ever else q.window.length) for q in windows)


def plan(features: FeatureSet) -> Plan:
    """The store's shape for a feature set. Features that look through one window share a statement, of one grain a table."""
    for feature in features.counted:
        if problem := refusal(feature):
            raise ShelflifeError(f"feature {feature.name}: {problem}; read it in batch, or define it otherwise")
    tables: dict[tuple[Any, ...], set[str]] = {}
    windows = by_window(features.counted)
    for window, group in windows.items():
        if tiled := [c for c in group if c.how.how in TILED]:
            tables.setdefault(_shape(window), set()).update(c.how.field for c in tiled if c.how.field)
    series = {
        shape: Series(f"tile_{n}", *shape, fields=tuple(sorted(fields)))  # type: ignore[misc]
        for n, (shape, fields) in enumerate(tables.items())
    }
    questions = []
    for window, group in windows.items():
        held = tuple(c for c in group if c.how.how in TILED)
        rest = tuple(c for c in group if c.how.how not in TILED)
        questions += [Question(window, held, series[_shape(window)])] if held else []
        questions += [Question(window, rest, None)] if rest else []
    return Plan(features, tuple(series.values()), tuple(questions))


def refusal(feature: Counted) -> str | None:
    """Why the online store cannot keep this feature, in words; or None."""
    if len(feature.keys) > 1:
        return f"the online store counts by one field, not by {' and '.join(feature.keys)}"
    if feature.how.how not in (*TILED, "first", "last", "distinct"):
        return f"the online store has no {feature.how.how}"
    return None


def answer(feature: Counted, numbers: Mapping[str, Any]) -> float:
    """The aggregation out of a window's merged numbers."""
    how, field = feature.how.how, feature.how.field
    if how == "count":
        return float(numbers["n"] or 0)
    if how == "sum":
        return float(numbers[f"s_{field}"] or 0)
    if how == "mean":
        count = numbers[f"c_{field}"]
        return numbers[f"s_{field}"] / count if count else float("nan")
    value = numbers[f"{'lo' if how == 'min' else 'hi'}_{field}"]
    return float("nan") if value is None else float(value)


def rows_table(kind: str) -> str:
    return quote(f"rows {kind}")


def stored(value: Any) -> Any:
    """A field's value as SQLite keeps it. Raises ShelflifeError for a list: no aggregation reads one."""
    if isinstance(value, list | tuple | dict):
        raise ShelflifeError(
            f"wanted one value in a field that features read, got a {type(value).__name__}; count another field"
        )
    return int(value) if isinstance(value, bool) else value


def align(ts: int) -> int:
    """The midnight (UTC) at or before ts; every grain divides a day, so no tile straddles it."""
    return ts - ts % DAY


def _shape(window: Window) -> tuple[Any, ...]:
    return (window.of, window.by[0], window.where, window.grain, window.ever)


def _fold(column: str) -> str:
    """How the column of two tiles becomes one, as an aggregate."""
    return {"lo": "min", "hi": "max"}.get(column.split("_", 1)[0], "sum")


def _merge(column: str) -> str:
    """The same as an upsert; SQLite's scalar min and max are null where either side is."""
    name = quote(column)
    new = f"excluded.{name}"
    if (pick := _fold(column)) == "sum":
        return f"{name} + {new}"
    return f"{pick}(coalesce({name}, {new}), coalesce({new}, {name}))"


def _numbers(value: str) -> str:
    return f"count({value}), coalesce(sum({value}), 0), min({value}), max({value})"


def _as_numbers(field: str) -> str:
    value = f"r.{quote(field)}"
    return f"({value} IS NOT NULL), coalesce({value}, 0), {value}, {value}"
