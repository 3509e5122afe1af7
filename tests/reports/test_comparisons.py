"""The law: what is read off the tests is what was found; and nothing that is wrong with them ever helps a finding to pass."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Finding, Rule, judged
from pipelines.reports.comparisons import IDS, METRIC, comparisons, read

SIGNS = {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}
numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf")))
rules = st.builds(
    "{} {} {!r}".format, st.sampled_from(["observed", "low", "high"]), st.sampled_from(list(SIGNS)), st.floats(-1e6, 1e6)
)


@st.composite
def any_finding(draw, name=None):
    name = name or draw(st.text("abc <>&\"'", min_size=1, max_size=8))
    rest = {"low": draw(numbers), "high": draw(numbers), "advice": draw(st.text(max_size=20))}
    if draw(st.booleans()):
        fails = draw(st.one_of(st.none(), rules))
        observed = draw(st.floats(-1e6, 1e6))
        return judged(name, observed, "wanted", passes_if=draw(rules), fails_unless=fails, **rest)
    status = draw(st.sampled_from(["pass", "fail", "unsure"]))
    observed = draw(st.floats(-9, 9) if status == "pass" else numbers)
    return Finding(name, status, observed, "wanted", **rest)


def report(findings, required=None):
    """What Evidently makes of the findings' tests, without Evidently."""
    metrics, rows = [], []
    for number, test in enumerate(t for f in findings for t in comparisons(f)):
        holds = Rule("low", test.sign, test.limit).holds(test.value)
        params = {"type": METRIC, **vars(test)}
        metrics.append({"id": str(number), "value": test.value})
        rows.append(
            {
                "id": IDS[test.sign], "status": "SUCCESS" if holds else "FAIL", "test_config": {"threshold": test.limit},
                "metric_config": {"metric_id": str(number), "params": params}, "name": "n",
            }
        )  # fmt: skip
    return {"format": 1, "subject": "s", "facts": {"a": 1}, "evidently": {"metrics": metrics, "tests": rows}}


@settings(max_examples=300)
@given(any_finding())
def test_a_finding_comes_back_from_its_tests_with_its_status_numbers_and_rules(finding):
    (back,) = read(report([finding]), ["x"]).findings
    assert back.status == finding.status
    for name in ("passes_if", "fails_unless", "sure"):
        assert getattr(back, name) == getattr(finding, name)
    for name in ("observed", "low", "high"):
        number = getattr(finding, name)
        assert getattr(back, name) == (number if number is not None and abs(number) < 1e300 else None)


def test_a_verdict_comes_back_whole(good):
    verdict = read(report(good), [f.name for f in good])
    assert list(verdict.findings) == good
    assert (verdict.status, verdict.subject, verdict.facts) == ("pass", "s", {"a": 1})


def test_a_missing_or_extra_finding_never_passes(good):
    names = [f.name for f in good]
    assert read(report(good[1:]), names).status == "unsure"
    assert read(report(good), names[1:]).status == "unsure"
    assert read(report([]), []).status == "unsure"
    assert read(report([]), names).status == "unsure"


def spoilt(how, row, data):
    """One thing that goes wrong with a test of the report."""
    rows = data["evidently"]["tests"]
    test = rows[row]
    params = test["metric_config"]["params"]
    changes = {
        "gone": lambda: rows.pop(row),
        "twice": lambda: rows.append(copy.deepcopy(test)),
        "error": lambda: test.update(status="ERROR"),
        "warning": lambda: test.update(status="WARNING"),
        "no status": lambda: test.update(status=None),
        "another threshold": lambda: test["test_config"].update(threshold=-1e9),
        "another limit": lambda: (params.update(limit=-1e9), test["test_config"].update(threshold=-1e9)),
        "another comparison": lambda: test.update(id="lt"),
        "another sign": lambda: params.update(sign="<"),
        "another value": lambda: params.update(value=1e9),
        "another result": lambda: data["evidently"]["metrics"][row].update(value=1e9),
        "no result": lambda: data["evidently"]["metrics"].pop(row),
        "another role": lambda: params.update(role="passes if" if params["role"] != "passes if" else "fails unless"),
        "another hand": lambda: params.update(type="evidently:metric_v2:RocAuc"),
        "status turned": lambda: test.update(status="FAIL" if test["status"] == "SUCCESS" else "SUCCESS"),
    }
    changes[how]()
    return data


@pytest.mark.parametrize("row", range(9))
@pytest.mark.parametrize(
    "how",
    ["gone", "twice", "error", "warning", "no status", "another threshold", "another limit", "another comparison", "another sign",
     "another value", "another result", "no result", "another role", "another hand", "status turned"],
)  # fmt: skip
def test_a_test_that_is_missing_twice_in_error_or_contradicts_itself_never_passes(good, how, row):
    assert read(spoilt(how, row, report(good)), [f.name for f in good]).status != "pass"


def test_a_status_that_was_turned_does_not_make_a_failed_finding_pass():
    worse = judged("better", -0.2, "above 0", passes_if="low > 0.0", fails_unless="high >= 0.0", low=-0.3, high=-0.1)
    data = report([worse])
    for row in data["evidently"]["tests"]:
        row["status"] = "SUCCESS"
    assert read(data, ["better"]).status == "unsure"


@pytest.mark.parametrize(
    "data", [{}, {"format": 2}, {"format": 1}, {"format": 1, "evidently": {"metrics": [], "tests": [{}]}}, [], None]
)
def test_what_is_no_report_is_said_to_be_none(data):
    with pytest.raises(ShelflifeError):
        read(data, [])


def test_evidence_passes_fails_or_is_inconclusive_by_its_pair_of_bounds():
    def status(low, high):
        finding = judged(
            "better", (low + high) / 2, "above 0", passes_if="low > 0.0", fails_unless="high >= 0.0", low=low, high=high
        )
        assert len(comparisons(finding)) == 2
        return read(report([finding]), ["better"]).status

    assert (status(0.1, 0.2), status(-0.2, -0.1), status(-0.1, 0.1), status(0.0, 0.1)) == ("pass", "fail", "unsure", "unsure")


def test_a_status_that_the_rules_do_not_give_is_refused():
    with pytest.raises(ValueError, match="its rules say unsure"):
        Finding("better", "pass", 0.1, "above 0", low=-0.1, high=0.2, passes_if="low > 0.0", fails_unless="high >= 0.0")
    with pytest.raises(ValueError, match="wanted a rule"):
        judged("better", 0.1, "above 0", passes_if="middle > 0")
