"""What linear models and networks need before they add things up: codes one-hot, numbers filled and scaled, text as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from pipelines.models.estimator import dense

if TYPE_CHECKING:
    from pipelines.models.graph import Graph

LIMIT = 6.0
"""Scaled numbers are cut at so many standard deviations: an amount in the wrong unit must not rule the answer."""


class Prepare(BaseEstimator):
    """Encoded matrix -> prepared matrix. `kinds` says number, category or text of each column.

    A number becomes sign(x) log(1 + |x|), standardised; where it is null, 0 (the mean) with a flag of its own if null was seen
    in training. A category becomes one column a code seen in training. Text columns pass.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds

    def fit(self, X: Any, y: Any = None) -> Prepare:
        kinds = np.asarray(self.kinds)
        self.numbers_ = np.flatnonzero(kinds == "number")
        self.texts_ = np.flatnonzero(kinds == "text")
        categories = np.flatnonzero(kinds == "category")
        numbers = _signed_log(dense(X[:, self.numbers_]))
        seen = ~np.isnan(numbers)
        self.mean_ = _mean(numbers, seen).astype(np.float32)
        spread = np.sqrt(_mean((numbers - self.mean_) ** 2, seen))
        self.scale_ = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
        self.flagged_ = np.flatnonzero(~seen.all(axis=0))
        self.codes_ = [(int(c), int(np.nanmax(dense(X[:, [c]]), initial=-1)) + 1) for c in categories]
        self.sources_ = self._sources()
        return self

    def _sources(self) -> np.ndarray:
        """The input column that each prepared column comes from."""
        repeated = [np.full(codes, column) for column, codes in self.codes_]
        return np.concatenate([self.numbers_, self.numbers_[self.flagged_], *repeated, self.texts_]).astype(int)

    def transform(self, X: Any) -> Any:
        """Float32, CSR where X is sparse, shape (rows, len(sources_))."""
        numbers = dense(X[:, self.numbers_])
        null = np.isnan(numbers)
        scaled = np.clip((_signed_log(np.where(null, 0, numbers)) - self.mean_) / self.scale_, -LIMIT, LIMIT)
        parts = [np.where(null, np.float32(0), scaled), null[:, self.flagged_]]
        parts += [dense(X[:, [c]]) == np.arange(codes, dtype=np.float32) for c, codes in self.codes_]
        if not hasattr(X, "tocsr"):
            return np.hstack([*parts, X[:, self.texts_]]).astype(np.float32)
        from scipy.sparse import csr_matrix, hstack

        return hstack([csr_matrix(np.hstack(parts).astype(np.float32)), X[:, self.texts_]], format="csr", dtype=np.float32)

    def graph(self, graph: Graph, x: str) -> str:
        """The same as `transform`, as nodes."""
        parts = []
        if len(self.numbers_):
            parts += self._number_nodes(graph, graph.columns(x, self.numbers_))
        for column, codes in self.codes_:
            if codes:
                same = graph.node("Equal", graph.columns(x, [column]), graph.constant(np.arange(codes)[None]))
                parts.append(graph.node("Cast", same, to=1))
        if len(self.texts_):
            parts.append(graph.columns(x, self.texts_))
        return graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def _number_nodes(self, graph: Graph, numbers: str) -> list[str]:
        zero = graph.constant(0.0)
        null = graph.node("IsNaN", numbers)
        filled = graph.node("Where", null, zero, numbers)
        size = graph.node("Log", graph.node("Add", graph.node("Abs", filled), graph.constant(1.0)))
        signed = graph.node("Mul", graph.node("Sign", filled), size)
        centred = graph.node("Sub", signed, graph.constant(self.mean_))
        scaled = graph.node("Div", centred, graph.constant(self.scale_))
        cut = graph.node("Clip", scaled, graph.constant(-LIMIT), graph.constant(LIMIT))
        nodes = [graph.node("Where", null, zero, cut)]
        if len(self.flagged_):
            nodes.append(graph.node("Cast", graph.columns(null, self.flagged_), to=1))
        return nodes


def _signed_log(x: np.ndarray) -> np.ndarray:
    """Spelt as the graph spells it: log1p would keep digits that the served model does not have."""
    return np.sign(x) * np.log(np.float32(1) + np.abs(x))


def _mean(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The mean of each column's seen values, 0 for a column without any."""
    return np.where(seen, values, 0).sum(axis=0, dtype=np.float64) / np.maximum(seen.sum(axis=0), 1)
