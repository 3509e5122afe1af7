import numpy as np
import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.models.estimator import answer
from pipelines.models.export import to_onnx
from pipelines.models.parity import check
from pipelines.models.trivial import ConstantQuantiles, FirstBy, RateByBin, RateByCategory, SeasonalNaive


def agreed(estimator, X):
    """The answers, once the served form has been seen to agree."""
    finding = check(estimator, to_onnx(estimator, X.shape[1]), X)
    assert finding.status == "pass", finding.sentence()
    return answer(estimator, X)


def test_the_rate_of_a_bin_is_the_share_among_like_values():
    X = np.r_[np.full(500, 10), np.full(500, 200)].astype(np.float32)[:, None]
    y = np.r_[np.zeros(500), np.tile([0.0, 1.0], 250)]
    told = agreed(RateByBin(0, bins=2).fit(X, y), X)[:, 0]
    assert told[0] < 0.02
    assert abs(told[-1] - 0.5) < 0.02


def test_an_unknown_amount_gets_a_rate_too():
    X = np.arange(100, dtype=np.float32)[:, None]
    model = RateByBin(0).fit(X, (X[:, 0] > 50).astype(float))
    assert np.isfinite(agreed(model, np.array([[np.nan], [1e9], [-5]], np.float32))).all()


def test_the_rate_of_an_unknown_category_is_the_overall_one():
    X = np.repeat([0, 1], 500).astype(np.float32)[:, None]
    y = np.r_[np.ones(500), np.tile([0.0, 1.0], 250)]
    told = agreed(RateByCategory(0).fit(X, y), np.array([[0], [1], [-1], [9], [np.nan]], np.float32))[:, 0]
    assert told[0] > told[2] > told[1]
    assert told[2] == told[3] == told[4] == np.float32(0.75)


def test_seasonal_naive_says_last_season_give_or_take():
    random = np.random.default_rng(0)
    means = random.gamma(3, 5, 2000)
    X = random.poisson(means).astype(np.float32)[:, None]
    y = random.poisson(means).astype(float)
    told = agreed(SeasonalNaive(0, (0.1, 0.5, 0.9)).fit(X, y), np.vstack([X, [[np.nan]], [[-3]]]).astype(np.float32))
    assert np.corrcoef(told[:2000, 1], X[:, 0])[0, 1] > 0.99
    assert abs((y <= told[:2000, 2]).mean() - 0.9) < 0.03
    assert (np.diff(told, axis=1) >= 0).all()


def test_the_dummys_quantiles_are_those_of_the_labels():
    X, y = np.zeros((101, 1), np.float32), np.arange(101.0)
    assert agreed(ConstantQuantiles((0.25, 0.5)).fit(X, y), X)[0].tolist() == [25, 50]


def test_the_first_column_decides_and_the_second_breaks_its_ties():
    X = np.array([[1, 5], [1, 9], [2, 0], [np.nan, 99]], np.float32)
    told = agreed(FirstBy(((0, 1), (1, 1))).fit(X, np.zeros(4)), X)[:, 0]
    assert np.argsort(-told).tolist() == [2, 1, 0, 3]


def test_least_may_come_first_and_null_comes_last():
    X = np.array([[3.0], [0.0], [np.nan], [1.0]], np.float32)
    told = agreed(FirstBy(((0, -1),)).fit(X, np.zeros(4)), X)[:, 0]
    assert np.argsort(-told).tolist() == [1, 3, 0, 2]


def test_more_columns_than_a_float32_can_order_are_refused():
    X = np.zeros((2, 4), np.float32)
    with pytest.raises(ShelflifeError, match="different scores"):
        FirstBy(((0, 1), (1, 1), (2, 1), (3, 1))).fit(X, np.zeros(2))
