"""A whole table under its contract: which rows keep it, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import DAY, micros
from pipelines.core.contract import FUTURE, ID, TYPES, Contract, Field
from pipelines.core.event import Event

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FAR_FUTURE = 253_402_300_799 * 1_000_000
"""The end of the year 9999: the clock of a source whose times are not checked against today's."""


@dataclass(frozen=True)
class Broken:
    """A row that breaks its contract, as it came, and why; for the quarantine, which loses nothing."""

    kind: str
    raw: Mapping[str, Any]
    problems: tuple[str, ...]


def split(contract: Contract, events: pa.Table, *, now: int = FAR_FUTURE) -> tuple[pa.Table, list[Broken]]:
    """The rows of an event table that keep the contract, and the others with their problems.

    Suspects are found column by column; only they are looked at one by one, so that a million good rows take a second.
    """
    import numpy as np
    import pyarrow as pa

    suspects = np.flatnonzero(_suspect(contract, events, now))
    broken: dict[int, Broken] = {}
    for row, raw in zip(suspects.tolist(), events.take(pa.array(suspects)).to_pylist(), strict=True):
        if problems := contract.problems(event(contract.kind, raw), now):
            broken[row] = Broken(contract.kind, raw, problems)
    if not broken:
        return events, []
    kept = np.ones(events.num_rows, bool)
    kept[list(broken)] = False
    return events.filter(pa.array(kept)), list(broken.values())


def event(kind: str, raw: Mapping[str, Any]) -> Event:
    """A row of an event table as an Event; what is null is left out of its body."""
    body = {name: value for name, value in raw.items() if name not in ("id", "ts", "arrived", "offset") and value is not None}
    return Event(kind, raw["id"], raw["ts"], body, raw.get("arrived"), raw.get("offset"))


def by_arrived_day(tables: Iterable[tuple[str, pa.Table]]) -> list[tuple[int, list[tuple[str, pa.Table]]]]:
    """The events of several kinds by the UTC day (its midnight, microseconds) on which they arrive: what a log takes in turn."""
    import numpy as np

    from pipelines.shop.tables import in_arrived_order

    days: dict[int, list[tuple[str, pa.Table]]] = {}
    for kind, table in tables:
        rows = in_arrived_order(table)
        day = rows["arrived"].to_numpy() // DAY * DAY
        found, first = np.unique(day, return_index=True)
        for midnight, start, end in zip(found.tolist(), first.tolist(), [*first.tolist()[1:], len(day)], strict=True):
            days.setdefault(midnight, []).append((kind, rows.slice(start, end - start)))
    return sorted(days.items())


def _suspect(contract: Contract, events: pa.Table, now: int) -> np.ndarray:
    """True for every row that may break the contract; a row that is False surely keeps it."""
    import numpy as np
    import pyarrow.compute as pc

    ids = pc.match_substring_regex(events["id"], f"^{ID.pattern}$")
    times = pc.and_(pc.greater_equal(events["ts"], 0), pc.less_equal(events["ts"], now + micros(FUTURE)))
    good = pc.and_(pc.fill_null(ids, False), pc.fill_null(times, False))
    for field in contract.fields:
        good = pc.and_(good, pc.fill_null(_keeps(field, events[field.name]), not field.required))
    return ~np.asarray(good)


def _keeps(field: Field, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each value surely keeps the field's rule; null where there is no value."""
    import pyarrow.compute as pc

    size: Any = values
    if TYPES[field.type] is str:
        size = pc.utf8_length(values)
    elif TYPES[field.type] is list:
        size = pc.if_else(pc.is_valid(values), pc.list_value_length(values), None)
    good = pc.if_else(pc.is_valid(values), True, None)
    if field.type in ("integer", "cents"):
        good = pc.less(pc.abs(values), 2**53)
    if field.type == "number":
        good = pc.is_finite(values)
    if field.minimum is not None:
        good = pc.and_(good, pc.greater_equal(size, field.minimum))
    if field.maximum is not None:
        good = pc.and_(good, pc.less_equal(size, field.maximum))
    if field.choices:
        good = pc.and_(good, pc.is_in(values, value_set=_strings(field.choices)))
    return good


def _strings(values: tuple[str, ...]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values)
