"""Fraud on the Handbook's simulated card payments: its chapter-3 split, our features, models and metrics.

Handbook: Le Borgne, Siblini, Lebichot, Bontempi 2022, Reproducible machine learning for credit card fraud detection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.results import data
from pipelines.core.clock import DAY, days, iso
from pipelines.core.clock import instant as at
from pipelines.core.expression import maximum
from pipelines.core.feature import Aggregation, Count, Counted, Label, Max, Mean, features
from pipelines.core.usecase import Spec, UseCase
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled
from pipelines.features import batch
from pipelines.models.makers import lightgbm, linear, vote
from pipelines.usecases import get

DATASET = "fraud_handbook_transactions"
SEED = 11
METRICS = ("roc_auc", "average_precision", "card_precision_at_100")
TRAIN = at("2018-07-25")
"""The first day of the Handbook's training week."""
WEEK = 7
REACH = 45 * DAY
"""The longest that a feature looks back, with a few days to spare."""

PUBLISHED = {
    "logistic regression": (0.871, 0.606, 0.291),
    "decision tree of depth 2": (0.763, 0.496, 0.241),
    "decision tree, unlimited": (0.788, 0.309, 0.243),
    "random forest": (0.867, 0.658, 0.287),
    "XGBoost": (0.862, 0.639, 0.273),
    "always 0.5": (0.500, 0.007, 0.017),
}
SETTINGS = {
    "linear": {"strength": 0.1},
    "lightgbm": {"trees": 300, "leaves": 4, "rate": 0.03, "min_leaf": 20, "sample": 0.5},
}


def _windows(name: str, of: str, by: str, how: Aggregation, over: tuple[int, ...], delay: int = 0) -> list[Counted]:
    late = f"_{delay}d_ago" if delay else ""
    return [Counted(f"{name}_{n}d{late}", of=of, by=by, how=how, over=days(n), delay=days(delay)) for n in over]


COUNTED = (
    *_windows("payments", "payment", "card", Count(), (1, 7, 30)),
    *_windows("usual", "payment", "card", Mean("amount_cents"), (1, 7, 30)),
    *_windows("usual", "payment", "card", Mean("amount_cents"), (30,), 14),
    *_windows("largest", "payment", "card", Max("amount_cents"), (7, 30)),
    *_windows("largest", "payment", "card", Max("amount_cents"), (30,), 14),
    *_windows("frauds", "chargeback", "card", Count(), (30,), 7),
    *_windows("till_usual", "payment", "terminal", Mean("amount_cents"), (7, 30)),
    # A fraud is known a week later, so what a till did is compared over the same week-old window.
    *_windows("till_payments", "payment", "terminal", Count(), (1, 7, 21, 30), 7),
    *_windows("till_frauds", "chargeback", "terminal", Count(), (1, 7, 21, 30), 7),
    # A till that was bad four weeks ago has mostly been put right since.
    *_windows("till_payments", "payment", "terminal", Count(), (7,), 28),
    *_windows("till_frauds", "chargeback", "terminal", Count(), (7,), 28),
)


