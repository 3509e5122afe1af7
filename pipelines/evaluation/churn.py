"""How many answers change for the people who get them, when one model replaces another."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.core.decision import Answers, Probability, Quantiles, Ranking
from pipelines.evaluation.cost import actions, amounts_known, orders
from pipelines.evaluation.statistic import Array


def churn(answers: Answers, challenger: Array, champion: Array, *, group: Array, amounts: Any = None) -> float:
    """The share of answers that change: another action, another whole number of units, or, for a ranking, the mean share of
    the first k items of an ask that are replaced. NaN where a score or a needed amount is missing.
    """
    absent = np.isneginf([challenger, champion]) if isinstance(answers, Ranking) else False  # minus infinity: not on the list
    if not len(challenger) or not (np.isfinite([challenger, champion]) | absent).all():
        return float("nan")
    if isinstance(answers, Probability):
        if not amounts_known(answers, amounts):
            return float("nan")
        return float(np.mean(actions(answers.cost, challenger, amounts) != actions(answers.cost, champion, amounts)))
    if isinstance(answers, Quantiles):
        return float(np.mean(orders(answers, challenger) != orders(answers, champion)))
    return _replaced(challenger, champion, group, answers.k)


def _replaced(challenger: Array, champion: Array, group: Array, k: int) -> float:
    """The mean over asks of the share of the champion's first k that the challenger leaves out."""
    ours, theirs = _first(challenger, group, k), _first(champion, group, k)
    kept, shown = np.bincount(group, ours & theirs), np.bincount(group, theirs)
    return float(np.mean(1 - kept[shown > 0] / shown[shown > 0]))


def _first(scores: Array, group: Array, k: int) -> Array:
    """Whether each row is listed and among the k best of its group; of equal scores the earlier row comes first."""
    order = np.lexsort((-scores, group))
    sizes = np.unique(group[order], return_counts=True)[1]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.zeros(len(order), bool)
    first[order] = rank < k
    return first & np.isfinite(scores)
