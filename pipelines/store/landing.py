"""Closed days of the log as Parquet, one file a kind and day of arrival: written once, named by their SHA-256."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.clock import DAY, day_of, instant, iso
from pipelines.core.contract import Contract
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.store.durable import make_folder, place, sha256_of, sync_folder, unfinished
from pipelines.store.failpoint import failpoint
from pipelines.store.log import SqliteLog, Stored
from pipelines.store.sqlite import Connections, immediate

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.db"
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS partitions (kind TEXT NOT NULL, day TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    "rows" INTEGER NOT NULL, "first" INTEGER, "last" INTEGER, broken INTEGER NOT NULL, PRIMARY KEY (kind, day))""",
    "CREATE TABLE IF NOT EXISTS days (day TEXT PRIMARY KEY, last INTEGER NOT NULL)",
)
REPLACE = (
    'UPDATE partitions SET path = ?, sha256 = ?, "rows" = ?, "first" = ?, "last" = ?, broken = ? WHERE kind = ? AND day = ?'
)
BATCH = 28
"""Days that are committed to the manifest together."""
CHUNK = 50_000
"""Rows read from the log at a time."""

Held = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Partition:
    """One kind's events that arrived on one UTC day. `first` and `last` are offsets of the log (None when there are no rows).

    `broken` counts values that were not of their field's type and landed as null.
    """

    kind: str
    day: str
    path: Path
    sha256: str
    rows: int
    first: int | None = None
    last: int | None = None
    broken: int = 0

    def verify(self) -> None:
        """Raises ShelflifeError when the file is not, byte for byte, the one that was landed."""
        if not self.path.is_file() or sha256_of(self.path) != self.sha256:
            raise self.changed()

    def changed(self) -> ShelflifeError:
        name = f"{self.kind}/{self.path.name}"
        return ShelflifeError(
            f"the landed partition {name} has changed on disk; bring it back with shelflife restore, the log still has its events"
        )


