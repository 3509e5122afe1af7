"""The benchmark's shop: half a year of it with scripted incidents drawn from the seed, what came in, and what was true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.core.clock import DAY
from pipelines.core.params import Simulate
from pipelines.shop import incidents as happen
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.incidents import Incident
from pipelines.shop.rows import split
from pipelines.shop.simulator.faults import FAULTS, faulty
from pipelines.shop.simulator.feeds import LATEST, amounts, feeds, payment_ids
from pipelines.shop.simulator.history import Day, History
from pipelines.shop.simulator.world import CATEGORIES, World
from pipelines.shop.tables import in_arrived_order

KINDS = ("payment", "chargeback", "purchase", "refund", "listing", "view_item", "add_to_cart")
"""What the use cases of the benchmark read."""
START = "2025-01-06"
"""A Monday."""


@dataclass(frozen=True)
class Setting:
    """How large the shop is, how many days of history the first model has, how many of them train and judge a model of fraud (one
    of demand is trained and judged as `params.yaml` says), and for how many weeks the policies are watched."""

    customers: int = 900
    items: int = 96
    sessions: int = 60
    history: int = 98
    train: int = 42
    holdout: int = 14
    weeks: int = 26

    @property
    def last(self) -> int:
        """The first day that is not simulated: the last week's labels have a week to come in."""
        return self.history + 7 * self.weeks + LATEST + 7


def schedule(seed: int, setting: Setting) -> tuple[Incident, ...]:
    """What happens to the shop of this seed, and when: the same for every policy. Days are counted from the first simulated one."""
    random = np.random.default_rng([seed, 20250106])
    first, length = setting.history, 7 * setting.weeks

    def day(low: float, high: float) -> int:
        """A day between two shares of the watched time."""
        return first + int(random.integers(int(low * length), max(int(high * length), int(low * length) + 1)))

    shelves = random.permutation(CATEGORIES).tolist()
    change = day(0.12, 0.3)
    over = change + int(random.integers(int(0.3 * length), int(0.42 * length)))
    response = day(0.15, 0.4)
    return (
        happen.concept_change(change, over - change, share=round(random.uniform(0.7, 1.0), 2)),
        happen.price_response(response, int(0.45 * length), factor=round(random.uniform(1.8, 2.4), 2)),
        happen.level_shift(day(0.1, 0.6), int(0.25 * length), category=shelves[0], factor=float(random.choice([0.5, 1.8]))),
        *(happen.promotion_week(day(0.05, 0.95) // 7 * 7, category=shelf) for shelf in shelves[1:4]),
        happen.new_category(day(0.2, 0.6)),
        happen.bot_attack(day(0.1, 0.9), int(random.integers(2, 5)), factor=3.0),
        happen.unit_bug(day(0.1, 0.9), int(random.integers(1, 3))),
        happen.unit_bug(day(0.1, 0.9), kind="purchase", field="quantity", factor=10),
        happen.null_column(day(0.1, 0.9), int(random.integers(1, 3)), field="device"),
        happen.null_column(day(0.1, 0.9), int(random.integers(1, 3)), kind="listing", field="on_hand"),
        happen.late_partition(day(0.1, 0.9), int(random.integers(1, 3)), delay=3),
        happen.label_outage(day(0.1, 0.9), int(random.integers(7, 12))),
    )


@dataclass(frozen=True, eq=False)
class Truth:
    """What nobody in the shop can know: of each payment its fraud (0, 1) and cents, by id; of each day and item what sold and at
    what price in cents."""

    payment: np.ndarray
    fraud: np.ndarray
    cents: np.ndarray
    sold: np.ndarray
    price: np.ndarray

    def of_payments(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each payment was a fraud, and its true amount in cents."""
        at = np.searchsorted(self.payment, ids.astype(str))
        return self.fraud[at], self.cents[at]

    def of_listings(self, days: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units that sold in the week from each day on, and the true price in cents."""
        total = np.vstack([np.zeros(self.sold.shape[1]), np.cumsum(self.sold, axis=0)])
        return total[days + 7, items] - total[days, items], self.price[days, items]


@dataclass(frozen=True, eq=False)
class Shop:
    """A simulated shop: its events as they came in (only those that keep their contract, in the order of arrival), when a row of
    each kind was refused (microseconds UTC), and the truth."""

    setting: Setting
    seed: int
    incidents: tuple[Incident, ...]
    start: int
    tables: Mapping[str, pa.Table]
    refused: Mapping[str, np.ndarray]
    truth: Truth

    def midnight(self, day: int) -> int:
        return self.start + day * DAY

    @cached_property
    def arrived(self) -> Mapping[str, np.ndarray]:
        """When each row of each kind arrived, in order."""
        return {kind: table["arrived"].to_numpy() for kind, table in self.tables.items()}


def simulated(setting: Setting, seed: int) -> Shop:
    """The shop of this seed, its days simulated once."""
    size = Simulate(START, setting.last, setting.customers, setting.items, setting.sessions)
    incidents = schedule(seed, setting)
    world = World(size, seed)
    history = History(world, incidents)
    parts: dict[str, list[pa.Table]] = {kind: [] for kind in KINDS}
    refused: dict[str, list[int]] = {kind: [] for kind in KINDS}
    truth = []
    for number in range(-LATEST, setting.last):
        today = history.day(number)
        made = feeds(world, today, incidents)
        for kind in KINDS:
            good, broken = _received(world, kind, made[kind], incidents)
            parts[kind].append(good)
            refused[kind] += broken
        truth.append((payment_ids(world, today), today, amounts(today)))
    tables = {kind: in_arrived_order(pa.concat_tables(found)).combine_chunks() for kind, found in parts.items()}
    times = {kind: np.sort(np.array(found, np.int64)) for kind, found in refused.items()}
    return Shop(setting, seed, incidents, world.start, tables, times, _truth(world, truth, setting.last))


def _received(world: World, kind: str, events: pa.Table, incidents: tuple[Incident, ...]) -> tuple[pa.Table, list[int]]:
    """The feed's events as they come in and keep their contract, and when the others came."""
    mine = tuple(i for i in incidents if i.name in FAULTS and i.kind == kind)
    if not mine:
        return events, []
    good, broken = split(CONTRACTS[kind], faulty(world, kind, events, mine))
    return good, [row.raw["arrived"] for row in broken]


def _truth(world: World, days: list[tuple[Any, Day, np.ndarray]], last: int) -> Truth:
    ids = np.concatenate([np.asarray(names.to_pylist(), dtype=str) for names, _, _ in days])
    order = np.argsort(ids)
    fraud = np.concatenate([(today.orders.scenario > 0).astype(float) for _, today, _ in days])
    cents = np.concatenate([np.minimum(paid, 500_000).astype(float) for _, _, paid in days])
    sold, price = np.zeros((last + LATEST, world.items)), np.zeros((last + LATEST, world.items))
    for _, today, _ in days:
        day = (today.orders.ts[today.orders.of] - world.start) // DAY
        inside = (day >= 0) & (day < last)
        np.add.at(sold, (day[inside], today.orders.item[inside]), today.orders.quantity[inside])
        if today.day >= 0:
            price[today.day] = today.shelf.price
    return Truth(ids[order], fraud[order], cents[order], sold, price)
