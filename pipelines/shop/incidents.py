"""What can go wrong, or just change, in the simulated shop: small values that say themselves in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS, SIMULATED

LONGEST_DELAY = 30
"""Days that a feed may be held back at most: the simulator looks back no further."""


@dataclass(frozen=True)
class Incident:
    """One thing that happens to the shop on `days` days from `first_day` on (0 is the first simulated day).

    `kind` and `field` name the feed and the column that is hit, `category` the shelf; `size` is how much (a factor, a share,
    a number of days: each maker below says which). Use the makers: they know what fits together.
    """

    name: str
    first_day: int
    days: int
    kind: str = ""
    field: str = ""
    category: str = ""
    size: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in SENTENCES:
            raise ShelflifeError(f"there is no incident {self.name!a}; there are {', '.join(sorted(SENTENCES))}")
        if self.first_day < 0 or self.days < 1:
            raise ShelflifeError(
                f"{self.name}: wanted a first day of 0 or later and 1 day or more, got {self.first_day} and {self.days}"
            )
        if self.kind and self.kind not in SIMULATED:
            raise ShelflifeError(f"{self.name}: wanted a feed of {', '.join(SIMULATED)}, got {self.kind!a}")
        if self.field and self.field not in {field.name for field in CONTRACTS[self.kind].fields}:
            raise ShelflifeError(f"{self.name}: {self.kind} has no field {self.field!a}")
        if self.held_back > LONGEST_DELAY:
            raise ShelflifeError(f"{self.name}: wanted a delay of at most {LONGEST_DELAY} days, got {self.held_back}")

    @property
    def until(self) -> int:
        """The first day on which it is over."""
        return self.first_day + self.days

    @property
    def held_back(self) -> int:
        """How many days later than usual an event may arrive because of it."""
        return {"late_partition": int(self.size), "label_outage": self.days}.get(self.name, 0)

    def covers(self, day: int) -> bool:
        return self.first_day <= day < self.until

    def __str__(self) -> str:
        when = f"day {self.first_day}" if self.days == 1 else f"days {self.first_day} to {self.until - 1}"
        return f"{self.name}, {when}: {SENTENCES[self.name].format(**asdict(self))}"

    def to_dict(self) -> dict[str, Any]:
        """The incident as plain JSON data."""
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Incident:
        """The incident that `to_dict` wrote, or that a person wrote by name; what is not said is as the maker would have it."""
        unknown = set(data) - {field.name for field in fields(Incident)}
        if unknown or not {"name", "first_day"} <= set(data):
            raise ShelflifeError(f"wanted an incident with name, first_day and perhaps {FREE}, got {', '.join(sorted(data))}")
        usual = MAKERS[data["name"]](data["first_day"]).to_dict() if data["name"] in MAKERS else {"days": 1}
        return Incident(**{**usual, **data})


SENTENCES = {
    "unit_bug": "{field} of every {kind} is sent {size:g} times too large",
    "null_column": "{field} of every {kind} is missing",
    "late_partition": "every {kind} arrives {size:g} days late",
    "promotion_week": "everything in {category} is {size:.0%} cheaper, and announced",
    "new_category": "a category that was never seen before, {category}, is on sale",
    "concept_change": "{size:.0%} of the fraud follows a new pattern",
    "label_outage": "no {kind} comes through; all of them arrive when it ends",
    "bot_attack": "robots view {size:g} times as many items as the customers do",
    "level_shift": "everything in {category} is wanted {size:g} times as often",
    "half_nulls": "{field} is missing in {size:.0%} of every {kind}",
    "dropped_rows": "{size:.0%} of every {kind} is lost on the way",
    "duplicate_day": "every {kind} is sent a second time under a new id",
    "shuffled_column": "{field} of every {kind} belongs to another row",
    "constant_column": "{field} of every {kind} is the same",
    "sign_flip": "{field} of every {kind} has the wrong sign",
    "swapped_columns": "country and device of every {kind} are swapped",
    "timezone_shift": "every {kind} is stamped {size:g} hours too early",
    "garbled_codes": "{field} of every {kind} is spelt in another way",
    "truncated_decimals": "{field} of every {kind} has lost its cents",
    "price_response": "customers answer to prices and promotions {size:g} times as strongly",
}
FREE = "days, kind, field, category, size"


def unit_bug(
    first_day: int, days: int = 1, *, kind: str = "payment", field: str = "amount_cents", factor: float = 100
) -> Incident:
    """A feed sends amounts in the wrong unit: `factor` times too large. Nothing in the shop has changed."""
    return Incident("unit_bug", first_day, days, kind, field, size=factor)


def null_column(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "country") -> Incident:
    """A feed sends a column empty."""
    return Incident("null_column", first_day, days, kind, field)


def late_partition(first_day: int, days: int = 1, *, kind: str = "purchase", delay: int = 3) -> Incident:
    """What happened on these days arrives `delay` days late; the days themselves look (nearly) empty until then."""
    return Incident("late_partition", first_day, days, kind, size=delay)


def promotion_week(first_day: int, days: int = 7, *, category: str = "toys", discount: float = 0.3) -> Incident:
    """A whole shelf is cheaper and sells more: a harmless shift that everybody knows of."""
    return Incident("promotion_week", first_day, days, category=category, size=discount)


def new_category(first_day: int, days: int = 10_000) -> Incident:
    """The shop begins to sell a category it never had."""
    return Incident("new_category", first_day, days, category="pets")


def concept_change(first_day: int, days: int = 10_000, *, share: float = 0.5) -> Incident:
    """The fraudsters change their ways: this share of the fraud follows a new pattern. Ordinary payments stay as they were."""
    return Incident("concept_change", first_day, days, size=share)


def label_outage(first_day: int, days: int = 7, *, kind: str = "chargeback") -> Incident:
    """A label's feed is silent; what it held back arrives when the outage ends."""
    return Incident("label_outage", first_day, days, kind)


