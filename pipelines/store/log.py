"""The event log: append-only and bitemporal. What was acknowledged survives a kill and counts once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.clock import iso
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.store.encode import Row, merged
from pipelines.store.failpoint import failpoint
from pipelines.store.sqlite import Connections, immediate

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS events ("offset" INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, ts INTEGER NOT NULL,
    arrived INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS events_identity ON events (kind, id, digest)",  # ids rise with time: few pages change
    """CREATE TABLE IF NOT EXISTS erased ("offset" INTEGER PRIMARY KEY, who TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS sealed (one INTEGER PRIMARY KEY CHECK (one = 1), until INTEGER NOT NULL)",
)
INSERT = "INSERT OR IGNORE INTO events (kind, id, ts, arrived, digest, body) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = 'SELECT "offset", kind, id, ts, arrived, digest, body FROM events'
MARK = """INSERT OR IGNORE INTO erased SELECT "offset", ? FROM events WHERE kind = ? AND id = ? AND body <> x''"""

Stored = tuple[int, str, str, int, int, bytes, bytes]
"""A row with its offset before it."""


class SqliteLog:
    """An EventLog in one SQLite file. An event's identity is (kind, id, content): the same again is a duplicate and keeps its
    offset, new content under an old id is a new version. Offsets are 1, 2, 3 …; `arrived` never goes back along them.

    What was erased has no body any more and is read by nobody. Its identity stays, so that it does not come back when it is
    delivered again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections = Connections(path)
        connection = self._connections.get()
        for statement in SCHEMA:
            connection.execute(statement)

    def append(self, events: Iterable[Event], *, arrived: int) -> list[int]:
        """The events' offsets, in order; durable when it returns. A duplicate gets the offset it has already.

        `arrived` (microseconds UTC) is raised to the last one's where the clock went back. Raises ShelflifeError for a body
        that is no JSON (NaN, bytes): nothing of the call is kept.
        """
        rows = [_row(event) for event in events]
        with immediate(self._connections.get()) as connection:
            arrived = max(arrived, _floor(connection))
            offsets = [_insert(connection, (kind, id_, ts, arrived, digest, body)) for kind, id_, ts, digest, body in rows]
            failpoint("log.inserted")
        failpoint("log.committed")
        return offsets

    def append_table(self, kind: str, table: pa.Table) -> int:
        """Append a table's events in one transaction; how many were new. See `append_tables`."""
        return self.append_tables([(kind, table)])

    def append_tables(self, tables: Iterable[tuple[str, pa.Table]]) -> int:
        """Append the events of several tables, merged by their `arrived`, in one transaction; how many were new.

        A table has `id`, `ts`, `arrived` and the body's fields; `offset` is ignored, a null field is left out of the body.
        Raises ShelflifeError when a new event's `arrived` lies before the last one in the log: feeds must be merged by time.
        """
        rows = merged(tables)
        with immediate(self._connections.get()) as connection:
            before = connection.total_changes
            connection.executemany(INSERT, self._new(connection, rows))
            added = connection.total_changes - before
            failpoint("log.bulk_inserted")
        failpoint("log.bulk_committed")
        return added

    def _new(self, connection: sqlite3.Connection, rows: list[Row]) -> list[Row]:
        """The rows without those that were delivered before and lie in the log's past."""
        floor = _floor(connection)
        early = [row for row in rows if row[3] < floor]
        for row in early:
            if not _offset(connection, row):
                raise ShelflifeError(
                    f"{row[0]!a}: wanted events that arrive at {iso(floor)} or later, where the log has got to, got {row[1]!a} "
                    f"at {iso(row[3])}; give the tables of one day together to append_tables, and the days in order"
                )
        return rows if not early else [row for row in rows if row[3] >= floor]

    def seal(self, until: int) -> None:
        """From now on nothing arrives before `until`, whatever the clock says: what arrived until then is complete."""
        with immediate(self._connections.get()) as connection:
            connection.execute(
                "INSERT INTO sealed VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET until = max(until, excluded.until)", (until,)
            )

    def read(self, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] | None = None) -> list[Event]:
        """Events with an offset above `after`, in offset order. Raises ShelflifeError for a record whose bytes have changed."""
        from msgspec.json import decode

        rows = self.stored(after=after, limit=limit, kinds=kinds)
        return [Event(kind, id_, ts, decode(body), arrived, offset) for offset, kind, id_, ts, arrived, _, body in rows]

    def stored(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        before: int | None = None,
        kinds: Sequence[str] | None = None,
        holding: bytes = b"",
        upto: int | None = None,
    ) -> list[Stored]:
        """Rows as they are stored, verified; `before` is the first `arrived` (microseconds UTC) that is left out, `holding` is
        what their bodies hold, `upto` the last offset that is looked at."""
        where, values = ['"offset" > ?', "body <> x''"], [after]
        if upto is not None:
            where.append('"offset" <= ?')
            values.append(upto)
        if holding:
            where.append("instr(body, ?)")
            values.append(holding)  # type: ignore[arg-type]
        if kinds is not None:
            # The plus keeps SQLite from the index by kind, with which it would sort all events of the kind to find the few new ones.
            where.append(f"+kind IN ({', '.join('?' * len(kinds))})")
            values += kinds  # type: ignore[arg-type]
        if before is not None:
            where.append("arrived < ?")
            values.append(before)
        query = f'{SELECT} WHERE {" AND ".join(where)} ORDER BY "offset" LIMIT ?'  # only placeholders
        rows = self._connections.get().execute(query, (*values, limit)).fetchall()
        return [row for row in rows if _verified(row)]

    def versions(self, kind: str, id_: str) -> list[Event]:
        """Every version of one event, oldest first."""
        from msgspec.json import decode

        query = f"""{SELECT} WHERE kind = ? AND id = ? AND body <> x'' ORDER BY "offset\""""
        rows = self._connections.get().execute(query, (kind, id_)).fetchall()
        return [Event(row[1], row[2], row[3], decode(row[6]), row[4], row[0]) for row in rows if _verified(row)]

    def last_offset(self) -> int:
        """The newest offset; 0 when the log is empty."""
        return int(self._connections.get().execute('SELECT coalesce(max("offset"), 0) FROM events').fetchone()[0])

    def last_arrived(self) -> int:
        """The `arrived` of the newest event (microseconds UTC); 0 when the log is empty."""
        return _last_arrived(self._connections.get())

    def first_arrived(self) -> int | None:
        """The `arrived` of the oldest event; None when the log is empty."""
        found = self._connections.get().execute('SELECT arrived FROM events ORDER BY "offset" LIMIT 1').fetchone()
        return int(found[0]) if found else None

    def mentions(self, kind: str, text: str, since: int) -> bool:
        """Whether an event of the kind that arrived at `since` or later holds the text in its body."""
        query = "SELECT 1 FROM events WHERE kind = ? AND arrived >= ? AND instr(body, ?) LIMIT 1"
        return self._connections.get().execute(query, (kind, since, text.encode())).fetchone() is not None

    def verify(self) -> int:
        """Recompute every record's digest; how many there are. Raises ShelflifeError at the first that has changed."""
        empty = """SELECT "offset" FROM events WHERE body = x'' EXCEPT SELECT "offset" FROM erased"""
        if found := self._connections.get().execute(empty).fetchone():
            raise ShelflifeError(
                f"the log's record {found[0]} is empty, and nobody erased it; bring the log back with shelflife restore"
            )
        return sum(len(rows) for rows in self._chunks())

    def erase(self, events: Iterable[tuple[str, str]], who: str) -> None:
        """Take the body of every version of these events (kind, id) away for good, in one transaction; the log keeps on whose
        account (`who`). The file holds the bytes until `sqlite.compact`."""
        with immediate(self._connections.get()) as connection:
            for event in sorted(events):
                connection.execute(MARK, (who, *event))
                connection.execute("UPDATE events SET body = x'' WHERE kind = ? AND id = ?", event)
            failpoint("log.erased")
        failpoint("log.erased_committed")

    def erased(self, who: str) -> list[tuple[int, str, str, int]]:
        """Everything that was erased on that account: offset, kind, id, ts."""
        query = 'SELECT "offset", kind, id, ts FROM events JOIN erased USING ("offset") WHERE who = ? ORDER BY "offset"'
        return self._connections.get().execute(query, (who,)).fetchall()

    def _chunks(self, size: int = 50_000) -> Iterator[list[Stored]]:
        after = 0
        while rows := self.stored(after=after, limit=size):
            yield rows
            after = rows[-1][0]

    def close(self) -> None:
        self._connections.close()


