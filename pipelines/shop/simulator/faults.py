"""Incidents of the feeds: what the shop sent is right, what comes in is not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.clock import DAY, SECOND
from pipelines.shop.incidents import Incident
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


FAULTS = {"unit_bug": _unit_bug, "null_column": _null_column, "late_partition": _late_partition, "label_outage": _label_outage}


def _happened(world: World, events: pa.Table, incident: Incident) -> pa.Array:
    """Which events happened on the incident's days."""
    ts = events["ts"].to_numpy()
    return pa.array((ts >= world.midnight(incident.first_day)) & (ts < world.midnight(incident.until)))


def _put(events: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    at = events.schema.get_field_index(name)
    return events.set_column(at, events.schema.field(at), values)
