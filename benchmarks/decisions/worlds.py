"""Holdouts of two models whose true difference is known: labels, correlated scores, calibrated probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.core.clock import DAY, days
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import CostMatrix, Probability
from pipelines.core.feature import Count, Label, features
from pipelines.core.params import Gate
from pipelines.core.usecase import Model, UseCase
from pipelines.core.verdict import Finding
from pipelines.evaluation.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE, AUC, ALIKE, PER_CUSTOMER = 0.10, 0.82, 0.8, 3
"""Positives; the champion's true area under the curve; how the models' errors correlate; payments a customer."""

PAYMENT = Contract(
    "payment", "A payment.", (Field("payment_id", "string"), Field("customer", "string", key=True), Field("amount_cents", "cents")), days(1)
)  # fmt: skip
CASE = UseCase(
    "fraud", "Is this payment a fraud?", PAYMENT, Label("chargeback", "payment_id", Count(), days(5), at_least=1),
    Probability(CostMatrix("amount_cents", 1500, 300)), features(given=("amount_cents",)),
    (Model("dummy", print, "dummy"), Model("baseline", print, "baseline")), ("roc_auc",), "customer",
)  # fmt: skip
GATE = Gate(
    margin=0.0, inferior=0.01, floor=0.5, slice_harm=1.0, calibration=0.05, churn=1.0, latency_ms=50, size_mb=20, min_rows=500,
    min_positives=30,
)  # fmt: skip
"""Generous in all but the comparison, so that the comparison alone is measured."""


@dataclass(frozen=True)
class Holdout:
    """Labels with their customers, and what the errors of all models on them have in common."""

    labels: np.ndarray
    unit: np.ndarray
    common: np.ndarray
    amounts: np.ndarray
    ts: np.ndarray

    @staticmethod
    def drawn(rows: int, random: np.random.Generator, weeks: int = 1) -> Holdout:
        labels = (random.random(rows) < RATE).astype(float)
        unit = random.integers(0, rows // PER_CUSTOMER, rows)
        return Holdout(
            labels,
            unit,
            random.normal(size=rows),
            random.integers(500, 20_000, rows) * 1.0,
            random.integers(0, weeks * 7 * DAY, rows),
        )

    def scored(self, auc: float | np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The calibrated probabilities of a model of that true AUC, the same for all rows or each row's own; its errors correlate
        with every other model's by ALIKE."""
        from scipy.special import expit, ndtri

        apart = np.sqrt(2) * ndtri(auc)
        score = apart * self.labels + np.sqrt(ALIKE) * self.common + np.sqrt(1 - ALIKE) * random.normal(size=len(self.labels))
        return np.asarray(expit(np.log(RATE / (1 - RATE)) + apart * score - apart**2 / 2))

    def evidence(self, challenger: np.ndarray, champion: np.ndarray, looks: int = 0) -> Evidence:
        return Evidence(
            labels=self.labels, unit=self.unit, challenger=challenger, champion=champion, baseline=np.full(len(self.labels), RATE),
            amounts=self.amounts, ts=self.ts, latency_ms=1.0, size_mb=1.0, memory_mb=100.0, looks=looks,
            parity=Finding("parity", "pass", 0.0, "at most 1e-5"),
        )  # fmt: skip


def through_weeks(rows: int, weeks: int, spread: float, random: np.random.Generator) -> tuple[Holdout, np.ndarray]:
    """A holdout of so many weeks, and the true AUC of a challenger at each row: in some weeks it is better than the champion and in
    others worse, by `spread` (a standard deviation), whoever the rows are about; over all weeks to come it is equal."""
    holdout = Holdout.drawn(rows, random, weeks)
    by_week = AUC + spread * random.normal(size=weeks)
    return holdout, np.clip(by_week, 0.55, 0.99)[holdout.ts // (7 * DAY)]


def truths(gain: float) -> Sequence[float]:
    """The true AUC of the challenger and of the champion."""
    return (AUC + gain, AUC)
