"""A shop that blocks sees no label of what it blocks. On a shop whose truth is known: weighted by propensity, what is estimated
from the labels that are left is right; unweighted it is not."""

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.clock import DAY
from pipelines.core.decision import CostMatrix
from pipelines.core.event import Event
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled
from pipelines.features.seen import weighed
from pipelines.serving.answers import Advice
from pipelines.serving.explore import Explorer
from pipelines.steps.rows import Rows, from_arrow

METRICS = ["roc_auc", "average_precision", "log_loss"]


def payments(seed, rows=4000):
    """Rows with a calibrated risk and the truth, and what a champion of a like mind did: it blocks what is likely a fraud."""
    random = np.random.default_rng(seed)
    logit = random.normal(-2.5, 1.6, rows)
    truth = (random.random(rows) < 1 / (1 + np.exp(-logit))) * 1.0
    risk = 1 / (1 + np.exp(-(logit + random.normal(0, 0.5, rows))))
    table = pa.table({"ask": [f"p{seed}.{n}" for n in range(rows)], "card": np.arange(rows) // 2, "label": truth, "risk": risk})
    return table, np.where(risk > 0.3, "block", "pass")


def answered(table, actions, explorer):
    """The prediction events of the answers that were given."""
    rows = []
    for ask, action in zip(table["ask"].to_pylist(), actions, strict=True):
        advice = Advice(ask, f"r{ask}", 0.5, str(action), {})
        answer, chance = explorer.tried(Event("payment", ask, 1, {"amount_cents": 1}), advice, 5 * DAY)
        rows.append({"id": f"r{ask}", "ts": 1, "usecase": "fraud", "ask": ask, "action": answer.action, "propensity": chance})
    return pa.Table.from_pylist(rows)


def known(rows):
    return rows.take(np.isfinite(rows["label"]))


def figures(rows, weight):
    weights = rows["weight"] if weight else None
    found = dict(measure(METRICS, labelled(rows["label"], rows["card"], weight=weights), rows["risk"]))
    return np.array([np.average(rows["label"], weights=weights), *found.values()])


@pytest.fixture(scope="module")
def estimates(tmp_path_factory):
    """Truth, weighted and unweighted estimates of base rate and metrics over simulated weeks."""
    explorer = Explorer(
        CostMatrix("amount_cents", 1500), ("block",), 0.1, 10**6, 10**9, tmp_path_factory.mktemp("explored") / "explored.json"
    )
    found = []
    for seed in range(25):
        table, actions = payments(seed)
        rows = known(Rows(from_arrow(weighed(table, answered(table, actions, explorer), "fraud", ("block",), 50.0))))
        truth = Rows(from_arrow(table))
        found.append([figures(truth, weight=False), figures(rows, weight=True), figures(rows, weight=False)])
    return np.array(found)


def test_weighted_estimates_are_unbiased_and_unweighted_ones_are_not(estimates):
    truth, weighted, plain = estimates.mean(axis=0)
    standard_error = (estimates[:, 1] - estimates[:, 0]).std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (np.abs(weighted - truth) < 3 * standard_error + 0.003).all(), (truth, weighted)
    assert (np.abs(plain - truth) > 10 * standard_error).sum() >= 3, (truth, plain)
    assert plain[0] < 0.7 * truth[0], "most fraud is among what is blocked"


def test_repeating_rows_by_their_weight_teaches_the_same_base_rate(estimates, tmp_path):
    table, actions = payments(99)
    explorer = Explorer(CostMatrix("amount_cents", 1500), ("block",), 0.1, 10**6, 10**9, tmp_path / "explored.json")
    rows = known(Rows(from_arrow(weighed(table, answered(table, actions, explorer), "fraud", ("block",), 50.0))))
    repeated = rows.repeated()
    assert "weight" not in repeated.columns
    assert repeated["label"].mean() == pytest.approx(np.average(rows["label"], weights=rows["weight"]))


def test_the_first_answer_acted_and_a_cap_bounds_the_weight():
    table = pa.table({"ask": ["a", "b", "c", "d"], "label": [0.0, 1.0, 0.0, 1.0]})
    told = pa.Table.from_pylist(
        [
            {"id": "2", "ts": 9, "usecase": "fraud", "ask": "a", "action": "pass", "propensity": 1.0},
            {"id": "1", "ts": 5, "usecase": "fraud", "ask": "a", "action": "block", "propensity": 0.1},
            {"id": "3", "ts": 5, "usecase": "fraud", "ask": "b", "action": "pass", "propensity": 0.001},
            {"id": "4", "ts": 5, "usecase": "other", "ask": "c", "action": "block", "propensity": 0.1},
        ]
    )
    rows = weighed(table, told, "fraud", ("block",), 50.0)
    assert rows["label"].to_pylist() == [None, 1.0, 0.0, 1.0]
    assert rows["weight"].to_pylist()[1:] == [50.0, 1.0, 1.0]


def test_answers_from_before_there_was_exploration_weigh_one():
    table = pa.table({"ask": ["a"], "label": [1.0]})
    told = pa.table({"id": ["1"], "ts": [5], "usecase": ["fraud"], "ask": ["a"], "action": ["pass"]})
    assert weighed(table, told, "fraud", ("block",), 50.0)["weight"].to_pylist() == [1.0]


def test_weights_of_nought_are_refused():
    with pytest.raises(Exception, match="weights above 0"):
        labelled([1.0], ["a"], weight=[0.0])
