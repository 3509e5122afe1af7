"""A person's erasure: what they did leaves the log, the landed days, the quarantine and the mails; a ledger says that it did.

What there is to do is found from what is there: erased events are marked in the log, in the transaction that takes their bodies
away. So an erasure that was killed anywhere is finished by the same call, and one that is finished changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.contract import Contract
from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.store import ledger, sqlite
from pipelines.store.failpoint import failpoint
from pipelines.store.home import Home
from pipelines.store.log import SqliteLog, Stored
from pipelines.store.state import OUTBOX, QUARANTINE

if TYPE_CHECKING:
    from re import Pattern

CHAIN = "erasures"
GONE = "[erased]"
PAGE = 50_000
"""Rows of the log looked at together."""


@dataclass(frozen=True)
class Person:
    """Whose events are erased: those whose key `field` has the `value`."""

    field: str
    value: str | int

    @staticmethod
    def named(field: str, value: str, contracts: Mapping[str, Contract]) -> Person:
        """The value in the type that the contracts give the field. Raises ShelflifeError for a field that is no key."""
        found = [f for contract in contracts.values() for f in contract.fields if f.key and f.name == field]
        if not found:
            keys = sorted({f.name for contract in contracts.values() for f in contract.fields if f.key})
            raise ShelflifeError(f"wanted a key that events have ({', '.join(keys)}), got {ascii(field)[:60]}")
        if found[0].type != "integer":
            return Person(field, value)
        if not re.fullmatch(r"-?\d{1,16}", value):
            raise ShelflifeError(f"{field}: wanted {found[0].wanted()}, got {ascii(value)[:60]}")
        return Person(field, int(value))

    @cached_property
    def who(self) -> str:
        """What the log and the ledger call them: a digest, not the value."""
        return digest({"field": self.field, "value": self.value})

    @cached_property
    def text(self) -> bytes:
        """What the canonical JSON of a body holds."""
        return canonical({self.field: self.value})[1:-1]

    @cached_property
    def word(self) -> Pattern[str]:
        """The value in a text, not within a longer word."""
        return re.compile(rf"(?<![\w-]){re.escape(str(self.value))}(?![\w-])")

    @cached_property
    def mention(self) -> Pattern[str]:
        """The value in a text that people read; a number only behind the field's name."""
        return re.compile(rf"(?<={self.field}[ =:]){self.word.pattern}") if str(self.value).isdigit() else self.word


@dataclass(frozen=True)
class Erased:
    """What an erasure took away; `events` are all that were ever erased for the person (offset, kind, id, ts), `line` is the
    ledger's, None where there was nothing left to do."""

    events: list[tuple[int, str, str, int]]
    partitions: int
    rows: int
    mails: int
    line: int | None


def events_of(
    log: SqliteLog, person: Person, contracts: Mapping[str, Contract], asks: Mapping[str, str]
) -> set[tuple[str, str]]:
    """The person's events that still have a body, as (kind, id), with our answers to them. `asks`: per use case, the kind that
    asks; where a use case is not there any more, an answer is taken for theirs by the id alone."""
    kinds = [kind for kind, contract in contracts.items() if any(f.key and f.name == person.field for f in contract.fields)]
    named = {row[1:3] for row in _rows(log, kinds, person.text) if json.loads(row[6]).get(person.field) == person.value}
    known = named | {(kind, id_) for _, kind, id_, _ in log.erased(person.who)}
    ids = {id_ for _, id_ in known}
    for row in _rows(log, ["prediction"], b'"ask":') if known else ():
        body = json.loads(row[6])
        kind, ask = asks.get(body.get("usecase")), body["ask"]
        if (kind, ask) in known or (kind is None and ask in ids):
            named.add(row[1:3])
    return named


def erase(
    home: Home,
    person: Person,
    contracts: Mapping[str, Contract],
    asks: Mapping[str, str],
    now: int,
    online: Callable[[list[tuple[int, str, str, int]]], Any],
) -> Erased:
    """Erase a person, whole or further than before. `online` takes erased events out of what was made of them for serving.

    Raises ShelflifeError where a file is in use for too long: what is done is done, and the same call does the rest.
    """
    if found := events_of(home.log, person, contracts, asks):
        home.log.erase(found, person.who)
    events = home.log.erased(person.who)
    partitions = home.landing.erase(home.log, contracts, [(offset, kind) for offset, kind, _, _ in events])
    online(events)
    failpoint("erasure.online")
    with home.state.begin() as connection:
        rows = _quarantined(connection, person, {(kind, id_) for _, kind, id_, _ in events})
        mails = _mailed(connection, person)
        line = _written(
            connection, person, {"events": len(events), "partitions": partitions, "rows": rows, "mails": mails}, now
        )
        failpoint("erasure.ledger")
    _compact(home)
    return Erased(events, partitions, rows, mails, line)


def _rows(log: SqliteLog, kinds: list[str], text: bytes) -> Iterator[Stored]:
    after = 0
    while rows := log.stored(after=after, limit=PAGE, kinds=kinds, holding=text):
        yield from rows
        after = rows[-1][0]


def _quarantined(connection: Connection, person: Person, events: Collection[tuple[str, str]]) -> int:
    """Delete the rows that name the person or are one of the events; how many."""
    rows = connection.execute(sa.select(QUARANTINE.c.id, QUARANTINE.c.raw))
    gone = [row.id for row in rows if _names(bytes(row.raw), person, events)]
    for id_ in gone:
        connection.execute(QUARANTINE.delete().where(QUARANTINE.c.id == id_))
    return len(gone)


def _names(raw: bytes, person: Person, events: Collection[tuple[str, str]]) -> bool:
    """Whether what came names the person, in whatever type; of what is no JSON, whether the value is in it at all."""
    try:
        said = json.loads(raw)
    except ValueError:
        return person.word.search(raw.decode(errors="replace")) is not None
    return _within(said, person) or (isinstance(said, dict) and (said.get("kind"), said.get("id")) in events)


def _within(said: Any, person: Person) -> bool:
    if isinstance(said, dict):
        return str(said.get(person.field)) == str(person.value) or any(_within(each, person) for each in said.values())
    return isinstance(said, list) and any(_within(each, person) for each in said)


def _mailed(connection: Connection, person: Person) -> int:
    """Take the value out of the mails that name it, sent ones too; how many."""
    letters = connection.execute(sa.select(OUTBOX.c.key, OUTBOX.c.text, OUTBOX.c.html)).all()
    named = [letter for letter in letters if person.mention.search(f"{letter.text} {letter.html}")]
    for letter in named:
        words = {"text": person.mention.sub(GONE, letter.text), "html": person.mention.sub(GONE, letter.html)}
        connection.execute(OUTBOX.update().where(OUTBOX.c.key == letter.key).values(**words))
    return len(named)


def _written(connection: Connection, person: Person, done: Mapping[str, int], now: int) -> int | None:
    """The ledger's line: of the first erasure, and of each that found more."""
    before = [line.body for line in ledger.lines(connection, CHAIN) if line.body["who"] == person.who]
    more = done["events"] > max((body["events"] for body in before), default=0) or done["rows"] or done["mails"]
    return ledger.append(connection, CHAIN, {"who": person.who, **done}, now) if more or not before else None


def _compact(home: Home) -> None:
    """Nothing of what was taken away stays in the bytes of a file; copies of older tables go as a whole."""
    sqlite.compact(home.log.path)
    failpoint("erasure.log_compacted")
    if home.state.url == f"sqlite:///{home.path / 'state.db'}":
        sqlite.compact(home.path / "state.db")
    for copy in home.path.glob("state.db.v*"):
        copy.unlink()
