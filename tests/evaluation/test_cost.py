import numpy as np
import pytest

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking
from pipelines.evaluation.cost import amount_field, cents, has_cost, mean_cost
from pipelines.evaluation.statistic import labelled

FRAUD = Probability(CostMatrix("amount_cents", 1500, 300))
DEMAND = Quantiles((0.5, 0.75), Newsvendor("price_cents", 0.375, 0.125))


def test_the_money_lost_to_fraud_follows_the_action_and_the_truth():
    labels, scores = np.array([1, 0, 0, 1, 1.0]), np.array([0.0, 0.0, 1.0, 1.0, 0.1])
    paid = cents(FRAUD, labels, scores, np.full(5, 8000.0))
    assert paid.tolist() == [8000, 0, 1500, 0, 300]  # missed, passed, wrongly blocked, rightly blocked, reviewed


def test_the_money_lost_on_an_order_is_short_or_over():
    paid = cents(DEMAND, np.array([5, 5, 5.0]), np.array([[0, 5.0], [0, 3.0], [0, 9.0]]), np.full(3, 1000.0))
    assert paid.tolist() == pytest.approx([0, 2 * 375, 4 * 125])


def test_the_mean_cost_is_a_statistic_over_units():
    rows = labelled([1, 0, 0], [0, 1, 1])
    cost = mean_cost(FRAUD, rows, np.zeros(3), np.array([900.0, 900.0, 900.0]))
    assert cost(np.array([[1, 1], [2, 0]], np.int32)).tolist() == pytest.approx([300, 900])


@pytest.mark.parametrize("amounts", [None, np.array([1.0, np.nan])])
def test_an_unknown_amount_leaves_the_cost_undefined(amounts):
    rows = labelled([1, 0], [0, 1])
    assert np.isnan(mean_cost(FRAUD, rows, np.array([0.1, 0.2]), amounts)(rows.once)[0])


def test_which_field_holds_the_money_is_read_off_the_declaration():
    assert (amount_field(FRAUD), amount_field(DEMAND), amount_field(Ranking())) == ("amount_cents", "price_cents", None)
    assert amount_field(Probability(CostMatrix(500, 100))) is None
    assert not has_cost(Ranking())
