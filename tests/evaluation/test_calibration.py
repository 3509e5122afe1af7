import numpy as np
import pytest

from pipelines.evaluation.calibration import curve, expected_error, quantile_error
from pipelines.evaluation.statistic import labelled


def test_the_error_is_the_mean_gap_over_equally_full_bins():
    random = np.random.default_rng(1)
    scores = random.random(3000)
    labels = (random.random(3000) < scores**2) * 1.0
    rows = labelled(labels, np.arange(3000))
    inner = np.quantile(scores, np.linspace(0, 1, 16)[1:-1])
    place = np.searchsorted(inner, scores, side="right")
    wanted = sum(abs(scores[place == b].mean() - labels[place == b].mean()) * (place == b).mean() for b in range(15))
    assert expected_error(rows, scores)(rows.once)[0] == pytest.approx(wanted)


def test_a_true_probability_errs_little_and_a_doubled_one_much():
    random = np.random.default_rng(2)
    scores = random.beta(1, 20, 20_000)
    rows = labelled((random.random(20_000) < scores) * 1.0, np.arange(20_000))
    assert expected_error(rows, scores)(rows.once)[0] < 0.01
    assert expected_error(rows, np.minimum(3 * scores, 1))(rows.once)[0] > 0.05


def test_a_constant_score_is_one_bin():
    rows = labelled([0, 1, 0, 1], np.arange(4))
    assert expected_error(rows, np.full(4, 0.5))(rows.once)[0] == 0
    assert curve(rows.labels, np.full(4, 0.5)) == [(0.5, 0.5, 4)]


def test_whole_units_do_not_make_true_quantiles_wrong():
    from scipy.stats import poisson

    random = np.random.default_rng(3)
    levels = (0.1, 0.5, 0.9)
    for mean in (0.3, 2.0, 50.0):
        scores = np.tile([poisson.ppf(level, mean) for level in levels], (20_000, 1))
        rows = labelled(random.poisson(mean, 20_000) * 1.0, np.arange(20_000), levels=levels)
        assert quantile_error(rows, scores)(rows.once)[0] < 0.02
        assert quantile_error(rows, scores + 3)(rows.once)[0] > 0.1


def test_missing_scores_leave_the_error_undefined():
    rows = labelled([0, 1], [1, 2])
    assert np.isnan(expected_error(rows, np.array([0.1, np.nan]))(rows.once)[0])


def test_the_curve_of_nothing_is_empty():
    assert curve(np.zeros(0), np.zeros(0)) == []
