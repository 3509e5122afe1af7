"""A change of unit in a handful of a day's rows is found; dear goods, one large customer and heavy tails are none."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.core.clock import DAY, days
from pipelines.evaluation.units import unit_change
from pipelines.evaluation.windows import windows

NOW = 100 * DAY


def amounts(seed, monitor, draw, daily=600):
    """59 days of amounts, the windows of their last day, and which rows are of that day."""
    random = np.random.default_rng(seed)
    ts = np.sort(random.integers(NOW - 59 * DAY, NOW, 59 * daily))
    values = draw(random, len(ts))
    seen = windows(ts, replace(monitor, window=days(1), reference=days(56)), NOW)
    return values, seen, np.flatnonzero(seen.current)


def lognormal(random, rows):
    return random.lognormal(8, 0.9, rows)


def pareto(random, rows):
    """No mean: every week has a dearer order than any week before."""
    return 500 * (1 + random.pareto(1.0, rows))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("factor", [100, 1000, 0.001])
def test_a_change_of_unit_in_twelve_of_a_days_rows_is_found(seed, factor, monitor):
    values, seen, today = amounts(seed, monitor, lognormal)
    values[today[::50]] *= factor
    share, words = unit_change(values, "number", seen)
    assert 0.01 < share < 0.025
    assert words.endswith(f"multiplied by {factor}" if factor > 1 else "divided by 1000")


def test_rows_that_were_refused_for_their_size_hide_no_change_of_unit(monitor):
    values, seen, today = amounts(3, monitor, lognormal)
    values[today[::20]] *= 100
    seen.current[values > 300_000], seen.weight[values > 300_000] = False, 0
    assert 0 < unit_change(values, "number", seen, 300_000)[0] < 0.03
    assert unit_change(values, "number", seen)[0] == 0, "a tail that is cut off looks like nothing that was ever seen"


@pytest.mark.parametrize("draw", [lognormal, pareto])
def test_a_heavy_tail_is_no_change_of_unit(draw, monitor):
    for seed in range(20):
        values, seen, _ = amounts(seed, monitor, draw)
        assert unit_change(values, "number", seen) == (0.0, "")


def test_ten_orders_of_one_customer_are_one_record(monitor):
    values, seen, today = amounts(1, monitor, lognormal)
    values[today[:10]] = values.max() * np.linspace(2, 60, 10)
    assert unit_change(values, "number", seen)[0] > 0
    seen.weight[today[:10]] = 0.1
    assert unit_change(values, "number", seen)[0] == 0


def test_values_of_two_customers_that_leave_the_range_together_are_no_change_of_unit(monitor):
    ts = np.sort(np.random.default_rng(1).integers(NOW - 59 * DAY, NOW, 59 * 500))
    watch = replace(monitor, window=days(1), reference=days(56))
    rows, units = (windows(ts, watch, NOW, unit) for unit in (None, np.arange(len(ts)) // 10))
    found = {"rows": 0, "units": 0}
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=len(ts))
        values[-20:] = np.random.default_rng(seed).uniform(3.2, 4.5, 20)
        found["rows"] += unit_change(values, "number", rows)[0] > 0
        found["units"] += unit_change(values, "number", units)[0] > 0
    assert found["rows"] > 5
    assert found["units"] == 0


def test_a_new_shelf_of_dear_goods_is_no_change_of_unit(monitor):
    values, seen, today = amounts(1, monitor, lognormal)
    values[today[:12]] = values.max() * np.random.default_rng(1).uniform(1.1, 3, 12)
    assert unit_change(values, "number", seen) == (0.0, "")
