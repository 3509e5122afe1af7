"""How the fraudsters work: four patterns that honest payments mostly do not show, and two more after a concept change.

What gives them away, so that a use case can be declared on it: payments at a till that had chargebacks and are dear;
several payments of one card within hours, from abroad, in the web shop; a middling amount on a tablet or phone in the small
hours. After a concept change: middling amounts from a desktop at lunchtime in two countries; a drip of very small payments.
One in ten looks like any other payment: nobody can find those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.core.clock import DAY
from pipelines.shop.incidents import Incident
from pipelines.shop.simulator.orders import DESKTOP, HOUR, MOBILE, TABLET, TILL, Orders, basket, habits, single
from pipelines.shop.simulator.season import Shelf, activity
from pipelines.shop.simulator.world import COUNTRIES, World

SCENARIOS = ("honest", "till", "card", "night", "hidden", "lunch", "drip")
"""Who made a payment, as the truth calls it."""
HONEST, AT_TILL, STOLEN_CARD, AT_NIGHT, HIDDEN, AT_LUNCH, DRIP = range(7)
RATES = {AT_TILL: 6.0, STOLEN_CARD: 1.2, AT_NIGHT: 3.2, HIDDEN: 1.5, AT_LUNCH: 10.5, DRIP: 0.6}
"""Frauds a day per 3,000 customers; of stolen cards and drips, cards a day."""
EPISODE = 14
"""Days for which a till stays compromised."""


def attacks(world: World, day: int, shelf: Shelf, incidents: Sequence[Incident]) -> list[Orders]:
    """The day's fraudulent orders, one part per scenario. A stolen card's later payments may fall on the next days."""
    changed = max((i.size for i in incidents if i.name == "concept_change" and i.covers(day)), default=0.0)
    busy = activity(world, day) * world.size.customers / 3000
    old, new = (1 - changed) * busy, changed * busy
    return [
        _till(world, day, shelf, old * RATES[AT_TILL]),
        _cards(world, day, shelf, old * RATES[STOLEN_CARD]),
        _night(world, day, shelf, old * RATES[AT_NIGHT]),
        _hidden(world, day, shelf, busy * RATES[HIDDEN]),
        _lunch(world, day, shelf, new * RATES[AT_LUNCH]),
        _drip(world, day, shelf, new * RATES[DRIP]),
    ]


def _till(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """Some tills are compromised, each for a fortnight: copied cards pay dear things there in opening hours."""
    random = world.random("fraud", day, AT_TILL)
    slots = max(1, round(world.size.customers / 1000))
    bad = np.array([_compromised(world, day, slot, slots) for slot in range(slots)])
    n = random.poisson(mean)
    rows = _rows(world, random, n, AT_TILL)
    rows |= {
        "ts": _between(world, random, day, n, 9, 21),
        "terminal": bad[random.integers(0, slots, n)],
        "device": np.full(n, TILL),
    }
    return single(random, shelf, rows, _amounts(random, n, 13_000, 0.45))


def _compromised(world: World, day: int, slot: int, slots: int) -> int:
    """The till of a slot; the slots change hands on different days, so that the number of bad tills never moves."""
    episode = (day + slot * EPISODE // slots) // EPISODE
    return int(world.random("tills", slot, episode).integers(0, world.tills))


def _cards(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """A stolen card tries something small, then pays several dear things within hours, often from abroad."""
    random = world.random("fraud", day, STOLEN_CARD)
    cards = random.poisson(mean)
    times = random.integers(3, 7, cards)
    of = np.repeat(np.arange(cards), times)
    n = len(of)
    turn = np.arange(n) - np.repeat(np.cumsum(times) - times, times)
    rows = _rows(world, random, n, STOLEN_CARD, of)
    gap = np.where(turn == 0, 0, random.exponential(0.6, n))
    hours = np.cumsum(gap) - np.cumsum(gap)[np.searchsorted(of, of)] + random.uniform(0, 24, cards)[of]
    abroad = (random.random(cards) < 0.65)[of]
    rows |= {
        "ts": world.midnight(day) + (hours * HOUR).astype(np.int64),
        "terminal": world.tills + random.integers(0, world.web_pages, n),
        "device": np.where(random.random(n) < 0.5, MOBILE, DESKTOP),
        "country": np.where(abroad, random.integers(0, len(COUNTRIES), cards)[of], rows["country"]),
    }
    cents = np.where(turn == 0, _amounts(random, n, 900, 0.3), _amounts(random, n, 9_000, 0.5))
    return single(random, shelf, rows, cents)


def _night(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """Middling amounts in the small hours, on a tablet or a phone."""
    random = world.random("fraud", day, AT_NIGHT)
    n = random.poisson(mean)
    rows = _rows(world, random, n, AT_NIGHT)
    rows |= {"ts": _between(world, random, day, n, 1, 5), "device": np.where(random.random(n) < 0.7, TABLET, MOBILE)}
    return single(random, shelf, rows, random.uniform(5_500, 13_000, n))


def _hidden(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """Fraud that looks like anybody's order."""
    random = world.random("fraud", day, HIDDEN)
    n = random.poisson(mean)
    return basket(world, random, shelf, habits(world, random, day, n) | {"scenario": np.full(n, HIDDEN)})


def _lunch(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """The new way: middling amounts from a desktop at lunchtime, in two countries."""
    random = world.random("fraud", day, AT_LUNCH)
    n = random.poisson(mean)
    rows = _rows(world, random, n, AT_LUNCH)
    where = np.array([COUNTRIES.index("IT"), COUNTRIES.index("PL")])
    rows |= {
        "ts": _between(world, random, day, n, 11, 15),
        "device": np.full(n, DESKTOP),
        "country": where[random.integers(0, 2, n)],
    }
    return single(random, shelf, rows, random.uniform(4_000, 11_000, n))


def _drip(world: World, day: int, shelf: Shelf, mean: float) -> Orders:
    """The new way with a stolen card: four very small payments over a day and a half."""
    random = world.random("fraud", day, DRIP)
    cards = random.poisson(mean)
    of = np.repeat(np.arange(cards), 4)
    n = len(of)
    rows = _rows(world, random, n, DRIP, of)
    rows |= {"ts": world.midnight(day) + (random.uniform(0, 36, n) * HOUR).astype(np.int64), "device": np.full(n, MOBILE)}
    return single(random, shelf, rows, _amounts(random, n, 700, 0.3))


def _rows(
    world: World, random: np.random.Generator, n: int, scenario: int, of: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """n frauds on the cards of victims (one per value of `of`), in the web shop, seemingly from their own country."""
    victim = random.integers(0, world.size.customers, n)
    if of is not None:
        victim = victim[np.searchsorted(of, of)]
    page = world.tills + random.integers(0, world.web_pages, n)
    return {
        "ts": np.zeros(n, np.int64), "customer": victim, "terminal": page, "device": np.full(n, MOBILE),
        "country": world.customer("country")[victim], "scenario": np.full(n, scenario),
    }  # fmt: skip


def _between(world: World, random: np.random.Generator, day: int, n: int, first: float, last: float) -> np.ndarray:
    """n times of the day between two hours."""
    return world.midnight(day) + (random.uniform(first, last, n) * HOUR).astype(np.int64) % DAY


def _amounts(random: np.random.Generator, n: int, cents: float, spread: float) -> np.ndarray:
    """n amounts around a median, log-normal."""
    return np.exp(random.normal(np.log(cents), spread, n))
