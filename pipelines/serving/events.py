"""The shop's events and labels over HTTP: checked against their contracts, durable before they are acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from pipelines.core.event import Event
from pipelines.serving.schema import BATCH, Id, Moment, Refused, decode, moment_of, reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipelines.core.contract import Contract

Plain = str | int | float | bool | None


class Incoming(msgspec.Struct, forbid_unknown_fields=True):
    """An event of the shop: its kind and id, when it happened, and the fields of its contract."""

    kind: Annotated[str, Meta(min_length=1, max_length=64)]
    id: Id
    ts: Moment
    body: dict[str, Plain | list[Plain]]


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Events as they come, each read by itself, so that one bad row does not hold up the others."""

    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=BATCH)]


class Events(msgspec.Struct, forbid_unknown_fields=True):
    """What `Batch` is to hold, for the description of the API."""

    events: Annotated[list[Incoming], Meta(min_length=1, max_length=BATCH)]


class Quarantined(msgspec.Struct):
    """A row that broke its contract: its place in the request, and why. It is kept and can be replayed after a fix."""

    index: int
    problems: list[str]


class Receipt(msgspec.Struct):
    """What became of the rows: those accepted are durable and count once, however often they are sent."""

    accepted: int
    offset: int | None
    quarantined: list[Quarantined]


@dataclass(frozen=True)
class Intake:
    """Where events go. `contracts` are the kinds that the shop may send: our own kinds cannot be forged from outside.

    `append` returns the offsets once the events are durable. `quarantine` keeps a row, an Event or its raw JSON text, with the
    problems it has.
    """

    contracts: Mapping[str, Contract]
    append: Callable[[Sequence[Event]], Sequence[int]]
    quarantine: Callable[[Event | str, Sequence[str]], Any]

    def take(self, body: bytes, now: int) -> Receipt:
        """Append the good rows and quarantine the others. Raises Refused where the request is no batch of events at all."""
        if not _is_utf8(body):
            raise Refused(400, "body: wanted one JSON value in UTF-8")
        good: list[Event] = []
        bad: list[Quarantined] = []
        for index, raw in enumerate(decode(_BATCH, body).events):
            event, problems = self._read(bytes(raw), now)
            if problems:
                bad.append(Quarantined(index, problems))
            elif isinstance(event, Event):
                good.append(event)
        offsets = self.append(good) if good else []
        return Receipt(len(good), max(offsets, default=None), bad)

    def _read(self, raw: bytes, now: int) -> tuple[Event | str, list[str]]:
        """The row and its problems; a row that has some is in quarantine when this returns."""
        try:
            row = decode(_ROW, raw)
            event = Event(row.kind, row.id, moment_of(row.ts, now, "ts"), row.body)
        except Refused as refused:
            self.quarantine(raw.decode(), refused.problems)
            return raw.decode(), list(refused.problems)
        contract = self.contracts.get(event.kind)
        if contract is None:
            self.quarantine(event, ("kind: wanted a kind that the shop sends",))
            return event, [f"kind: wanted one of {', '.join(self.contracts)}"]
        if problems := contract.problems(event, now):
            self.quarantine(event, problems)
        return event, reasons(problems, contract)


def _is_utf8(body: bytes) -> bool:
    """Rows are first cut out unread: what is inside their strings is not looked at then."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


_BATCH = msgspec.json.Decoder(Batch)
_ROW = msgspec.json.Decoder(Incoming)
