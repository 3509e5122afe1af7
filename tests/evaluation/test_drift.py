from dataclasses import replace

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.evaluation import drift
from pipelines.evaluation.drift import ANSWERS, lasting, shared, shifts, weights
from pipelines.evaluation.effects import effect, wasserstein
from pipelines.evaluation.usual import Scatter, pooled, scatter, threshold, upper_spread
from pipelines.evaluation.windows import history_needed, windows

NOW = 100 * DAY


def season(seed, rows=13_200, columns=6, span=77, per_customer=10):
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
    return shifts(table, KINDS, None, windows(ts, monitor, now), monitor)


def test_effect_sizes_have_their_known_values():
    random = np.random.default_rng(1)
    values = random.normal(5, 2, 50_000)
    assert effect("number", values, values + 1.0) == pytest.approx(0.5, rel=0.02)
    assert effect("category", np.array(["a", "b"] * 500, object), np.array(["a", "b"] * 500, object)) == 0
    shares = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    samples = [np.repeat(np.array(["a", "b"], object), (s * 10_000).astype(int)) for s in shares]
    assert effect("category", *samples) == pytest.approx(0.3 / np.sqrt(0.3 * 0.7))


@pytest.mark.parametrize(
    "draw", [lambda r, n: r.normal(3, 2, n), lambda r, n: r.lognormal(8, 0.8, n), lambda r, n: r.poisson(4, n)]
)
def test_counted_in_bins_the_distance_is_that_of_the_values_themselves(draw):
    from scipy.stats import wasserstein_distance

    random = np.random.default_rng(1)
    before, after = draw(random, 20_000) * 1.0, draw(random, 3000) * 1.3
    assert wasserstein(before, after) == pytest.approx(wasserstein_distance(before, after) / before.std(), rel=0.01)


