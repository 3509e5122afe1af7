import numpy as np
import pytest

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.evaluation.churn import churn

FRAUD = Probability(CostMatrix("amount_cents", 1500, 300))
DEMAND = Quantiles((0.5, 0.75), Newsvendor("price_cents", 0.375, 0.125))


def test_a_probability_churns_where_its_cheapest_action_changes():
    amounts = np.full(4, 10_000.0)
    before, after = np.array([0.001, 0.05, 0.95, 0.95]), np.array([0.002, 0.001, 0.95, 0.9])
    assert churn(FRAUD, after, before, group=np.arange(4), amounts=amounts) == pytest.approx(1 / 4)


def test_a_forecast_churns_where_the_units_to_order_change():
    before, after = np.array([[1, 2.0], [1, 5.0]]), np.array([[9, 2.2], [1, 6.0]])
    assert churn(DEMAND, after, before, group=np.arange(2)) == 0.5


def test_a_ranking_churns_by_the_share_of_shown_items_replaced():
    ask = np.repeat([0, 1], 4)
    before = np.array([4, 3, 2, 1, 4, 3, 2, 1.0])
    after = np.array([3, 4, 2, 1, 1, 2, 3, 4.0])
    assert churn(Ranking(k=2), after, before, group=ask) == pytest.approx((0 + 1) / 2)


def test_identical_answers_do_not_churn():
    scores = np.random.default_rng(1).random(50)
    assert churn(FRAUD, scores, scores, group=np.arange(50), amounts=np.full(50, 999.0)) == 0
    assert churn(Ranking(k=5), scores, scores, group=np.arange(50) // 10) == 0


@pytest.mark.parametrize("amounts", [None, np.array([1.0, np.nan])])
def test_missing_amounts_or_scores_leave_churn_undefined(amounts):
    assert np.isnan(churn(FRAUD, np.array([0.1, 0.2]), np.array([0.1, 0.2]), group=np.arange(2), amounts=amounts))
    assert np.isnan(churn(Ranking(), np.array([np.nan]), np.array([0.1]), group=np.arange(1)))
