import json

import numpy as np
import pytest

from pipelines.core.verdict import Finding, judged
from pipelines.reports import drift

pytest.importorskip("evidently")


def columns(seed, shift=0.0, words=("DE", "FR")):
    random = np.random.default_rng(seed)
    amounts = random.normal(10 + shift, 1, 300)
    amounts[:3] = np.nan, np.inf, 0
    return {
        "amount": amounts, "country": random.choice([*words, None], 300),
        "trail": np.array([["a"], ["b", "c"]] * 150, dtype=object), "empty": np.full(300, np.nan),
    }  # fmt: skip


def moved(size):
    return judged(
        "features: amount", size, "an effect size below 0.25", passes_if="observed < 0.25", fails_unless="observed < 0.25"
    )


def look(found, words=("DE", "FR"), name="amount"):
    current, reference = columns(1, 2.0, words), columns(2)
    current[name], reference[name] = current.pop("amount"), reference.pop("amount")
    return drift.drift_report(
        "fraud, 7d to 2025-05-26", found, [f.name for f in found], {"as of": "2025-05-26"}, current=current, reference=reference
    )


def test_our_findings_decide_and_not_evidentlys_own_drift_tests():
    calm = look([moved(0.1)])
    assert calm.verdict().status == "pass"
    assert "not drawn" not in calm.data["facts"]
    assert look([moved(2.0)]).verdict().status == "fail"


def test_too_few_rows_are_never_drift_and_never_its_absence():
    verdict = look([Finding("features: amount", "unsure", None, "x", advice="too few rows")]).verdict()
    assert verdict.status == "unsure"


def test_the_page_says_in_words_whether_anything_moved_that_matters():
    assert "Something moved that matters" in look([moved(2.0)]).html()
    assert "Nothing moved that matters" in look([moved(0.1)]).html()


def test_the_same_look_gives_the_same_bytes():
    assert look([moved(0.1)]).json() == look([moved(0.1)]).json()


def test_an_empty_window_is_reported_all_the_same():
    nothing = {name: values[:0] for name, values in columns(1).items()}
    made = drift.drift_report("s", [moved(0.1)], ["features: amount"], {}, current=nothing, reference=columns(2))
    assert made.verdict().status == "pass"


def test_names_and_categories_from_outside_are_data(payloads, nodes):
    clean = nodes(look([moved(2.0)]).html())
    made = look([moved(2.0)], words=payloads, name=payloads[0])
    assert "not drawn" not in made.data["facts"]
    spoilt = nodes(made.html())
    assert len(spoilt.scripts) == len(clean.scripts)
    assert (spoilt.handlers, spoilt.tags) == (clean.handlers, clean.tags)
    data = next(text for attrs, text in spoilt.scripts if attrs.get("type") == "application/json")
    assert "<script" not in json.dumps(json.loads(data)).lower()
    assert "<img" not in json.dumps(json.loads(data)).lower()