def night(ts):
    return ts % DAY < 7 * (DAY // 24)


def weekend(ts):
    return (ts // DAY + 3) % 7 >= 5


def times_usual_1d(amount_cents, usual_1d):
    return amount_cents / usual_1d


def times_usual_7d(amount_cents, usual_7d):
    return amount_cents / usual_7d


def times_usual_30d(amount_cents, usual_30d):
    return amount_cents / usual_30d


def times_usual_before(amount_cents, usual_30d_14d_ago):
    return amount_cents / usual_30d_14d_ago


def times_largest_30d(amount_cents, largest_30d):
    return amount_cents / largest_30d


def times_largest_before(amount_cents, largest_30d_14d_ago):
    return amount_cents / largest_30d_14d_ago


def spree_1d(usual_1d, usual_30d_14d_ago):
    return usual_1d / usual_30d_14d_ago


def spree_7d(usual_7d, usual_30d_14d_ago):
    return usual_7d / usual_30d_14d_ago



def largest_spree(largest_7d, largest_30d_14d_ago):
    return largest_7d / largest_30d_14d_ago


def till_risk_1d(till_frauds_1d_7d_ago, till_payments_1d_7d_ago):
    return till_frauds_1d_7d_ago / maximum(till_payments_1d_7d_ago, 1)


def till_risk_7d(till_frauds_7d_7d_ago, till_payments_7d_7d_ago):
    return till_frauds_7d_7d_ago / maximum(till_payments_7d_7d_ago, 1)


def till_risk_21d(till_frauds_21d_7d_ago, till_payments_21d_7d_ago):
    return till_frauds_21d_7d_ago / maximum(till_payments_21d_7d_ago, 1)


def till_risk_30d(till_frauds_30d_7d_ago, till_payments_30d_7d_ago):
    return till_frauds_30d_7d_ago / maximum(till_payments_30d_7d_ago, 1)


def till_risk_month_ago(till_frauds_7d_28d_ago, till_payments_7d_28d_ago):
    return till_frauds_7d_28d_ago / maximum(till_payments_7d_28d_ago, 1)


def times_till_usual(amount_cents, till_usual_30d):
    return amount_cents / till_usual_30d



DERIVED = (
    night, weekend, times_usual_1d, times_usual_7d, times_usual_30d, times_usual_before, times_largest_30d, times_largest_before,
    spree_1d, spree_7d, largest_spree, till_risk_1d, till_risk_7d, till_risk_21d, till_risk_30d, till_risk_month_ago,
    times_till_usual,
)  # fmt: skip


def case() -> UseCase:
    """Our fraud use case with the features of this set: its publisher gives no device and no country."""
    label = Label(of="chargeback", by="payment_id", how=Count(), at_least=1, within=days(1))
    return replace(get("fraud"), features=features(given=("amount_cents",), counted=COUNTED, derived=DERIVED), label=label, slices=())


@dataclass(frozen=True)
class Week:
    """Payments of seven days: matrix (rows, features), labels, cards and times."""

    matrix: np.ndarray
    labels: np.ndarray
    card: np.ndarray
    ts: np.ndarray

    def kept(self, mask: np.ndarray) -> Week:
        return Week(self.matrix[mask], self.labels[mask], self.card[mask], self.ts[mask])


def week(use: UseCase, tables: Any, start: int) -> Week:
    """The week from `start` on, its features from the batch engine."""
    import pyarrow.compute as pc

    end = start + WEEK * DAY
    near = {
        kind: table.filter(pc.and_(pc.greater_equal(table["ts"], start - REACH), pc.less(table["ts"], end)))
        for kind, table in tables.items()
    }
    rows = batch.rows(use, near, (start, end), as_of=2**60, threads=2)
    columns = [rows[name].to_numpy(zero_copy_only=False) for name in use.features.names]
    card = rows["card"].to_numpy(zero_copy_only=False).astype(str)
    return Week(np.column_stack(columns).astype(np.float32), rows["label"].to_numpy(), card, rows["ts"].to_numpy())


def unknown(train: Week, test: Week, chargebacks: Any) -> Week:
    """The test week without cards known to be compromised: those of the training week and, on each day of the test week, those
    of one more day after it, as the Handbook's `get_train_test_set` takes them out."""
    first = int(train.ts.min()) // DAY
    fraud_card = chargebacks["card"].to_numpy(zero_copy_only=False).astype(str)
    fraud_day = chargebacks["ts"].to_numpy() // DAY
    keep = np.zeros(len(test.ts), bool)
    for day in range(WEEK):
        known = (fraud_day >= first) & (fraud_day <= first + WEEK + day - 1)
        keep |= (test.ts // DAY == first + 2 * WEEK + day) & ~np.isin(test.card, fraud_card[known])
    return test.kept(keep)


def scores(use: UseCase, train: Week, test: Week) -> dict[str, np.ndarray]:
    """Each candidate's probabilities on the test week, learnt on the training week alone."""
    names = use.features.names
    fitted = {}
    for name, make in (("linear", linear), ("lightgbm", lightgbm)):
        spec = Spec(names, ("number",) * len(names), use.answers, SETTINGS[name], SEED, 1)
        fitted[name] = make(spec).fit(train.matrix, train.labels)
    spec = Spec(names, ("number",) * len(names), use.answers, {}, SEED, 1)
    fitted["vote"] = vote(spec, tuple(fitted.values())).fit(train.matrix, train.labels)
    return {name: model.predict_proba(test.matrix)[:, 1] for name, model in fitted.items()}


def judged(test: Week, p: np.ndarray) -> dict[str, float]:
    return dict(measure(METRICS, labelled(test.labels, test.card, ts=test.ts), p))


def compared(use: UseCase, train: Week, test: Week, chargebacks: Any) -> dict[str, dict[str, float]]:
    """Every candidate's metrics by name."""
    left = unknown(train, test, chargebacks)
    return {name: judged(left, p) for name, p in scores(use, train, left).items()}
