"""How often the gate is wrong, on worlds whose truth is known; the full runs are `make bench-decisions`."""

import numpy as np
import pytest

from benchmarks.decisions import worlds
from benchmarks.decisions.promotions import promoted, promoted_by_weeks
from benchmarks.decisions.sequence import sequence
from pipelines.evaluation.gate import judge


def rates(gain, rows, runs):
    """The shares that our gate, and one that compares two numbers, promote."""
    return np.mean([promoted(gain, rows, seed) for seed in range(runs)], axis=0)


def test_equal_challengers_are_seldom_promoted_and_comparing_two_numbers_promotes_half_of_them():
    ours, point = rates(0.0, 1000, 60)
    assert ours <= 0.10, "3 of 60 would be 5 %; more than 6 come by chance once in 50 times at that"
    assert 0.3 < point < 0.7


def test_challengers_that_are_equal_but_for_the_weeks_are_seldom_promoted_by_a_gate_that_knows_of_weeks():
    knowing, not_knowing = np.mean([promoted_by_weeks(4, seed, rows=500) for seed in range(30)], axis=0)
    assert knowing <= 0.10, (
        "5 % of 30 would be 1.5; more than 3 come by chance once in 20 times at that, and 2.5 % is what is meant"
    )
    assert not_knowing > 0.10


def test_worse_challengers_are_not_promoted():
    assert rates(-0.02, 1000, 30)[0] == 0


def test_clearly_better_challengers_are_promoted():
    assert rates(0.06, 2000, 15)[0] >= 0.8


def test_thirty_equal_challengers_on_one_holdout_gain_nothing_by_trying():
    found = sequence(1000, 1)
    assert found["ours"][1] <= 1
    assert found["point"][1] > found["ours"][1]
    assert found["ours"][0] <= found["point"][0]


@pytest.mark.parametrize("looks", [5, 6, 29])
def test_a_retired_holdout_promotes_nobody_and_says_what_is_needed(looks):
    random = np.random.default_rng(3)
    holdout = worlds.Holdout.drawn(1000, random)
    evidence = holdout.evidence(holdout.scored(0.95, random), holdout.scored(0.7, random), looks)
    verdict = judge(worlds.CASE, worlds.GATE, evidence, seed=1).verdict("fraud")
    assert verdict.status == "unsure"
    assert "newer matured labels" in verdict.why()
