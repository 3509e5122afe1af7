"""From a score to an answer, and what each answer costs in money. The same formula runs on a number and on an array."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CostMatrix:
    """What each action costs when the probability of `costly` (label 1, or 0) is p, in integer cents.

    Letting a costly one pass costs `missed` (an amount, or the asking event's field that holds it), acting on a good one costs
    `wrong_block`, and a person's look costs `review` whatever it finds (None: nobody reviews). Expected cost is linear in p, so
    the realised cost is the same function at p = the label (Elkan 2001, The foundations of cost-sensitive learning).
    """

    missed: str | int
    wrong_block: int
    review: int | None = None
    costly: int = 1
    actions: tuple[str, str, str] = ("pass", "review", "block")

    def costs(self, probability: Any, amount: Any = None) -> dict[str, Any]:
        """Cents that each action costs, for a probability (or a label) of 1 and the amount at stake."""
        p = probability if self.costly else 1 - probability
        at_stake = self.missed if isinstance(self.missed, int) else amount
        costs = {self.actions[0]: p * at_stake, self.actions[2]: (1 - p) * self.wrong_block}
        return costs if self.review is None else {**costs, self.actions[1]: self.review + 0 * p}


@dataclass(frozen=True)
class Newsvendor:
    """What an order costs when it meets the demand, in cents: each unit short loses `short` of the price, each unit left
    over `over` of it. The cheapest order is the demand's quantile at short / (short + over) (Arrow, Harris, Marschak 1951).
    """

    price: str
    short: float
    over: float

    @property
    def level(self) -> float:
        return self.short / (self.short + self.over)

    def costs(self, order: Any, units: Any, price: Any) -> Any:
        """Cents lost by ordering so many units when so many were wanted, at this price in cents."""
        short = (units - order) * (units > order)
        over = (order - units) * (order > units)
        return (short * self.short + over * self.over) * price


@dataclass(frozen=True)
class Probability:
    """The model answers the probability that the label is 1, calibrated; a cost matrix turns it into an action."""

    cost: CostMatrix


@dataclass(frozen=True)
class Quantiles:
    """The model answers the label's quantiles at `levels`, never crossing and never below zero; the order follows the cost."""

    levels: tuple[float, ...]
    cost: Newsvendor

    def __post_init__(self) -> None:
        if list(self.levels) != sorted(set(self.levels)) or self.cost.level not in self.levels:
            raise ValueError(f"wanted rising levels, the cost's own {self.cost.level:g} among them, got {self.levels}")


@dataclass(frozen=True)
class Ranking:
    """The model answers the `k` best items, with a reason each.

    An ask becomes one row a candidate (column `candidate`): items of the asking event's `trail` (seen before, newest last), of
    its own `item`, their `neighbours` nearest by co-visits, and the `popular` most viewed. The label is the item that came next.
    """

    item: str = "item"
    trail: str = "trail"
    k: int = 20
    neighbours: int = 100
    popular: int = 50


Answers = Probability | Quantiles | Ranking
KINDS: dict[str, type[Answers]] = {"probability": Probability, "quantiles": Quantiles, "ranking": Ranking}


def answers_to_dict(answers: Answers) -> dict[str, Any]:
    """What is answered as plain JSON data, for the bundle: its kind and its settings."""
    kind = next(name for name, made in KINDS.items() if isinstance(answers, made))
    return {"kind": kind, **asdict(answers)}


def answers_from_dict(data: Mapping[str, Any]) -> Answers:
    """What `answers_to_dict` wrote, also after a turn through JSON. Raises ValueError for a kind that there is not."""
    settings = {name: value for name, value in data.items() if name != "kind"}
    if data.get("kind") == "probability":
        cost = dict(settings["cost"])
        return Probability(CostMatrix(**{**cost, "actions": tuple(cost["actions"])}))
    if data.get("kind") == "quantiles":
        return Quantiles(tuple(settings["levels"]), Newsvendor(**settings["cost"]))
    if data.get("kind") == "ranking":
        return Ranking(**settings)
    raise ValueError(f"wanted answers of kind {', '.join(KINDS)}, got {data.get('kind')!r}")
