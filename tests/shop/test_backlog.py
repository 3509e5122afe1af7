"""Rows that a silent feed held back were due when they happened; rows of a clock that is wrong, and rows sent again, were not."""

import numpy as np
import pytest

from pipelines.core.clock import DAY
from pipelines.shop.backlog import due

HOUR = DAY // 24


def feed(a_day=400, days=60, seed=1, open_hours=24):
    """When the rows of so many days happened; each arrives five seconds later."""
    random = np.random.default_rng(seed)
    return np.sort(random.integers(0, days, a_day * days) * DAY + random.integers(0, open_hours * HOUR, a_day * days))


@pytest.mark.parametrize(("a_day", "silent_days"), [(400, 1), (400, 7), (6, 7), (6, 14)])
def test_what_a_silent_feed_held_back_was_due_when_it_happened(a_day, silent_days):
    ts = feed(a_day)
    first, until = 40 * DAY, (40 + silent_days) * DAY
    silent = (ts >= first) & (ts < until)
    held_back = silent & (ts < until - 2 * HOUR)
    arrived = np.where(silent, until, ts + 5_000_000)
    assert (due(ts, arrived)[held_back] == ts[held_back]).mean() > 0.95
    assert np.array_equal(due(ts, arrived)[~silent], arrived[~silent])


def test_a_day_that_comes_three_days_late_among_ordinary_ones_was_due_on_its_own():
    ts = feed()
    day = ts // DAY == 40
    arrived = np.where(day, ts + 3 * DAY, ts + 5_000_000)
    assert (due(ts, arrived)[day] == ts[day]).mean() > 0.95
    assert np.array_equal(due(ts, arrived)[~day], arrived[~day])


@pytest.mark.parametrize("hours", [2, 8, 12, 24])
@pytest.mark.parametrize("open_hours", [24, 12])
def test_a_clock_in_another_time_zone_holds_nothing_back(hours, open_hours):
    arrived = feed(open_hours=open_hours)
    ts = np.where(arrived >= 40 * DAY, arrived - hours * HOUR, arrived - 5_000_000)
    assert (due(ts, arrived) == arrived).mean() > 0.99


def test_a_day_that_is_sent_again_later_is_too_many_rows():
    ts = feed()
    again = ts[ts // DAY == 40]
    arrived = np.r_[ts, again + 2 * DAY]
    assert (due(np.r_[ts, again], arrived) != arrived).sum() < 0.15 * len(again)


def test_nothing_and_a_feed_without_a_past_are_due_as_they_arrive():
    assert due(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    ts = np.arange(50) * HOUR
    assert due(ts, np.full(50, 100 * HOUR)).tolist() == [100 * HOUR] * 50
