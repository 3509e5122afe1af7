"""What every estimator of ours has in common: scikit-learn's API over a float32 matrix, for each kind of answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from pipelines.core.errors import NotDecidable, ShelflifeError

if TYPE_CHECKING:
    from pipelines.models.graph import Graph


def matrix(X: Any) -> Any:
    """X as float32, dense or CSR: the values that will be served are the values that are learnt from."""
    if not hasattr(X, "tocsr"):
        return np.ascontiguousarray(X, dtype=np.float32)
    from scipy.sparse import csr_matrix

    return csr_matrix(X, dtype=np.float32)


def dense(X: Any) -> np.ndarray:
    """X as a dense float32 array."""
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)


def sizes(groups: Any) -> np.ndarray:
    """How many rows each ask has, in order. `groups` names each row's ask; the rows of an ask lie together."""
    groups = np.asarray(groups)
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.array([], int)
    counts = np.diff(np.r_[starts, len(groups)])
    if len(np.unique(groups)) != len(counts):
        raise ShelflifeError(
            "wanted the candidates of an ask in one run of rows, got an ask that comes back later; sort by ask"
        )
    return counts


def decided(y: Any, groups: Any) -> np.ndarray:
    """Which rows belong to an ask whose next item is among its candidates: the others say nothing about order.

    Raises NotDecidable where there is no such ask.
    """
    counts = sizes(groups)
    hit = np.add.reduceat(np.asarray(y, float), np.r_[0, np.cumsum(counts)[:-1]]) > 0 if len(counts) else np.array([], bool)
    if not hit.any():
        raise NotDecidable("wanted asks whose next item is among their candidates, got none; widen the candidates")
    return np.repeat(hit, counts)


class Estimator(BaseEstimator):
    """Remembers how many columns it was fitted on; `graph(graph, x)` of a subclass adds the nodes that answer."""

    progress: Any = None
    """Called with (steps done, steps in all) while a long fit runs; set it on the estimator before `fit`."""

    def _start(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Checked X and y. Raises NotDecidable where there is nothing to learn from."""
        X, y = matrix(X), np.asarray(y, dtype=np.float64)
        if not len(y) or X.shape[0] != len(y) or not np.isfinite(y).all():
            raise NotDecidable(f"wanted rows with a known label each, got {X.shape[0]} rows and {np.isfinite(y).sum()} labels")
        self.n_features_in_ = X.shape[1]
        return X, y

    def _known(self, X: Any) -> Any:
        """X as float32. Raises ShelflifeError unless it has the columns of the fit."""
        if X.shape[1] != self.n_features_in_:
            raise ShelflifeError(
                f"wanted {self.n_features_in_} columns as in training, got {X.shape[1]}; encode with the same encoder"
            )
        return matrix(X)

    def _tell(self, done: int, total: int) -> None:
        if self.progress:
            self.progress(done, total)

    def graph(self, graph: Graph, x: str) -> str:
        """Add the nodes that answer `x`; the name of the answer, float32 [rows, 1] or [rows, levels]."""
        raise NotImplementedError


class Probabilities(ClassifierMixin, Estimator):
    """Answers the probability that the label is 1; a subclass says it in `probability(X) -> (rows,)`."""

    def _start(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, y = super()._start(X, y)
        if set(np.unique(y)) != {0.0, 1.0}:
            raise NotDecidable(
                f"wanted labels of both 0 and 1, got {sorted(set(np.unique(y).tolist()))[:5]}; widen the training window"
            )
        self.classes_ = np.array([0, 1])
        return X, y

    def predict_proba(self, X: Any) -> np.ndarray:
        """Shape (rows, 2): the probabilities of 0 and of 1."""
        p = self.probability(self._known(X))
        return np.column_stack([1 - p, p])

    def predict(self, X: Any) -> np.ndarray:
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(int)


class Amounts(Estimator):
    """Answers quantiles, or ranking scores; a subclass says them in `amount(X)`."""

    def predict(self, X: Any) -> np.ndarray:
        """Shape (rows, levels) for quantiles, (rows,) for ranking scores."""
        return self.amount(self._known(X))


def answer(estimator: Any, X: Any) -> np.ndarray:
    """What the estimator answers, as its ONNX graph does: float64 (rows, 1) or (rows, levels)."""
    scores = estimator.predict_proba(X)[:, 1] if hasattr(estimator, "predict_proba") else estimator.predict(X)
    scores = np.asarray(scores, dtype=np.float64)
    return scores.reshape(len(scores), -1)
