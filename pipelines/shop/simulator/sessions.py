"""Visits of the web shop: what is viewed after what, carts, searches, and the robots of an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.core.clock import SECOND
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.orders import AWAKE, HOUR, Orders
from pipelines.shop.simulator.season import Shelf, activity
from pipelines.shop.simulator.world import CATEGORIES, World

LONGEST = 30
CHAIN, AGAIN, SIMILAR = 0.50, 0.15, 0.15
"""How the next item is found: by what follows the last one, by going back, on the same shelf; else by popularity."""
FOLLOWING = np.cumsum([0.36, 0.24, 0.16, 0.12, 0.08, 0.04])
BUYING = 0.3
"""Share of the visits that end with an order."""
TRAIL = 50


@dataclass(frozen=True, eq=False)
class Visits:
    """Visits (rows) and their views: `items` is [visits, LONGEST], `ts` likewise, `length` how many of them are views.

    `customer` is -1 for a guest, `robot` marks an attack's visits, `order` is the row of the order it ends with, or -1.
    """

    items: np.ndarray
    ts: np.ndarray
    length: np.ndarray
    customer: np.ndarray
    robot: np.ndarray
    order: np.ndarray


def visits(world: World, day: int, shelf: Shelf, orders: Orders, incidents: Sequence[Incident]) -> Visits:
    """The day's visits. Some end with one of the day's honest web orders: its first item is what they view last."""
    random = world.random("sessions", day)
    n = random.poisson(world.size.sessions_per_day * activity(world, day))
    ends = _ends(world, random, orders, n)
    length = (1 + random.geometric(0.28, n)).clip(2, LONGEST)
    items = _walk(world, random, shelf, n)
    buys = ends >= 0
    first = orders.item[np.searchsorted(orders.of, ends.clip(0))] if orders.n else np.zeros(n, np.int64)
    items[buys, length[buys] - 1] = first[buys]
    gaps = (random.exponential(45, (n, LONGEST)) + 3) * SECOND
    clock = np.cumsum(gaps.astype(np.int64), axis=1)
    begin = world.midnight(day) + (random.choice(24, n, p=AWAKE / AWAKE.sum()) + random.random(n)) * HOUR
    begin = begin.astype(np.int64)
    end = clock[np.arange(n), length - 1]
    begin[buys] = (orders.ts[ends[buys]] - end[buys]) - 90 * SECOND
    # A day's visits begin on the day: what lies before it has been sent already.
    begin = begin.clip(world.midnight(day) + 60 * SECOND)
    customer = np.where(random.random(n) < 0.7, world.buyers(random, n), -1)
    customer[buys] = orders.customer[ends[buys]]
    people = Visits(items, begin[:, None] + clock, length, customer, np.zeros(n, bool), ends)
    return _with_robots(world, day, shelf, people, incidents)


def _ends(world: World, random: np.random.Generator, orders: Orders, n: int) -> np.ndarray:
    """For each of n visits the row of the honest web order it ends with, or -1; no order ends two visits."""
    web = np.flatnonzero((orders.terminal >= world.tills) & (orders.scenario == 0))
    chosen = random.permutation(web)[: int(n * BUYING)]
    ends = np.full(n, -1)
    ends[: len(chosen)] = chosen
    return random.permutation(ends)


def _walk(world: World, random: np.random.Generator, shelf: Shelf, n: int) -> np.ndarray:
    """[n, LONGEST] items: a walk from view to view, for everybody at once."""
    popular = np.cumsum(shelf.units) / shelf.units.sum()
    items = np.zeros((n, LONGEST), np.int64)
    items[:, 0] = np.searchsorted(popular, random.random(n)).clip(0, world.items - 1)
    for step in range(1, LONGEST):
        last, how = items[:, step - 1], random.random(n)
        chain = world.follows[last, np.searchsorted(FOLLOWING, random.random(n)).clip(0, 5)]
        again = items[np.arange(n), random.integers(0, step, n)]
        similar = _same_shelf(world, last, random.random(n))
        anything = np.searchsorted(popular, random.random(n)).clip(0, world.items - 1)
        items[:, step] = np.select(
            [how < CHAIN, how < CHAIN + AGAIN, how < CHAIN + AGAIN + SIMILAR], [chain, again, similar], anything
        )
    return items


def _same_shelf(world: World, last: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Another item of the same category, all alike."""
    step = len(CATEGORIES)
    size = (world.ranged - last % step + step - 1) // step
    same = last % step + step * (draw * size).astype(np.int64)
    return np.where(last < world.ranged, same.clip(0, world.ranged - 1), last)


def _with_robots(world: World, day: int, shelf: Shelf, people: Visits, incidents: Sequence[Incident]) -> Visits:
    """The visits of an attack beside those of people: long, quick, along the catalogue."""
    factor = sum(i.size for i in incidents if i.name == "bot_attack" and i.covers(day))
    n = int(factor * people.length.sum() / LONGEST)
    if not n:
        return people
    random = world.random("sessions", day, 1)
    listed = np.flatnonzero(shelf.listed)
    items = listed[(random.integers(0, len(listed), n)[:, None] + np.arange(LONGEST)) % len(listed)]
    begin = world.midnight(day) + (random.uniform(2, 22, n) * HOUR).astype(np.int64)
    ts = begin[:, None] + np.arange(LONGEST) * SECOND // 2
    none, length = np.full(n, -1), np.full(n, LONGEST)
    robots = Visits(items, ts, length, none, np.ones(n, bool), none)
    return Visits(*(np.concatenate([getattr(people, name), getattr(robots, name)]) for name in Visits.__dataclass_fields__))
