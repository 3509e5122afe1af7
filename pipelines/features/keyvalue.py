"""Where the online features lie: packed values by key, changed all at once or not at all, in memory or in one SQLite file.

A store of values is told apart from another by its head, the value under `HEAD`: a change says which head it was made on, and
is refused when another writer has moved on since. So there is one writer, and nobody has to elect it.
"""
# ruff: noqa: S608  the statements are made of question marks; every value is a parameter

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from pipelines.core.errors import ShelflifeError

HEAD = b"head"
"""The key of the value that every change renews: what was made of the log so far."""

SQLITE, LMDB = "sqlite", "lmdb"
"""Where values may lie, beside a Redis, which is said by its url."""

PAGE = 1000
"""Values that a scan looks at together."""

LONGEST_KEY = 4096
"""Bytes beyond which no key begins like another."""

MOST = 1024
"""Keys in one statement; more are read in several, of one length, so that they are prepared once."""

JOURNAL = 30_000
"""Values that are written before the journal's pages are moved into the file."""

Change = tuple[bytes, bytes | None]
"""A key and its new value; None takes it away."""


Addition = tuple[bytes, bytes]
"""A key and what comes behind its value, or begins it."""

KEEP = "INSERT INTO kept VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
"""Not REPLACE, which takes the old row out of the tree first: it takes three times as long."""

ADD = "INSERT INTO kept VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = CAST(value || excluded.value AS BLOB)"


class Moved(Exception):
    """Another writer has changed the values since this change was begun."""


class KeyValue(Protocol):
    """Packed values by key. What one `get` gives belongs to one moment; a `put` is whole or nothing, and survives a kill."""

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """The values of those keys that have one."""

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        """Make the changes and put what is `added` behind the values that are there, if the head is still `on`. Raises Moved
        if it is not. No key is both changed and added to."""

    def scan(self, prefix: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        """Every key with that prefix, with its value, some at a time; changes meanwhile may or may not be seen."""

    def compact(self) -> None:
        """Leave nothing in the store's own files of values that were changed or taken away."""

    def close(self) -> None: ...


class MemoryValues:
    """Values in this process, for a reader that has seen nothing and for tests."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        return {key: self._values[key] for key in keys if key in self._values}

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        if self._values.get(HEAD) != on:
            raise Moved
        for key, more in added:
            self._values[key] = self._values.get(key, b"") + more
        for key, value in changes:
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def scan(self, prefix: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        yield [(key, value) for key, value in self._values.items() if key.startswith(prefix)]

    def compact(self) -> None:
        pass

    def close(self) -> None:
        pass


class SqliteValues:
    """Values in one SQLite file, write-ahead. One process writes, any number read; the threads of a process take turns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._lock = threading.Lock()
        self._written, self._moving = 0, threading.Thread()
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=30, cached_statements=64, check_same_thread=False
        )
        for pragma in (
            "page_size=8192",  # of a new file: several values fit in a page
            "journal_mode=WAL",
            "wal_autocheckpoint=65536",  # where the thread that does it fails
            "synchronous=NORMAL",
            "busy_timeout=30000",
            "cache_size=-65536",
            "mmap_size=1073741824",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        with self._lock:
            if len(keys) <= MOST:
                return dict(self._some(keys))
            self._connection.execute("BEGIN")
            try:
                return {key: value for at in range(0, len(keys), MOST) for key, value in self._some(keys[at : at + MOST])}
            finally:
                self._connection.execute("COMMIT")

    def _some(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        step = 1 << max(len(keys).bit_length() - 4, 0)  # few statements, prepared once, of an eighth too many keys at most
        wanted = max(-(-len(keys) // step) * step, 1)
        return self._connection.execute(_select(wanted), [*keys, *[HEAD] * (wanted - len(keys))]).fetchall()

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        ordered = sorted(changes)  # neighbours share a page, which then is written once
        kept = [change for change in ordered if change[1] is not None]
        gone = [(key,) for key, value in ordered if value is None]
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            found = self._connection.execute("SELECT value FROM kept WHERE key = ?", (HEAD,)).fetchone()
            if (found[0] if found else None) != on:
                raise Moved
            self._connection.executemany(ADD, sorted(added))
            self._connection.executemany(KEEP, kept)
            self._connection.executemany("DELETE FROM kept WHERE key = ?", gone)
        self._written += len(ordered)
        if self._written > JOURNAL and not self._moving.is_alive():
            self._written, self._moving = 0, threading.Thread(target=self._move_journal, name="journal", daemon=True)
            self._moving.start()

    def _move_journal(self) -> None:
        """The journal's pages into the file, beside the writer, who need not wait for the disk; only what came meanwhile is
        moved with the writer held off, so that the journal can begin anew. What fails is tried again with the next."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
            for how in ("PASSIVE", "RESTART"):
                connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

    def scan(self, prefix: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        after, end = prefix, prefix + b"\xff" * LONGEST_KEY
        query = "SELECT key, value FROM kept WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
        while True:
            with self._lock:
                rows = self._connection.execute(query, (after, end, PAGE)).fetchall()
            if not rows:
                return
            yield rows
            after = rows[-1][0] + b"\0"

    def compact(self) -> None:
        with self._lock:
            if self._moving.is_alive():
                self._moving.join()
            self._connection.execute("VACUUM")
            if self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise ShelflifeError(f"{self.path.name} could not be written anew, somebody reads it; run this again")

    def close(self) -> None:
        if self._moving.is_alive():
            self._moving.join()
        self._connection.close()


@lru_cache(maxsize=64)
def _select(count: int) -> str:
    """The keys are joined in the order in which they come: IN would sort them first, which takes longer than it saves."""
    return f"SELECT key, value FROM (VALUES {', '.join(['(?)'] * count)}) CROSS JOIN kept ON key = column1"
