import numpy as np
import pytest
from scipy.optimize import check_grad

from pipelines.core.errors import NotDecidable
from pipelines.models.estimator import answer
from pipelines.models.linear import ConditionalLogit, QuantileRegression, choice_loss


def test_quantile_regression_covers_what_it_promises(problem_of):
    problem, later = problem_of("quantiles", rows=4000), problem_of("quantiles", rows=4000, seed=9)
    levels = problem.spec.answers.levels
    told = answer(QuantileRegression(problem.spec.kinds, levels).fit(problem.X, problem.y), later.X)
    below, within = (later.y[:, None] < told).mean(axis=0), (later.y[:, None] <= told).mean(axis=0)
    assert (within >= np.array(levels) - 0.05).all()
    assert (below <= np.array(levels) + 0.05).all()


def test_the_loss_of_a_choice_has_the_slope_it_says():
    random = np.random.default_rng(0)
    y = np.array([1, 0, 0, 0, 1, 1, 0], float)
    loss = choice_loss(y, np.array([3, 4]))
    assert check_grad(lambda s: loss(s)[0], lambda s: loss(s)[1], random.normal(size=7)) < 1e-6


def test_the_loss_of_a_choice_does_not_overflow():
    value, slope = choice_loss(np.array([1.0, 0.0]), np.array([2]))(np.array([1e4, -1e4]))
    assert value == 0
    assert np.isfinite(slope).all()


def test_conditional_logit_finds_the_weights_that_made_the_choices():
    random = np.random.default_rng(1)
    X = random.normal(size=(20_000, 2)).astype(np.float32)
    X = np.sign(X) * np.expm1(np.abs(X))
    wish = (2 * np.sign(X[:, 0]) * np.log1p(np.abs(X[:, 0])) + random.gumbel(size=len(X))).reshape(-1, 10)
    y = (wish == wish.max(axis=1, keepdims=True)).astype(float).ravel()
    model = ConditionalLogit(("number", "number"), penalty=1e-9).fit(X, y, np.repeat(np.arange(2000), 10))
    assert model.coef_[0] == pytest.approx(2.0, abs=0.15)
    assert model.coef_[1] == pytest.approx(0.0, abs=0.1)


def test_asks_whose_next_item_is_no_candidate_teach_nothing():
    X, groups = np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1])
    with pytest.raises(NotDecidable, match="next item is among their candidates"):
        ConditionalLogit(("number",) * 4).fit(X, np.zeros(4), groups)
