from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.verdict import Finding, Verdict

FLOOR = Finding("floor", "pass", 0.7, "at least 0.6", low=0.65, high=0.75, sure=0.95)
EDGE = Finding("better", "unsure", 0.01, "above 0", advice="2000 more labels would decide")


def test_a_verdict_passes_only_with_every_required_finding_passing():
    assert Verdict("fraud", (FLOOR,), ("floor",)).status == "pass"
    assert Verdict("fraud", (FLOOR, EDGE), ("floor", "better")).status == "unsure"
    assert Verdict("fraud", (FLOOR, replace(EDGE, status="fail")), ("floor", "better")).status == "fail"


@pytest.mark.parametrize(
    ("findings", "required"), [((), ()), ((FLOOR,), ("floor", "better")), ((FLOOR, FLOOR), ("floor",)), ((FLOOR,), ())]
)
def test_missing_or_extra_evidence_never_passes(findings, required):
    assert Verdict("fraud", findings, required).status == "unsure"


@pytest.mark.parametrize("observed", [None, float("nan")])
def test_what_was_not_observed_cannot_pass(observed):
    with pytest.raises(ValueError, match="nothing was observed"):
        Finding("floor", "pass", observed, "at least 0.6")


statuses = st.lists(st.sampled_from(["pass", "fail", "unsure"]), min_size=1, max_size=6)


@given(statuses)
def test_no_finding_can_make_another_pass(states):
    findings = tuple(Finding(f"f{i}", s, 1.0, "x") for i, s in enumerate(states))
    verdict = Verdict("x", findings, tuple(f.name for f in findings))
    assert (verdict.status == "pass") == all(s == "pass" for s in states)
    assert (verdict.status == "fail") == ("fail" in states)


def test_a_verdict_survives_its_json_and_a_forged_status_does_not():
    verdict = Verdict("fraud", (FLOOR, EDGE), ("floor", "better"), {"rows": 5})
    data = verdict.to_dict()
    assert Verdict.from_dict(data).why() == verdict.why()
    with pytest.raises(ValueError, match="its findings say"):
        Verdict.from_dict({**data, "status": "pass"})


def test_why_says_the_answer_first_and_what_did_not_pass_before_the_rest():
    text = Verdict("fraud", (FLOOR, EDGE), ("floor", "better", "slices")).why().splitlines()
    assert text[0] == "fraud is inconclusive."
    assert text[1] == "- missing: slices"
    assert "unsure: better" in text[2]
    assert "2000 more labels" in text[2]
