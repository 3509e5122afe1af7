"""What every policy learns with: rows from the batch engine, one recipe of a model, and what its answers really cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.lifecycle.shop import Shop
from pipelines.core.clock import DAY, instant, micros
from pipelines.core.decision import Probability
from pipelines.core.params import Block
from pipelines.core.usecase import Spec, UseCase
from pipelines.evaluation import cost as money
from pipelines.evaluation.windows import history_needed
from pipelines.features import batch, split
from pipelines.features.encoding import Encoder
from pipelines.models import calibration, training
from pipelines.models.calibration import Calibration
from pipelines.models.estimator import answer
from pipelines.steps.rows import Rows, from_arrow

Held = frozenset[tuple[str, str]]
"""Partitions (kind, day of arrival) that are kept from training."""
NOTHING: Held = frozenset()
SETTINGS = {"trees": 25, "leaves": 15, "rate": 0.25, "min_leaf": 30}
"""LightGBM for everybody: fewer and larger steps than params.yaml has, for speed."""
MEMORY = 62 * DAY
"""How far back the longest feature of both use cases looks, with its delay and its tile."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained and calibrated model. `newest` is the last ask that it learnt from; `rows` how many; both of the fit alone."""

    as_of: int
    held: Held
    encoder: Encoder
    estimator: Any
    calibration: Calibration
    baseline: Any
    weigh: Mapping[str, float]
    newest: int
    asks: frozenset[int]
    cpu: float

    def score(self, rows: Rows) -> np.ndarray:
        """Calibrated scores: (rows,) probabilities or (rows, levels) quantiles."""
        return self._scored(self.estimator, rows, self.calibration)

    def trivial(self, rows: Rows) -> np.ndarray:
        """The trivial baseline's scores, as it was fitted beside the model."""
        return self._scored(self.baseline, rows, None)

    def _scored(self, estimator: Any, rows: Rows, calibrated: Calibration | None) -> np.ndarray:
        scores = flat(answer(estimator, self.encoder.transform(rows.columns)))
        return calibrated.apply(scores) if calibrated else scores


def flat(scores: np.ndarray) -> np.ndarray:
    return scores[:, 0] if scores.shape[1] == 1 else scores


