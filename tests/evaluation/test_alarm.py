import pytest

from pipelines.core.verdict import Finding
from pipelines.evaluation.alarm import Told, calm, cause, follow, told
from pipelines.evaluation.triage import Diagnosis

DRIFT, DATA, CALM, NOISE = "model drifting", "data broken (payment)", "calm", ""


def looks(*words):
    return [Told(at, "" if word in (CALM, NOISE) else word, word == CALM) for at, word in enumerate(words)]


def open_after(monitor, *words):
    return [(a.cause, a.since) for a in follow(looks(*words), monitor)[0]]


def over_at(monitor, *words):
    return [(a.cause, a.since) for a in follow(looks(*words), monitor)[1]]


def test_one_cause_is_one_alarm_however_often_it_is_seen(monitor):
    assert open_after(monitor, DRIFT, DRIFT, NOISE, DRIFT) == [(DRIFT, 0)]


def test_another_cause_is_another_alarm(monitor):
    assert open_after(monitor, DRIFT, DATA, "data broken (purchase)") == [(DRIFT, 0), (DATA, 1), ("data broken (purchase)", 2)]


def test_an_alarm_is_over_after_two_calm_looks_in_a_row_and_is_said_to_be_once(monitor):
    assert over_at(monitor, DRIFT, CALM) == []
    assert over_at(monitor, DRIFT, CALM, NOISE, CALM) == []
    assert over_at(monitor, DRIFT, CALM, CALM) == [(DRIFT, 0)]
    assert over_at(monitor, DRIFT, CALM, CALM, CALM) == []
    assert open_after(monitor, DRIFT, CALM, CALM, DRIFT) == [(DRIFT, 3)]


def test_what_flutters_about_its_limit_is_one_alarm(monitor):
    assert open_after(monitor, *[DRIFT, NOISE] * 20) == [(DRIFT, 0)]
    assert open_after(monitor, *[DRIFT, CALM] * 20) == [(DRIFT, 0)]


def findings(fall, quality="pass"):
    return [Finding("quality: payment null share", quality, 0.3, "less"), Finding("performance: roc_auc", "pass", fall, "less")]


def test_quality_is_well_again_only_at_half_the_fall_that_calls_somebody(monitor):
    quiet = Diagnosis("quiet", ())
    assert calm(quiet, findings(0.04), monitor)
    assert not calm(quiet, findings(0.06), monitor)
    assert not calm(Diagnosis("cannot decide", ()), findings(0.0), monitor)
    assert not calm(quiet, [], monitor)


def test_a_cause_names_the_feeds_and_a_model_has_one_cause(monitor):
    broken = findings(0.0, "fail")
    assert cause(Diagnosis("broken data", ()), broken) == "data broken (payment)"
    assert {cause(Diagnosis(kind, ()), broken) for kind in ("concept change", "harmful shift")} == {DRIFT}
    assert told(5, Diagnosis("harmless shift", ()), findings(0.0), monitor).cause == ""


@pytest.mark.parametrize("kind", ["quiet", "harmless shift", "cannot decide"])
def test_nobody_is_written_to_about_what_needs_nobody(kind, monitor):
    assert told(1, Diagnosis(kind, ()), findings(0.2), monitor).cause == ""
