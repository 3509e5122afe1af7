"""The online store: rows, tiles and the log's offset in one SQLite file, changed in one transaction, bounded by expiry."""
# ruff: noqa: S608  statements are made of our own table names and quoted fields; every value is a parameter

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import days, iso, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features.plan import Plan, Question, Series, align, answer, plan, rows_table, stored
from pipelines.features.tiles import FOREVER

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[Any, ...]


class OnlineStore:
    """One feature set's state in one SQLite file. A file made for other definitions is refused: `at` gives each its own."""

    def __init__(self, path: Path, features: FeatureSet) -> None:
        self.plan: Plan = plan(features)
        self.path = path
        self._lock = threading.RLock()
        self._horizons: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=30, cached_statements=512, check_same_thread=False
        )
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "cache_size=-65536"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._create()

    @staticmethod
    def at(folder: Path, features: FeatureSet) -> OnlineStore:
        """The store of these definitions in a folder. Changed definitions begin a new file at offset 0, to be caught up from
        the log, while the old file goes on answering for the release that uses it."""
        return OnlineStore(folder / f"{plan(features).digest[:16]}.db", features)

    def _create(self) -> None:
        with self._transaction():
            if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in self.plan.create():
                    self._connection.execute(statement)
                values = [("plan", self.plan.digest), ("offset", 0), ("arrived", 0)]
                self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
            if self._meta("plan") != self.plan.digest:
                raise ShelflifeError(
                    f"{self.path} was made for other feature definitions; use OnlineStore.at and read the log again"
                )

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with self._lock:
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _meta(self, name: str, default: Any = None) -> Any:
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return found[0] if found else default

    def _set(self, name: str, value: Any) -> None:
        self._connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (name, value)
        )

    def offset(self) -> int:
        """The log's offset up to which events have been applied."""
        return int(self._meta("offset"))

    def arrived(self) -> int:
        """When the newest applied event arrived (microseconds): what a reader of features may call their freshness."""
        return int(self._meta("arrived"))

    def close(self) -> None:
        self._connection.close()

    def apply(self, events: Iterable[Event]) -> int:
        """Apply events of the log, whole or not at all, and return the new offset; what was applied before is skipped.

        Events need their offset: raises ShelflifeError for one that has none.
        """
        batch = list(events)
        if any(event.offset is None for event in batch):
            raise ShelflifeError(
                "wanted events that the log has given an offset, got one without; append it to the log and read it back"
            )
        with self._transaction():
            done = self.offset()
            fresh = sorted((e for e in batch if (e.offset or 0) > done), key=lambda e: e.offset or 0)
            for kind in self.plan.fields:
                self._apply_kind(kind, [e for e in fresh if e.kind == kind])
            if fresh:
                self._set("offset", fresh[-1].offset)
                self._set("arrived", max(self.arrived(), *(e.arrived or 0 for e in fresh)))
            return self.offset()

    def _apply_kind(self, kind: str, events: Sequence[Event]) -> None:
        if not events:
            return
        fields, horizon = self.plan.fields[kind], int(self._meta(f"horizon {kind}", -FOREVER))
        current = self._current(kind, [event.id for event in events])
        changed: dict[str, Row] = {}
        added: list[Row] = []
        retracted: list[Row] = []
        for event in events:
            row = (event.id, event.ts, *(stored(event.body.get(name)) for name in fields))
            before = current.get(event.id)
            if before == row:
                continue
            retracted += [before] if before else []
            current[event.id] = changed[event.id] = row
            added.append(row)
        kept = [row for row in changed.values() if row[1] >= horizon]
        self._write_rows(kind, kept, [row[0] for row in retracted])
        for series in (s for s in self.plan.series if s.of == kind):
            self._write_tiles(series, fields, added, retracted)

    def _current(self, kind: str, ids: Sequence[str]) -> dict[str, Row]:
        rows = self._connection.execute(
            f"SELECT * FROM {rows_table(kind)} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        )
        return {row[0]: row for row in rows}

    def _write_rows(self, kind: str, rows: Sequence[Row], gone: Sequence[str]) -> None:
        table = rows_table(kind)
        self._connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(name,) for name in gone])
        marks = ", ".join("?" * (2 + len(self.plan.fields[kind])))
        self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    def _write_tiles(self, series: Series, fields: Sequence[str], added: Sequence[Row], retracted: Sequence[Row]) -> None:
        """New events are merged in; a tile that held a version now corrected is made again from its rows."""
        horizon = int(self._meta(f"horizon {series.table}", -FOREVER))
        place = _placer(series, fields, horizon)
        tiles: dict[tuple[Any, int], list[Any]] = {}
        for row in added:
            if (at := place(row)) is not None:
                _count(tiles.setdefault(at, [0] + [0, 0, None, None] * len(series.fields)), series, fields, row)
        self._connection.executemany(series.add(), [(*at, *numbers) for at, numbers in tiles.items()])
        again = {at for row in retracted if (at := place(row)) is not None and at[1] > -FOREVER}
        for key, start in again:
            self._connection.execute(f"DELETE FROM {series.table} WHERE key = ? AND start = ?", (key, start))
            self._connection.execute(series.rebuild(), (key, start, key, start, start + series.grain))

    def expire(self, now: int, keep: int = micros(days(30))) -> int:
        """Drop what no ask at or after `now` can need and return how many rows went. `keep` (microseconds): how late a
        correction may come and still replace what it corrects, beyond the longest window's own length."""
        gone = 0
        with self._transaction():
            for kind in self.plan.fields:
                reach = self.plan.reach(kind, keep)
                if reach is not None:
                    gone += self._expire(kind, align(now - reach))
        return gone

    def _expire(self, kind: str, horizon: int) -> int:
        if horizon <= int(self._meta(f"horizon {kind}", -FOREVER)):
            return 0
        gone = self._connection.execute(f"DELETE FROM {rows_table(kind)} WHERE ts < ?", (horizon,)).rowcount
        self._set(f"horizon {kind}", horizon)
        for series in (s for s in self.plan.series if s.of == kind):
            if series.ever:
                self._connection.execute(series.fold(), (horizon,))
            self._connection.execute(f"DELETE FROM {series.table} WHERE start > ? AND start < ?", (-FOREVER, horizon))
            self._set(f"horizon {series.table}", horizon)
        return gone

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """One consistent view of rows, tiles and offset, for as long as it is open; gives the offset."""
        with self._transaction("DEFERRED"):
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            self._horizons = {kind: meta[f"horizon {kind}"] for kind in self.plan.fields if f"horizon {kind}" in meta}
            yield int(meta["offset"])

    def ask(self, question: Question, keys: Sequence[Any], ts: int, own: str | None = None) -> dict[Any, dict[str, Any]]:
        """The window's features of each key at the moment ts, inside a snapshot; a key that is missing has an empty window.
        `own` is the id of the ask, where it must be left out by id."""
        self._check_horizon(question, ts)
        found = self._connection.execute(
            question.text if own is None else question.without, question.parameters(json.dumps(keys), ts, own)
        )
        if question.series is None:
            return {key: {f.name: number(v) for f, v in zip(question.features, cells, strict=True)} for key, *cells in found}
        columns = question.series.columns
        merged = ((key, dict(zip(columns, numbers, strict=True))) for key, *numbers in found)
        return {key: {f.name: answer(f, numbers) for f in question.features} for key, numbers in merged}

    def _check_horizon(self, question: Question, ts: int) -> None:
        """Refuses a moment whose window has expired in part: a count too low would look like an answer."""
        horizon = self._horizons.get(question.window.of, -FOREVER)
        low, end = question.window.edges(ts)
        if (end if question.window.ever and question.series else low) < horizon and horizon > -FOREVER:
            raise ShelflifeError(
                f"wanted features at {iso(ts)}, but the store keeps {question.window.of} from {iso(horizon)} on; read them in batch"
            )

    def holds(self, kind: str, name: str, before: int) -> bool:
        """Whether an event of that id, with an earlier time, is among the rows."""
        if kind not in self.plan.fields:
            return False
        query = f"SELECT 1 FROM {rows_table(kind)} WHERE id = ? AND ts < ?"
        return self._connection.execute(query, (name, before)).fetchone() is not None


