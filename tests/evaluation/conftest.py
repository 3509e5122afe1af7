"""Small use cases and generated holdouts with a known truth."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.core.feature import Count, First, Label, Sum, features
from pipelines.core.params import Gate, Monitor
from pipelines.core.usecase import Model, UseCase
from pipelines.core.verdict import Finding
from pipelines.evaluation.evidence import Evidence

MODELS = (Model("dummy", print, "dummy"), Model("baseline", print, "baseline"))
PAYMENT = Contract(
    "payment", "A payment.", (Field("payment_id", "string"), Field("customer", "string", key=True), Field("amount_cents", "cents"), Field("country", "string")),
    days(1),
)  # fmt: skip
STOCK = Contract(
    "stock", "An item at the start of a day.", (Field("item", "string", key=True), Field("price_cents", "cents")), days(1)
)
VIEW = Contract(
    "view",
    "A view.",
    (Field("session", "string", key=True), Field("item", "string", key=True), Field("trail", "strings")),
    days(1),
)
PARITY = Finding("parity", "pass", 1e-7, "at most 1e-5")


@pytest.fixture
def fraud():
    label = Label("chargeback", "payment_id", Count(), days(5), at_least=1)
    cost = CostMatrix("amount_cents", 1500, 300)
    metrics = ("roc_auc", "average_precision")
    return UseCase(
        "fraud",
        "?",
        PAYMENT,
        label,
        Probability(cost),
        features(given=("amount_cents",)),
        MODELS,
        metrics,
        "customer",
        ("country",),
    )


@pytest.fixture
def demand():
    label = Label("sale", "item", Sum("quantity"), days(7))
    answers = Quantiles((0.1, 0.5, 0.75, 0.9), Newsvendor("price_cents", 0.375, 0.125))
    return UseCase(
        "demand", "?", STOCK, label, answers, features(given=("price_cents",)), MODELS, ("pinball", "wape", "coverage"), "item"
    )


@pytest.fixture
def recommend():
    label = Label("view", "session", First("item"), days(1))
    metrics = ("mrr_at_20", "hit_at_20")
    return UseCase("recommend", "?", VIEW, label, Ranking(k=10), features(given=("item",)), MODELS, metrics, "session")


@pytest.fixture
def gate():
    return Gate(
        margin=0.0,
        inferior=0.01,
        floor=0.6,
        slice_harm=0.1,
        calibration=0.05,
        churn=0.2,
        latency_ms=20,
        size_mb=20,
        min_rows=500,
        min_positives=30,
    )


@pytest.fixture
def monitor():
    return Monitor(window=days(7), reference=days(56), min_rows=300, drop=0.1, drift=0.15)


def payments(seed, rows=3000, rate=0.1, noise=(0.0, 0.0), per_customer=3):
    """A holdout with a calibrated probability, blurred for each of challenger and champion by that much noise (in logits)."""
    random = np.random.default_rng(seed)
    logit = random.normal(np.log(rate / (1 - rate)), 1.5, rows)
    labels = (random.random(rows) < 1 / (1 + np.exp(-logit))) * 1.0
    blur = [1 / (1 + np.exp(-(logit + random.normal(0, max(n, 1e-9), rows)))) for n in noise]
    return SimpleNamespace(
        labels=labels, challenger=blur[0], champion=blur[1], baseline=np.full(rows, labels.mean()),
        unit=random.integers(0, rows // per_customer, rows).astype(str), amounts=random.integers(500, 20000, rows).astype(float),
        country=random.choice(["DE", "FR", "US"], rows, p=[0.5, 0.3, 0.2]), ts=random.integers(0, 10 * DAY, rows),
    )  # fmt: skip


def evidence(shop, **changes):
    """The evidence of a holdout of payments, all budgets kept, unless changed."""
    plain = Evidence(
        labels=shop.labels, unit=shop.unit, challenger=shop.challenger, champion=shop.champion, baseline=shop.baseline,
        slices={"country": shop.country}, amounts=shop.amounts, ts=shop.ts, latency_ms=2.0, size_mb=1.0, memory_mb=150.0, parity=PARITY,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture
def shop():
    return payments


@pytest.fixture
def given():
    return evidence
