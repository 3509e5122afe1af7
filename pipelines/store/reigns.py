"""What the releases' ledger tells: who reigned when, who holds a use case, how often a holdout was opened."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.clock import instant
from pipelines.core.errors import ShelflifeError
from pipelines.store import ledger
from pipelines.store.state import CHAMPIONS, HOLDS, LOOKS

CHAIN = "releases"
CASE = re.compile(r"[a-z][a-z0-9]{1,30}")


@dataclass(frozen=True)
class Champion:
    """What answers a use case: bundle and signed release by digest, the epoch and moment it began, the bundle before it."""

    case: str
    bundle: str
    release: str
    epoch: int
    since: int
    previous: str | None


@dataclass(frozen=True)
class Change:
    """One line of the releases' ledger: promote, rollback, fallback, hold or unhold, by whom and why."""

    epoch: int
    case: str
    action: str
    at: int
    actor: str
    reason: str
    bundle: str | None = None
    release: str | None = None
    previous: str | None = None
    probe: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Hold:
    """A person's word that this use case shall not change."""

    case: str
    at: int
    actor: str
    reason: str


def named(case: str) -> str:
    """The use case's name, if it may be one. Raises ShelflifeError otherwise."""
    if not CASE.fullmatch(case):
        raise ShelflifeError(f"wanted a use case (lower-case letters and digits), got {ascii(case)[:40]}")
    return case


def changes(connection: Connection) -> list[Change]:
    """Every line of the releases' ledger, oldest first."""
    return [Change(line.seq, at=line.at, **line.body) for line in ledger.lines(connection, CHAIN)]


def champion_of(connection: Connection, case: str) -> Champion | None:
    """What answers the use case. Raises ShelflifeError when the table says otherwise than the ledger's line."""
    row = connection.execute(sa.select(CHAMPIONS).where(CHAMPIONS.c.usecase == case)).first()
    if row is None:
        return None
    line = ledger.line(connection, CHAIN, row.epoch)
    told = line and (line.body["case"], line.body["bundle"], line.body["release"], line.body["previous"], line.at)
    if told != (case, row.bundle, row.release, row.previous, row.since):
        raise ShelflifeError(
            f"{case}: the champion is not the one of the ledger; restore a backup and find out who wrote to the database"
        )
    return Champion(case, row.bundle, row.release, row.epoch, row.since, row.previous)


def reign_before(connection: Connection, case: str, bundle: str, before: int) -> Change | None:
    """The latest time, before an epoch, that this bundle became champion of the use case."""
    found = [c for c in changes(connection) if c.case == case and c.bundle == bundle and c.epoch < before]
    return found[-1] if found else None


def hold_of(connection: Connection, case: str) -> Hold | None:
    """Who holds the use case; None when nobody does."""
    row = connection.execute(sa.select(HOLDS).where(HOLDS.c.usecase == named(case))).first()
    return Hold(row.usecase, row.at, row.actor, row.reason) if row else None


def looks_at(connection: Connection, case: str, holdout: str) -> int:
    """How often what the holdout holds has been looked at: holdouts that share a part of its time count by that part, the sum
    rounded up. Otherwise a holdout that moves on by a day each day would be a new one each day.
    """
    query = sa.select(LOOKS.c.holdout).where(LOOKS.c.usecase == case)
    shares = [_shared(holdout, opened) for opened in connection.execute(query).scalars()]
    return math.ceil(round(sum(shares), 9))


def _shared(holdout: str, other: str) -> float:
    """The share of the holdout's time that lies in the other; names that are no two moments (a given split) are all or nothing."""
    try:
        (first, last), (start, end) = ([instant(moment) for moment in name.split("/")] for name in (holdout, other))
    except ValueError:
        return float(holdout == other)
    return max(0, min(last, end) - max(first, start)) / max(1, last - first)
