"""Models that know next to nothing: the dummy that every gate must refuse, and the trivial rules a release must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.errors import ShelflifeError
from pipelines.models.estimator import Amounts, Probabilities, dense

if TYPE_CHECKING:
    from pipelines.models.graph import Graph

SMOOTHING = 20.0
"""A share is pulled towards the overall share as if so many rows more had been seen."""


class ConstantProbability(Probabilities):
    """The share of 1 in training, whatever is asked."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> ConstantProbability:
        _, y = self._start(X, y)
        self.share_ = np.float32(y.mean())
        return self

    def probability(self, X: Any) -> np.ndarray:
        return np.full(X.shape[0], self.share_)

    def graph(self, graph: Graph, x: str) -> str:
        return graph.repeat(x, [self.share_])


class ConstantQuantiles(Amounts):
    """The quantiles of the training labels, whatever is asked."""

    def __init__(self, levels: tuple[float, ...]) -> None:
        self.levels = levels

    def fit(self, X: Any, y: Any, groups: Any = None) -> ConstantQuantiles:
        _, y = self._start(X, y)
        self.quantiles_ = np.quantile(y, self.levels).astype(np.float32)
        return self

    def amount(self, X: Any) -> np.ndarray:
        return np.tile(self.quantiles_, (X.shape[0], 1))

    def graph(self, graph: Graph, x: str) -> str:
        return graph.repeat(x, self.quantiles_)