def bot_attack(first_day: int, days: int = 2, *, factor: float = 3.0) -> Incident:
    """Robots walk through the catalogue: `factor` times as many views as the customers make."""
    return Incident("bot_attack", first_day, days, size=factor)


def level_shift(first_day: int, days: int = 10_000, *, category: str = "toys", factor: float = 2.0) -> Incident:
    """A shelf comes into fashion, or goes out of it: its items are wanted `factor` times as often, at the same prices."""
    return Incident("level_shift", first_day, days, category=category, size=factor)


def price_response(first_day: int, days: int = 10_000, *, factor: float = 2.0) -> Incident:
    """The customers' answer to prices and promotions is `factor` times as strong: what demand is told by has changed."""
    return Incident("price_response", first_day, days, size=factor)


def half_nulls(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "country", share: float = 0.5) -> Incident:
    """A feed sends a column empty in a share of its rows."""
    return Incident("half_nulls", first_day, days, kind, field, size=share)


def dropped_rows(first_day: int, days: int = 1, *, kind: str = "payment", share: float = 0.6) -> Incident:
    """A share of a feed's rows is lost."""
    return Incident("dropped_rows", first_day, days, kind, size=share)


def duplicate_day(first_day: int, days: int = 1, *, kind: str = "payment") -> Incident:
    """A feed sends its rows twice, the second time under new ids, so that the log cannot know them again."""
    return Incident("duplicate_day", first_day, days, kind)


def shuffled_column(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "country") -> Incident:
    """A column's values belong to other rows: every column by itself looks as always."""
    return Incident("shuffled_column", first_day, days, kind, field)


def constant_column(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "amount_cents") -> Incident:
    """A column says the same in every row."""
    return Incident("constant_column", first_day, days, kind, field)


def sign_flip(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "amount_cents") -> Incident:
    """A column's numbers have the wrong sign."""
    return Incident("sign_flip", first_day, days, kind, field)


def swapped_columns(first_day: int, days: int = 1, *, kind: str = "payment") -> Incident:
    """Country and device have changed places."""
    return Incident("swapped_columns", first_day, days, kind, "country")


def timezone_shift(first_day: int, days: int = 1, *, kind: str = "payment", hours: int = 2) -> Incident:
    """A feed's clock is in another time zone: its rows bear a time that lies hours before they happened."""
    return Incident("timezone_shift", first_day, days, kind, size=hours)


def garbled_codes(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "country") -> Incident:
    """A feed spells its codes in another way."""
    return Incident("garbled_codes", first_day, days, kind, field)


def truncated_decimals(first_day: int, days: int = 1, *, kind: str = "payment", field: str = "amount_cents") -> Incident:
    """A feed cuts its amounts to whole units of the currency."""
    return Incident("truncated_decimals", first_day, days, kind, field)


MAKERS = {
    maker.__name__: maker
    for maker in (
        unit_bug, null_column, late_partition, promotion_week, new_category, concept_change, label_outage, bot_attack,
        level_shift, price_response, half_nulls, dropped_rows, duplicate_day, shuffled_column, constant_column, sign_flip,
        swapped_columns, timezone_shift, garbled_codes, truncated_decimals,
    )
}  # fmt: skip
"""Every incident's maker by its name."""
