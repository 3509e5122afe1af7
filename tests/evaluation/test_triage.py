import numpy as np
import pytest

from pipelines.core.clock import DAY
from pipelines.core.verdict import Finding
from pipelines.evaluation.drift import shifts
from pipelines.evaluation.performance import Realised, performance
from pipelines.evaluation.quality import quality
from pipelines.evaluation.statistic import labelled
from pipelines.evaluation.triage import triage
from pipelines.evaluation.windows import windows


def look(quality="pass", features="pass", predictions="pass", performance="pass", estimated="absent"):
    said = {
        "quality: null share": quality,
        "features: amount": features,
        "predictions: score": predictions,
        "estimated: roc_auc": estimated,
        "performance: roc_auc": performance,
    }
    return [
        Finding(name, status, None if status == "unsure" else 0.4, "less")
        for name, status in said.items()
        if status != "absent"
    ]


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ({}, "quiet"),
        ({"quality": "fail"}, "broken data"),
        ({"quality": "fail", "features": "fail", "performance": "fail"}, "broken data"),
        ({"features": "fail"}, "harmless shift"),
        ({"predictions": "fail"}, "harmless shift"),
        ({"features": "fail", "performance": "fail"}, "harmful shift"),
        ({"performance": "fail"}, "concept change"),
        ({"performance": "unsure"}, "cannot decide"),
        ({"performance": "absent"}, "cannot decide"),
        ({"features": "fail", "performance": "unsure"}, "cannot decide"),
        ({"quality": "unsure"}, "cannot decide"),
        ({"quality": "absent"}, "cannot decide"),
        ({"features": "unsure"}, "cannot decide"),
        ({"features": "absent", "performance": "fail"}, "concept change"),
        ({"features": "absent"}, "quiet"),
        ({"predictions": "absent"}, "cannot decide"),
        ({"features": "fail", "estimated": "fail"}, "harmful shift"),
        ({"features": "fail", "estimated": "fail", "performance": "unsure"}, "harmful shift"),
        ({"features": "fail", "estimated": "unsure"}, "harmless shift"),
        ({"estimated": "unsure"}, "quiet"),
        ({"estimated": "pass", "performance": "unsure"}, "cannot decide"),
    ],
)
def test_what_the_channels_say_together(says, kind, monitor):
    diagnosis = triage([look(**says)] * 2, monitor)
    assert diagnosis.kind == kind
    assert diagnosis.retrain == (kind in ("harmful shift", "concept change"))
    assert diagnosis.quarantine == (kind == "broken data")
    assert bool(diagnosis.evidence) == (kind != "quiet")


def test_broken_data_counts_at_once_and_drift_only_when_it_lasts(monitor):
    assert triage([look(estimated="fail")], monitor).kind == "quiet"
    assert triage([look(quality="fail")], monitor).kind == "broken data"
    once = triage([look(), look(performance="fail")], monitor)
    assert once.kind == "quiet"
    assert "not yet lasting" in once.evidence[0]
    assert triage([look(performance="fail"), look(), look(performance="fail")], monitor).kind == "concept change"


def test_yesterdays_broken_data_is_not_todays(monitor):
    assert triage([look(quality="fail"), look()], monitor).kind == "quiet"


def test_nothing_looked_at_is_not_quiet(monitor):
    assert triage([], monitor).kind == "cannot decide"
    assert triage([[]], monitor).kind == "cannot decide"


NOW = 100 * DAY


def shop(seed, change, week):
    """One of three weekly looks at a shop in which `change` sets in with the last two weeks; truth: a score that ranks by the amount."""
    random = np.random.default_rng(seed)
    rows = 16_000
    now = NOW - (2 - week) * 7 * DAY
    ts = np.sort(random.integers(NOW - 91 * DAY, NOW, rows))
    late = ts >= NOW - 14 * DAY
    amount = random.lognormal(8, 0.8, rows)
    risk = np.log(amount)
    if change == "shift":
        amount = np.where(late, amount * 1.6, amount)
        risk = np.log(amount)
    labels = (random.random(rows) < 1 / (1 + np.exp(10 - risk))) * 1.0
    if change == "concept":
        labels = np.where(late, (random.random(rows) < 1 / (1 + np.exp(-6 + risk))) * 1.0, labels)
    if change == "unit":
        amount = np.where(late, amount * 100, amount)
    if change == "nulls":
        amount = np.where(late & (random.random(rows) < 0.3), np.nan, amount)
    score = 1 / (1 + np.exp(10 - np.log(np.nan_to_num(amount, nan=3000.0))))
    return ts, now, amount, labels, score, random.integers(0, rows // 4, rows)


def findings(seed, change, week, monitor):
    ts, now, amount, labels, score, unit = shop(seed, change, week)
    seen = windows(ts, monitor, now)
    known, before = Realised(labelled(labels, unit), score), {"the labels before": seen.reference}
    columns = {"amount": amount}
    return [
        *quality(columns, {}, ts, seen, monitor, now=now), *shifts(columns, {}, score, seen, monitor),
        performance("roc_auc", known, seen.current, before, monitor, seed=seed, resamples=200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("none", "quiet"),
        ("unit", "broken data"),
        ("nulls", "broken data"),
        ("shift", "harmless shift"),
        ("concept", "concept change"),
    ],
)
def test_what_happened_in_a_shop_with_known_truth(change, kind, monitor):
    for seed in range(4):
        looks = [findings(seed, change, week, monitor) for week in range(3)]
        assert triage(looks, monitor).kind == kind
