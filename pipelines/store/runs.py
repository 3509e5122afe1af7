"""One learning run at a time for each use case, and the journal from which the retraining controller decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.clock import iso, micros
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.store.failpoint import failpoint
from pipelines.store.state import JOURNAL, LEASES, State, put


@dataclass(frozen=True)
class Lease:
    """Who may learn a use case until when. A higher epoch fences out whoever held a lower one."""

    case: str
    run: str
    epoch: int
    until: int


class Runs:
    """Leases and journals of one home."""

    def __init__(self, state: State) -> None:
        self.state = state

    def lease(self, case: str, run: str, at: int, ttl: timedelta) -> int:
        """Take the single flight of a use case; the epoch that fences its writes.

        The same run again, while its lease lives, keeps its epoch. Raises ShelflifeError while another run holds it.
        """
        with self.state.begin() as connection:
            now = _lease(connection, case)
            live = now is not None and now.run is not None and now.until > at
            if now is not None and live and now.run != run:
                raise ShelflifeError(
                    f"{case}: the run {now.run} is under way until {iso(now.until)}; wait for it, or free it with shelflife learn close"
                )
            epoch = 1 if now is None else now.epoch if live else now.epoch + 1
            put(connection, LEASES, {"usecase": case}, {"run": run, "epoch": epoch, "until": at + micros(ttl)})
            failpoint("lease.written")
        return epoch

    def renew(self, case: str, run: str, epoch: int, at: int, ttl: timedelta) -> None:
        """Hold it for longer. Raises ShelflifeError when the lease has gone to another, or has run out."""
        with self.state.begin() as connection:
            _check(connection, case, run, epoch, at)
            put(connection, LEASES, {"usecase": case}, {"until": at + micros(ttl)})

    def check(self, case: str, run: str, epoch: int, at: int) -> None:
        """Raises ShelflifeError unless this run still holds the lease: asked before a run writes anything that lasts."""
        with self.state.read() as connection:
            _check(connection, case, run, epoch, at)

    def free(self, case: str, run: str) -> bool:
        """Give it back; False when this run does not hold it (any more), which is no error: freeing twice is freeing once."""
        with self.state.begin() as connection:
            where = (LEASES.c.usecase == case) & (LEASES.c.run == run)
            return connection.execute(LEASES.update().where(where).values(run=None, until=0)).rowcount > 0

    def holder(self, case: str, at: int) -> Lease | None:
        """Who holds the use case at that moment."""
        with self.state.read() as connection:
            found = _lease(connection, case)
        return Lease(case, found.run, found.epoch, found.until) if found and found.run and found.until > at else None

    def append(self, case: str, event: Mapping[str, Any], at: int, *, key: str | None = None) -> bool:
        """Write an event into the use case's journal; False if one with this key is there: a trigger delivered twice is one."""
        body = canonical(dict(event)).decode()
        with self.state.begin() as connection:
            if key is not None and _knows(connection, case, key):
                return False
            connection.execute(JOURNAL.insert().values(usecase=case, at=at, body=body, key=key))
            failpoint("journal.written")
        return True

    def extend(self, case: str, follow: Callable[[list[dict[str, Any]]], Iterable[Mapping[str, Any]]]) -> None:
        """Write what follows from the use case's journal, in the transaction that reads it: two who decide at once decide one
        after the other. Each event says its own `at`."""
        with self.state.begin() as connection:
            for event in follow(_journal(connection, case)):
                body = canonical(dict(event)).decode()
                connection.execute(JOURNAL.insert().values(usecase=case, at=event["at"], body=body, key=None))
            failpoint("journal.extended")

    def journal(self, case: str) -> list[dict[str, Any]]:
        """Every event of the use case in the order written, each with its `at` (microseconds UTC)."""
        with self.state.read() as connection:
            return _journal(connection, case)


def _journal(connection: Connection, case: str) -> list[dict[str, Any]]:
    query = sa.select(JOURNAL.c.at, JOURNAL.c.body).where(JOURNAL.c.usecase == case).order_by(JOURNAL.c.seq)
    return [{**json.loads(row.body), "at": row.at} for row in connection.execute(query)]


def _lease(connection: Connection, case: str) -> Any:
    return connection.execute(sa.select(LEASES).where(LEASES.c.usecase == case)).first()


def _check(connection: Connection, case: str, run: str, epoch: int, at: int) -> None:
    now = _lease(connection, case)
    if now is None or (now.run, now.epoch) != (run, epoch) or now.until <= at:
        holder = now.run if now is not None and now.run else "nobody"
        raise ShelflifeError(
            f"{case}: the run {run} no longer holds the lease ({holder} does); stop, and let the next run begin anew"
        )


def _knows(connection: Connection, case: str, key: str) -> bool:
    query = sa.select(JOURNAL.c.seq).where(JOURNAL.c.usecase == case, JOURNAL.c.key == key)
    return connection.execute(query).first() is not None