class Desk:
    """A use case in a shop: its rows as they were known at each ask, with and without what is held, and its models."""

    def __init__(self, shop: Shop, case: UseCase, block: Block) -> None:
        self.shop, self.case, self.block = shop, case, block
        self.names = case.features.names
        self.kinds = {name: case.features.kind(name) for name in self.names}
        self._rows: dict[Held, tuple[int, Rows]] = {}
        self._models: dict[tuple[int, Held], Model] = {}
        self._told: tuple[tuple[int, Held], np.ndarray] | None = None
        self._at: dict[Held, np.ndarray] = {}
        self._labels = Labels(shop, case)
        self.first = shop.midnight(shop.setting.history)
        self.last = shop.midnight(shop.setting.history + 7 * shop.setting.weeks)
        self.mondays = [self.first + week * 7 * DAY for week in range(shop.setting.weeks)]
        self.served = self.rows(NOTHING)

    def parts(self, as_of: int) -> split.Parts:
        return split.parts(as_of, self.case.label.matures, self.block.split)

    def tables(self, held: Held) -> dict[str, pa.Table]:
        """The use case's events without the held partitions."""
        return {kind: without(self.shop.tables[kind], kind, held) for kind in self.case.kinds}

    def rows(self, held: Held) -> Rows:
        """Every ask from the first training row on, its features as they were known at its own moment."""
        if held not in self._rows:
            start = max(self.parts(self.first).train[0], self.shop.start)
            begin = start if not held else max(start, min(instant(day) for _, day in held))
            table = batch.rows(self.case, self.tables(held), (begin, self.last), as_of=self.last + 30 * DAY)
            found = Rows(from_arrow(table))
            if begin > start:
                before = self.served
                found = before.take(before["ts"] < begin) + found
            self._rows[held] = (begin, found)
        return self._rows[held][1]

    def reach(self, as_of: int) -> int:
        """Before this moment nothing can touch a row that is learnt from or judged on at `as_of`."""
        return self.parts(as_of).train[0] - MEMORY

    def known(self, span: tuple[int, int], as_of: int, held: Held, of: Held) -> Rows:
        """The asks of a span, their labels as they were known at `as_of` without what was held by then (NaN where there is none).

        `of` names the rows to take: those without everything that will ever be held are the same up to `as_of`, where all of it
        that came before is held by then.
        """
        rows = self.rows(of)
        span_of = slice(*np.searchsorted(rows["ts"], span))
        if self._told is None or self._told[0] != (as_of, held):
            self._told = (as_of, held), self._labels.at(as_of, held)
        labels = self._told[1][self._places(of)[span_of]]
        return Rows({**rows.take(span_of).columns, "label": np.where(rows["ts"][span_of] < as_of, labels, np.nan)})

    def _places(self, of: Held) -> np.ndarray:
        """Where in the shop's table of asks each row comes from."""
        if of not in self._at:
            ids = self.shop.tables[self.case.asks.kind]["id"].combine_chunks()
            self._at[of] = pc.index_in(pa.array(self.rows(of)["ask"], pa.string()), value_set=ids).to_numpy()
        return self._at[of]

    def watched(self, as_of: int) -> int:
        """Where the rows begin that the watch looks at."""
        return as_of - history_needed(self.block.monitor) - micros(self.case.label.matures)

    def labelled(self, span: tuple[int, int], as_of: int, held: Held, of: Held) -> Rows:
        """The asks of a span whose label is known."""
        rows = self.known(span, as_of, held, of)
        return rows.take(np.isfinite(rows["label"]))

    def model(self, as_of: int, held: Held = NOTHING, of: Held | None = None) -> Model:
        """The challenger that the recipe makes of what was known at `as_of` without what was held by then."""
        key = (as_of, held)
        if key not in self._models:
            self._models[key] = self._fit(as_of, held, held if of is None else of)
        return self._models[key]

    @property
    def models(self) -> list[Model]:
        """All that were made so far, oldest first."""
        return [self._models[key] for key in sorted(self._models, key=lambda key: (key[0], sorted(key[1])))]

    def _fit(self, as_of: int, held: Held, of: Held) -> Model:
        """As the step `train` fits what it has chosen: on all but the later half of the validation part, which calibrates."""
        began = time.process_time()
        parts = self.parts(as_of)
        known = self.labelled((parts.train[0], parts.valid[1]), as_of, held, of)
        valid = known.take(known["ts"] >= parts.valid[0])
        later = valid.halves()[1]
        learn = known.take(known["ts"] < later["ts"].min())
        encoder = Encoder.fit({name: learn[name] for name in self.names}, self.kinds)
        spec = Spec(encoder.columns, encoder.kinds, self.case.answers, {}, self.block.train.seed, 1)
        part = training.Part(encoder.transform(learn.columns), learn["label"])
        fitted = dict(training.fit(self.case.models, ("baseline", "lightgbm"), {"lightgbm": SETTINGS}, spec, part, part))
        scores = flat(answer(fitted["lightgbm"], encoder.transform(later.columns)))
        calibrated = calibration.fit(scores, later["label"], self.case.answers)
        asks = frozenset(np.unique((known["ts"] - self.shop.start) // DAY).tolist())
        weigh = _weights(encoder, fitted["lightgbm"])
        cpu = time.process_time() - began
        return Model(
            as_of, held, encoder, fitted["lightgbm"], calibrated, fitted["baseline"], weigh, int(learn["ts"].max()), asks, cpu
        )

    def cents(self, rows: Rows, scores: np.ndarray) -> np.ndarray:
        """What each answer cost by the truth, in cents: the action is chosen from the score and the amount as they came in."""
        if isinstance(self.case.answers, Probability):
            fraud, amount = self.shop.truth.of_payments(rows["ask"])
            chosen = money.actions(self.case.answers.cost, scores, rows["amount_cents"].astype(float))
            paid = np.stack(list(self.case.answers.cost.costs(fraud, amount).values()))
            return paid[chosen, np.arange(len(chosen))]
        day = (rows["ts"] - self.shop.start) // DAY
        item = np.array([int(name[1:]) for name in rows["item"]])
        units, price = self.shop.truth.of_listings(day, item)
        return np.asarray(self.case.answers.cost.costs(money.orders(self.case.answers, scores), units, price), float)


class Labels:
    """Which event tells which ask's label, found once; so that the labels as they were known at any moment are one sum."""

    def __init__(self, shop: Shop, case: UseCase) -> None:
        self.case, label = case, case.label
        asks, told = shop.tables[case.asks.kind], shop.tables[label.of]
        (by,) = label.keys
        names = pc.unique(told[by].combine_chunks())
        code = pc.index_in(told[by].combine_chunks(), value_set=names).to_numpy()
        asked = pc.index_in(asks[by].combine_chunks(), value_set=names).fill_null(len(names)).to_numpy()
        when = told["ts"].to_numpy() - shop.start
        order = np.lexsort((when, code))
        line = _line(code[order], when[order])
        first = asks["ts"].to_numpy() - shop.start + micros(label.ahead)
        begin, end = (np.searchsorted(line, _line(asked, ts)) for ts in (first, first + micros(label.within)))
        many = np.where(asked < len(names), end - begin, 0)
        self.asks = len(first)
        self.ask = np.repeat(np.arange(self.asks), many)
        event = order[np.repeat(begin - np.cumsum(many) + many, many) + np.arange(many.sum())]
        self.arrived = told["arrived"].to_numpy()[event]
        worth = told[label.how.field].fill_null(0).to_numpy() if label.how.how == "sum" else np.ones(len(told))
        self.worth = worth[event].astype(float)

    def at(self, as_of: int, held: Held) -> np.ndarray:
        """The label of every ask of the shop's table, as it was known at `as_of` without what was held by then."""
        days = [instant(day) for kind, day in held if kind == self.case.label.of]
        known = (self.arrived <= as_of) & ~np.isin(self.arrived // DAY * DAY, days)
        value = np.bincount(self.ask[known], self.worth[known], self.asks)
        return value if self.case.label.at_least is None else (value >= self.case.label.at_least).astype(float)


def _line(code: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """One number that orders by key, then by time."""
    return code.astype(np.int64) * (1000 * DAY) + ts + 100 * DAY


def _weights(encoder: Encoder, estimator: Any) -> Mapping[str, float]:
    """How much each feature matters, as shares: by gain, where the platform shuffles each in the bundle's reference."""
    gains = np.asarray(estimator.feature_importances_, float)
    return dict(zip(encoder.columns, (gains / max(gains.sum(), 1e-12)).tolist(), strict=True))


def without(table: pa.Table, kind: str, held: Held) -> pa.Table:
    """The events of a kind that did not arrive on a held day."""
    days = [instant(day) for name, day in held if name == kind]
    if not days:
        return table
    return table.filter(pa.array(~np.isin(table["arrived"].to_numpy() // DAY * DAY, days)))
