"""Fallen quality: seen against a reference that stays where it is whenever one looks; chance alone is no fall."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.core.verdict import Finding
from pipelines.evaluation.performance import Realised, performance, persistent, restless
from pipelines.evaluation.statistic import labelled
from pipelines.evaluation.triage import triage

WEEK = 700
"""Rows of a week; the champion's holdout is the first."""


def weeks(seed, skills, per_customer=3):
    """Rows of one week after the other, the model as good in each as the skill says (2 is an AUC of 0.92); customers come again."""
    random = np.random.default_rng(seed)
    rows = WEEK * len(skills)
    labels = (random.random(rows) < 0.1) * 1.0
    customer = random.integers(0, rows // per_customer, rows)
    own = random.normal(0, 0.5, rows // per_customer)[customer]
    score = np.repeat(skills, WEEK) * labels + own + random.normal(size=rows)
    return Realised(labelled(labels, customer), 1 / (1 + np.exp(-score)))


def week(known, first, until=None):
    """The mask of the weeks from the first on."""
    row = np.arange(len(known.scores)) // WEEK
    return (row >= first) & (row < (first + 1 if until is None else until))


def looked(known, monitor, back=0, fixed=True, name="roc_auc", resamples=250, **more):
    """The finding on a week, the newest by default, against the holdout and against all weeks before it."""
    at = len(known.scores) // WEEK - 1 - back
    references = {"its own holdout": week(known, 0)} if fixed else {}
    references |= {"the labels before": week(known, 0, at)}
    past = [week(known, i) for i in range(at)]
    return performance(name, known, week(known, at), references, monitor, past=past, resamples=resamples, seed=1, **more)


def first_look(known, monitor, fixed=True):
    """What a first look makes of the last three weeks."""
    looks = [[looked(known, monitor, back, fixed)] for back in (2, 1, 0)]
    return persistent(looks, monitor)


@pytest.mark.parametrize("days", [14, 21, 28, 35, 56])
def test_a_change_is_found_however_late_the_first_look_comes(days, monitor):
    found = [first_look(weeks(seed, [2.0] * 4 + [0.6] * (days // 7)), monitor) for seed in range(6)]
    assert sum(bool(f) for f in found) >= 5
    assert "its own holdout" in found[0][0].advice or days == 14


def test_without_the_holdout_a_late_first_look_would_see_nothing(monitor):
    late = [first_look(weeks(seed, [2.0] * 2 + [0.6] * 8), monitor, fixed=False) for seed in range(5)]
    assert not any(late)


def test_a_quiet_shop_stays_quiet_at_every_look(monitor):
    found = [first_look(weeks(seed, [1.5] * many), monitor) for seed in range(12) for many in (4, 9)]
    assert sum(bool(f) for f in found) <= 1


def moved(known, weeks, by_chance=0.0, monitor=None):
    return restless("roc_auc", [known.part(week(known, i)) for i in range(weeks)], by_chance, monitor)


def test_weeks_that_differ_by_themselves_raise_the_limit_and_a_lasting_change_does_not(monitor):
    fine = replace(monitor, drop=0.02)
    restive, changed = weeks(1, [2.0, 1.2, 2.0, 1.2, 2.0, 1.2, 2.0, 1.2]), weeks(1, [2.0] * 4 + [0.9] * 4)
    assert moved(restive, 8, monitor=fine) > 2 * moved(changed, 8, monitor=fine) > 0
    assert looked(restive, fine).status == "pass"
    assert looked(changed, fine).status == "fail"
    assert moved(restive, 4, monitor=fine) == 0.0, "four weeks say nothing yet"


def test_a_change_that_comes_over_some_weeks_does_not_hide_itself(monitor):
    found = [first_look(weeks(seed, [2.0, 2.0, 1.6, 1.3, 0.5, 0.9, 0.8]), monitor) for seed in range(6)]
    assert sum(bool(f) for f in found) >= 5


def test_what_few_rows_explain_raises_no_limit(monitor):
    assert moved(weeks(1, [2.0] * 8), 8, by_chance=0.05, monitor=monitor) == 0.0


def test_a_customer_in_both_spans_is_drawn_once(monitor):
    """One customer's errors in the window and in the reference are no two accidents: paired bounds are narrower."""
    known = weeks(1, [1.5, 1.5], per_customer=20)
    alone = replace(known, rows=replace(known.rows, unit=np.arange(2 * WEEK), units=2 * WEEK))
    paired, apart = (looked(k, monitor) for k in (known, alone))
    assert paired.observed == apart.observed
    assert (paired.low, paired.high) != (apart.low, apart.high)


def test_a_fall_is_found_a_level_metric_and_a_better_one_are_not(monitor):
    fall = looked(weeks(3, [2.0, 2.0, 2.0, 0.5]), monitor)
    assert (fall.status, fall.low > 0) == ("fail", True)
    assert looked(weeks(2, [2.0, 2.0, 2.0, 2.0]), monitor).status == "pass"
    assert looked(weeks(1, [0.5, 0.5, 2.0]), monitor).status == "pass"


def test_a_large_fall_that_chance_may_explain_is_no_answer(monitor):
    found = looked(weeks(1, [1.2, 0.95]), replace(monitor, drop=0.01), name="average_precision")
    assert found.observed > 0.01
    assert (found.status, found.low < 0) == ("unsure", True)


def test_chance_alone_is_no_fall(monitor):
    falls = [looked(weeks(s, [1.5] * 3), replace(monitor, drop=0.0)) for s in range(60)]
    assert sum(f.status == "fail" for f in falls) <= 5, "2.5 % are allowed; 6 of 60 come by chance once in 300 times"


def test_unknown_labels_are_no_answer(monitor):
    known = weeks(1, [2.0, 2.0])
    one_class = replace(known, rows=replace(known.rows, labels=np.zeros(2 * WEEK)))
    assert looked(one_class, monitor).status == "unsure"
    assert "positives" in looked(known, monitor, min_positives=900).advice
    few = looked(known, replace(monitor, min_rows=WEEK + 1))
    assert (few.status, "in the window" in few.advice) == ("unsure", True)
    nothing = performance("roc_auc", known, week(known, 1), {"its own holdout": week(known, 5)}, monitor, resamples=250, seed=1)
    assert (nothing.status, "in its own holdout" in nothing.advice) == ("unsure", True)
    assert performance("roc_auc", known, week(known, 1), {}, monitor, seed=1).status == "unsure"


def test_a_reference_with_too_few_labels_does_not_keep_the_others_from_speaking(monitor):
    known = weeks(1, [2.0, 2.0, 0.5])
    few = {"its own holdout": week(known, 0) & (np.arange(3 * WEEK) < 100), "the labels before": week(known, 0, 2)}
    found = performance("roc_auc", known, week(known, 2), few, monitor, seed=1)
    assert (found.status, "the labels before" in found.advice) == ("fail", True)


def test_three_customers_decide_nothing(monitor):
    known = weeks(1, [2.0, 0.0])
    few = replace(known, rows=replace(known.rows, unit=known.rows.unit % 3, units=3))
    assert looked(few, monitor).status == "unsure"


def test_lasting_falls_are_a_change_of_concept(monitor):
    known = weeks(1, [2.0] * 3 + [0.5] * 3)
    level = [Finding(f"{name}: x", "pass", 0.0, "less") for name in ("quality", "features", "predictions")]
    looks = [[looked(known, monitor, back)] for back in (2, 1)]
    assert triage([*looks, [*level, looked(known, monitor)]], monitor).kind == "concept change"


def finding(name, status):
    return Finding(name, status, 1.0, "less")


def test_an_alarm_needs_two_of_the_last_three_windows(monitor):
    def lasting(*statuses):
        return bool(persistent([[finding("features: a", status)] for status in statuses], monitor))

    assert not lasting("fail")
    assert lasting("fail", "fail")
    assert lasting("fail", "pass", "fail")
    assert lasting("fail", "unsure", "fail")
    assert not lasting("fail", "fail", "pass")
    assert not lasting("fail", "pass", "pass", "fail")
    assert not persistent([], monitor)


def test_two_columns_that_take_turns_are_no_lasting_drift(monitor):
    looks = [[finding("features: a", "fail")], [finding("features: b", "fail")]]
    assert persistent(looks, monitor) == []
