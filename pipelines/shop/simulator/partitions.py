"""Events sorted into the days on which they arrive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.core.clock import DAY
from pipelines.core.params import Simulate
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.faults import faulty
from pipelines.shop.simulator.feeds import LATEST, feeds
from pipelines.shop.simulator.history import History
from pipelines.shop.simulator.world import World
from pipelines.shop.tables import in_arrived_order


def partitions(
    size: Simulate, seed: int, first_day: int, last_day: int, incidents: tuple[Incident, ...]
) -> Iterator[tuple[int, list[tuple[str, pa.Table]]]]:
    """Each arrived day with a table per kind. The shop was open before day 0, so that nothing has to warm up."""
    world = World(size, seed)
    history = History(world, incidents)
    waiting: dict[tuple[int, str], list[pa.Table]] = {}
    reach = LATEST + sum(incident.held_back for incident in incidents)
    for day in range(max(first_day - reach, -LATEST), last_day):
        for kind, events in feeds(world, history.day(day), incidents).items():
            for arrived, part in _by_arrived_day(world, faulty(world, kind, events, incidents)):
                waiting.setdefault((arrived, kind), []).append(part)
        due = [(kind, waiting.pop((day, kind))) for arrived, kind in sorted(waiting) if arrived == day]
        if day >= first_day:
            yield day, [(kind, in_arrived_order(pa.concat_tables(parts)).combine_chunks()) for kind, parts in due]


def _by_arrived_day(world: World, events: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    days = (events["arrived"].to_numpy() - world.start) // DAY
    for day in np.unique(days):
        yield int(day), events.filter(pa.array(days == day))
