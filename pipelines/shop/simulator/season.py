"""What the customers want to buy on a day, and at what price: week, year, price, promotion and taste in one expectation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from pipelines.core.clock import SECOND
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.world import CATEGORIES, NEW_CATEGORY, World

WEEK = np.array([0.92, 0.90, 0.93, 1.00, 1.15, 1.20, 0.90])
"""Monday to Sunday."""
STEPS = np.array([1.0, 1.0, 1.0, 0.9, 0.95, 1.05, 1.1])
"""Prices move between these multiples of the list price, every four weeks."""
PROMOTED = 0.08
"""Share of the items in promotion in an ordinary week."""
DISCOUNT = 0.2
LIFT = 1.5
"""How much more is sold because a promotion is seen, beside what its price does."""
RESTLESSNESS = 0.18
"""How far, in logarithms, an item's demand wanders from its average over weeks."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """How the items stand on a day: `units` expected to be wanted, `price` in cents, `promoted`, and what is `listed` at all."""

    units: np.ndarray
    price: np.ndarray
    promoted: np.ndarray
    listed: np.ndarray


def weekday(world: World, day: int) -> int:
    """0 is Monday."""
    return int((world.midnight(day) // (86_400 * SECOND) + 3) % 7)


def year(world: World, day: int) -> np.ndarray:
    """The yearly season of each item: everything sells better before Christmas, each category has its own high season."""
    date = datetime.fromtimestamp(world.midnight(day) // SECOND, UTC)
    phase = 2 * np.pi * (date.timetuple().tm_yday - 345) / 365.25
    own = 2 * np.pi * world.category / (len(CATEGORIES) + 1)
    return (1 + 0.10 * np.cos(phase)) * (1 + 0.15 * np.cos(phase + own))


def activity(world: World, day: int) -> float:
    """How busy the shop is on the day, about 1 on average: the week times the year."""
    return float(WEEK[weekday(world, day)] * year(world, day)[: world.ranged].mean())


def shelf(world: World, day: int, incidents: Sequence[Incident]) -> Shelf:
    """The day's expectation, from nothing but the seed, the day and the incidents: no day depends on another."""
    now = [incident for incident in incidents if incident.covers(day)]
    listed = np.arange(world.items) < world.ranged
    if any(incident.name == "new_category" for incident in now):
        listed = np.ones(world.items, bool)
    step = _price_step(world, day)
    promoted = _promoted(world, day)
    discount = np.where(promoted, DISCOUNT, 0.0)
    for incident in now:
        if incident.name == "promotion_week":
            hit = world.category == _index(incident.category)
            promoted, discount = promoted | hit, np.where(hit, incident.size, discount)
    relative = step * (1 - discount)
    response = np.prod([incident.size for incident in now if incident.name == "price_response"])
    units = world.rate * WEEK[weekday(world, day)] * year(world, day) * _level(world, day)
    units = units * (relative**world.elasticity * np.where(promoted, LIFT, 1.0)) ** response * listed
    for incident in now:
        if incident.name == "level_shift":
            units = units * np.where(world.category == _index(incident.category), incident.size, 1.0)
    return Shelf(units, np.round(world.price * relative).astype(np.int64), promoted, listed)


def _index(category: str) -> int:
    names = (*CATEGORIES, NEW_CATEGORY)
    return names.index(category) if category in names else -1


def _level(world: World, day: int) -> np.ndarray:
    """The item's slow wandering: interpolated between fortnightly draws, with the same spread on every day."""
    knot, part = divmod(day, 14)
    part /= 14
    before, after = (world.random("level", k).normal(0, 1, world.items) for k in (knot, knot + 1))
    return np.exp(RESTLESSNESS * ((1 - part) * before + part * after) / np.hypot(1 - part, part))


def _price_step(world: World, day: int) -> np.ndarray:
    """Each item's price changes every four weeks, a quarter of the items each Monday."""
    week = day // 7
    turn = np.arange(world.items) % 4
    draws = np.stack([world.random("price", (week - k) // 4, k).integers(0, len(STEPS), world.items) for k in range(4)])
    return STEPS[draws[turn, np.arange(world.items)]]


def _promoted(world: World, day: int) -> np.ndarray:
    """Promotions run for a week, from day 0 of the simulation on."""
    return world.random("price", day // 7, 99).random(world.items) < PROMOTED
