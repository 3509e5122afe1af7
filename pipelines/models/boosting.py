"""LightGBM: gradient-boosted trees for a probability, for each quantile level, and LambdaMART for the order of candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.models.estimator import Amounts, Estimator, Probabilities, decided, sizes
from pipelines.models.trees import add_trees

if TYPE_CHECKING:
    from pipelines.models.graph import Graph


class Boosting(Estimator):
    """What the three share: settings, fitting with a learning curve, and the trees as one ONNX node.

    Codes are split as categories, nulls have their own direction at each split. Same seed and threads, same trees.
    `sample` is the share of columns and of rows that each tree sees.
    """

    def __init__(
        self, kinds: tuple[str, ...], trees: int = 200, leaves: int = 15, rate: float = 0.05, min_leaf: int = 30,
        sample: float = 0.8, seed: int = 0, threads: int = 1,
    ) -> None:  # fmt: skip
        self.kinds = kinds
        self.trees = trees
        self.leaves = leaves
        self.rate = rate
        self.min_leaf = min_leaf
        self.sample = sample
        self.seed = seed
        self.threads = threads

    def _options(self, objective: str, **more: Any) -> dict[str, Any]:
        return {
            "objective": objective, "num_leaves": self.leaves, "learning_rate": self.rate, "min_data_in_leaf": self.min_leaf,
            "feature_fraction": self.sample, "bagging_fraction": self.sample, "bagging_freq": int(self.sample < 1),
            "seed": self.seed, "num_threads": self.threads, "deterministic": True, "force_row_wise": True,
            "verbosity": -1, "feature_pre_filter": False, **more,
        }  # fmt: skip

    def _boost(self, X: Any, y: Any, options: dict[str, Any], sizes: Any = None, rounds: tuple[int, int] = (0, 1)) -> Any:
        """One booster; its training loss by step goes to `history_`. `rounds`: which booster of how many this is."""
        import lightgbm

        codes = [i for i, kind in enumerate(self.kinds) if kind == "category"]
        data = lightgbm.Dataset(X, y, group=sizes, categorical_feature=codes, free_raw_data=True)
        curve: dict[str, Any] = {}

        def tell(env: Any) -> None:
            self._tell(rounds[0] * self.trees + env.iteration + 1, rounds[1] * self.trees)

        callbacks = [lightgbm.record_evaluation(curve), tell]
        booster = lightgbm.train(options, data, self.trees, valid_sets=[data], valid_names=["train"], callbacks=callbacks)
        self._remember(booster, next(iter(curve["train"].values())))
        return booster

    def _remember(self, booster: Any, losses: list[float]) -> None:
        self.feature_importances_ = self.feature_importances_ + booster.feature_importance("gain")
        self.history_ += losses

    def _forget(self) -> None:
        self.feature_importances_ = np.zeros(self.n_features_in_)
        self.history_: list[float] = []


class BoostedProbability(Probabilities, Boosting):
    """Trees whose sum is the log-odds of 1."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> BoostedProbability:
        X, y = self._start(X, y)
        self._forget()
        self.boosters_ = [self._boost(X, y, self._options("binary"))]
        return self

    def probability(self, X: Any) -> np.ndarray:
        return self.boosters_[0].predict(X, num_threads=self.threads)

    def graph(self, graph: Graph, x: str) -> str:
        return graph.sigmoid(add_trees(graph, x, self.boosters_))


class BoostedQuantiles(Amounts, Boosting):
    """A booster per level, over log units; a row's quantiles are sorted and cut at zero.

    Quantiles pass through a rising function unchanged, and trees add: in logs they add up shares, which suits units.
    Sorting makes no level worse (Chernozhukov, Fernández-Val, Galichon 2010, Quantile and probability curves without crossing).
    """

    def __init__(
        self, kinds: tuple[str, ...], levels: tuple[float, ...] = (0.5,), trees: int = 200, leaves: int = 15,
        rate: float = 0.05, min_leaf: int = 30, sample: float = 0.8, seed: int = 0, threads: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(kinds, trees, leaves, rate, min_leaf, sample, seed, threads)
        self.levels = levels

    def fit(self, X: Any, y: Any, groups: Any = None) -> BoostedQuantiles:
        X, y = self._start(X, y)
        self._forget()
        logs = np.log1p(np.maximum(y, 0))
        self.boosters_ = [
            self._boost(X, logs, self._options("quantile", alpha=level), rounds=(i, len(self.levels)))
            for i, level in enumerate(self.levels)
        ]
        return self

    def amount(self, X: Any) -> np.ndarray:
        columns = [booster.predict(X, num_threads=self.threads) for booster in self.boosters_]
        return np.maximum(np.expm1(np.sort(np.column_stack(columns), axis=1)), 0)

    def graph(self, graph: Graph, x: str) -> str:
        units = graph.node("Exp", add_trees(graph, x, self.boosters_))
        return graph.rising(graph.node("Sub", units, graph.constant(1.0)), len(self.levels))


class BoostedRanking(Amounts, Boosting):
    """LambdaMART (Burges 2010, From RankNet to LambdaRank to LambdaMART): trees that mend the order near the top."""

    def fit(self, X: Any, y: Any, groups: Any) -> BoostedRanking:
        X, y = self._start(X, y)
        self._forget()
        kept = decided(y, groups)
        options = self._options("lambdarank", lambdarank_truncation_level=20, eval_at=[20], metric="ndcg")
        self.boosters_ = [self._boost(X[kept], y[kept], options, sizes(np.asarray(groups)[kept]))]
        self.history_ = [1 - ndcg for ndcg in self.history_]
        return self

    def amount(self, X: Any) -> np.ndarray:
        return self.boosters_[0].predict(X, num_threads=self.threads)

    def graph(self, graph: Graph, x: str) -> str:
        return add_trees(graph, x, self.boosters_)