def _placer(series: Series, fields: Sequence[str], horizon: int) -> Callable[[Row], tuple[Any, int] | None]:
    """The function from a row to its tile (key, start): None where the filter or a null key leaves it out, or it is too old."""
    by = 2 + fields.index(series.by)
    kept = series.where.test()

    def place(row: Row) -> tuple[Any, int] | None:
        if row[by] is None or (series.where and not kept(dict(zip(fields, row[2:], strict=True)))):
            return None
        if row[1] < horizon:
            return (row[by], -FOREVER) if series.ever else None
        return row[by], row[1] - row[1] % series.grain

    return place


def _count(numbers: list[Any], series: Series, fields: Sequence[str], row: Row) -> None:
    """Adds the row to a tile's numbers, in the order of Series.columns."""
    numbers[0] += 1
    for n, field in enumerate(series.fields):
        value, at = row[2 + fields.index(field)], 1 + 4 * n
        if value is not None:
            numbers[at] += 1
            numbers[at + 1] += value
            numbers[at + 2] = value if numbers[at + 2] is None else min(numbers[at + 2], value)
            numbers[at + 3] = value if numbers[at + 3] is None else max(numbers[at + 3], value)


def number(value: Any) -> Any:
    """A value read from rows: numbers as float, texts and null as they are."""
    return float(value) if isinstance(value, int | float) else value
