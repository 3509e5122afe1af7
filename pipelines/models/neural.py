"""Keras networks: dense layers over prepared columns, for a probability, for quantiles, and for the choice among candidates.

Training is seeded without touching any global state: first weights and the order of rows come from the estimator's seed.
The served graph is written from the trained weights, so no converter and no TensorFlow is needed to answer.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from pipelines.core.errors import ShelflifeError
from pipelines.models.estimator import Amounts, Estimator, Probabilities, decided, dense, sizes
from pipelines.models.linear import LARGEST_LOG
from pipelines.models.prepare import Prepare

if TYPE_CHECKING:
    from pipelines.models.graph import Graph

CHUNK = 8192
"""Rows that are predicted at once."""

BATCHES = 32
"""Batches that are made dense and handed to TensorFlow at once."""


class Network(Estimator):
    """What the three share: `units` of each hidden layer, `epochs` over the rows in batches, Adam with a falling `rate`.

    `history_` is the learning curve: the mean loss of each epoch. Same seed and threads, same weights.
    """

    def __init__(
        self, kinds: tuple[str, ...], units: tuple[int, ...] = (32, 16), epochs: int = 10, batch: int = 512,
        rate: float = 0.002, seed: int = 0, threads: int = 1,
    ) -> None:  # fmt: skip
        self.kinds = kinds
        self.units = units
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.seed = seed
        self.threads = threads

    def _learn(self, width: tuple[int | None, ...], rows: int, batch: int, loss: Any, bias: np.ndarray, load: Any) -> None:
        """Train on `load(some rows) -> (x, y)`; `width` is the shape of one row of x, `bias` where the output starts."""
        keras = backend(self.threads)
        falling = keras.optimizers.schedules.CosineDecay(self.rate, self.epochs * -(-rows // batch))
        self.model_ = self._layers(keras, width, bias)
        sweep = _sweep(self.model_, keras.optimizers.Adam(falling), loss, batch)
        self.history_: list[float] = []
        for epoch in range(self.epochs):
            order = np.random.default_rng((self.seed, epoch)).permutation(rows)
            parts = [order[i : i + batch * BATCHES] for i in range(0, rows, batch * BATCHES)]
            self.history_.append(sum(float(sweep(*load(part))) for part in parts) / rows)
            self._tell(epoch + 1, self.epochs)

    def _layers(self, keras: Any, width: tuple[int | None, ...], bias: np.ndarray) -> Any:
        layers = [keras.Input(width)]
        for i, units in enumerate(self.units):
            start = keras.initializers.HeNormal(seed=self.seed + i)
            layers.append(keras.layers.Dense(units, "relu", kernel_initializer=start))
        start = keras.initializers.GlorotUniform(seed=self.seed + len(self.units))
        known = keras.initializers.Constant(bias)
        layers.append(keras.layers.Dense(len(bias), kernel_initializer=start, bias_initializer=known))
        return keras.Sequential(layers)

    def _output(self, X: Any) -> np.ndarray:
        """The last layer's values, by Keras itself: [rows, outputs]."""
        prepared = self.prepare_.transform(X)
        parts = [self.model_(dense(prepared[i : i + CHUNK]), training=False).numpy() for i in range(0, X.shape[0], CHUNK)]
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def _output_nodes(self, graph: Graph, x: str) -> str:
        """The same as nodes, from the trained weights."""
        value = self.prepare_.graph(graph, x)
        weights = self.model_.get_weights()
        for i in range(0, len(weights), 2):
            value = graph.affine(value, weights[i], weights[i + 1])
            value = graph.node("Relu", value) if i < len(weights) - 2 else value
        return value

    def _prepare(self, X: Any) -> Any:
        self.prepare_ = Prepare(tuple(self.kinds)).fit(X)
        return self.prepare_.transform(X)