def test_two_samples_of_many_rare_categories_are_not_far_apart_by_chance():
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
    ts = np.arange(NOW - 80 * DAY, NOW, DAY // 24)
    seen = windows(ts, daily, NOW)
    assert len(np.unique((ts[seen.reference] // DAY) % 7)) == 1
    assert set((ts[seen.current] // DAY) % 7) == set((ts[seen.reference] // DAY) % 7)
    assert sum(mask.any() for mask in seen.past) == 8


def test_each_past_day_is_held_against_its_own_weekday(monitor):
    ts = np.arange(NOW - 80 * DAY, NOW, DAY // 24)
    seen = windows(ts, replace(monitor, window=days(1)), NOW)
    assert len(seen.held) == 3 + 56
    for window, reference in zip(seen.held > 0, seen.against > 0, strict=True):
        now, before = window[seen.slot] & (seen.weight > 0), reference[seen.slot] & (seen.weight > 0)
        assert not (now & before).any()
        assert set((ts[before] // DAY) % 7) == set((ts[now] // DAY) % 7)


def test_the_window_the_time_to_wait_and_the_reference_follow_each_other(monitor):
    ts = np.arange(NOW - 90 * DAY, NOW + 5 * DAY, DAY // 10)
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


def test_the_spread_of_what_is_usual_is_that_above_the_median_and_deaf_to_a_few_that_did_drift():
    random = np.random.default_rng(1)
    draws = random.normal(1.0, 0.3, (500, 54))
    assert np.mean([upper_spread(row) for row in draws]) == pytest.approx(0.3, rel=0.05)
    leaning = np.where(draws > 1, draws, 1 + (draws - 1) / 5)
    assert np.mean([upper_spread(row) for row in leaning]) == pytest.approx(0.3, rel=0.15)
    assert np.mean([scatter(row)[1] for row in leaning]) < 0.2, "of both sides, it would be believed half as wide"
    drifted = [upper_spread(np.r_[row[:48], np.full(6, 9.0)]) for row in draws]
    assert np.mean(drifted) < 0.45
    assert Scatter.of_past(draws[0]).spread > upper_spread(draws[0])


def scatters(spreads, alone=18.0):
    return {f"n{i}": Scatter(0.1, float(spread), 54, alone) for i, spread in enumerate(spreads)}


def test_columns_that_are_alike_share_one_spread_and_others_keep_their_own():
    random = np.random.default_rng(1)
    alike, unlike = (0.04 * np.exp(random.normal(0, spread, 20)) for spread in (0.15, 1.0))
    kinds = dict.fromkeys(scatters(alike), "number")
    assert [found.spread for found in pooled(scatters(alike), kinds).values()] == pytest.approx(20 * [np.median(alike)])
    kept = np.array([found.spread for found in pooled(scatters(unlike), kinds).values()])
    assert (kept >= np.median(unlike)).all()
    assert kept.max() == pytest.approx(unlike.max(), rel=0.25)
    more = np.array([found.spread for found in pooled(scatters(unlike, alone=180.0), kinds).values()])
    assert kept.max() < more.max() < unlike.max()


def test_a_column_that_never_moved_is_no_quieter_than_the_others_and_kinds_tell_nothing_of_each_other():
    found = scatters([0.0, 0.04, 0.04, 0.9])
    mended = pooled(found, {"n0": "number", "n1": "number", "n2": "number", "n3": "category"})
    assert [one.spread for one in mended.values()] == pytest.approx([0.04, 0.04, 0.04, 0.9])
    assert pooled(scatters([0.0]), {"n0": "number"})["n0"].spread == 0.0


def test_a_quiet_weekly_season_raises_no_alarm(monitor):
    alarms = sum(any(f.status == "fail" for f in look(*season(seed), monitor)) for seed in range(25))
    assert alarms == 0


@pytest.mark.slow
def test_a_thousand_quiet_windows_raise_at_most_ten_alarms(monitor):
    alarms = sum(any(f.status == "fail" for f in look(*season(seed), monitor)) for seed in range(1000))
    assert alarms <= 10


def drifted(seed, change, since=14):
    ts, table = season(seed)
    change(table, ts >= NOW - since * DAY, np.random.default_rng(seed))
    return ts, table


def swap(table, late, random):
    names = table["category"]
    table["category"] = np.where(late & (names == "a"), "b", np.where(late & (names == "b"), "a", names)).astype(object)


DRIFTS = {
    "half a sigma in three": lambda t, late, r: [t.update({n: t[n] + 0.5 * late}) for n in ("n0", "n1", "n2")],
    "a sigma in one": lambda t, late, r: t.update(n3=t["n3"] + 1.0 * late),
    "a swap of categories": swap,
}


@pytest.mark.parametrize("change", DRIFTS)
def test_real_drift_is_found_once_it_has_lasted(change, monitor):
    found = [any(f.status == "fail" for f in look(*drifted(seed, DRIFTS[change]), monitor)) for seed in range(20)]
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("change", DRIFTS)
def test_one_window_alone_is_no_lasting_drift(change, monitor):
    found = [any(f.status == "fail" for f in look(*drifted(seed, DRIFTS[change], since=7), monitor)) for seed in range(5)]
    assert not any(found)


def test_a_lasting_change_does_not_become_its_own_reference_while_it_is_waited_for(monitor):
    ts, table = season(1, rows=15_000, span=91)
    table["n0"] += 0.6 * (ts >= NOW - 14 * DAY)
    looks = [look(ts, table, monitor, now=NOW - late * DAY) for late in (14, 7, 0)]
    assert [look[0].status for look in looks] == ["pass", "pass", "fail"]
    assert "in the newest window alone" in looks[1][0].advice


def test_what_lasted_is_the_move_that_two_of_three_windows_showed(monitor):
    seen = windows(np.arange(NOW - 80 * DAY, NOW, DAY // 10), monitor, NOW)
    sizes = np.r_[[0.5, 0.1, 0.4], np.arange(50.0)]
    found = lasting(sizes, seen, 2)
    assert found[0] == 0.4
    assert len(found) == 1 + 50 - 14
    assert found[1] == 0.0  # the smaller of its own 0 and the larger of 7 and 14
    assert lasting(np.r_[[0.1, 0.5, 0.4], np.arange(50.0)], seen, 2)[0] == 0.1
    assert lasting(np.r_[[0.5, np.nan, 0.4], np.arange(50.0)], seen, 2)[0] == 0.4
    for few in ([np.nan, 0.5, 0.4], [0.5, np.nan, np.nan]):
        assert np.isnan(lasting(np.r_[few, np.arange(50.0)], seen, 2)[0])


def test_a_customer_with_a_thousand_rows_has_one_voice(monitor):
    ts, table = season(1)
    loud = np.r_[np.arange(len(ts)), np.repeat(np.flatnonzero(ts >= NOW - 14 * DAY)[:1], 3000)]
    when = np.r_[ts, np.random.default_rng(1).integers(NOW - 14 * DAY, NOW, 3000)]
    unit = np.r_[np.arange(len(ts)), np.full(3000, 999_999)]
    crowd = {name: column[loud] for name, column in table.items()}
    crowd["n0"][len(ts) :] = 9.0
    found = [shifts({"n0": crowd["n0"]}, {}, None, windows(when, monitor, NOW, u), monitor)[0].status for u in (None, unit)]
    assert found == ["fail", "pass"]


def test_a_column_of_no_importance_must_move_further_to_be_said(monitor):
    ts, table = drifted(1, lambda t, late, r: t.update(n0=t["n0"] + 0.5 * late))
    seen = windows(ts, monitor, NOW)
    limits = [
        shifts(table, KINDS, None, seen, replace(monitor, drift=0.01), {"n0": own, "n1": 1.0})[0].wanted for own in (1.0, 0.0)
    ]
    assert limits[0] < limits[1]
    told = weights(["a", "b", "c"], {"a": 3.0, "b": 1.0})
    assert sum(told.values()) == pytest.approx(3)
    assert told["a"] > told["b"] > told["c"] > 0
    assert weights(["a"], {}) == {"a": 1.0}


def test_a_look_is_one_family_of_which_the_answers_have_their_share(monitor):
    weight = shared({"a": 1.5, "b": 0.5}, ["score"])
    assert sum(weight.values()) == pytest.approx(3)
    assert weight["score"] == pytest.approx(3 * ANSWERS)
    assert weight["a"] == pytest.approx(3 * weight["b"])
    assert shared({}, ["q0", "q1"]) == {"q0": 1.0, "q1": 1.0}
    assert shared({"a": 1.0}, []) == {"a": 1.0}
    ts, table = season(1)
    seen = windows(ts, replace(monitor, drift=0.01), NOW)
    found = shifts(table, KINDS, table["n0"], seen, replace(monitor, drift=0.01))
    assert found[0].name == "features: n0"
    assert found[-1].name == "predictions: score"
    limits = [float(f.wanted.split("below ")[1].split()[0]) for f in found]
    assert limits[-1] < limits[0], "the same values; the answers are one of few"


def test_what_is_below_the_floor_is_no_discovery_that_eases_the_others():
    usual = {"certain": Scatter(0.02, 0.002, 54, 18.0), "other": Scatter(0.1, 0.04, 54, 18.0)}
    weight = dict.fromkeys(usual, 1.0)
    found = [drift._limits({"certain": size, "other": 0.27}, usual, weight, 0.15)["other"] for size in (0.02, 0.1, 0.2)]
    assert found[0] == found[1] > found[2]


def test_too_few_rows_are_no_answer_however_large_the_shift(monitor):
    ts, table = drifted(1, DRIFTS["a sigma in one"])
    few = (ts < NOW - 14 * DAY) | (np.arange(len(ts)) % 20 == 0)
    found = look(ts[few], {name: column[few] for name, column in table.items()}, monitor)
    assert {f.status for f in found} == {"unsure"}
    assert "wanted 300 rows" in found[0].advice


def test_text_is_left_to_the_models_own_answers(monitor):
    ts, table = season(1)
    assert shifts({"words": table["category"]}, {"words": "text"}, None, windows(ts, monitor, NOW), monitor) == []


def test_each_quantile_of_a_forecast_is_watched(monitor):
    ts, table = season(1)
    scores = np.stack([table["n0"], table["n0"] + 1 + 2.0 * (ts >= NOW - 14 * DAY)], axis=1)
    found = shifts({}, {}, scores, windows(ts, monitor, NOW), monitor)
    assert [(f.name, f.status) for f in found] == [("predictions: quantile 0", "pass"), ("predictions: quantile 1", "fail")]
