"""The truth behind the events: who was a fraudster, what was really wanted, what was really meant."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.core.params import Simulate
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.feeds import payment_ids, review_ids
from pipelines.shop.simulator.fraud import SCENARIOS
from pipelines.shop.simulator.history import Day, History
from pipelines.shop.simulator.orders import Orders
from pipelines.shop.simulator.world import World


def known(size: Simulate, seed: int, first_day: int, last_day: int, incidents: tuple[Incident, ...]) -> dict[str, pa.Table]:
    """The truth tables of these days, keyed by the ids of the events they are about."""
    world = World(size, seed)
    history = History(world, incidents)
    days = [history.day(day) for day in range(first_day, last_day)]
    tables = {
        "payment": pa.concat_tables(_payments(world, day) for day in days),
        "demand": pa.concat_tables(_demand(world, day) for day in days),
        "review": pa.concat_tables(_reviews(world, day) for day in days),
        "view": pa.concat_tables(_views(world, day) for day in days),
    }
    rows = [i.to_dict() | {"sentence": str(i)} for i in incidents if i.until > first_day and i.first_day < last_day]
    return tables | {"incident": pa.Table.from_pylist(rows, _INCIDENT)}


def _payments(world: World, day: Day) -> pa.Table:
    scenario = day.orders.scenario
    return pa.table({
        "payment_id": payment_ids(world, day), "ts": day.orders.ts,
        "fraud": (scenario > 0).astype(np.int64), "scenario": pa.array(SCENARIOS).take(scenario),
    })  # fmt: skip


def _demand(world: World, day: Day) -> pa.Table:
    """`expected` is the honest customers' mean at the day's price and promotion, whatever the stock."""
    listed = np.flatnonzero(day.shelf.listed)
    return pa.table({
        "item": world.item_names.take(listed), "ts": np.full(len(listed), world.midnight(day.day)),
        "expected": day.shelf.units[listed],
        "wanted": _units(world, day.wanted)[listed], "sold": _units(world, day.orders)[listed],
    })  # fmt: skip


def _units(world: World, orders: Orders) -> np.ndarray:
    return np.bincount(orders.item, orders.quantity, world.items).astype(np.int64)


def _reviews(world: World, day: Day) -> pa.Table:
    return pa.table(
        {"review_id": review_ids(world, day), "ts": day.reviews.ts, "meant": day.reviews.meant, "stars": day.reviews.stars}
    )


def _views(world: World, day: Day) -> pa.Table:
    """One row a visit."""
    ids = pa.array([f"s{world.date(day.day)}-{i:05d}" for i in range(len(day.visits.length))], pa.string())
    return pa.table({"session": ids, "ts": day.visits.ts[:, 0], "robot": day.visits.robot.astype(np.int64)})


_INCIDENT = pa.schema([
    ("name", pa.string()), ("first_day", pa.int64()), ("days", pa.int64()), ("kind", pa.string()), ("field", pa.string()),
    ("category", pa.string()), ("size", pa.float64()), ("sentence", pa.string()),
])  # fmt: skip
