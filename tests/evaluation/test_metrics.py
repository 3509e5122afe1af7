import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, mean_pinball_loss, roc_auc_score

from pipelines.core.clock import DAY
from pipelines.core.errors import ShelflifeError
from pipelines.evaluation.metrics import measure, metric, statistics
from pipelines.evaluation.statistic import labelled


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 4)), min_size=2, max_size=40))
def test_weighted_ranking_metrics_equal_scikit_learn_with_ties(rows):
    labels, scores, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    if not 0 < labels.sum() < len(labels):
        return
    made = statistics(["average_precision", "roc_auc"], labelled(labels, np.arange(len(rows))), scores)
    counts = weights.astype(np.int32)[None, :]
    assert made["average_precision"](counts)[0] == pytest.approx(average_precision_score(labels, scores, sample_weight=weights))
    assert made["roc_auc"](counts)[0] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))


def test_row_metrics_equal_scikit_learn_with_units_that_count_several_times():
    random = np.random.default_rng(3)
    labels, scores, unit = random.integers(0, 2, 500) * 1.0, random.random(500), random.integers(0, 90, 500)
    rows = labelled(labels, unit)
    counts = random.integers(0, 4, (1, rows.units)).astype(np.int32)
    weight = counts[0][rows.unit]
    made = {
        name: one(counts)[0] for name, one in statistics(["log_loss", "brier", "macro_f1", "accuracy"], rows, scores).items()
    }
    assert made["log_loss"] == pytest.approx(log_loss(labels, scores, sample_weight=weight))
    assert made["brier"] == pytest.approx(brier_score_loss(labels, scores, sample_weight=weight))
    assert made["macro_f1"] == pytest.approx(f1_score(labels, scores >= 0.5, average="macro", sample_weight=weight))
    assert made["accuracy"] == pytest.approx(np.average((scores >= 0.5) == labels, weights=weight))


def test_forecast_metrics_equal_their_definitions():
    random = np.random.default_rng(4)
    levels = (0.1, 0.5, 0.9)
    labels = random.poisson(5, 300) * 1.0
    scores = np.sort(random.random((300, 3)) * 10, axis=1)
    seen = measure(["pinball", "wape", "coverage"], labelled(labels, np.arange(300), levels=levels), scores)
    wanted = np.mean([mean_pinball_loss(labels, scores[:, i], alpha=level) for i, level in enumerate(levels)])
    assert seen["pinball"] == pytest.approx(wanted)
    assert seen["wape"] == pytest.approx(np.abs(labels - scores[:, 1]).sum() / labels.sum())
    assert seen["coverage"] == pytest.approx(np.mean((labels >= scores[:, 0]) & (labels <= scores[:, 2])))


def test_more_is_better_after_orientation():
    assert metric("wape").orient(np.array([0.3]))[0] < metric("wape").orient(np.array([0.2]))[0]
    coverage = metric("coverage", (0.1, 0.9))
    near, far = coverage.orient(np.array([0.8, 0.99]))
    assert near > far


def naive_ranking(ask, labels, scores, gain):
    """The mean over asks of the gain at the rank of the wanted item, averaged over every order of equal scores."""
    worth = []
    for one in np.unique(ask):
        rows = ask == one
        if labels[rows].sum() == 0:
            worth.append(0.0)
            continue
        mine = scores[rows][labels[rows] > 0][0]
        above, beside = (scores[rows] > mine).sum(), (scores[rows] == mine).sum()
        worth.append(np.mean([gain(rank) for rank in range(above + 1, above + beside + 1)]))
    return np.mean(worth)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_ranking_metrics_equal_a_naive_loop_over_asks(seed, k):
    random = np.random.default_rng(seed)
    ask = np.sort(random.integers(0, 8, 60))
    scores = random.integers(0, 5, 60) * 1.0
    labels = np.zeros(60)
    for one in np.unique(ask)[::2]:
        labels[random.choice(np.flatnonzero(ask == one))] = 1
    shuffle = random.permutation(60)
    ask, scores, labels = ask[shuffle], scores[shuffle], labels[shuffle]
    gains = {
        "hit": lambda r: float(r <= k), "mrr": lambda r: (r <= k) / r, "ndcg": lambda r: (r <= k) / np.log2(r + 1),
    }  # fmt: skip
    seen = measure([f"{how}_at_{k}" for how in gains], labelled(labels, ask, ask=ask), scores)
    for how, gain in gains.items():
        assert seen[f"{how}_at_{k}"] == pytest.approx(naive_ranking(ask, labels, scores, gain))


def naive_card_precision(day, card, labels, scores, k):
    caught, precisions = set(), []
    for one in np.unique(day):
        cards = {}
        for c in np.unique(card[day == one]):
            rows = (day == one) & (card == c)
            if c not in caught:
                cards[c] = (scores[rows].max(), labels[rows].max())
        top = sorted(cards, key=lambda c: -cards[c][0])[:k]
        found = {c for c in top if cards[c][1] > 0}
        caught |= found
        precisions.append(len(found) / k)
    return np.mean(precisions)


def test_card_precision_looks_at_each_caught_card_once_and_each_copy_of_a_unit_apart():
    random = np.random.default_rng(5)
    day, card = random.integers(0, 4, 200), random.integers(0, 30, 200)
    labels, scores = (random.random(200) < 0.2) * 1.0, random.random(200)
    rows = labelled(labels, card, card=card, ts=day * DAY)
    made = statistics(["card_precision_at_10"], rows, scores)["card_precision_at_10"]
    assert made(rows.once)[0] == pytest.approx(naive_card_precision(day, card, labels, scores, 10))
    twice = np.r_[card, card + 100]
    doubled = labelled(np.r_[labels, labels], twice, card=twice, ts=np.r_[day, day] * DAY)
    copies = statistics(["card_precision_at_10"], doubled, np.r_[scores, scores])["card_precision_at_10"]
    assert made(2 * rows.once)[0] == pytest.approx(copies(doubled.once)[0], abs=0.06)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_leaves_every_metric_undefined(bad):
    seen = measure(["roc_auc", "brier", "average_precision"], labelled([0, 1, 1], [1, 2, 3]), np.array([0.1, bad, 0.3]))
    assert all(np.isnan(value) for value in seen.values())


def test_one_class_alone_has_no_auc():
    assert np.isnan(measure(["roc_auc"], labelled([1, 1], [1, 2]), np.array([0.1, 0.2]))["roc_auc"])
    assert np.isnan(measure(["average_precision"], labelled([0, 0], [1, 2]), np.array([0.1, 0.2]))["average_precision"])


def test_no_rows_have_no_metric():
    assert np.isnan(measure(["brier"], labelled([], []), np.array([]))["brier"])


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(ShelflifeError, match="no metric 'f7'"):
        metric("f7")


def test_each_null_unit_stands_for_itself():
    rows = labelled([0, 1, 1, 0], np.array(["a", None, None, "a"], object))
    assert rows.units == 3
    assert rows.unit.tolist() == [0, 1, 2, 0]
