import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.core.errors import NotDecidable, ShelflifeError
from pipelines.models.calibration import Calibration, fit

PROBABILITY = Probability(CostMatrix(100, 100))
QUANTILES = Quantiles((0.1, 0.5, 0.8, 0.95), Newsvendor("price_cents", 0.4, 0.1))


def distorted(rows, seed=0, rate=1.0):
    """True probabilities, labels, and scores that say the odds' square."""
    random = np.random.default_rng(seed)
    p = random.beta(1, 3, rows) * rate
    odds = (p / (1 - p)) ** 2
    return p, (random.random(rows) < p).astype(float), odds / (1 + odds)


def log_loss(p, labels):
    return -np.mean(np.log(np.where(labels > 0, p, 1 - p)))


def error(p, truth):
    return np.mean(np.abs(p - truth))


@pytest.mark.parametrize("rows", [4000, 300], ids=["isotonic", "platt"])
def test_calibrated_scores_come_close_to_the_true_probabilities(rows):
    _, labels, scores = distorted(rows)
    truth, later, said = distorted(2000, seed=1)
    calibration = fit(scores, labels, PROBABILITY)
    assert error(calibration.apply(said), truth) < error(said, truth) / 2
    assert log_loss(calibration.apply(said), later) < log_loss(said, later)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([40, 300, 3000]), st.sampled_from([1.0, 0.2]))
def test_calibration_keeps_the_order_and_stays_within_0_and_1(seed, rows, rate):
    _, labels, scores = distorted(rows, seed, rate)
    calibration = fit(scores, labels, PROBABILITY)
    asked = np.linspace(0, 1, 1001)
    told = calibration.apply(asked)
    assert (np.diff(told) >= 0).all()
    assert (told >= 0).all()
    assert (told <= 1).all()


def test_isotonic_calibration_ties_nothing_that_the_model_told_apart():
    _, labels, scores = distorted(4000)
    told = fit(scores, labels, PROBABILITY).apply(np.unique(scores))
    assert (np.diff(told) > 0).all()


def test_a_block_without_a_single_positive_is_not_said_to_be_certain():
    scores, labels = np.repeat([0.1, 0.5, 0.9], 400), np.repeat([0.0, 1.0, 1.0], 400)
    labels[400:600] = 0
    told = fit(scores, labels, PROBABILITY).apply([0.1, 0.5, 0.9])
    assert 0 < told[0] < told[1] < told[2] < 1


def test_a_constant_score_stays_constant_and_becomes_the_share():
    labels = np.r_[np.ones(300), np.zeros(700)]
    told = fit(np.full(1000, 0.9), labels, PROBABILITY).apply(np.full(5, 0.9))
    np.testing.assert_allclose(told, 0.3, atol=1e-9)
    assert np.ptp(fit(np.full(60, 0.9), labels[270:330], PROBABILITY).apply(np.full(5, 0.9))) == 0


def test_scores_that_mean_the_opposite_are_not_turned_round():
    _, labels, scores = distorted(300)
    told = fit(1 - scores, labels, PROBABILITY).apply([0.1, 0.5, 0.9])
    assert (np.diff(told) >= 0).all()


def test_with_a_handful_of_positives_the_models_own_word_stands():
    labels = np.r_[np.ones(5), np.zeros(500)]
    assert fit(np.linspace(0, 1, 505), labels, PROBABILITY) == Calibration("as_is")


def test_rankings_are_left_alone():
    assert fit([3.0, -2.0], [1.0, 0.0], Ranking()).apply([7.5]).tolist() == [7.5]


def test_shifted_quantiles_cover_what_they_promise():
    random = np.random.default_rng(3)
    means = random.gamma(2, 4, 4000)
    units = random.poisson(means).astype(float)
    said = np.maximum(np.column_stack([means * f for f in (0.9, 1.0, 1.05, 1.1)]), 0)
    calibration = fit(said[:2000], units[:2000], QUANTILES)
    told, later = calibration.apply(said[2000:]), units[2000:, None]
    below, within = (later < told).mean(axis=0), (later <= told).mean(axis=0)
    levels = np.array(QUANTILES.levels)
    assert (within >= levels - 0.03).all()
    assert (below <= levels + 0.03).all()
    assert (np.diff(told, axis=1) >= 0).all()
    assert (told >= 0).all()


def test_quantiles_that_cover_already_are_not_moved():
    said = np.tile([2.0, 3.0, 4.0, 6.0], (1000, 1))
    units = np.repeat([2.0, 3.0, 4.0, 6.0, 7.0], [200, 400, 250, 120, 30])
    assert fit(said, units, QUANTILES).apply(said[:1]).tolist() == [[2.0, 3.0, 4.0, 6.0]]


@pytest.mark.parametrize(
    "calibration",
    [Calibration("as_is"), Calibration("shift", (), (0.5, -0.25)), Calibration("curve", (0.0, 0.3, 1.0), (0.0, 0.1, 1.0))],
)
def test_a_calibration_survives_its_json(calibration):
    assert Calibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}",
     b'{"kind":"curve","x":[0,1],"y":[1,0]}', b'{"kind":"curve","x":[0,0],"y":[0,1]}',
     b'{"kind":"magic","x":[],"y":[]}',
     b'{"kind":"curve","x":[0,1],"y":[0,2]}', b'{"kind":"shift","x":[],"y":[NaN]}', b'{"kind":"shift","x":[],"y":["a"]}'],
)  # fmt: skip
def test_what_is_no_calibration_is_refused(data):
    with pytest.raises(ShelflifeError, match="wanted a calibration"):
        Calibration.from_json(data)


def test_the_json_holds_numbers_and_words_only():
    assert json.loads(Calibration("shift", (), (0.5,)).to_json()) == {"kind": "shift", "x": [], "y": [0.5]}


@pytest.mark.parametrize(("scores", "labels"), [([], []), ([0.1], [np.nan]), ([np.nan], [1.0]), ([0.1, 0.2], [1.0])])
def test_nothing_known_is_nothing_to_calibrate_on(scores, labels):
    with pytest.raises(NotDecidable, match="known label"):
        fit(scores, labels, PROBABILITY)


def test_another_models_quantiles_are_refused():
    with pytest.raises(ShelflifeError, match="wanted 2 quantiles"):
        Calibration("shift", (), (0.1, 0.2)).apply(np.ones((3, 4)))
