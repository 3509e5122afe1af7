"""The operational state: small tables in one database, changed only in whole, serialised transactions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Connection, Engine, Integer, LargeBinary, String, Table, Text

from pipelines.core.errors import ShelflifeError

VERSION = 2
"""Of the tables. A newer state is refused, an older one is brought up to date."""

TABLES = sa.MetaData()


def _table(name: str, *columns: Column[Any]) -> Table:
    return Table(name, TABLES, *columns)


def _key(name: str) -> Column[Any]:
    return Column(name, String, primary_key=True)


def _word(name: str, *, optional: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=optional)


def _number(name: str, *, optional: bool = False, default: str | None = None) -> Column[Any]:
    return Column(name, BigInteger, nullable=optional, server_default=default)


META = _table("meta", _key("name"), _word("value"))
LEDGER = _table(
    "ledger",
    _key("chain"),
    Column("seq", Integer, primary_key=True),
    _number("at"),
    _word("body"),
    _word("before"),
    _word("digest"),
)
HEADS = _table("heads", _key("chain"), _number("seq"), _word("digest"))
ENVELOPES = _table(
    "envelopes", _key("digest"), _word("usecase"), _word("bundle"), _word("body"), _word("signature"), _number("epoch")
)
CHAMPIONS = _table(
    "champions",
    _key("usecase"),
    _word("bundle"),
    _word("release"),
    _number("epoch"),
    _number("since"),
    _word("previous", optional=True),
)
HOLDS = _table("holds", _key("usecase"), _number("at"), _word("actor"), _word("reason"))
LOOKS = _table("looks", _key("usecase"), _key("holdout"), _key("run"), _number("at"), _number("before"))
DECISIONS = _table(
    "decisions", _key("id"), _number("seq"), _word("kind"), _word("usecase"), _number("at"), _word("body"), _word("files")
)
OUTBOX = _table(
    "outbox", _key("key"), _word("subject"), _word("text"), _word("html"), _number("at"),
    _number("tries"), _number("due"), _number("sent", optional=True), _word("error", optional=True),
)  # fmt: skip
QUARANTINE = _table(
    "quarantine", _key("id"), _word("kind"), Column("raw", LargeBinary, nullable=False), Column("event", Boolean, nullable=False),
    _word("problems"), _number("at"), _word("state"), _number("times", default="1"),
)  # fmt: skip
HELD = _table("held_partitions", _key("kind"), _key("day"), _word("reason"), _number("at"))
LEASES = _table("leases", _key("usecase"), _word("run", optional=True), _number("epoch"), _number("until"))
JOURNAL = _table(
    "journal",
    Column("seq", Integer, primary_key=True),
    _word("usecase"),
    _number("at"),
    _word("body"),
    _word("key", optional=True),
)
sa.Index("journal_key", JOURNAL.c.usecase, JOURNAL.c.key, unique=True)

UPGRADES: dict[int, tuple[str, ...]] = {
    2: (
        """CREATE TABLE IF NOT EXISTS held_partitions (kind VARCHAR NOT NULL, day VARCHAR NOT NULL, reason TEXT NOT NULL,
        at BIGINT NOT NULL, PRIMARY KEY (kind, day))""",
        "ALTER TABLE quarantine ADD COLUMN times BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE journal ADD COLUMN key TEXT",
        "CREATE UNIQUE INDEX journal_key ON journal (usecase, key)",
    ),
}
"""What brings the tables of the version before to this one. Version 1 knew no held partitions and no keys in the journal."""

ADVISORY = 0x5E1F
"""The lock that serialises writers where the database has no BEGIN IMMEDIATE (PostgreSQL)."""


class State:
    """The tables of one home. SQLite by default; any SQLAlchemy URL of PostgreSQL does as well."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: Engine | None = None
        self._pid = 0
        self._prepare()

    @property
    def engine(self) -> Engine:
        """The pool of this process: a forked child gets its own, for a connection cannot be shared."""
        if self._engine is None or self._pid != os.getpid():
            self._engine, self._pid = _engine(self.url), os.getpid()
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from the start; it commits whole, or not at all if anything raises."""
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY})
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view that blocks nobody."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def get(self, name: str) -> str | None:
        """A value of the meta table."""
        with self.read() as connection:
            return connection.execute(sa.select(META.c.value).where(META.c.name == name)).scalar()

    def put(self, name: str, value: str) -> None:
        with self.begin() as connection:
            put(connection, META, {"name": name}, {"value": value})

    def close(self) -> None:
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def _prepare(self) -> None:
        """Make the tables, or bring older ones up to date, in one transaction."""
        with self.read() as connection:
            if _version(connection) == VERSION:
                return
        with self.begin() as connection:
            found = _version(connection)
            if found is not None and found > VERSION:
                raise ShelflifeError(
                    f"wanted a state of version {VERSION} or older, got {found}; use the newer Shelflife that wrote it"
                )
            if found is None:
                TABLES.create_all(connection)
            for version in range((found or VERSION) + 1, VERSION + 1):
                for statement in UPGRADES[version]:
                    connection.execute(sa.text(statement))
            put(connection, META, {"name": "version"}, {"value": str(VERSION)})


def put(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert the row, or update the one of that key; inside a `begin`, where nobody else writes."""
    where = [table.c[name] == value for name, value in key.items()]
    if connection.execute(table.update().where(*where).values(**values)).rowcount == 0:
        connection.execute(table.insert().values(**key, **values))


def _version(connection: Connection) -> int | None:
    if not sa.inspect(connection).has_table("meta"):
        return None
    found = connection.execute(sa.select(META.c.value).where(META.c.name == "version")).scalar()
    return int(found) if found else None


def _engine(url: str) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _as_we_need)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _as_we_need(connection: Any, _record: Any) -> None:
    """Durable at every commit; and no transaction that the driver begins by itself."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
