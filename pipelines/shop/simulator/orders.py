"""What the customers order on a day: who, when, where, and which items, before anybody asks whether the stock suffices."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from pipelines.core.clock import SECOND
from pipelines.shop.simulator.season import Shelf
from pipelines.shop.simulator.world import COUNTRIES, LINES, MEAN_LINES, MEAN_UNITS, UNITS, World

DEVICES = ("till", "mobile", "desktop", "tablet")
TILL, MOBILE, DESKTOP, TABLET = range(4)
WEB_SHARE = 0.35
DEVICE_SHARES = (0.0, 0.6, 0.3, 0.1)
"""Of the orders in the web shop."""
HOUR = 3600 * SECOND

OPEN = np.array([0] * 8 + [2, 4, 6, 7, 8, 7, 6, 6, 7, 9, 9, 7, 4, 2] + [0] * 2, float)
AWAKE = np.array([2, 1, 0.6, 0.5, 0.5, 0.8, 1.5, 3, 4, 5, 5, 5, 6, 5, 5, 5, 5, 6, 7, 9, 10, 9, 7, 4], float)
NIGHT = np.array([8, 8, 7, 6, 5, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 6, 8], float)
"""How busy each hour is: at the tills, in the web shop, and for those who shop at night."""


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders (one row each, by time) and their lines (`of` is the order's row). `scenario` is 0 for an honest order."""

    ts: np.ndarray
    customer: np.ndarray
    terminal: np.ndarray
    device: np.ndarray
    country: np.ndarray
    scenario: np.ndarray
    of: np.ndarray
    item: np.ndarray
    quantity: np.ndarray

    @property
    def n(self) -> int:
        return len(self.ts)


ROWS = ("ts", "customer", "terminal", "device", "country", "scenario")


def honest(world: World, day: int, shelf: Shelf) -> Orders:
    """The honest orders of a day; on average they want exactly `shelf.units` of each item."""
    random = world.random("orders", day)
    n = random.poisson(shelf.units.sum() / MEAN_LINES / MEAN_UNITS)
    return basket(world, random, shelf, habits(world, random, day, n))


def habits(world: World, random: np.random.Generator, day: int, n: int) -> dict[str, np.ndarray]:
    """When, where and from where n customers order as they always do."""
    customer = world.buyers(random, n)
    web = random.random(n) < WEB_SHARE
    owl = world.customer("owl")[customer] & web
    hour = np.where(web, _hours(random, AWAKE, n), _hours(random, OPEN, n))
    hour = np.where(owl, _hours(random, NIGHT, n), hour)
    favourite = world.customer("tills")[customer, random.integers(0, 2, n)]
    till = np.where(random.random(n) < 0.85, favourite, random.integers(0, world.tills, n))
    page = world.tills + random.integers(0, world.web_pages, n)
    abroad = random.random(n) < np.where(world.customer("traveller")[customer], 0.2, 0.005)
    elsewhere = random.integers(0, len(COUNTRIES), n)
    return {
        "ts": world.midnight(day) + (hour * HOUR).astype(np.int64),
        "customer": customer,
        "terminal": np.where(web, page, till),
        "device": np.where(web, random.choice(4, n, p=DEVICE_SHARES), TILL),
        "country": np.where(abroad, elsewhere, world.customer("country")[customer]),
        "scenario": np.zeros(n, np.int64),
    }


def basket(world: World, random: np.random.Generator, shelf: Shelf, rows: dict[str, np.ndarray]) -> Orders:
    """Orders of these customers, filled as the day's demand has it."""
    n = len(rows["ts"])
    lines = random.choice(4, n, p=LINES) + 1
    of = np.repeat(np.arange(n), lines)
    cumulative = np.cumsum(shelf.units)
    item = np.searchsorted(cumulative / cumulative[-1], random.random(len(of)), side="right").clip(0, world.items - 1)
    return Orders(**rows, of=of, item=item, quantity=random.choice(4, len(of), p=UNITS) + 1)


def single(random: np.random.Generator, shelf: Shelf, rows: dict[str, np.ndarray], cents: np.ndarray) -> Orders:
    """Orders of one unit each, of an item whose price is near the wanted amount."""
    listed = np.flatnonzero(shelf.listed)
    by_price = listed[np.argsort(shelf.price[listed], kind="stable")]
    near = np.searchsorted(shelf.price[by_price], cents) + random.integers(-2, 3, len(cents))
    item = by_price[near.clip(0, len(by_price) - 1)]
    return Orders(**rows, of=np.arange(len(cents)), item=item, quantity=np.ones(len(cents), np.int64))


def together(parts: list[Orders]) -> Orders:
    """All the orders, by time; equal times keep the order of the parts."""
    starts = np.cumsum([0, *(part.n for part in parts)])
    parts = [replace(part, of=part.of + start) for part, start in zip(parts, starts, strict=False)]
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Orders)}
    return sorted_by_time(Orders(**joined))


def sorted_by_time(orders: Orders) -> Orders:
    """Orders by time, their lines by order."""
    turn = np.argsort(orders.ts, kind="stable")
    rank = np.empty(orders.n, np.int64)
    rank[turn] = np.arange(orders.n)
    lines = np.argsort(rank[orders.of], kind="stable")
    rows = {name: getattr(orders, name)[turn] for name in ROWS}
    return Orders(**rows, of=rank[orders.of][lines], item=orders.item[lines], quantity=orders.quantity[lines])


def delivered(orders: Orders, on_hand: np.ndarray) -> Orders:
    """What the stock allows, first come first served: lines are cut to what is left, empty lines and orders vanish."""
    turn = np.lexsort((np.arange(len(orders.of)), orders.item))
    item, quantity = orders.item[turn], orders.quantity[turn]
    before = np.cumsum(quantity) - quantity
    first = np.searchsorted(item, item)
    left = on_hand[item] - (before - before[first])
    given = np.empty_like(quantity)
    given[turn] = np.clip(left, 0, quantity)
    kept = given > 0
    filled = np.zeros(orders.n, bool)
    filled[orders.of[kept]] = True
    rank = np.cumsum(filled) - 1
    rows = {name: getattr(orders, name)[filled] for name in ROWS}
    return Orders(**rows, of=rank[orders.of[kept]], item=orders.item[kept], quantity=given[kept])


def _hours(random: np.random.Generator, profile: np.ndarray, n: int) -> np.ndarray:
    """n times of day in hours, as the profile has it."""
    return random.choice(24, n, p=profile / profile.sum()) + random.random(n)
