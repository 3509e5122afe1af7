"""The shop's past, one day at a time: each day follows from the seed and at most a week before it, whatever was asked first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.fraud import attacks
from pipelines.shop.simulator.orders import Orders, delivered, honest, together
from pipelines.shop.simulator.reviews import Reviews, reviews
from pipelines.shop.simulator.season import WEEK, Shelf, shelf, weekday
from pipelines.shop.simulator.sessions import Visits, visits
from pipelines.shop.simulator.world import World

T = TypeVar("T")
KEPT = 16
"""Days that are remembered: a week of stock and some more."""


@dataclass(frozen=True, eq=False)
class Day:
    """All that happened on a day, before anything was sent anywhere."""

    day: int
    shelf: Shelf
    on_hand: np.ndarray
    wanted: Orders
    orders: Orders
    visits: Visits
    reviews: Reviews


class History:
    """Days of a simulated shop, computed when asked for and remembered for a while."""

    def __init__(self, world: World, incidents: Sequence[Incident]) -> None:
        self.world = world
        self.incidents = tuple(incidents)
        self._shelves: dict[int, Shelf] = {}
        self._wanted: dict[int, Orders] = {}

    def day(self, day: int) -> Day:
        """All of one day."""
        on_hand = self.on_hand(day)
        orders = delivered(self.wanted(day), on_hand)
        seen = visits(self.world, day, self.shelf(day), orders, self.incidents)
        return Day(day, self.shelf(day), on_hand, self.wanted(day), orders, seen, reviews(self.world, day, orders))

    def shelf(self, day: int) -> Shelf:
        return _remember(self._shelves, day, lambda: shelf(self.world, day, self.incidents))

    def wanted(self, day: int) -> Orders:
        """What honest customers and fraudsters want on the day."""
        return _remember(self._wanted, day, lambda: self._want(day))

    def _want(self, day: int) -> Orders:
        items = self.shelf(day)
        return together([honest(self.world, day, items), *attacks(self.world, day, items, self.incidents)])

    def on_hand(self, day: int) -> np.ndarray:
        """Each item's stock when the day begins: filled up on its delivery day, less all that was wanted since."""
        since = (day - self.world.delivery) % 7
        stock = np.zeros(self.world.items, np.int64)
        for ago in range(7):
            due = since == ago
            stock[due] = self._filled(day - ago)[due]
            for before in range(1, ago + 1):
                stock[due] -= self._units(day - before)[due]
        return stock.clip(0)

    def _filled(self, day: int) -> np.ndarray:
        """The stock after a delivery: the coming week as it is expected now, with the item's slack."""
        week = self.shelf(day).units / WEEK[weekday(self.world, day)] * 7
        return np.ceil(week * self.world.slack).astype(np.int64)

    def _units(self, day: int) -> np.ndarray:
        orders = self.wanted(day)
        return np.bincount(orders.item, orders.quantity, self.world.items).astype(np.int64)


def _remember(known: dict[int, T], day: int, make: Callable[[], T]) -> T:
    if day not in known:
        known[day] = make()
        for old in [d for d in known if d < day - KEPT]:
            del known[old]
    return known[day]
