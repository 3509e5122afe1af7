"""Linear models: logistic regression, quantile regression on log units, and conditional logit over an ask's candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from pipelines.models.estimator import Amounts, Probabilities, decided, sizes
from pipelines.models.prepare import Prepare

if TYPE_CHECKING:
    from pipelines.models.graph import Graph

LARGEST_LOG = 16.0
"""Predicted log units are cut here (nine million units): an exponential must not run away on a strange ask."""


class LogisticRegression(Probabilities):
    """scikit-learn's logistic regression over prepared columns. `strength`: inverse of the L2 penalty's weight."""

    def __init__(self, kinds: tuple[str, ...], strength: float = 1.0, steps: int = 300) -> None:
        self.kinds = kinds
        self.strength = strength
        self.steps = steps

    def fit(self, X: Any, y: Any, groups: Any = None) -> LogisticRegression:
        from sklearn import linear_model

        X, y = self._start(X, y)
        self.prepare_ = Prepare(self.kinds).fit(X)
        prepared = self.prepare_.transform(X).astype(np.float64)
        fitted = _quietly(linear_model.LogisticRegression(C=self.strength, max_iter=self.steps), prepared, y)
        self.coef_ = fitted.coef_[0].astype(np.float32)
        self.intercept_ = fitted.intercept_.astype(np.float32)
        self.feature_importances_ = importances(self.prepare_, prepared, self.coef_, self.n_features_in_)
        return self

    def probability(self, X: Any) -> np.ndarray:
        return expit(self.prepare_.transform(X) @ self.coef_ + self.intercept_)

    def graph(self, graph: Graph, x: str) -> str:
        prepared = self.prepare_.graph(graph, x)
        return graph.sigmoid(graph.affine(prepared, self.coef_[:, None], self.intercept_))


class QuantileRegression(Amounts):
    """A linear model of log(1 + units) per level, fitted to the pinball loss, its kink smoothed over `smooth` log units.

    Quantiles pass through a rising function unchanged, so the model is fitted on the log and read off in units.
    """

    def __init__(
        self, kinds: tuple[str, ...], levels: tuple[float, ...], penalty: float = 1e-4, smooth: float = 0.02, steps: int = 300
    ) -> None:
        self.kinds = kinds
        self.levels = levels
        self.penalty = penalty
        self.smooth = smooth
        self.steps = steps

    def fit(self, X: Any, y: Any, groups: Any = None) -> QuantileRegression:
        X, y = self._start(X, y)
        self.prepare_ = Prepare(self.kinds).fit(X)
        prepared = self.prepare_.transform(X).astype(np.float64)
        logs = np.log1p(np.maximum(y, 0))
        columns = [self._fit_level(prepared, logs, level, done) for done, level in enumerate(self.levels)]
        self.coef_ = np.column_stack([c[:-1] for c in columns]).astype(np.float32)
        self.intercept_ = np.array([c[-1] for c in columns], np.float32)
        self.feature_importances_ = importances(self.prepare_, prepared, self.coef_.mean(axis=1), self.n_features_in_)
        return self

    def _fit_level(self, prepared: np.ndarray, logs: np.ndarray, level: float, done: int) -> np.ndarray:
        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            error = logs - prepared @ w[:-1] - w[-1]
            scaled = error / self.smooth
            value = level * error + self.smooth * np.logaddexp(0, -scaled)
            slope = (expit(-scaled) - level) / len(logs)
            gradient = np.r_[prepared.T @ slope + 2 * self.penalty * w[:-1], slope.sum()]
            return value.mean() + self.penalty * w[:-1] @ w[:-1], gradient

        self._tell(done, len(self.levels))
        return minimum(loss, np.r_[np.zeros(prepared.shape[1]), np.quantile(logs, level)], self.steps)

    def amount(self, X: Any) -> np.ndarray:
        logs = np.minimum(self.prepare_.transform(X) @ self.coef_ + self.intercept_, np.float32(LARGEST_LOG))
        return np.maximum(np.sort(np.exp(logs) - 1, axis=1), 0)

    def graph(self, graph: Graph, x: str) -> str:
        logs = graph.affine(self.prepare_.graph(graph, x), self.coef_, self.intercept_)
        units = graph.node("Exp", graph.node("Min", logs, graph.constant(LARGEST_LOG)))
        return graph.rising(graph.node("Sub", units, graph.constant(1.0)), len(self.levels))


class ConditionalLogit(Amounts):
    """The chance that a candidate is what comes next, among its ask's (McFadden 1974, Conditional logit analysis)."""

    def __init__(self, kinds: tuple[str, ...], penalty: float = 1e-4, steps: int = 200) -> None:
        self.kinds = kinds
        self.penalty = penalty
        self.steps = steps

    def fit(self, X: Any, y: Any, groups: Any) -> ConditionalLogit:
        X, y = self._start(X, y)
        self.prepare_ = Prepare(self.kinds).fit(X)
        kept = decided(y, groups)
        prepared = self.prepare_.transform(X[kept]).astype(np.float64)
        loss = choice_loss(y[kept], sizes(np.asarray(groups)[kept]))

        def penalised(w: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = loss(prepared @ w)
            return value + self.penalty * w @ w, prepared.T @ slope + 2 * self.penalty * w

        self.coef_ = minimum(penalised, np.zeros(prepared.shape[1]), self.steps).astype(np.float32)
        self.feature_importances_ = importances(self.prepare_, prepared, self.coef_, self.n_features_in_)
        return self

    def amount(self, X: Any) -> np.ndarray:
        return self.prepare_.transform(X) @ self.coef_

    def graph(self, graph: Graph, x: str) -> str:
        return graph.affine(self.prepare_.graph(graph, x), self.coef_[:, None], [0.0])


def choice_loss(y: np.ndarray, counts: np.ndarray) -> Any:
    """The mean negative log of the chosen candidate's softmax, over asks: a function of scores -> (loss, slope by score)."""
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    share = y / np.repeat(np.add.reduceat(y, starts), counts)

    def loss(scores: np.ndarray) -> tuple[float, np.ndarray]:
        shifted = scores - np.repeat(np.maximum.reduceat(scores, starts), counts)
        powers = np.exp(shifted)
        totals = np.add.reduceat(powers, starts)
        value = np.log(totals).sum() - share @ shifted
        return value / len(counts), (powers / np.repeat(totals, counts) - share) / len(counts)

    return loss


def minimum(loss: Any, start: np.ndarray, steps: int, bounds: Any = None) -> np.ndarray:
    """Where L-BFGS finds the smallest loss; `loss` answers (value, gradient)."""
    from scipy.optimize import minimize

    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x


def importances(prepare: Prepare, prepared: Any, coef: np.ndarray, columns: int) -> np.ndarray:
    """How far each input column moves the sum, typically: |weight| times spread, added up over its prepared columns."""
    mean = np.asarray(prepared.mean(axis=0)).ravel()
    square = prepared.multiply(prepared) if hasattr(prepared, "multiply") else prepared**2
    spread = np.sqrt(np.maximum(np.asarray(square.mean(axis=0)).ravel() - mean**2, 0))
    return np.bincount(prepare.sources_, weights=np.abs(coef) * spread, minlength=columns)


def _quietly(model: Any, X: Any, y: Any) -> Any:
    """Fit; a solver that used up its steps is no reason to shout: what it found is judged like any candidate."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)