class NetworkProbability(Probabilities, Network):
    """One output: the log-odds of 1."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> NetworkProbability:
        X, y = self._start(X, y)
        prepared, labels = self._prepare(X), y.astype(np.float32)[:, None]
        loss = backend(self.threads).losses.BinaryCrossentropy(from_logits=True)
        odds = np.array([np.log(y.mean() / (1 - y.mean()))], np.float32)
        self._learn(prepared.shape[1:], len(y), self.batch, loss, odds, lambda rows: (dense(prepared[rows]), labels[rows]))
        return self

    def probability(self, X: Any) -> np.ndarray:
        return expit(self._output(X)[:, 0])

    def graph(self, graph: Graph, x: str) -> str:
        return graph.sigmoid(self._output_nodes(graph, x))


class NetworkQuantiles(Amounts, Network):
    """An output a level, in log units: the lowest level, then the steps up to the next, each above zero, so that none cross."""

    def __init__(
        self, kinds: tuple[str, ...], levels: tuple[float, ...] = (0.5,), units: tuple[int, ...] = (32, 16), epochs: int = 10,
        batch: int = 512, rate: float = 0.002, seed: int = 0, threads: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(kinds, units, epochs, batch, rate, seed, threads)
        self.levels = levels

    def fit(self, X: Any, y: Any, groups: Any = None) -> NetworkQuantiles:
        X, y = self._start(X, y)
        prepared, logs = self._prepare(X), np.log1p(np.maximum(y, 0)).astype(np.float32)[:, None]
        levels, stairs = np.array([self.levels], np.float32), self._stairs()
        ops = backend(self.threads).ops

        def pinball(truth: Any, raw: Any) -> Any:
            rises = ops.concatenate([raw[:, :1], ops.softplus(raw[:, 1:])], axis=1)
            error = truth - ops.matmul(rises, stairs)
            return ops.mean(ops.maximum(levels * error, (levels - 1) * error))

        quantiles = np.quantile(logs, self.levels)
        gaps = np.maximum(np.diff(quantiles), 1e-2)
        bias = np.r_[quantiles[:1], np.log(np.expm1(gaps))].astype(np.float32)
        self._learn(prepared.shape[1:], len(y), self.batch, pinball, bias, lambda rows: (dense(prepared[rows]), logs[rows]))
        return self

    def _stairs(self) -> np.ndarray:
        """rises @ stairs adds the steps up."""
        return np.triu(np.ones((len(self.levels), len(self.levels)), np.float32))

    def amount(self, X: Any) -> np.ndarray:
        raw = self._output(X)
        logs = np.c_[raw[:, :1], np.logaddexp(np.float32(0), raw[:, 1:])] @ self._stairs()
        return np.maximum(np.exp(np.minimum(logs, np.float32(LARGEST_LOG))) - 1, 0)

    def graph(self, graph: Graph, x: str) -> str:
        raw = self._output_nodes(graph, x)
        rises = graph.node("Softplus", graph.columns(raw, np.arange(1, len(self.levels))))
        steps = graph.node("Concat", graph.columns(raw, [0]), rises, axis=1)
        logs = graph.node("MatMul", steps, graph.constant(self._stairs()))
        units = graph.node("Exp", graph.node("Min", logs, graph.constant(LARGEST_LOG)))
        return graph.node("Relu", graph.node("Sub", units, graph.constant(1.0)))


class NetworkRanking(Amounts, Network):
    """One output: the candidate's score; the softmax over an ask's candidates is the chance that it comes next.

    An epoch sees each ask with what came next and at most `others` of its other candidates, drawn once.
    """

    def __init__(
        self, kinds: tuple[str, ...], units: tuple[int, ...] = (32,), epochs: int = 4, batch: int = 1024, rate: float = 0.002,
        others: int = 50, seed: int = 0, threads: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(kinds, units, epochs, batch, rate, seed, threads)
        self.others = others

    def fit(self, X: Any, y: Any, groups: Any) -> NetworkRanking:
        X, y = self._start(X, y)
        kept = np.flatnonzero(decided(y, groups))
        prepared = self._prepare(X)
        places = self._places(y[kept], sizes(np.asarray(groups)[kept]), kept)
        labels = np.where(places >= 0, y[places], -1).astype(np.float32)
        asks = max(1, self.batch // places.shape[1])

        def load(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            chosen = places[rows]
            return dense(prepared[chosen.ravel()]).reshape(*chosen.shape, -1), labels[rows][..., None]

        shape = (places.shape[1], prepared.shape[1])
        self._learn(shape, len(places), asks, _choice_loss(backend(self.threads)), np.zeros(1, np.float32), load)
        return self

    def _places(self, y: np.ndarray, counts: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """The rows of X that each ask shows, int [asks, most shown]; -1 fills up."""
        ask = np.repeat(np.arange(len(counts)), counts)
        luck = np.random.default_rng(self.seed).random(len(y))
        order = np.lexsort((luck, -y, ask))
        place = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
        shown = place <= self.others
        places = np.full((len(counts), int(min(counts.max(), self.others + 1))), -1)
        places[ask[shown], place[shown]] = kept[order][shown]
        return places

    def amount(self, X: Any) -> np.ndarray:
        return self._output(X)[:, 0]

    def _output(self, X: Any) -> np.ndarray:
        prepared = dense(self.prepare_.transform(X))
        parts = [self.model_(prepared[None, i : i + CHUNK], training=False).numpy()[0] for i in range(0, len(prepared), CHUNK)]
        return np.concatenate(parts)

    def graph(self, graph: Graph, x: str) -> str:
        return self._output_nodes(graph, x)


def _sweep(model: Any, optimizer: Any, loss: Any, batch: int) -> Any:
    """A function (x, y) that learns from rows batch by batch, and answers the sum of their losses.

    The loop is part of the graph: a call of Keras' own for each batch of such a small network costs many times what it learns.
    """
    import tensorflow as tf

    optimizer.build(model.trainable_variables)

    def sweep(x: Any, y: Any) -> Any:
        total = 0.0
        for start in tf.range(0, tf.shape(y)[0], batch):
            rows, truth = x[start : start + batch], y[start : start + batch]
            with tf.GradientTape() as tape:
                mean = loss(truth, model(rows, training=True))
            optimizer.apply(tape.gradient(mean, model.trainable_variables), model.trainable_variables)
            total += mean * tf.cast(tf.shape(truth)[0], tf.float32)
        return total

    shapes = [(None, *model.input_shape[1:]), (None, *model.output_shape[1:-1], 1)]
    return tf.function(sweep, input_signature=[tf.TensorSpec(shape, tf.float32) for shape in shapes])


def _choice_loss(keras: Any) -> Any:
    """Negative log of the softmax of what came next; labels below zero fill up and take no part."""
    ops = keras.ops

    def loss(truth: Any, scores: Any) -> Any:
        scores = ops.where(truth >= 0, scores, -1e9)
        chosen = ops.maximum(truth, 0.0)
        right = ops.sum(chosen * scores, axis=(1, 2)) / ops.sum(chosen, axis=(1, 2))
        return ops.mean(ops.logsumexp(scores, axis=(1, 2)) - right)

    return loss


def backend(threads: int) -> Any:
    """Keras on TensorFlow, with so many threads: sums split otherwise come out otherwise.

    Raises ShelflifeError where TensorFlow runs in this process already, with other threads.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its sums differ between kinds of processors
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras
    import tensorflow as tf

    threading = tf.config.threading
    try:
        if threading.get_intra_op_parallelism_threads() != threads:
            threading.set_intra_op_parallelism_threads(threads)
        if threading.get_inter_op_parallelism_threads() != 1:
            threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise ShelflifeError(
            f"wanted TensorFlow with {threads} threads, but it runs here with others; start a new process"
        ) from None
    return keras
