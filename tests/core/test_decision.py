import json

import numpy as np
import pytest

from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking, answers_from_dict, answers_to_dict

COST = CostMatrix(missed="amount_cents", review=300, wrong_block=1500)


def test_expected_cost_at_the_label_is_the_realised_cost():
    assert COST.costs(1.0, 9000) == {"pass": 9000.0, "block": 0.0, "review": 300.0}
    assert COST.costs(0.0, 9000) == {"pass": 0.0, "block": 1500.0, "review": 300.0}


def test_the_same_formula_runs_on_an_array():
    costs = COST.costs(np.array([0.0, 1.0]), np.array([100, 200]))
    assert costs["pass"].tolist() == [0.0, 200.0]
    assert costs["review"].tolist() == [300.0, 300.0]


def test_the_costly_outcome_may_be_the_absent_one():
    assert CostMatrix(missed=200, wrong_block=50, costly=0).costs(0.9) == pytest.approx({"pass": 20.0, "block": 45.0})


def test_the_cheapest_order_is_the_critical_quantile():
    cost = Newsvendor(price="price_cents", short=0.3, over=0.1)
    units = np.random.default_rng(0).poisson(20, 20_000)
    totals = [cost.costs(order, units, 100).mean() for order in range(60)]
    assert int(np.argmin(totals)) == pytest.approx(np.quantile(units, cost.level), abs=1)


def test_quantile_levels_rise_and_hold_the_costs_own():
    with pytest.raises(ValueError, match=r"0\.75"):
        Quantiles((0.1, 0.5, 0.9), Newsvendor("price_cents", 0.3, 0.1))


@pytest.mark.parametrize(
    "answers", [Probability(COST), Quantiles((0.1, 0.5, 0.75), Newsvendor("price_cents", 3.0, 1.0)), Ranking(k=5)]
)
def test_what_is_answered_survives_a_turn_through_json(answers):
    assert answers_from_dict(json.loads(json.dumps(answers_to_dict(answers)))) == answers


def test_a_kind_of_answer_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="probability, quantiles, ranking"):
        answers_from_dict({"kind": "oracle"})
