"""Everybody is judged on the same asks; of a ranking, each on the candidates of its own index."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.release import Moment
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled
from pipelines.steps.evaluate import Judged, gather, together
from pipelines.steps.rows import Rows

WANTED = {"a": "x", "b": "y", "c": "z"}


def listed(lists):
    """Rows of asks a, b, c, each with the candidates of that list."""
    pairs = [(ask, candidate) for ask, candidates in lists.items() for candidate in candidates]
    return Rows(
        {
            "ask": np.array([ask for ask, _ in pairs], object),
            "ts": np.array(["abc".index(ask) for ask, _ in pairs]),
            "candidate": np.array([candidate for _, candidate in pairs], object),
            "session": np.array([f"s{ask}" for ask, _ in pairs], object),
            "label": np.array([float(WANTED[ask] == candidate) for ask, candidate in pairs]),
        }
    )


def judged(rows, scores):
    return Judged("d", rows, np.array(scores, float), 1.0, 1.0, SimpleNamespace())


def rank(rows, scores):
    return measure(
        ["mrr_at_20", "hit_at_20"], labelled(rows["label"], rows["session"], ask=rows["ask"]), np.array(scores, float)
    )


@pytest.fixture
def two():
    ours = judged(listed({"a": "xpq", "b": "pq", "c": "zp"}), [3, 2, 1, 2, 1, 1, 2])
    theirs = judged(listed({"a": "pq", "b": "yr", "c": "pqz"}), [2, 1, 1, 2, 3, 2, 1])
    return ours, theirs


def test_a_ranking_is_judged_on_the_candidates_of_its_own_index(two):
    rows, scored = together(two[0].rows, two)
    assert len(rows) == 10, "the union of both lists"
    for alone, one in zip(two, scored, strict=True):
        assert rank(rows, one.scores) == rank(alone.rows, alone.scores)
    assert rank(rows, scored[0].scores)["hit_at_20"] == pytest.approx(2 / 3), "ask b's next item was not on our list"
    assert rank(rows, scored[1].scores)["hit_at_20"] == pytest.approx(2 / 3), "ask a's next item was not on theirs"


def test_the_rows_of_an_item_that_only_one_lists_carry_the_asks_own_columns(two):
    rows, _ = together(two[0].rows, two)
    assert all(session == f"s{ask}" for ask, session in zip(rows["ask"], rows["session"], strict=True))
    assert {(a, c) for a, c, label in zip(rows["ask"], rows["candidate"], rows["label"], strict=True) if label} == set(
        WANTED.items()
    )


def test_a_model_that_says_minus_infinity_itself_has_not_left_an_item_out(two):
    ours, theirs = two
    theirs.scores[0] = -np.inf
    _, scored = together(ours.rows, [ours, theirs])
    assert np.isnan(scored[1].scores).sum() == 1


def test_an_ask_that_a_model_has_no_row_for_is_not_known_to_it():
    rows = Rows({"ask": np.array(["a", "b"], object), "label": np.array([1.0, 0.0])})
    less = rows.take(np.array([0]))
    _, scored = together(rows, [judged(rows, [0.5, 0.1]), judged(less, [0.7])])
    assert scored[1].scores[0] == 0.7
    assert np.isnan(scored[1].scores[1])


@pytest.mark.parametrize("reasons", [(), ("cheaper",)])
def test_the_gate_hears_what_a_person_stated_for_the_run(reasons):
    case = SimpleNamespace(unit="session", slices=(), answers=None)
    rows = Rows({name: np.zeros(2) for name in ("label", "session", "ts")})
    one = replace(judged(rows, [0.5, 0.1]), memory_mb=1.0)
    moment = Moment("fraud", 0, "", None, "", 0, True, reasons)
    evidence = gather(case, rows, one, one, None, moment)
    assert evidence.reasons == reasons
    assert evidence.upheld(cheaper=True) == reasons


def test_the_same_rows_stay_as_they_are(two):
    rows, scored = together(two[0].rows, [two[0], two[0]])
    assert rows is two[0].rows
    assert scored == [two[0], two[0]]