class ConstantRanking(Amounts):
    """The same score for every candidate."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> ConstantRanking:
        self._start(X, y)
        return self

    def amount(self, X: Any) -> np.ndarray:
        return np.zeros(X.shape[0], np.float32)

    def graph(self, graph: Graph, x: str) -> str:
        return graph.repeat(x, [0.0])


class RateByBin(Probabilities):
    """The share of 1 among training rows whose value in one column lay in the same of `bins` equally filled bins."""

    def __init__(self, column: int, bins: int = 10) -> None:
        self.column = column
        self.bins = bins

    def fit(self, X: Any, y: Any, groups: Any = None) -> RateByBin:
        X, y = self._start(X, y)
        values = dense(X[:, [self.column]])[:, 0]
        known = values[~np.isnan(values)]
        edges = np.quantile(known, np.arange(1, self.bins) / self.bins) if len(known) else []
        self.edges_ = np.unique(np.asarray(edges, np.float32))
        bins = self._above(values).sum(axis=1)
        self.shares_ = _shares(bins, y, len(self.edges_) + 1)
        return self

    def _above(self, values: np.ndarray) -> np.ndarray:
        return values[:, None] > self.edges_

    def probability(self, X: Any) -> np.ndarray:
        above = self._above(dense(X[:, [self.column]])[:, 0])
        return self.shares_[above.sum(axis=1)]

    def graph(self, graph: Graph, x: str) -> str:
        if not len(self.edges_):
            return graph.repeat(x, self.shares_)
        above = graph.node("Greater", graph.columns(x, [self.column]), graph.constant(self.edges_[None]))
        steps = np.diff(self.shares_)[:, None]
        return graph.affine(graph.node("Cast", above, to=1), steps, self.shares_[:1])


class RateByCategory(Probabilities):
    """The share of 1 among training rows of the same category; the overall share where the category is unknown."""

    def __init__(self, column: int) -> None:
        self.column = column

    def fit(self, X: Any, y: Any, groups: Any = None) -> RateByCategory:
        X, y = self._start(X, y)
        codes = dense(X[:, [self.column]])[:, 0]
        codes = np.where(np.isnan(codes), -1, codes).astype(int)
        self.overall_ = np.float32(y.mean())
        known = codes >= 0
        self.shares_ = _shares(codes[known], y[known], codes.max(initial=0) + 1, overall=y.mean())
        return self

    def probability(self, X: Any) -> np.ndarray:
        same = dense(X[:, [self.column]]) == np.arange(len(self.shares_), dtype=np.float32)
        return same.astype(np.float32) @ (self.shares_ - self.overall_) + self.overall_

    def graph(self, graph: Graph, x: str) -> str:
        codes = np.arange(len(self.shares_), dtype=np.float32)[None]
        same = graph.node("Equal", graph.columns(x, [self.column]), graph.constant(codes))
        return graph.affine(graph.node("Cast", same, to=1), (self.shares_ - self.overall_)[:, None], [self.overall_])


class SeasonalNaive(Amounts):
    """The next season sells what the last one did, give or take what that rule was wrong by in training.

    `column` holds the units of the last season. Errors are taken between square roots, where the spread of counts does not grow
    with their size (Anscombe 1948, The transformation of Poisson, binomial and negative-binomial data).
    """

    def __init__(self, column: int, levels: tuple[float, ...]) -> None:
        self.column = column
        self.levels = levels

    def fit(self, X: Any, y: Any, groups: Any = None) -> SeasonalNaive:
        X, y = self._start(X, y)
        errors = np.sqrt(np.maximum(y, 0) + 1) - self._root(X)[:, 0]
        self.offsets_ = np.quantile(errors, self.levels).astype(np.float32)
        return self

    def _root(self, X: Any) -> np.ndarray:
        last = np.nan_to_num(dense(X[:, [self.column]]), nan=0.0)
        return np.sqrt(np.maximum(last, 0) + np.float32(1))

    def amount(self, X: Any) -> np.ndarray:
        return np.maximum(np.maximum(self._root(X) + self.offsets_, 0) ** 2 - 1, 0)

    def graph(self, graph: Graph, x: str) -> str:
        last, one = graph.columns(x, [self.column]), graph.constant(1.0)
        known = graph.node("Where", graph.node("IsNaN", last), graph.constant(0.0), last)
        root = graph.node("Sqrt", graph.node("Add", graph.node("Relu", known), one))
        moved = graph.node("Relu", graph.node("Add", root, graph.constant(self.offsets_[None])))
        return graph.node("Relu", graph.node("Sub", graph.square(moved), one))


class FirstBy(Amounts):
    """Order by the first column, ties by the second, and so on; null is worst.

    `order` names columns by place, each with 1 (more is better) or -1 (less is). A column's value becomes its rank among at
    most `steps` values seen in training, so that one float32 can say the whole order.
    """

    def __init__(self, order: tuple[tuple[int, int], ...], steps: int = 256) -> None:
        self.order = order
        self.steps = steps

    def fit(self, X: Any, y: Any, groups: Any = None) -> FirstBy:
        X, _ = self._start(X, y)
        if self.steps ** len(self.order) > 2**24:
            raise ShelflifeError(f"wanted at most {2**24} different scores, got {self.steps} to the power of {len(self.order)}")
        self.edges_ = [_edges(sign * dense(X[:, [column]])[:, 0], self.steps) for column, sign in self.order]
        return self

    def amount(self, X: Any) -> np.ndarray:
        score = np.zeros(X.shape[0], np.float32)
        for (column, sign), edges in zip(self.order, self.edges_, strict=True):
            score = score * self.steps + (sign * dense(X[:, [column]]) >= edges).sum(axis=1, dtype=np.float32)
        return score

    def graph(self, graph: Graph, x: str) -> str:
        score = graph.repeat(x, [0.0])
        for (column, sign), edges in zip(self.order, self.edges_, strict=True):
            value = graph.node("Mul", graph.columns(x, [column]), graph.constant(float(sign)))
            least = graph.node("GreaterOrEqual", value, graph.constant(edges[None]))
            rank = graph.node("ReduceSum", graph.node("Cast", least, to=1), graph.constant([1], np.int64), keepdims=1)
            score = graph.node("Add", graph.node("Mul", score, graph.constant(float(self.steps))), rank)
        return score


def _shares(groups: np.ndarray, y: np.ndarray, count: int, overall: float | None = None) -> np.ndarray:
    """The smoothed share of 1 in each group, float32 (count,)."""
    overall = y.mean() if overall is None else overall
    rows = np.bincount(groups, minlength=count)
    ones = np.bincount(groups, weights=y, minlength=count)
    return ((ones + SMOOTHING * overall) / (rows + SMOOTHING)).astype(np.float32)


def _edges(values: np.ndarray, steps: int) -> np.ndarray:
    """At most steps - 1 values that cut the column's different values into runs of equal length."""
    different = np.unique(values[~np.isnan(values)])
    kept = np.linspace(0, len(different) - 1, min(steps - 1, len(different))).astype(int)
    return different[kept] if len(different) else np.array([np.inf], np.float32)
