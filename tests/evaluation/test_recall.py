"""A release that answered before is named only where it would provably answer better, and not at a cost."""

import numpy as np
import pytest

from benchmarks.decisions import worlds
from pipelines.evaluation.recall import best, recall
from pipelines.evaluation.statistic import labelled


def asked(champion, formers, rows=1500, seed=1, change=lambda scores: scores):
    """What is found of formers of these true AUCs beside a champion's."""
    random = np.random.default_rng([seed, rows])
    holdout = worlds.Holdout.drawn(rows, random)
    known = labelled(holdout.labels, holdout.unit, ts=holdout.ts)
    mine, *theirs = (holdout.scored(auc, random) for auc in (champion, *formers))
    scores = {f"{back} back": change(one) for back, one in enumerate(theirs, 1)}
    return recall(worlds.CASE, worlds.GATE, known, mine, scores, holdout.amounts, seed=seed)


def test_the_best_of_those_that_are_provably_better_is_named():
    found = asked(0.72, (0.73, 0.80, 0.86))
    assert best(found) == "3 back"
    assert found["2 back"].status == "pass"
    assert found["2 back"].low > 0


def test_a_worse_one_is_said_to_be_no_better():
    found = asked(0.85, (0.70,))
    assert found["1 back"].status == "fail"
    assert best(found) is None


def test_equal_ones_are_rarely_named_however_many_are_asked():
    named = sum(best(asked(0.8, (0.8, 0.8, 0.8), rows=700, seed=seed)) is not None for seed in range(30))
    assert named <= 3


def test_the_error_is_shared_among_those_that_are_asked():
    one, three = asked(0.8, (0.8,)), asked(0.8, (0.8, 0.8, 0.8))
    assert one["1 back"].sure == pytest.approx(0.95)
    assert three["1 back"].sure == pytest.approx(1 - 0.05 / 3)


def test_one_that_ranks_better_but_whose_answers_cost_more_is_not_named():
    found = asked(0.72, (0.86,), change=lambda scores: 0.5 + scores / 2)
    assert found["1 back"].status == "unsure"
    assert "cost more" in found["1 back"].advice
    assert best(found) is None


def test_too_few_labels_decide_nothing():
    found = asked(0.72, (0.9,), rows=200)
    assert found["1 back"].status == "unsure"
    assert "wanted 500 labels with 30 positives, got 200" in found["1 back"].advice


def test_without_a_release_before_there_is_nothing_to_name():
    assert best(asked(0.8, ())) is None
