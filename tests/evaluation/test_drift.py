from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from pipelines.core.clock import DAY, days
from pipelines.core.verdict import Finding
from pipelines.evaluation.drift import (
    Realised,
    effect,
    history_needed,
    jensen_shannon,
    performance,
    persistent,
    predictions,
    psi,
    shifts,
    threshold,
    windows,
)
from pipelines.evaluation.statistic import labelled

NOW = 100 * DAY


def season(seed, rows=8400, columns=6, span=49, per_customer=10):
    """Rows of customers over the days before NOW: a weekly season, effects of the day, ten rows a customer, no drift."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, span, rows))
    ts = NOW - span * DAY + day * DAY + random.integers(0, DAY, rows)
    weekend = ((ts // DAY + 3) % 7) >= 5
    customer = random.integers(0, rows // per_customer, rows)
    table = {}
    for i in range(columns):
        own, daily = random.normal(size=rows // per_customer)[customer], random.normal(0, 0.05, span)[day]
        table[f"n{i}"] = np.sqrt(0.5) * (own + random.normal(size=rows)) + daily + 0.6 * weekend * (i % 2)
    table["category"] = random.choice(np.array(["a", "b", "c", "d"], object), rows, p=[0.5, 0.3, 0.15, 0.05])
    return ts, table


KINDS = {"category": "category"}


def look(ts, table, monitor, now=NOW):
    return shifts("features", table, KINDS, windows(ts, monitor, now), monitor)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=12), st.integers(0, 1000))
def test_jensen_shannon_equals_scipy(counts, seed):
    other = np.random.default_rng(seed).integers(0, 50, len(counts)) + 1.0
    mine = np.array(counts) + 1.0
    assert jensen_shannon(mine, other) == pytest.approx(jensenshannon(mine, other, base=2), abs=1e-7)
    assert psi(mine, other) >= 0


def test_effect_sizes_have_their_known_values():
    random = np.random.default_rng(1)
    values = random.normal(5, 2, 50_000)
    assert effect("number", values, values + 1.0) == pytest.approx(0.5, rel=0.02)
    assert effect("category", np.array(["a", "b"] * 500, object), np.array(["a", "b"] * 500, object)) == 0
    shares = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    samples = [np.repeat(np.array(["a", "b"], object), (s * 10_000).astype(int)) for s in shares]
    wanted = sum((q - p) * np.log(q / p) for p, q in zip(*shares, strict=True))
    assert effect("category", *samples) ** 2 == pytest.approx(wanted, rel=0.01)


def test_a_category_and_a_number_that_say_the_same_shift_alike():
    random = np.random.default_rng(1)
    before, after = random.normal(0, 1, 200_000), random.normal(0.5, 1, 200_000)
    edges = np.linspace(-3, 3, 20)
    cut = [np.searchsorted(edges, values).astype(str).astype(object) for values in (before, after)]
    assert effect("category", *cut) == pytest.approx(effect("number", before, after), rel=0.05)


def test_two_samples_of_many_rare_categories_are_not_apart_by_chance():
    random = np.random.default_rng(1)
    found = [
        effect("category", random.integers(0, 240, 1200).astype(str), random.integers(0, 240, 300).astype(str))
        for _ in range(50)
    ]
    assert np.quantile(found, 0.9) < 0.25


def test_a_constant_that_changes_is_seen_and_one_that_stays_is_not():
    assert effect("number", np.full(100, 3.0), np.full(100, 3.0)) == 0
    assert effect("number", np.full(100, 3.0), np.full(100, 4.0)) == 1


def test_no_values_are_no_answer(monitor):
    ts, table = season(1)
    table["n0"] = np.full(len(ts), np.nan)
    assert np.isnan(effect("number", table["n0"], table["n0"]))
    assert look(ts, table, monitor)[0].status == "unsure"


def test_a_day_is_compared_with_the_same_weekday(monitor):
    daily = replace(monitor, window=days(1))
    ts = np.arange(NOW - 60 * DAY, NOW, DAY // 24)
    seen = windows(ts, daily, NOW)
    assert len(np.unique((ts[seen.reference] // DAY) % 7)) == 1
    assert set((ts[seen.current] // DAY) % 7) == set((ts[seen.reference] // DAY) % 7)
    assert sum(mask.any() for mask in seen.past) == 4


def test_each_past_day_is_held_against_its_own_weekday(monitor):
    ts = np.arange(NOW - 60 * DAY, NOW, DAY // 24)
    trials = windows(ts, replace(monitor, window=days(1)), NOW).trials
    assert len(trials) == 28
    for reference, window in trials:
        assert not (reference & window).any()
        assert set((ts[reference] // DAY) % 7) == set((ts[window] // DAY) % 7)


def test_the_window_the_time_to_wait_and_the_reference_follow_each_other(monitor):
    ts = np.arange(NOW - 60 * DAY, NOW + 5 * DAY, DAY // 10)
    seen = windows(ts, monitor, NOW)
    assert not (seen.current & seen.reference).any()
    assert (np.sum(seen.past, axis=0) == seen.reference).all()
    assert ts[seen.current].max() < NOW
    assert ts[seen.reference].max() < NOW - 3 * 7 * DAY
    assert ts[seen.reference].min() == NOW - history_needed(monitor)


def test_thresholds_rise_above_the_floor_only_where_the_past_was_restless():
    assert threshold([0.01, 0.02, 0.01, 0.02], 0.25) == 0.25
    assert threshold([0.3, 0.5, 0.4, 0.6], 0.25) > 0.6
    assert threshold([0.9, 0.9], 0.25) == 0.25
    assert threshold([np.nan] * 9, 0.25) == 0.25


def test_a_quiet_weekly_season_raises_no_alarm(monitor):
    alarms = sum(any(f.status == "fail" for f in look(*season(seed), monitor)) for seed in range(25))
    assert alarms == 0


@pytest.mark.slow
def test_a_thousand_quiet_windows_raise_at_most_ten_alarms(monitor):
    alarms = sum(any(f.status == "fail" for f in look(*season(seed), monitor)) for seed in range(1000))
    assert alarms <= 10


def test_daily_windows_over_a_weekly_season_raise_no_lasting_alarm(monitor):
    daily = replace(monitor, window=days(1), min_rows=100)
    alarms = 0
    for seed in range(15):
        ts, table = season(seed)
        alarms += bool(persistent([look(ts, table, daily, now=NOW - late * DAY) for late in (2, 1, 0)], daily))
    assert alarms <= 1


def drifted(seed, change):
    ts, table = season(seed)
    late = ts >= NOW - 7 * DAY
    change(table, late, np.random.default_rng(seed))
    return ts, table


def swap(table, late, random):
    names = table["category"]
    table["category"] = np.where(late & (names == "a"), "b", np.where(late & (names == "b"), "a", names)).astype(object)


DRIFTS = {
    "half a sigma in three": lambda t, late, r: [t.update({n: t[n] + 0.5 * late}) for n in ("n0", "n1", "n2")],
    "a sigma in one": lambda t, late, r: t.update(n3=t["n3"] + 1.0 * late),
    "a swap of categories": swap,
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_real_drift_is_found(drift, monitor):
    found = [any(f.status == "fail" for f in look(*drifted(seed, DRIFTS[drift]), monitor)) for seed in range(20)]
    assert np.mean(found) >= 0.95


def test_a_lasting_change_does_not_become_its_own_reference_while_it_is_waited_for(monitor):
    ts, table = season(1, rows=11_000, span=63)
    table["n0"] += 0.6 * (ts >= NOW - 14 * DAY)
    looks = [look(ts, table, monitor, now=NOW - late * DAY) for late in (14, 7, 0)]
    assert [look[0].status for look in looks] == ["pass", "fail", "fail"]


def test_too_few_rows_are_no_answer_however_large_the_shift(monitor):
    ts, table = drifted(1, DRIFTS["a sigma in one"])
    few = (ts < NOW - 7 * DAY) | (np.arange(len(ts)) % 20 == 0)
    found = look(ts[few], {name: column[few] for name, column in table.items()}, monitor)
    assert {f.status for f in found} == {"unsure"}
    assert "wanted 300 rows" in found[0].advice


def test_text_is_left_to_the_models_own_answers(monitor):
    ts, table = season(1)
    assert shifts("features", {"words": table["category"]}, {"words": "text"}, windows(ts, monitor, NOW), monitor) == []


def test_each_quantile_of_a_forecast_is_watched(monitor):
    ts, table = season(1)
    scores = np.stack([table["n0"], table["n0"] + 1 + 2.0 * (ts >= NOW - 7 * DAY)], axis=1)
    found = predictions(scores, windows(ts, monitor, NOW), monitor)
    assert [(f.name, f.status) for f in found] == [("predictions: quantile 0", "pass"), ("predictions: quantile 1", "fail")]


def realised(seed, skill, rows=2000):
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.1) * 1.0
    return Realised(
        labelled(labels, random.integers(0, rows // 3, rows)), 1 / (1 + np.exp(-(skill * labels + random.normal(size=rows))))
    )


def test_a_fall_of_the_metric_is_found_and_a_level_one_is_not(monitor):
    before = realised(1, 2.0)
    assert performance("roc_auc", realised(2, 2.0), before, monitor, seed=1).status == "pass"
    fall = performance("roc_auc", realised(3, 0.5), before, monitor, seed=1)
    assert (fall.status, fall.low > 0) == ("fail", True)
    assert performance("roc_auc", before, realised(3, 0.5), monitor, seed=1).status == "pass"  # better is no harm


def test_chance_alone_is_no_fall(monitor):
    falls = [
        performance("average_precision", realised(s, 1.5, 400), realised(s + 500, 1.5, 1600), monitor, seed=s, resamples=400)
        for s in range(40)
    ]
    assert sum(f.status == "fail" for f in falls) <= 3


def test_unknown_labels_are_no_answer(monitor):
    few = performance("roc_auc", realised(1, 2.0, 50), realised(2, 2.0), monitor, seed=1)
    one_class = Realised(labelled(np.zeros(900), np.arange(900)), np.random.default_rng(1).random(900))
    assert few.status == "unsure"
    assert performance("roc_auc", one_class, realised(2, 2.0), monitor, seed=1).status == "unsure"
    assert "positives" in performance("roc_auc", realised(1, 2.0), realised(2, 2.0), monitor, min_positives=900, seed=1).advice


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
