"""Before it may answer, a judged bundle answers again what the champion was asked, and decides nothing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.core.event import Event
from pipelines.core.params import Gate
from pipelines.steps import shadow as steps

GATE = Gate(
    margin=0.0, inferior=0.01, floor=0.0, slice_harm=1.0, calibration=1.0, churn=1.0, latency_ms=50, size_mb=1, min_rows=1, shadow=200
)  # fmt: skip


class Log:
    """A log of the answers that were given."""

    def __init__(self, events):
        self.events = events

    def read(self, *, after, limit, kinds):
        assert kinds == ("prediction",)
        return self.events[after : after + limit]


def answers(count, **of):
    random = np.random.default_rng(1)
    return [
        Event(
            "prediction", f"r{n}", 100 + n,
            {"usecase": "fraud", "degraded": False, "inputs": json.dumps({"ts": 1, "rows": [{"x": float(random.normal()), "word": None}]}), **of},
            arrived=100 + n, offset=n + 1,
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture
def look(monkeypatch):
    """The shadow of a model (a function of x) beside a champion that answers x itself."""

    def made(model, events, gate=GATE, since=0):
        monkeypatch.setattr(steps.bundle, "model_columns", lambda usecase: ("x", "word"))
        monkeypatch.setattr(
            steps.bundle, "open_scorer", lambda files: SimpleNamespace(score=lambda columns: files["model"](columns["x"]))
        )
        features = SimpleNamespace(kind=lambda name: "number" if name == "x" else "category")
        usecase = SimpleNamespace(name="fraud", answers=None, features=features)
        return steps.shadow(SimpleNamespace(log=Log(events)), usecase, gate, {"model": model}, {"model": lambda x: x}, since)

    return made


def finding(verdict, name):
    return next(f for f in verdict.findings if f.name == f"shadow: {name}")


def test_a_model_that_answers_like_the_champion_passes(look):
    assert look(lambda x: x + 0.05, answers(300)).status == "pass"


def test_too_few_requests_say_how_many_are_missing(look):
    verdict = look(lambda x: x, answers(150))
    assert verdict.status == "unsure"
    assert "wait for 50 more requests" in verdict.why()
    assert look(lambda x: x, answers(300), since=350).status == "unsure", "what came before its run began does not count"


@pytest.mark.parametrize("of", [{"usecase": "demand"}, {"degraded": True}, {"inputs": None}])
def test_answers_that_say_nothing_about_the_model_do_not_count(look, of):
    assert look(lambda x: x, answers(300, **of)).status == "unsure"


def test_scores_that_moved_refuse(look):
    verdict = look(lambda x: x + 2, answers(300))
    assert verdict.status == "fail"
    assert finding(verdict, "scores").status == "fail"


@pytest.mark.parametrize("broken", [lambda x: x * np.nan, lambda x: x[:0], lambda x: 1 / 0])
def test_one_that_does_not_answer_refuses(look, broken):
    verdict = look(lambda x: broken(x) if x[0] > 2 else x, answers(300))
    assert verdict.status == "fail"
    assert 0 < finding(verdict, "errors").observed < 0.1


def test_a_feature_that_was_not_logged_is_said(look):
    events = answers(300)
    for event in events:
        event.body["inputs"] = json.dumps({"ts": 1, "rows": [{"x": 1.0}]})
    verdict = look(lambda x: x, events)
    assert verdict.status == "fail"
    assert "not logged" in verdict.why()


def test_slow_answers_refuse(look):
    assert finding(look(lambda x: x, answers(300), Gate(**{**vars(GATE), "latency_ms": 1e-9})), "latency").status == "fail"
