import numpy as np
import pytest

from pipelines.evaluation.estimate import Track, by_doubt, claimed, estimated, track
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.performance import Realised
from pipelines.evaluation.statistic import labelled


def scored(seed, rows=4000, spread=1.5, wrong=0.0):
    """Calibrated probabilities and the labels that follow from them; `wrong` is added to the scores' log-odds alone."""
    random = np.random.default_rng(seed)
    logit = random.normal(-2, spread, rows)
    labels = (random.random(rows) < 1 / (1 + np.exp(-logit))) * 1.0
    return Realised(labelled(labels, np.arange(rows)), 1 / (1 + np.exp(-(logit + wrong))))


def forecast(seed, rows=3000, noise=1.0):
    """Quantiles of demand whose width follows the item's level, and what sold; `noise` widens what sells, not the forecast."""
    random = np.random.default_rng(seed)
    level = random.lognormal(2, 0.6, rows)
    scores = np.stack([level * q for q in (0.6, 1.0, 1.4)], axis=1)
    sold = np.maximum(level * (1 + 0.3 * noise * random.normal(size=rows)), 0)
    return Realised(labelled(sold, np.arange(rows), levels=(0.1, 0.5, 0.9)), scores)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "accuracy", "macro_f1"])
def test_calibrated_scores_claim_what_the_labels_then_say(name):
    span = scored(1, rows=20_000)
    real = measure([name], span.rows, span.scores)[name]
    assert claimed(name, 1)(span.rows, span.scores) == pytest.approx(real, abs=0.02)


def test_an_estimate_reads_no_label():
    span = scored(1)
    blind = labelled(np.full(4000, np.nan), np.arange(4000))
    assert claimed("roc_auc", 1)(blind, span.scores) == claimed("roc_auc", 1)(span.rows, span.scores)
    wide = forecast(2)
    estimate = by_doubt("pinball", [forecast(s) for s in range(3)])
    assert estimate(labelled(np.full(3000, np.nan), np.arange(3000), levels=(0.1, 0.5, 0.9)), wide.scores) == estimate(wide.rows, wide.scores)  # fmt: skip


def test_asks_of_more_doubt_are_foretold_to_lose_more():
    known = [forecast(s) for s in range(3)]
    dear = forecast(9)
    large = dear.scores[:, 1] > np.quantile(dear.scores[:, 1], 0.8)
    estimate = by_doubt("pinball", known)
    real = measure(["pinball"], dear.rows.part(large), dear.scores[large])["pinball"]
    assert estimate(dear.rows.part(large), dear.scores[large]) == pytest.approx(real, rel=0.15)
    assert real > 1.5 * estimate(dear.rows, dear.scores)


def rank(seed, asks=400, sure=2.0):
    random = np.random.default_rng(seed)
    ask = np.repeat(np.arange(asks), 10)
    scores = random.exponential(1, asks * 10) * sure
    chance = np.exp(scores) / np.bincount(ask, np.exp(scores))[ask]
    first = [a * 10 + random.choice(10, p=chance[a * 10 : a * 10 + 10]) for a in range(asks)]
    labels = np.zeros(asks * 10)
    labels[first] = 1
    return Realised(labelled(labels, ask, ask=ask), scores)


def test_a_ranking_is_estimated_by_its_best_scores():
    estimate = by_doubt("mrr_at_20", [rank(s) for s in range(4)])
    for seed in (10, 11):
        span = rank(seed)
        assert estimate(span.rows, span.scores) == pytest.approx(measure(["mrr_at_20"], span.rows, span.scores)["mrr_at_20"], abs=0.06)  # fmt: skip


def test_an_estimate_that_tracked_the_labels_foretells_a_fall(monitor):
    past = [scored(s) for s in range(6)]
    blurred = scored(9, spread=0.4)
    found = estimated("roc_auc", (blurred.rows, blurred.scores), past, monitor, probability=True, seed=1)
    assert found.status == "fail"
    assert found.low > 0
    real = np.mean([measure(["roc_auc"], s.rows, s.scores)["roc_auc"] for s in past])
    assert found.observed == pytest.approx(real - measure(["roc_auc"], blurred.rows, blurred.scores)["roc_auc"], abs=0.05)
    calm = scored(10)
    assert estimated("roc_auc", (calm.rows, calm.scores), past, monitor, probability=True, seed=1).status == "pass"


def test_an_estimate_that_did_not_track_the_labels_is_not_used(monitor):
    blurred = scored(9, spread=0.4)
    now = blurred.rows, blurred.scores
    few = estimated("roc_auc", now, [scored(s) for s in range(3)], monitor, probability=True, seed=1)
    assert (few.status, "3 windows" in few.advice) == ("unsure", True)
    random = np.random.default_rng(1)
    liars = [Realised(labelled(random.permutation(s.rows.labels), np.arange(4000)), s.scores) for s in map(scored, range(6))]
    lied = estimated("roc_auc", now, liars, monitor, probability=True, seed=1)
    assert (lied.status, "hides a fall" in lied.advice) == ("unsure", True)


def test_the_errors_of_past_windows_are_a_bias_a_spread_and_a_coverage():
    steady = Track((0.01, 0.02, 0.01, 0.02, 0.015))
    assert steady.why_not(0.1) == ""
    assert "hides" in Track((0.3, 0.31, 0.3, 0.29)).why_not(0.1)
    assert "hides" in Track((-0.2, 0.2, -0.2, 0.2)).why_not(0.1)
    assert "needed" in Track((0.0,)).why_not(0.1)
    assert track("roc_auc", [scored(s) for s in range(5)], True, 1).bias == pytest.approx(0, abs=0.02)


def test_one_row_or_none_is_no_estimate(monitor):
    one = scored(1, rows=1)
    assert estimated("roc_auc", (one.rows, one.scores), [scored(s) for s in range(6)], monitor, probability=True, seed=1).status == "unsure"  # fmt: skip
