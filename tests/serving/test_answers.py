import numpy as np
import pytest
from little_shop import COST, DECLARED, LEVELS, NOW

from pipelines.core.clock import days
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import Probability, Quantiles, Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.serving import answers


def event(name, **body):
    return Event("payment", name, NOW, body)


def advise(score, amount):
    (found,), _ = answers.shape(Probability(COST), [event("p", amount_cents=amount)], ["r.0"], {}, np.array([score]))
    return found


@pytest.mark.parametrize(
    ("score", "amount", "action"), [(0.001, 9000, "pass"), (0.2, 9000, "review"), (0.95, 9000, "block"), (0.95, 50, "pass")]
)
def test_the_action_is_the_one_that_is_expected_to_cost_least(score, amount, action):
    found = advise(score, amount)
    assert found.action == action
    assert found.costs[action] == min(found.costs.values())


def test_the_order_is_the_least_that_reaches_the_quantile_that_costs_least():
    asked = Quantiles((0.1, 0.5, 0.75), LEVELS)
    (found,), _ = answers.shape(asked, [event("d")], ["r.0"], {}, np.array([[3.0, 5.0, 7.2]]))
    assert found.quantiles == {"0.1": 3.0, "0.5": 5.0, "0.75": 7.2}
    assert found.order == 8


def ranking(owner):
    columns = {
        "ask": owner,
        "candidate": np.array(["b", "a", "c", "x", "y"], dtype=object),
        "reason": np.array(["r"] * 5, dtype=object),
    }
    return answers.shape(Ranking(k=2), [event("q1"), event("q2")], ["r.0", "r.1"], columns, np.array([0.5, 0.5, 0.1, 0.2, 0.9]))


@pytest.mark.parametrize("owner", [np.array([0, 0, 0, 1, 1]), np.array(["q1", "q1", "q1", "q2", "q2"], dtype=object)])
def test_a_ranking_names_the_best_items_first_and_equal_ones_in_their_order(owner):
    (first, second), rows = ranking(owner)
    assert [ranked.item for ranked in first.items] == ["a", "b"]
    assert [ranked.item for ranked in second.items] == ["y", "x"]
    assert [mine.tolist() for mine in rows] == [[1, 0], [4, 3]]


def test_an_ask_without_candidates_has_an_empty_ranking():
    (_, second), _ = ranking(np.array([0, 0, 0, 0, 0]))
    assert second.items == []


def test_a_score_that_is_not_finite_becomes_the_typical_one():
    scores, patched = answers.finite(np.array([0.5, np.nan, np.inf]), 0.25)
    assert scores.tolist() == [0.5, 0.25, 0.25]
    assert patched
    quantiles, _ = answers.finite(np.array([[1.0, np.nan]]), np.array([3.0, 4.0]))
    assert quantiles.tolist() == [[1.0, 4.0]]


def test_a_contract_whose_amount_may_be_missing_cannot_weigh_costs():
    open_amount = Contract("payment", "", (Field("amount_cents", "cents", required=False),), days(1))
    with pytest.raises(ShelflifeError, match="amount_cents"):
        answers.check(Probability(COST), open_amount)
    answers.check(Probability(COST), DECLARED["fraud"].asks)
