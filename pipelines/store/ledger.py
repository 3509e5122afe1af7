"""Hash-chained ledgers: a line that is changed, removed, added or moved later on is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.store.state import HEADS, LEDGER, put

BEGINNING = "0" * 64


@dataclass(frozen=True)
class Line:
    """One line of a ledger: its number from 1, when it was written (microseconds UTC), and what it says."""

    seq: int
    at: int
    body: Mapping[str, Any]


def append(connection: Connection, chain: str, body: Mapping[str, Any], at: int) -> int:
    """Write the next line in the caller's transaction; its number."""
    last, before = head(connection, chain)
    seq = last + 1
    own = _digest(chain, seq, at, body, before)
    row = {"chain": chain, "seq": seq, "at": at, "body": canonical(dict(body)).decode(), "before": before, "digest": own}
    connection.execute(LEDGER.insert().values(**row))
    put(connection, HEADS, {"chain": chain}, {"seq": seq, "digest": own})
    return seq


def head(connection: Connection, chain: str) -> tuple[int, str]:
    """Number and digest of the last line; (0, zeros) of an empty ledger."""
    found = connection.execute(sa.select(HEADS.c.seq, HEADS.c.digest).where(HEADS.c.chain == chain)).first()
    return (found.seq, found.digest) if found else (0, BEGINNING)


def lines(connection: Connection, chain: str) -> list[Line]:
    """Every line in order, as written; `verify` says whether they are still true."""
    rows = connection.execute(sa.select(LEDGER).where(LEDGER.c.chain == chain).order_by(LEDGER.c.seq))
    return [Line(row.seq, row.at, json.loads(row.body)) for row in rows]


def line(connection: Connection, chain: str, seq: int) -> Line | None:
    row = connection.execute(sa.select(LEDGER).where(LEDGER.c.chain == chain, LEDGER.c.seq == seq)).first()
    return Line(row.seq, row.at, json.loads(row.body)) if row else None


def verify(connection: Connection, chain: str) -> int:
    """Follow the chain from its beginning to its head; how many lines it has.

    Raises ShelflifeError, naming the first line that does not follow from the one before.
    """
    before, count = BEGINNING, 0
    for row in connection.execute(sa.select(LEDGER).where(LEDGER.c.chain == chain).order_by(LEDGER.c.seq)):
        count += 1
        if row.seq != count or row.before != before or row.digest != _of(row):
            raise ShelflifeError(
                f"the ledger {chain} was changed at line {count}; restore a backup and find out who wrote to the database"
            )
        before = row.digest
    if (count, before) != head(connection, chain):
        raise ShelflifeError(
            f"the ledger {chain} was changed at its end, line {count}; restore a backup and find out who wrote to the database"
        )
    return count


def _of(row: Any) -> str | None:
    try:
        return _digest(row.chain, row.seq, row.at, json.loads(row.body), row.before)
    except (TypeError, ValueError):
        return None


def _digest(chain: str, seq: int, at: int, body: Mapping[str, Any], before: str) -> str:
    return digest({"chain": chain, "seq": seq, "at": at, "body": dict(body), "before": before})
