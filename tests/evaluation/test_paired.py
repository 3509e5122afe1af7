import time

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.evaluation.metrics import statistics
from pipelines.evaluation.paired import Draws, enough, lived, resample, spend
from pipelines.evaluation.statistic import labelled, mean_of


def difference(labels, a, b, unit, name="roc_auc", seed=0, resamples=1000):
    rows = labelled(labels, unit)
    made = {who: statistics([name], rows, scores)[name] for who, scores in (("a", a), ("b", b))}
    draws = resample(made, rows.units, resamples=resamples, seed=seed)
    return draws["a"] - draws["b"]


def customers(seed, rows=1500, worse=0.0):
    """Two equally good models, whose errors a customer's rows share; the first is blurred more by `worse`."""
    random = np.random.default_rng(seed)
    unit = random.integers(0, rows // 5, rows)
    x = random.normal(size=rows) + 0.7 * random.normal(size=rows // 5)[unit]
    labels = (random.random(rows) < 1 / (1 + np.exp(2 - x))) * 1.0
    blur = [0.5 * random.normal(size=rows) + 0.4 * random.normal(size=rows // 5)[unit] for _ in range(2)]
    return labels, x + (1 + worse) * blur[0], x + blur[1], unit


def promoted(worse, trials, name):
    bounds = [difference(*customers(seed, worse=worse), name, seed, 500).interval(spend(0.95, 0)) for seed in range(trials)]
    return np.mean([bound.low > 0 for bound in bounds])


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_equal_challengers_are_rarely_called_better(name):
    # A level of 2.5 % on each side: more than 10 of 150 would happen by chance in about 1 of 1,000 such tests.
    assert promoted(0.0, 150, name) <= 0.067


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_of_a_thousand_equal_challengers_at_most_fifty_are_called_better(name):
    assert promoted(0.0, 1000, name) <= 0.05


def test_worse_challengers_are_almost_never_called_better():
    assert promoted(0.5, 60, "roc_auc") == 0


def test_the_interval_covers_a_known_mean_about_as_often_as_it_says():
    hits = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        values = random.exponential(size=120)
        rows = labelled(values, np.arange(120))
        interval = resample({"mean": mean_of(values, rows)}, 120, resamples=500, seed=seed)["mean"].interval(0.05)
        hits.append(interval.low <= 1 <= interval.high)
    assert 0.83 <= np.mean(hits) <= 0.96


def test_rows_of_one_unit_are_not_independent_evidence():
    random = np.random.default_rng(1)
    values, unit = np.repeat(random.normal(size=100), 10), np.repeat(np.arange(100), 10)
    alone, together = labelled(values, np.arange(1000)), labelled(values, unit)
    bounds = [
        resample({"m": mean_of(values, rows)}, rows.units, resamples=800, seed=2)["m"].interval(0.05)
        for rows in (alone, together)
    ]
    width = [bound.high - bound.low for bound in bounds]
    assert width[1] > 2.5 * width[0]


def test_identical_models_differ_by_exactly_nothing():
    labels, a, _, unit = customers(1)
    interval = difference(labels, a, a, unit).interval(0.025)
    assert (interval.low, interval.estimate, interval.high) == (0, 0, 0)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others():
    labels, a, b, unit = customers(2)
    first, again, other = (difference(labels, a, b, unit, seed=s).interval(0.025) for s in (1, 1, 2))
    assert first == again != other


def test_too_few_units_or_undefined_draws_give_no_bounds():
    few = Draws(0.5, np.full(1000, 0.5), np.full(19, 0.5), units=19)
    gaps = Draws(0.5, np.where(np.arange(1000) < 20, np.nan, 0.5), np.full(50, 0.5), units=50)
    assert not few.interval(0.025).known
    assert not gaps.interval(0.025).known
    assert gaps.chance_not_above(0) == 1


def test_nothing_at_all_gives_no_bounds():
    rows = labelled([], [])
    assert not resample({"m": mean_of(rows.labels, rows)}, 0, resamples=100, seed=1)["m"].interval(0.025).known


def test_all_looks_at_a_holdout_together_spend_less_than_the_error_allowed():
    assert sum(spend(0.95, look) for look in range(50)) < 0.05 + 1e-9
    assert enough(1000, spend(0.95, 4)) * spend(0.95, 4) >= 10


def test_a_hundred_thousand_rows_take_seconds():
    random = np.random.default_rng(0)
    labels = (random.random(100_000) < 0.5) * 1.0
    rows = labelled(labels, np.arange(100_000))
    made = {}
    for who in "ab":
        scores = labels + random.normal(size=100_000)
        made |= {who + name: one for name, one in statistics(["average_precision", "roc_auc"], rows, scores).items()}
    start = time.process_time()
    resample(made, rows.units, resamples=1000, seed=1)
    assert time.process_time() - start < 5


def through_days(seed, blocks, *, shared, own=0.0, units=60):
    """What each of some units shows in each of some days, zero on the whole: a day's share in it, a unit's, and chance."""
    random = np.random.default_rng(seed)
    unit, block = np.repeat(np.arange(units), blocks), np.tile(np.arange(blocks), units)
    values = shared * random.normal(size=blocks)[block] + own * random.normal(size=units)[unit] + random.normal(size=len(unit))
    return values, labelled(values, unit).within(days(1), block * DAY)


def both_bounds(values, rows, seed=0, alpha=0.025):
    """The mean's bounds by units alone, and with what time does to it."""

    def made(by):
        return {"m": mean_of(values, by)}

    alone = resample(made(rows), rows.units, resamples=400, seed=seed)
    return alone["m"].interval(alpha), lived(alone, made, rows, seed=seed)["m"].interval(alpha)


@pytest.mark.parametrize("blocks", [2, 4, 14])
def test_days_that_all_live_through_make_a_gain_no_surer_however_many_units_there_are(blocks):
    seen = [both_bounds(*through_days(seed, blocks, shared=0.5, units=200), seed) for seed in range(120)]
    alone, timed = np.mean([[bound.low > 0 for bound in pair] for pair in seen], axis=0)
    assert alone > 0.2
    assert timed <= 0.075, "2.5 % are allowed; more than 9 of 120 come by chance once in 500 times at that"


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_where_days_share_nothing_the_bounds_are_little_wider_and_never_narrower(own):
    seen = [both_bounds(*through_days(seed, 7, shared=0.0, own=own), seed) for seed in range(60)]
    wider = [(timed.high - timed.low) / (alone.high - alone.low) for alone, timed in seen]
    assert min(wider) >= 1
    assert np.median(wider) < 1.35


def test_what_every_unit_shows_alike_each_day_is_as_sure_as_the_days_are():
    values = np.tile([1.0, 2.0, 3.0, 6.0], 50)
    rows = labelled(values, np.repeat(np.arange(50), 4)).within(days(1), np.tile(np.arange(4), 50) * DAY)
    alone, timed = both_bounds(values, rows)
    assert alone.low == pytest.approx(3) == alone.high
    # Student's t of four numbers: 3 -+ 3.182 * sd / 2
    assert timed.low == pytest.approx(3 - 3.1824 * np.std([1, 2, 3, 6], ddof=1) / 2, abs=0.1)


def test_one_day_alone_says_nothing_about_another():
    values, rows = through_days(1, 1, shared=0.0)
    assert both_bounds(values, rows)[0].known
    assert not both_bounds(values, rows)[1].known
    assert not both_bounds(values, rows.within(days(1), None))[1].known, "nobody knows when they were asked"


def test_blocks_are_counted_back_from_the_last_row_and_of_no_length_there_are_none():
    rows = labelled(np.zeros(4), np.arange(4))
    ts = np.array([0, 6, 7, 20]) * DAY + 12
    assert rows.within(days(7), ts).block.tolist() == [2, 2, 1, 0]
    assert rows.within(days(7), ts).part(np.array([True, False, False, True])).block.tolist() == [2, 0]
    assert rows.within(days(0), ts).block is None
