"""What a model's answers would have cost in money, now that the labels are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.core.decision import Answers, CostMatrix, Probability, Quantiles, Ranking
from pipelines.evaluation.statistic import Array, Labelled, Statistic, Undefined, mean_of, sound


def amount_field(answers: Answers) -> str | None:
    """The field of the asking event that the cost needs: the amount at stake or the price. None where it needs none."""
    if isinstance(answers, Ranking):
        return None
    if isinstance(answers, Probability):
        return answers.cost.missed if isinstance(answers.cost.missed, str) else None
    return answers.cost.price


def has_cost(answers: Answers) -> bool:
    """Whether the shop has put money on the answers. A ranking has none."""
    return not isinstance(answers, Ranking)


def actions(cost: CostMatrix, probability: Array, amounts: Any = None) -> Array:
    """The cheapest action's number for each row, in the order of `cost.costs`."""
    costs = cost.costs(probability, amounts).values()
    return np.argmin(np.stack([np.broadcast_to(np.asarray(c, float), probability.shape) for c in costs]), axis=0)


def orders(answers: Quantiles, scores: Array) -> Array:
    """The whole units to order: the quantile at the cost's own level."""
    return np.round(scores[:, answers.levels.index(answers.cost.level)])


def amounts_known(answers: Answers, amounts: Any) -> bool:
    """Whether every amount that the cost needs is there."""
    return amount_field(answers) is None or (amounts is not None and bool(np.isfinite(np.asarray(amounts, float)).all()))


def cents(answers: Answers, labels: Array, scores: Array, amounts: Any = None) -> Array:
    """The cents each row's answer cost; float64, NaN where the amount at stake is not known."""
    amount = None if amounts is None else np.asarray(amounts, float)
    if isinstance(answers, Probability):
        paid = answers.cost.costs(labels, amount).values()
        table = np.stack([np.broadcast_to(np.asarray(c, float), labels.shape) for c in paid])
        return np.asarray(np.take_along_axis(table, actions(answers.cost, scores, amount)[None, :], axis=0)[0])
    if isinstance(answers, Ranking):
        return np.full(len(labels), np.nan)
    return np.asarray(answers.cost.costs(orders(answers, scores), labels, amount), float)


def mean_cost(answers: Answers, rows: Labelled, scores: Array, amounts: Any = None) -> Statistic:
    """Cents per answer, as a statistic; undefined where an amount that the cost needs is missing."""
    if not amounts_known(answers, amounts) or not sound(rows, scores):
        return Undefined()
    return mean_of(cents(answers, rows.labels, scores, amounts), rows)
