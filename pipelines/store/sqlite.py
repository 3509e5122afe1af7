"""SQLite connections as the log needs them: write-ahead, synced at every commit, one per thread and process."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.core.errors import ShelflifeError

PATIENCE = 30.0
"""Seconds to wait for another process' write."""

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={int(PATIENCE * 1000)}", "foreign_keys=ON")


class Connections(threading.local):
    """A connection to one file for each thread; a forked child opens its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid = 0
        self.open: sqlite3.Connection | None = None

    def get(self) -> sqlite3.Connection:
        if self.open is None or self.pid != os.getpid():
            self.open, self.pid = connect(self.path), os.getpid()
        return self.open

    def close(self) -> None:
        if self.open is not None and self.pid == os.getpid():
            self.open.close()
        self.open = None


def connect(path: Path) -> sqlite3.Connection:
    """A connection that begins no transaction by itself."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction that holds the write lock from its first statement; it commits whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def copy(source: Path, target: Path) -> None:
    """A consistent copy of a database that may be in use, through SQLite's own backup."""
    reader, writer = connect(source), sqlite3.connect(target)
    try:
        reader.backup(writer)
    finally:
        reader.close()
        writer.close()


def compact(path: Path) -> None:
    """Write the file anew, so that nothing of what was changed or taken away is left in it or in its journal.

    Raises ShelflifeError where somebody reads or writes it for longer than the patience.
    """
    connection = connect(path)
    try:
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise _held(path, str(error)) from None
    finally:
        connection.close()
    if busy:
        raise _held(path, "somebody reads it")


def _held(path: Path, why: str) -> ShelflifeError:
    return ShelflifeError(f"{path.name} could not be written anew ({why}); run this again when less is going on")


def problem(path: Path) -> str | None:
    """What is wrong with the database file, or None when it is whole."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else str(answer)
