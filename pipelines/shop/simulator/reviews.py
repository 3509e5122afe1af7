"""What customers write about what they bought, and the stars they give, often hours later."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from pipelines.shop.simulator.orders import HOUR, Orders
from pipelines.shop.simulator.phrases import BY_LANGUAGE, Phrases
from pipelines.shop.simulator.world import World

SHARE = 0.03
"""Of the honest orders that are reviewed."""
SILENT = 0.03
"""Of the reviews that never get stars."""
SLIPS = 0.04
"""Of the stars that have nothing to do with the text."""
STARS = np.cumsum([0.14, 0.10, 0.14, 0.24])
"""How often an average item gets 1, 2, 3, 4 stars or fewer."""
GOOD = (0.07, 0.20, 0.46, 0.82, 0.95)
"""How likely a clause of a review with 1 to 5 stars is praise."""
DENIED = 0.22
"""Of the clauses that say it by denying the opposite."""


@dataclass(frozen=True, eq=False)
class Reviews:
    """Reviews of the day's orders. `rated` is when the stars come, 0 where they never do; `meant` is what was felt in stars."""

    order: np.ndarray
    item: np.ndarray
    ts: np.ndarray
    rated: np.ndarray
    meant: np.ndarray
    stars: np.ndarray
    chinese: np.ndarray
    text: list[str]


def reviews(world: World, day: int, orders: Orders) -> Reviews:
    """Reviews of the day's honest orders, written within three days of them and rated within two days more."""
    random = world.random("reviews", day)
    order = np.flatnonzero((random.random(orders.n) < SHARE) & (orders.scenario == 0))
    n = len(order)
    item = orders.item[np.searchsorted(orders.of, order)]
    customer = orders.customer[order]
    feeling = world.quality[item] + world.customer("mood")[customer] + random.normal(0, 0.8, n)
    meant = 1 + np.searchsorted(STARS, _share_below(feeling / np.hypot(np.hypot(0.5, 0.4), 0.8)))
    stars = np.where(random.random(n) < SLIPS, random.integers(1, 6, n), meant)
    ts = orders.ts[order] + (random.uniform(6, 72, n) * HOUR).astype(np.int64)
    later = np.minimum(random.exponential(8, n) + 0.2, 44)
    rated = np.where(random.random(n) < SILENT, 0, ts + (later * HOUR).astype(np.int64))
    chinese = world.customer("chinese")[customer]
    text = [write(random, int(felt), BY_LANGUAGE["zh" if zh else "en"]) for felt, zh in zip(meant, chinese, strict=True)]
    return Reviews(order, item, ts, rated, meant, stars, chinese, text)


def write(random: np.random.Generator, meant: int, phrases: Phrases) -> str:
    """A review that means so many stars: two to four clauses, some of them beside the point."""
    clauses: list[tuple[int, str]] = []
    for subject in random.permutation(len(phrases.praise))[: random.integers(2, 5)]:
        if random.random() < 0.2:
            clauses.append((0, _one(random, phrases.fill)))
        else:
            good = random.random() < GOOD[meant - 1]
            clauses.append((1 if good else -1, _clause(random, int(subject), good, phrases)))
    if meant in (1, 5) and random.random() < 0.3:
        clauses.append((meant - 3, _one(random, phrases.glad if meant == 5 else phrases.cross)))
    text = clauses[0][1]
    for (before, _), (after, clause) in itertools.pairwise(clauses):
        joint = _one(random, phrases.turn if before * after < 0 else phrases.more)
        text += joint + (clause[0].upper() + clause[1:] if joint == ". " else clause)
    return text[0].upper() + text[1:] + phrases.stop


def _clause(random: np.random.Generator, subject: int, good: bool, phrases: Phrases) -> str:
    """One clause of praise or blame of a subject, straight or by denying the opposite."""
    denied = random.random() < DENIED
    pairs = phrases.praise if good != denied else phrases.blame
    patterns = phrases.says if not denied else (phrases.not_blame if good else phrases.not_praise)
    return _one(random, patterns).format(*pairs[subject])


def _one(random: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(random.integers(0, len(choices)))]


def _share_below(z: np.ndarray) -> np.ndarray:
    """The share of a normal distribution below z (Abramowitz and Stegun 1964, 26.2.17; error below 1e-7)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    tail = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    tail = tail * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    return np.where(z > 0, 1 - tail, tail)