def identity(kind: str, id_: str, ts: int, body: bytes) -> bytes:
    """The event's digest from the canonical JSON of its body: the same as core's Event.digest, without parsing."""
    name, said = (
        encode_basestring(id_).encode(),
        encode_basestring(kind).encode(),
    )  # what canonical gives a text, ten times as fast
    return hashlib.sha256(b'{"body":%b,"id":%b,"kind":%b,"ts":%d}' % (body, name, said, ts)).digest()


def _row(event: Event) -> tuple[str, str, int, bytes, bytes]:
    if type(event.ts) is not int or not -(2**63) <= event.ts < 2**63:
        raise ShelflifeError(f"{event.kind!a} {event.id!a}: wanted ts in whole microseconds UTC, got {ascii(event.ts)[:60]}")
    try:
        body = canonical({name: value for name, value in event.body.items() if value is not None})
        return event.kind, event.id, event.ts, identity(event.kind, event.id, event.ts, body), body
    except (TypeError, ValueError) as error:
        raise ShelflifeError(f"{event.kind!a} {event.id!a}: wanted a body that JSON can hold, got one with: {error}") from None


def _insert(connection: sqlite3.Connection, row: Row) -> int:
    cursor = connection.execute(INSERT, row)
    if cursor.rowcount:
        return int(cursor.lastrowid or 0)
    return _offset(connection, row)


def _offset(connection: sqlite3.Connection, row: Row) -> int:
    """The offset of an event that the log has already; 0 when it has not."""
    query = 'SELECT "offset" FROM events WHERE kind = ? AND id = ? AND digest = ?'
    found = connection.execute(query, (row[0], row[1], row[4])).fetchone()
    return int(found[0]) if found else 0


def _last_arrived(connection: sqlite3.Connection) -> int:
    found = connection.execute('SELECT arrived FROM events ORDER BY "offset" DESC LIMIT 1').fetchone()
    return int(found[0]) if found else 0


def _floor(connection: sqlite3.Connection) -> int:
    """The earliest `arrived` that the next event may have."""
    sealed = connection.execute("SELECT until FROM sealed").fetchone()
    return max(_last_arrived(connection), sealed[0] if sealed else 0)


def _verified(row: Stored) -> bool:
    offset, kind, id_, ts, _, digest, body = row
    if type(body) is not bytes or identity(kind, id_, ts, body) != digest:
        raise ShelflifeError(
            f"the log's record {offset} ({kind!a}) has changed on disk; bring the log back with shelflife restore"
        )
    return True
