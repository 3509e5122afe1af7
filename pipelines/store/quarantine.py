"""What broke its contract waits here with the reasons, and goes into the log after a fix; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.clock import DAY
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.protocols import EventLog
from pipelines.store.failpoint import failpoint
from pipelines.store.state import HELD, QUARANTINE, State, put

Raw = Event | Mapping[str, Any] | bytes | str
FIELDS = ("kind", "id", "ts", "body")


@dataclass(frozen=True)
class Waiting:
    """One thing in quarantine. `event` is None where the bytes were no event at all; `raw` is what came; `problems` says why,
    a sentence each; `state` is waiting or replayed; `times` counts how often it came.
    """

    id: str
    kind: str
    event: Event | None
    raw: bytes
    problems: tuple[str, ...]
    at: int
    state: str
    times: int


@dataclass(frozen=True)
class Replayed:
    """How many went into the log, and how many are still broken."""

    accepted: int
    broken: int


class Quarantine:
    """Broken rows, and whole partitions that are held back, of one home."""

    def __init__(self, state: State) -> None:
        self.state = state

    def put(self, event_or_raw: Raw, problems: Sequence[str], now: int) -> str:
        """Keep what came and why it was refused; its id. The same again is kept once and counted."""
        return self.put_all([(event_or_raw, problems)], now)[0]

    def put_all(self, rows: Iterable[tuple[Raw, Sequence[str]]], now: int) -> list[str]:
        """Keep many in one transaction; their ids."""
        kept = [(*_stored(raw), list(problems)) for raw, problems in rows]
        with self.state.begin() as connection:
            ids = [_keep(connection, *row, now) for row in kept]
            failpoint("quarantine.written")
        return ids

    def list(self, kind: str | None = None, state: str | None = "waiting", limit: int | None = None) -> list[Waiting]:
        """What is here, oldest first."""
        query = sa.select(QUARANTINE).order_by(QUARANTINE.c.at, QUARANTINE.c.id).limit(limit)
        for column, value in ((QUARANTINE.c.kind, kind), (QUARANTINE.c.state, state)):
            query = query if value is None else query.where(column == value)
        with self.state.read() as connection:
            return [_waiting(row) for row in connection.execute(query)]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many rows there are of each (kind, state)."""
        query = sa.select(QUARANTINE.c.kind, QUARANTINE.c.state, sa.func.count()).group_by(
            QUARANTINE.c.kind, QUARANTINE.c.state
        )
        with self.state.read() as connection:
            return {(kind, state): count for kind, state, count in connection.execute(query)}

    def arrivals(self, kinds: Iterable[str], since: int) -> dict[str, Any]:
        """When the waiting rows of each kind came: an array of microseconds UTC, each rounded up to the end of its day.

        Counted in the database: a million broken rows are a few numbers here.
        """
        import numpy as np

        day = ((QUARANTINE.c.at - 1) // DAY).label("day")
        query = sa.select(QUARANTINE.c.kind, day, sa.func.count()).group_by(QUARANTINE.c.kind, day)
        query = query.where(QUARANTINE.c.state == "waiting", QUARANTINE.c.at > since)
        with self.state.read() as connection:
            rows = connection.execute(query).all()
        found = {kind: [(d, n) for k, d, n in rows if k == kind] for kind in kinds}
        return {
            kind: np.repeat([(d + 1) * DAY for d, _ in each], [n for _, n in each]).astype(np.int64)
            for kind, each in found.items()
        }

    def replay(
        self,
        fix: Callable[[Event], Event] | None,
        check: Callable[[Event], Sequence[str]],
        log: EventLog,
        now: int,
        *,
        kind: str | None = None,
    ) -> Replayed:
        """Mend each waiting event, check it again, and append it to the log if nothing is wrong any more.

        A kill in between is harmless: the log counts an event once, and what is not marked is tried again.
        """
        tried = [(row, *_mend(row, fix, check)) for row in self.list(kind)]
        good = {row.id: event for row, event, problems in tried if event is not None and not problems}
        notes = {row.id: json.dumps(list(problems)) for row, _, problems in tried if problems}
        log.append(good.values(), arrived=now)
        failpoint("quarantine.appended")
        with self.state.begin() as connection:
            for id_ in good:
                connection.execute(QUARANTINE.update().where(QUARANTINE.c.id == id_).values(state="replayed"))
            for id_, problems in notes.items():
                connection.execute(QUARANTINE.update().where(QUARANTINE.c.id == id_).values(problems=problems))
        return Replayed(len(good), len(tried) - len(good))

    def hold_partition(self, kind: str, day: str, reason: str, now: int) -> None:
        """Keep one kind's events of one arrived day (YYYY-MM-DD) out of every snapshot until it is freed."""
        with self.state.begin() as connection:
            put(connection, HELD, {"kind": kind, "day": day}, {"reason": reason, "at": now})

    def free_partition(self, kind: str, day: str) -> None:
        """Let it into snapshots again. Raises ShelflifeError where it was not held."""
        with self.state.begin() as connection:
            if connection.execute(HELD.delete().where(HELD.c.kind == kind, HELD.c.day == day)).rowcount == 0:
                raise ShelflifeError(f"the partition {ascii(kind)[:60]} {ascii(day)[:20]} is not held")

    def held(self, kinds: Iterable[str] | None = None) -> set[tuple[str, str]]:
        """The held partitions as (kind, day)."""
        return {(kind, day) for kind, day, _ in self.reasons(kinds)}

    def reasons(self, kinds: Iterable[str] | None = None) -> Sequence[tuple[str, str, str]]:
        """The held partitions as (kind, day, reason)."""
        wanted = None if kinds is None else set(kinds)
        with self.state.read() as connection:
            rows = connection.execute(sa.select(HELD.c.kind, HELD.c.day, HELD.c.reason).order_by(HELD.c.day, HELD.c.kind))
            return [(kind, day, reason) for kind, day, reason in rows if wanted is None or kind in wanted]


def _mend(
    row: Waiting, fix: Callable[[Event], Event] | None, check: Callable[[Event], Sequence[str]]
) -> tuple[Event | None, Sequence[str]]:
    """The event after the fix, and what is wrong with it. A fix that fails leaves the event here with that reason."""
    if row.event is None:
        return None, ()
    try:
        mended = fix(row.event) if fix else row.event
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        return None, (f"the fix failed: {type(error).__name__} {error}",)
    return replace(mended, arrived=None, offset=None), check(mended)


def _keep(connection: Connection, kind: str, raw: bytes, is_event: bool, problems: list[str], now: int) -> str:
    id_ = digest(raw)
    known = connection.execute(sa.select(QUARANTINE.c.times).where(QUARANTINE.c.id == id_)).scalar()
    if known is None:
        row = {"kind": kind, "raw": raw, "event": is_event, "problems": json.dumps(problems), "at": now, "state": "waiting"}
        connection.execute(QUARANTINE.insert().values(id=id_, times=1, **row))
    else:
        connection.execute(QUARANTINE.update().where(QUARANTINE.c.id == id_).values(times=known + 1))
    return id_


def _stored(raw: Raw) -> tuple[str, bytes, bool]:
    """The kind, the bytes to keep, and whether they are an event's."""
    if isinstance(raw, Event):
        raw = {name: getattr(raw, name) for name in FIELDS}
    if isinstance(raw, bytes | bytearray):
        return "", bytes(raw), False
    if isinstance(raw, str):
        return "", raw.encode("utf-8", "surrogatepass"), False
    event = set(FIELDS) <= set(raw)
    text = json.dumps(dict(raw), sort_keys=True, separators=(",", ":"), default=_plain)
    return str(raw.get("kind", "")), text.encode(), event


def _plain(value: Any) -> Any:
    """What JSON does not know, as it can be kept: mappings as objects, numpy's numbers as numbers, the rest as text."""
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else repr(value)


def _waiting(row: Any) -> Waiting:
    event = None
    if row.event:
        data = json.loads(row.raw)
        event = Event(data["kind"], data["id"], data["ts"], data["body"])
    return Waiting(row.id, row.kind, event, bytes(row.raw), tuple(json.loads(row.problems)), row.at, row.state, row.times)