class Landing:
    """The landed partitions under one folder. A partition exists once its line is in the manifest, never before."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)
        self._connections = Connections(folder / MANIFEST)
        for statement in SCHEMA:
            self._connections.get().execute(statement)

    def land(self, log: SqliteLog, contracts: Mapping[str, Contract], *, until: int) -> list[Partition]:
        """Write every day that is over at `until` (microseconds UTC) and not landed yet, a partition for each contract; what
        was written. The log is sealed first, so that nothing can arrive in a closed day afterwards. A day without events is a
        partition of no rows; a contract that is new gets its past days too.
        """
        first, end = log.first_arrived(), until // DAY * DAY
        if first is None or end <= first:
            return []
        with self._alone():
            log.seal(end)
            starts = {kind: max(first // DAY * DAY, self._kind_until(kind)) for kind in contracts}
            landed = []
            for start in sorted(set(starts.values())):
                kinds = {kind: contracts[kind] for kind, at in starts.items() if at == start}
                for days in _batches(self._days(log, list(kinds), start, end)):
                    landed += self._commit(days, kinds)
        return landed

    def erase(self, log: SqliteLog, contracts: Mapping[str, Contract], offsets: Sequence[tuple[int, str]]) -> int:
        """Write the partitions that held these offsets (offset, kind) again from the log, which has nothing under them any more;
        how many were changed. A new file stands beside the old one until the manifest names it."""
        with self._alone():
            kinds = sorted({kind for _, kind in offsets})
            held = {kind: [offset for offset, other in offsets if other == kind] for kind in kinds}
            changed = [new for kind in kinds for new in self._without(log, contracts[kind], held[kind])]
            failpoint("landing.rewritten")
            with immediate(self._connections.get()) as connection:
                connection.executemany(REPLACE, [(*self._line(new), new.kind, new.day) for new in changed])
            failpoint("landing.replaced")
            for kind in kinds:
                self._sweep(kind)
        return len(changed)

    def _without(self, log: SqliteLog, contract: Contract, offsets: list[int]) -> Iterator[Partition]:
        """Partitions of a kind as they are without these offsets, those that are that already left out."""
        rows = (
            self._connections.get().execute("SELECT * FROM partitions WHERE kind = ? ORDER BY day", (contract.kind,)).fetchall()
        )
        for part in map(self._partition, rows):
            first, last = part.first, part.last
            if first is None or last is None or not any(first <= offset <= last for offset in offsets):
                continue
            left = log.stored(after=first - 1, upto=last, limit=last - first + 1, kinds=[part.kind])
            new = self._write(part.kind, contract, part.day, left, beside=True)
            if new.sha256 != part.sha256:
                yield new

    def _sweep(self, kind: str) -> None:
        """Remove the kind's files that the manifest does not name, and what a dead process left."""
        named = {self.folder / path for (path,) in self._connections.get().execute("SELECT path FROM partitions")}
        folder = self.folder / kind
        for path in {*folder.glob("*.parquet"), *unfinished(folder)} - named:
            path.unlink()
        sync_folder(folder)

    def closed_until(self) -> int:
        """The end of the last closed day (microseconds UTC); 0 when nothing has landed."""
        found = self._connections.get().execute("SELECT max(day) FROM days").fetchone()[0]
        return instant(found) + DAY if found else 0

    def partitions(self, kinds: Iterable[str], as_of: int, held: Held = ()) -> list[Partition]:
        """The partitions of the kinds whose day began before `as_of` (microseconds UTC), without held ones, by kind and day.

        The caller leaves out rows of the last day that arrived after `as_of`. Raises ShelflifeError when a kind is not closed
        up to then.
        """
        found: list[Partition] = []
        for kind in sorted(set(kinds)):
            until = self._kind_until(kind)
            if until < as_of:
                state = f"closed up to {iso(until)}" if until else "not landed"
                raise ShelflifeError(
                    f"{kind!a} is {state}, wanted {iso(as_of)}; let the day end and land it, or choose an earlier moment"
                )
            rows = self._connections.get().execute("SELECT * FROM partitions WHERE kind = ? ORDER BY day", (kind,))
            found += [part for part in map(self._partition, rows) if instant(part.day) < as_of and (kind, part.day) not in held]
        return found

    def digest(self, kinds: Iterable[str], as_of: int, held: Held = ()) -> str:
        """One name for exactly these partitions."""
        return digest([[part.kind, part.day, part.sha256] for part in self.partitions(kinds, as_of, held)])

    def table(self, kind: str, as_of: int, held: Held = ()) -> pa.Table:
        """The kind's event table from partitions whose bytes are verified before they are parsed, in the order of the log.

        Raises ShelflifeError for a changed partition, or when there is none at all.
        """
        import pyarrow as pa

        parts = self.partitions([kind], as_of, held)
        tables = [_read(part) for part in parts if part.rows] or [
            _read(part).slice(0, 0) for part in self.partitions([kind], as_of)[:1]
        ]
        if not tables:
            raise ShelflifeError(f"{kind}: nothing has landed before {iso(as_of)}; choose a later moment")
        try:
            return pa.concat_tables(tables, promote_options="default")
        except pa.ArrowException as error:
            raise ShelflifeError(
                f"{kind}: a field's type has changed between landed days ({error}); give the new field a new name"
            ) from None

    def verify(self) -> int:
        """Compare every partition with the manifest; how many there are. Raises ShelflifeError for the first that has changed."""
        rows = self._connections.get().execute("SELECT * FROM partitions ORDER BY kind, day").fetchall()
        for row in rows:
            self._partition(row).verify()
        return len(rows)

    def close(self) -> None:
        self._connections.close()

    def _partition(self, row: tuple[str, str, str, str, int, int | None, int | None, int]) -> Partition:
        kind, day, path, sha, rows, first, last, broken = row
        return Partition(kind, day, self.folder / path, sha, rows, first, last, broken)

    def _kind_until(self, kind: str) -> int:
        found = self._connections.get().execute("SELECT max(day) FROM partitions WHERE kind = ?", (kind,)).fetchone()[0]
        return instant(found) + DAY if found else 0

    def _days(self, log: SqliteLog, kinds: list[str], start: int, end: int) -> Iterator[tuple[str, int, list[Stored]]]:
        """(day, last offset of the log in or before it, rows) of each day from `start` to `end`, days without rows too."""
        before = (
            self._connections.get().execute("SELECT max(last) FROM days WHERE day < ?", (day_of(start),)).fetchone()[0] or 0
        )
        rows: list[Stored] = []
        last = before
        for row in _until(log, before, end):
            while row[4] >= start + DAY:
                yield day_of(start), last, rows
                start, rows = start + DAY, []
            last = row[0]
            if row[1] in kinds:
                rows.append(row)
        while start < end:
            yield day_of(start), last, rows
            start, rows = start + DAY, []

    def _commit(self, days: list[tuple[str, int, list[Stored]]], contracts: Mapping[str, Contract]) -> list[Partition]:
        """Files first, each on disk under its name; then the manifest's lines in one transaction."""
        parts = [self._write(kind, contract, day, rows) for day, _, rows in days for kind, contract in contracts.items()]
        for kind in contracts:
            sync_folder(self.folder / kind)
        failpoint("landing.files")
        with immediate(self._connections.get()) as connection:
            connection.executemany(
                "INSERT INTO partitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(part.kind, part.day, *self._line(part)) for part in parts],
            )
            connection.executemany("INSERT OR IGNORE INTO days VALUES (?, ?)", [(day, last) for day, last, _ in days])
            failpoint("landing.listed")
        failpoint("landing.committed")
        return parts

    def _line(self, part: Partition) -> tuple[str, str, int, int | None, int | None, int]:
        return str(part.path.relative_to(self.folder)), part.sha256, part.rows, part.first, part.last, part.broken

    def _write(self, kind: str, contract: Contract, day: str, rows: list[Stored], *, beside: bool = False) -> Partition:
        from pipelines.store.parquet import table_of, to_parquet

        own = [row for row in rows if row[1] == kind]
        table, broken = table_of(own, contract)
        data = to_parquet(table)
        sha = hashlib.sha256(data).hexdigest()
        name = (f"{day}-{sha[:12]}" if beside else day) if own else f"empty-{sha[:12]}"
        path = make_folder(self.folder / kind) / f"{name}.parquet"
        if own or not path.exists():
            place(path, data)
        return Partition(kind, day, path, sha, len(own), own[0][0] if own else None, own[-1][0] if own else None, broken)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process lands at a time; the lock goes with the process that holds it."""
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _until(log: SqliteLog, after: int, end: int) -> Iterator[Stored]:
    """Rows above an offset that arrived before `end`, in order."""
    while rows := log.stored(after=after, limit=CHUNK):
        for row in rows:
            if row[4] >= end:
                return
            yield row
        after = rows[-1][0]


def _batches(days: Iterator[tuple[str, int, list[Stored]]]) -> Iterator[list[tuple[str, int, list[Stored]]]]:
    batch = []
    for day in days:
        batch.append(day)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(part: Partition) -> pa.Table:
    """The partition's rows, parsed from the very bytes that were verified."""
    import pyarrow.parquet as pq

    try:
        data = part.path.read_bytes()
    except FileNotFoundError:
        raise part.changed() from None
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise part.changed()
    return pq.read_table(io.BytesIO(data), page_checksum_verification=True)
