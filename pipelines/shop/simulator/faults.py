"""Incidents of the feeds: what the shop sent is right, what comes in is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.clock import DAY, SECOND
from pipelines.shop.incidents import MAKERS, Incident
from pipelines.shop.simulator.world import World


def faulty(world: World, kind: str, events: pa.Table, incidents: tuple[Incident, ...]) -> pa.Table:
    """The feed's events as they come in under the incidents that hit this feed."""
    for incident in incidents:
        if incident.kind == kind and incident.name in FAULTS:
            events = FAULTS[incident.name](world, events, incident)
    return events


def _unit_bug(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field]
    wrong = pc.cast(pc.multiply(pc.cast(values, pa.float64()), incident.size), values.type, safe=False)
    return _put(events, incident.field, pc.if_else(_happened(world, events, incident), wrong, values))


def _null_column(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field].combine_chunks()
    hit = np.asarray(_happened(world, events, incident))
    return _put(events, incident.field, values.take(pa.array(np.arange(len(values)), mask=hit)))


def _late_partition(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    later = pc.add(events["arrived"], int(incident.size) * DAY)
    return _put(events, "arrived", pc.if_else(_happened(world, events, incident), later, events["arrived"]))


def _label_outage(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    """What would have arrived during the outage comes in the quarter of an hour after it, in its old order."""
    arrived = events["arrived"].to_numpy()
    first, until = world.midnight(incident.first_day), world.midnight(incident.until)
    squeezed = until + (arrived - first) * 900 // (incident.days * DAY // SECOND)
    return _put(events, "arrived", pa.array(np.where((arrived >= first) & (arrived < until), squeezed, arrived)))


def _half_nulls(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field].combine_chunks()
    hit = _hit(world, events, incident) & (_random(world, incident).random(len(events)) < incident.size)
    return _put(events, incident.field, values.take(pa.array(np.arange(len(values)), mask=hit)))


def _dropped_rows(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    lost = _hit(world, events, incident) & (_random(world, incident).random(len(events)) < incident.size)
    return events.filter(pa.array(~lost))


def _duplicate_day(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    again = events.filter(_happened(world, events, incident))
    again = _put(again, "id", pc.binary_join_element_wise(again["id"], "again", "-"))
    return pa.concat_tables([events, again]).sort_by([("arrived", "ascending"), ("ts", "ascending"), ("id", "ascending")])


def _shuffled_column(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    order, hit = np.arange(len(events)), np.flatnonzero(_hit(world, events, incident))
    order[hit] = _random(world, incident).permutation(hit)
    return _put(events, incident.field, events[incident.field].combine_chunks().take(pa.array(order)))


def _constant_column(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values, hit = events[incident.field].combine_chunks(), np.flatnonzero(_hit(world, events, incident))
    order = np.arange(len(values))
    order[hit] = hit[:1].repeat(len(hit))
    return _put(events, incident.field, values.take(pa.array(order)))


def _sign_flip(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field]
    return _put(events, incident.field, pc.if_else(_happened(world, events, incident), pc.negate(values), values))


def _swapped_columns(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    hit, country, device = _happened(world, events, incident), events["country"], events["device"]
    swapped = _put(events, "country", pc.if_else(hit, device, country))
    return _put(swapped, "device", pc.if_else(hit, country, device))


def _timezone_shift(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    earlier = pc.subtract(events["ts"], int(incident.size) * 3600 * SECOND)
    return _put(events, "ts", pc.if_else(_happened(world, events, incident), earlier, events["ts"]))


def _garbled_codes(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field]
    other = pc.binary_join_element_wise(pc.utf8_lower(values), pa.scalar("1"), "-")
    return _put(events, incident.field, pc.if_else(_happened(world, events, incident), other, values))


def _truncated_decimals(world: World, events: pa.Table, incident: Incident) -> pa.Table:
    values = events[incident.field]
    whole = pc.multiply(pc.divide(values, 100), 100)
    return _put(events, incident.field, pc.if_else(_happened(world, events, incident), whole, values))


FAULTS = {
    "unit_bug": _unit_bug,
    "null_column": _null_column,
    "late_partition": _late_partition,
    "label_outage": _label_outage,
    "half_nulls": _half_nulls,
    "dropped_rows": _dropped_rows,
    "duplicate_day": _duplicate_day,
    "shuffled_column": _shuffled_column,
    "constant_column": _constant_column,
    "sign_flip": _sign_flip,
    "swapped_columns": _swapped_columns,
    "timezone_shift": _timezone_shift,
    "garbled_codes": _garbled_codes,
    "truncated_decimals": _truncated_decimals,
}
"""What each incident of a feed does to its events."""


def _random(world: World, incident: Incident) -> np.random.Generator:
    return world.random("after", incident.first_day, 900 + sorted(MAKERS).index(incident.name))


def _hit(world: World, events: pa.Table, incident: Incident) -> np.ndarray:
    return np.asarray(_happened(world, events, incident))


def _happened(world: World, events: pa.Table, incident: Incident) -> pa.Array:
    """Which events happened on the incident's days."""
    ts = events["ts"].to_numpy()
    return pa.array((ts >= world.midnight(incident.first_day)) & (ts < world.midnight(incident.until)))


def _put(events: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    at = events.schema.get_field_index(name)
    return events.set_column(at, events.schema.field(at), values)
