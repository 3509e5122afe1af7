"""Typed requests made from a contract: what the asking event may be, checked while its JSON is read."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pipelines.core.clock import instant, micros
from pipelines.core.contract import FUTURE, TYPES, Contract, Field
from pipelines.core.event import Event

BATCH = 512
"""Asks or events in one request."""

EXACT = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""

Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}\Z", description="1..128 of letters, digits and ._:@-")]
Moment = (
    Annotated[int, Meta(ge=0, le=EXACT, description="microseconds since 1970 in UTC")]
    | Annotated[str, Meta(max_length=40, description="ISO 8601 with a zone, such as 2025-03-01T12:00:00Z")]
)


class Refused(Exception):  # a request is refused; that is no error of ours
    """The request cannot be answered: an HTTP status of 4xx and a sentence a problem, never with a value of the request."""

    def __init__(self, status: int, *problems: str) -> None:
        super().__init__(status, *problems)
        self.status = status
        self.problems = problems


class Asks:
    """Reads the asks of one use case: `{"asks": [{"id": .., "ts": .., <the contract's fields>}, ..]}`."""

    def __init__(self, case: str, contract: Contract) -> None:
        self.contract = contract
        self.type = ask_type(case, contract)
        self.request = msgspec.defstruct(
            f"{case.title()}Asks",
            [("asks", Annotated[list[self.type], Meta(min_length=1, max_length=BATCH)])],
            forbid_unknown_fields=True,
        )
        self._decoder = msgspec.json.Decoder(self.request)
        self._fields = tuple(field.name for field in contract.fields)

    def decode(self, body: bytes, now: int) -> list[Event]:
        """The asking events. An ask without a `ts` is asked now. Raises Refused (400 no JSON, 422 not the contract's)."""
        asks = decode(self._decoder, body).asks
        if len({ask.id for ask in asks}) != len(asks):
            raise Refused(422, "asks: wanted a different id for each ask of a request")
        return [self._event(i, ask, now) for i, ask in enumerate(asks)]

    def _event(self, i: int, ask: Any, now: int) -> Event:
        moment = now if ask.ts is None else moment_of(ask.ts, now, f"asks[{i}].ts")
        return Event(self.contract.kind, ask.id, moment, {name: getattr(ask, name) for name in self._fields})


def ask_type(case: str, contract: Contract) -> type[msgspec.Struct]:
    """The contract as a strict type: `id`, an optional `ts`, and its fields, nothing else."""
    fields: list[Any] = [("id", Id), ("ts", Moment | None, None)]
    for field in contract.fields:
        wanted = _type(field)
        fields.append((field.name, wanted) if field.required else (field.name, wanted | None, None))
    return msgspec.defstruct(f"{case.title()}Ask", fields, kw_only=True, forbid_unknown_fields=True)


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The typed value of JSON bytes. Of a key that comes twice the last counts, as RFC 8259 lets most readers do.

    Raises Refused: 400 for what is no UTF-8 JSON or is nested too deep, 422 for what has the wrong type or bounds.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refused(422, _said(str(error))) from None
    except (msgspec.DecodeError, UnicodeError):
        raise Refused(400, "body: wanted one JSON value in UTF-8") from None
    except RecursionError:
        raise Refused(400, "body: wanted JSON that is not nested so deep") from None


def moment_of(value: int | str, now: int, name: str) -> int:
    """The instant as microseconds UTC. Raises Refused for a time without a zone, before 1970 or ahead of our clock."""
    try:
        ts = instant(value) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        raise Refused(422, f"{name}: wanted an ISO 8601 time with a zone, such as 2025-03-01T12:00:00Z") from None
    if not 0 <= ts <= now + micros(FUTURE):
        raise Refused(422, f"{name}: wanted a time since 1970 that has happened by our clock")
    return ts


def reasons(problems: tuple[str, ...], contract: Contract) -> list[str]:
    """A contract's problems without the values that caused them: answers do not echo what came."""
    known = {"kind", "id", "ts", *(field.name for field in contract.fields)}
    said = [
        p.partition(", got ")[0] if p.partition(":")[0] in known else f"a field that {contract.kind} does not have"
        for p in problems
    ]
    return list(dict.fromkeys(said))


def _said(message: str) -> str:
    """msgspec's sentence, which names types and the path, without the two kinds that quote what came."""
    text, dash, path = message.partition(" - at `")
    if text.startswith("Object contains unknown field"):
        text = "Object has a field that is not in the contract"
    if text.startswith("Invalid enum value"):
        text = "Expected one of the choices in /openapi.json"
    return text + dash + path


def _type(field: Field) -> Any:
    """The field as a type with bounds, for msgspec."""
    if field.choices:
        return Literal[field.choices]
    kind = TYPES[field.type]
    meta = {"description": text} if (text := ", ".join(filter(None, (field.doc, field.unit)))) else {}
    if kind is bool:
        return Annotated[bool, Meta(**meta)]
    if kind is float:
        return Annotated[float, Meta(**meta, **_given(ge=field.minimum, le=field.maximum, as_type=float))]
    if kind is int:
        low = -EXACT if field.minimum is None else max(field.minimum, -EXACT)
        high = EXACT if field.maximum is None else min(field.maximum, EXACT)
        return Annotated[int, Meta(**meta, ge=math.ceil(low), le=math.floor(high))]
    bounds = _given(min_length=field.minimum, max_length=field.maximum, as_type=int)
    return Annotated[str if kind is str else list[str], Meta(**meta, **bounds)]


def _given(as_type: type, **bounds: float | None) -> dict[str, Any]:
    """The bounds that are set, as the type that msgspec compares."""
    return {name: as_type(bound) for name, bound in bounds.items() if bound is not None}
