"""What does not change while the shop is open: its customers, cards, tills, items, and who buys what after what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipelines.core.clock import DAY, instant, iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Simulate

CATEGORIES = ("books", "kitchen", "toys", "sports", "beauty", "fashion", "electronics", "garden")
NEW_CATEGORY = "pets"
COUNTRIES = ("DE", "FR", "NL", "GB", "CN", "ES", "IT", "PL")
COUNTRY_SHARES = (0.34, 0.15, 0.12, 0.11, 0.10, 0.07, 0.06, 0.05)

ORDERS_PER_CUSTOMER = 0.46
"""A customer's orders a day, on average: most are regulars of the chain's tills."""
LINES = np.array([0.78, 0.15, 0.05, 0.02])
"""How often an order has 1, 2, 3, 4 lines."""
UNITS = np.array([0.82, 0.12, 0.04, 0.02])
"""How often a line has 1, 2, 3, 4 units."""
MEAN_LINES = float(LINES @ np.arange(1, 5))
MEAN_UNITS = float(UNITS @ np.arange(1, 5))

# Streams of randomness: one per subject and day, so that a day is the same whatever is simulated around it.
SUBJECTS = ("world", "level", "price", "orders", "fraud", "tills", "sessions", "reviews", "after")
STREAMS = {name: number for number, name in enumerate(SUBJECTS)}


@dataclass(frozen=True, eq=False)
class World:
    """A shop of the given size; arrays are indexed by item, customer or terminal."""

    size: Simulate
    seed: int

    def __post_init__(self) -> None:
        least = {"customers": 20, "items": 8, "sessions_per_day": 1, "days": 1}
        for name, wanted in least.items():
            if getattr(self.size, name) < wanted:
                raise ShelflifeError(f"shop.simulate.{name}: wanted at least {wanted}, got {getattr(self.size, name)}")
        try:
            midnight = self.start % DAY == 0
        except ValueError as error:
            raise ShelflifeError(f"shop.simulate.start: {error}") from None
        if not midnight:
            raise ShelflifeError(f"shop.simulate.start: wanted a day such as 2025-01-06, got {self.size.start!r}")

    @cached_property
    def start(self) -> int:
        """The first day's midnight, microseconds UTC."""
        return instant(self.size.start)

    def random(self, stream: str, *path: int) -> np.random.Generator:
        """The randomness of one subject at one place (a day, a week, a slot); the same whenever it is asked for."""
        return np.random.Generator(np.random.PCG64([self.seed, STREAMS[stream], *(number + 100_000 for number in path)]))

    def midnight(self, day: int) -> int:
        """When the day begins, microseconds UTC."""
        return self.start + day * DAY

    def date(self, day: int) -> str:
        """The day as YYYYMMDD, as ids write it."""
        return iso(self.midnight(day))[:10].replace("-", "")

    @cached_property
    def ranged(self) -> int:
        """How many items the shop has always had; those after them belong to the new category."""
        return self.size.items

    @cached_property
    def items(self) -> int:
        return self.ranged + max(4, self.ranged // 12)

    @cached_property
    def _item(self) -> dict[str, np.ndarray]:
        random = self.random("world", 0)
        n = self.items
        price = np.exp(random.normal(np.log(2200), 0.8, n)).clip(250, 45_000)
        popularity = np.exp(random.normal(0, 0.8, n))
        popularity /= popularity[: self.ranged].sum()
        return {
            "category": np.where(np.arange(n) < self.ranged, np.arange(n) % len(CATEGORIES), len(CATEGORIES)),
            "price": (price // 10 * 10 + 9).astype(np.int64),
            "rate": popularity * self.size.customers * ORDERS_PER_CUSTOMER * MEAN_LINES * MEAN_UNITS,
            "elasticity": random.uniform(-2.4, -0.8, n),
            "slack": np.exp(random.normal(np.log(1.5), 0.25, n)),
            "delivery": random.integers(0, 7, n),
            "quality": random.normal(0, 0.5, n),
        }

    @cached_property
    def category(self) -> np.ndarray:
        """Index of the item's category; the new category comes last."""
        return self._item["category"]

    @cached_property
    def price(self) -> np.ndarray:
        """List price in cents."""
        return self._item["price"]

    @cached_property
    def rate(self) -> np.ndarray:
        """Units wanted on an average day at the list price."""
        return self._item["rate"]

    @cached_property
    def elasticity(self) -> np.ndarray:
        return self._item["elasticity"]

    @cached_property
    def slack(self) -> np.ndarray:
        """A week's delivery, as a multiple of the week's expected demand: below 1 sells out."""
        return self._item["slack"]

    @cached_property
    def delivery(self) -> np.ndarray:
        """Day of the week on which the item's stock is filled up."""
        return self._item["delivery"]

    @cached_property
    def quality(self) -> np.ndarray:
        return self._item["quality"]

    @cached_property
    def follows(self) -> np.ndarray:
        """[items, 6]: what is looked at after the item, likeliest first. This is what co-views can learn.

        Half of it stays on the shelf; the new category keeps to itself.
        """
        random = self.random("world", 1)
        n = self.items
        anywhere = random.integers(0, self.ranged, (n, 6))
        shelf = (np.arange(n)[:, None] + len(CATEGORIES) * random.integers(1, 9, (n, 6))) % self.ranged
        chosen = np.where(random.random((n, 6)) < 0.5, shelf, anywhere)
        new = random.integers(self.ranged, n, (n, 6))
        return np.where(np.arange(n)[:, None] < self.ranged, chosen, new)

    @cached_property
    def _customer(self) -> dict[str, np.ndarray]:
        random = self.random("world", 2)
        n = self.size.customers
        activity = np.exp(random.normal(0, 0.6, n))
        return {
            "activity": np.cumsum(activity) / activity.sum(),
            "country": random.choice(len(COUNTRIES), n, p=COUNTRY_SHARES),
            "owl": random.random(n) < 0.06,
            "traveller": random.random(n) < 0.05,
            "chinese": random.random(n) < 0.4,
            "mood": random.normal(0, 0.4, n),
            "tills": random.integers(0, self.tills, (n, 2)),
        }

    def customer(self, what: str) -> np.ndarray:
        """A property of every customer: country, owl, traveller, chinese, mood, tills."""
        return self._customer[what]

    def buyers(self, random: np.random.Generator, n: int) -> np.ndarray:
        """n customers, the active ones more often."""
        return np.searchsorted(self._customer["activity"], random.random(n)).clip(0, self.size.customers - 1)

    @cached_property
    def tills(self) -> int:
        return max(4, self.size.customers // 20)

    @cached_property
    def web_pages(self) -> int:
        return max(2, self.size.customers // 400)

    @cached_property
    def item_names(self) -> pa.Array:
        return pa.array([f"i{i:05d}" for i in range(self.items)])

    @cached_property
    def category_names(self) -> pa.Array:
        return pa.array([*CATEGORIES, NEW_CATEGORY]).take(pa.array(self.category))

    @cached_property
    def customer_names(self) -> pa.Array:
        return pa.array([f"c{i:06d}" for i in range(self.size.customers)])

    @cached_property
    def card_names(self) -> pa.Array:
        return pa.array([f"card{i:06d}" for i in range(self.size.customers)])

    @cached_property
    def terminal_names(self) -> pa.Array:
        """Tills first, then the web shop's payment pages."""
        return pa.array([f"till{i:04d}" for i in range(self.tills)] + [f"web{i:03d}" for i in range(self.web_pages)])
