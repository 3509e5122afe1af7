"""The contract at work on rows that stream in: which are kept, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.event import Event
from pipelines.shop import rows

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.core.contract import Contract

Refused = tuple[Event | Mapping[str, Any], tuple[str, ...]]
"""What came, as an event where it can be one, and the reasons."""


def split(table: pa.Table, contract: Contract, now: int) -> tuple[pa.Table, list[Refused]]:
    """The rows of an event table that keep the contract, and the others with their reasons; none is dropped.

    `now` is our clock (microseconds UTC): what lies more than five minutes ahead of it is refused.
    """
    good, broken = rows.split(contract, table, now=now)
    return good, [(_event(contract.kind, row.raw), row.problems) for row in broken]


def check(events: Iterable[Event], contracts: Mapping[str, Contract], now: int) -> tuple[list[Event], list[Refused]]:
    """Events of any kinds that keep their contracts, and the others with their reasons, each in the order they came."""
    good: list[Event] = []
    bad: list[Refused] = []
    for event in events:
        problems = problems_of(event, contracts, now)
        if problems:
            bad.append((event, problems))
        else:
            good.append(event)
    return good, bad


def problems_of(event: Event, contracts: Mapping[str, Contract], now: int) -> tuple[str, ...]:
    """Everything that is wrong with the event; a kind that nobody declared is wrong too."""
    contract = contracts.get(event.kind)
    if contract is None:
        return (f"kind: wanted one of {', '.join(sorted(contracts))}, got {ascii(event.kind)[:60]}",)
    return contract.problems(event, now)


def _event(kind: str, raw: Mapping[str, Any]) -> Event | Mapping[str, Any]:
    """The row as an event; as it came, where it has no usable id or time."""
    usable = isinstance(raw.get("id"), str) and type(raw.get("ts")) is int
    return rows.event(kind, raw) if usable else {**raw, "kind": kind}
