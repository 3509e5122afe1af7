"""From scores to answers: an action by its cost, an order by its quantile, a ranking with its reasons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from pipelines.core.decision import Answers, Probability, Quantiles, Ranking
from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.core.contract import Contract
    from pipelines.core.event import Event
    from pipelines.core.protocols import Columns


class Advice(msgspec.Struct):
    """A calibrated probability, what each action is expected to cost in cents, and the action that costs least."""

    ask: str
    prediction: str
    score: float
    action: str
    costs: dict[str, int]


class Order(msgspec.Struct):
    """The label's quantiles, and the whole units to order: the least that reach the quantile that costs least."""

    ask: str
    prediction: str
    quantiles: dict[str, float]
    order: int


class Ranked(msgspec.Struct):
    """One item of a ranking: the model's score and why the item was a candidate."""

    item: str
    score: float
    reason: str


class Ranks(msgspec.Struct):
    """The best items, best first."""

    ask: str
    prediction: str
    items: list[Ranked]


Answer = Advice | Order | Ranks
KINDS: dict[type, type[msgspec.Struct]] = {Probability: Advice, Quantiles: Order, Ranking: Ranks}


def response_type(case: str, answers: Answers) -> type[msgspec.Struct]:
    """The typed response of a use case. `request` names the answer in the log; `degraded` says that something was away."""
    return msgspec.defstruct(
        f"{case.title()}Answers",
        [
            ("request", str), ("case", str), ("release", str), ("bundle", str), ("epoch", int),
            ("degraded", bool), ("reasons", list[str]), ("answers", list[KINDS[type(answers)]]),
        ],
    )  # fmt: skip


def check(answers: Answers, contract: Contract) -> None:
    """Raises ShelflifeError where the asking event may come without the amount that is at stake: no cost, no action."""
    amount = getattr(getattr(answers, "cost", None), "missed", None)
    if isinstance(amount, str) and not contract.field(amount).required:
        raise ShelflifeError(f"wanted {contract.kind}.{amount} to be required, since the cost of an answer depends on it")


def shape(
    answers: Answers, asks: Sequence[Event], names: Sequence[str], columns: Columns, scores: np.ndarray
) -> tuple[list[Answer], list[np.ndarray]]:
    """The answers to the asks, in order, and for each the rows of the columns that it is made of.

    `names` are the predictions' ids. Scores are finite (see `finite`).
    """
    if isinstance(answers, Ranking):
        chosen = [_best(answers.k, rows, columns, scores) for rows in members(columns, asks)]
        return [_rank(ask.id, name, rows, columns, scores) for ask, name, rows in zip(asks, names, chosen, strict=True)], chosen
    single = [np.array([i]) for i in range(len(asks))]
    if isinstance(answers, Quantiles):
        return [_order(answers, ask.id, name, row) for ask, name, row in zip(asks, names, scores, strict=True)], single
    return [_advise(answers, ask, name, float(score)) for ask, name, score in zip(asks, names, scores, strict=True)], single


def finite(scores: np.ndarray, typical: np.ndarray | float) -> tuple[np.ndarray, bool]:
    """The scores with `typical` where one is NaN or infinite, and whether there was one."""
    sound = np.isfinite(scores)
    return (scores, False) if sound.all() else (np.where(sound, scores, typical), True)


def members(columns: Columns, asks: Sequence[Event]) -> list[np.ndarray]:
    """For each ask of a ranking, the rows of its candidates; the column `ask` holds its position or its event id."""
    owner = np.asarray(columns["ask"])
    if owner.dtype.kind not in "iu":
        position = {ask.id: i for i, ask in enumerate(asks)}
        owner = np.array([position[name] for name in owner], dtype=np.int64)
    order = np.argsort(owner, kind="stable")
    edges = np.searchsorted(owner[order], np.arange(len(asks) + 1))
    return [order[edges[i] : edges[i + 1]] for i in range(len(asks))]


def _advise(answers: Probability, ask: Event, name: str, score: float) -> Advice:
    cost = answers.cost
    amount = None if isinstance(cost.missed, int) else ask.body[cost.missed]
    costs = cost.costs(score, amount)
    ordered = [action for action in cost.actions if action in costs]
    return Advice(
        ask.id, name, score, min(ordered, key=costs.__getitem__), {action: round(costs[action]) for action in ordered}
    )


def _order(answers: Quantiles, ask: str, name: str, row: np.ndarray) -> Order:
    wanted = float(row[answers.levels.index(answers.cost.level)])
    quantiles = {f"{level:g}": float(value) for level, value in zip(answers.levels, row, strict=True)}
    return Order(ask, name, quantiles, math.ceil(wanted))


def _best(k: int, rows: np.ndarray, columns: Columns, scores: np.ndarray) -> np.ndarray:
    """The k best rows by falling score; equal scores in the items' order, so that the same request has the same answer."""
    return rows[np.lexsort((columns["candidate"][rows].astype(str), -scores[rows]))[:k]]


def _rank(ask: str, name: str, rows: np.ndarray, columns: Columns, scores: np.ndarray) -> Ranks:
    reasons = columns["reason"][rows] if "reason" in columns else [""] * len(rows)
    items = zip(columns["candidate"][rows], scores[rows], reasons, strict=True)
    return Ranks(ask, name, [Ranked(str(item), float(score), str(reason or "")) for item, score, reason in items])


def summary(answer: Answer) -> dict[str, Any]:
    """The score and the action that a prediction event has columns for; null where the answer is a list."""
    if isinstance(answer, Advice):
        return {"score": answer.score, "action": answer.action}
    return {"score": None, "action": f"order {answer.order}" if isinstance(answer, Order) else None}
