"""Ensembles of fitted members: vote takes their mean, blend weighs them, stack learns from their answers.

Members come fitted on the training rows. What an ensemble learns of its own it learns in `fit` on later rows, which its
members have not seen: their answers there are out of time, as they will be in the shop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from pipelines.core.decision import Answers, Probability, Quantiles, Ranking
from pipelines.models.estimator import Amounts, Estimator, Probabilities, answer, decided, sizes
from pipelines.models.export import add
from pipelines.models.linear import choice_loss, minimum

if TYPE_CHECKING:
    from pipelines.models.graph import Graph

LEAST, MOST = 1e-6, 1 - 1e-3
"""Probabilities are cut here before their log-odds are taken: float32 is fine near 0 and coarse near 1."""


class Vote(Estimator):
    """The members' mean. Ranking scores have no common scale: each member's are standardised first."""

    def __init__(self, members: tuple[Any, ...], answers: Answers) -> None:
        self.members = members
        self.answers = answers

    def fit(self, X: Any, y: Any, groups: Any = None) -> Vote:
        X, y = self._start(X, y)
        told = self._told(X)
        ranking = isinstance(self.answers, Ranking)
        self.centre_ = told.mean(axis=(0, 2)) if ranking else np.zeros(len(self.members))
        spread = told.std(axis=(0, 2)) if ranking else np.ones(len(self.members))
        self.scale_ = np.where(spread > 1e-9, spread, 1.0)
        self.weights_ = self._weigh((told - self.centre_[:, None]) / self.scale_[:, None], y, groups)
        return self

    def _told(self, X: Any) -> np.ndarray:
        """What the members answer: [rows, members, outputs]."""
        return np.stack([answer(member, X) for member in self.members], axis=1)

    def _weigh(self, told: np.ndarray, y: np.ndarray, groups: Any) -> np.ndarray:
        return np.full(len(self.members), 1 / len(self.members))

    def _mean(self, X: Any) -> np.ndarray:
        told = (self._told(X) - self.centre_[:, None]) / self.scale_[:, None]
        return np.einsum("rmo,m->ro", told, self.weights_)

    def graph(self, graph: Graph, x: str) -> str:
        shares = self.weights_ / self.scale_
        parts = [
            graph.node("Mul", add(graph, member, x), graph.constant(float(share)))
            for member, share in zip(self.members, shares, strict=True)
        ]
        return graph.node("Sub", graph.node("Sum", *parts), graph.constant(float(self.centre_ @ shares)))


class Blend(Vote):
    """The members' weighted mean; the weights, none negative, are those whose loss on the later rows is least."""

    def _weigh(self, told: np.ndarray, y: np.ndarray, groups: Any) -> np.ndarray:
        loss = _loss(self.answers, told, y, groups)
        count = len(self.members)
        free = isinstance(self.answers, Ranking)

        def of_odds(odds: np.ndarray) -> tuple[float, np.ndarray]:
            weights = np.exp(odds - (0 if free else np.logaddexp.reduce(odds)))
            value, slope = loss(weights)
            return value, weights * (slope - (0 if free else weights @ slope))

        odds = minimum(of_odds, np.full(count, -np.log(count)), 200, [(-12, 6)] * count)
        return np.exp(odds - (0 if free else np.logaddexp.reduce(odds)))


class VoteProbability(Probabilities, Vote):
    def probability(self, X: Any) -> np.ndarray:
        return self._mean(X)[:, 0]


class VoteAmounts(Amounts, Vote):
    def amount(self, X: Any) -> np.ndarray:
        return _amounts(self.answers, self._mean(X))


class BlendProbability(Probabilities, Blend):
    def probability(self, X: Any) -> np.ndarray:
        return self._mean(X)[:, 0]


class BlendAmounts(Amounts, Blend):
    def amount(self, X: Any) -> np.ndarray:
        return _amounts(self.answers, self._mean(X))


class Stack(Probabilities):
    """A logistic regression on the members' log-odds (Wolpert 1992, Stacked generalization)."""

    def __init__(self, members: tuple[Any, ...], strength: float = 1.0) -> None:
        self.members = members
        self.strength = strength

    def fit(self, X: Any, y: Any, groups: Any = None) -> Stack:
        from sklearn.linear_model import LogisticRegression

        X, y = self._start(X, y)
        fitted = LogisticRegression(C=self.strength, max_iter=1000).fit(self._odds(X), y)
        self.weights_ = fitted.coef_[0]
        self.intercept_ = fitted.intercept_
        return self

    def _odds(self, X: Any) -> np.ndarray:
        p = np.hstack([answer(member, X) for member in self.members]).astype(np.float32)
        p = np.clip(p, np.float32(LEAST), np.float32(MOST))
        return np.log(p) - np.log(1 - p)

    def probability(self, X: Any) -> np.ndarray:
        return expit(self._odds(X) @ self.weights_ + self.intercept_)

    def graph(self, graph: Graph, x: str) -> str:
        p = graph.node("Concat", *(add(graph, member, x) for member in self.members), axis=1)
        p = graph.node("Clip", p, graph.constant(LEAST), graph.constant(MOST))
        against = graph.node("Log", graph.node("Sub", graph.constant(1.0), p))
        odds = graph.node("Sub", graph.node("Log", p), against)
        return graph.sigmoid(graph.affine(odds, self.weights_[:, None], self.intercept_))


def _amounts(answers: Answers, mean: np.ndarray) -> np.ndarray:
    return mean if isinstance(answers, Quantiles) else mean[:, 0]


def _loss(answers: Answers, told: np.ndarray, y: np.ndarray, groups: Any) -> Any:
    """weights -> (loss, slope by weight) of the weighted mean: log loss, pinball loss, or the loss of a choice."""
    if isinstance(answers, Probability):
        return lambda w: _log_loss(told[:, :, 0], y, w)
    if isinstance(answers, Quantiles):
        return lambda w: _pinball(told, y, np.asarray(answers.levels), w)
    kept = decided(y, groups)
    choice, scores = choice_loss(y[kept], sizes(np.asarray(groups)[kept])), told[kept, :, 0]

    def of_scores(w: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = choice(scores @ w)
        return value, scores.T @ slope

    return of_scores


def _log_loss(p: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray]:
    mean = np.clip(p @ w, LEAST, 1 - LEAST)
    slope = ((1 - y) / (1 - mean) - y / mean) / len(y)
    return -np.mean(y * np.log(mean) + (1 - y) * np.log(1 - mean)), p.T @ slope


def _pinball(q: np.ndarray, y: np.ndarray, levels: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray]:
    error = y[:, None] - np.einsum("rml,m->rl", q, w)
    slope = np.where(error > 0, -levels, 1 - levels) / error.size
    return np.mean(np.maximum(levels * error, (levels - 1) * error)), np.einsum("rml,rl->m", q, slope)
