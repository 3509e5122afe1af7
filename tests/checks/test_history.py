import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.checks.history import Days, compare, names
from pipelines.checks.suite import History
from pipelines.core.clock import DAY

UNITS = History(median={"amount_cents": 3.0}, mean={"amount_cents": 3.0})


def look(table, as_of, history=UNITS):
    return {f.name: f for f in compare("payment", table, history, as_of=as_of)}


def bad(found):
    return {name for name, finding in found.items() if finding.status != "pass"}


@pytest.mark.parametrize("seed", range(5))
def test_a_quiet_feed_with_a_weekly_season_passes(feed, seed):
    found = look(feed.payments(seed=seed), feed.as_of())
    assert not bad(found)
    assert list(found) == names("payment", UNITS)


def test_a_day_without_rows_is_off_and_named(feed, table, newest):
    found = look(table.filter(pa.array(~newest)), feed.as_of())
    assert found["payment: volume"].status == "fail"
    assert "0 rows on 2025-04-13" in found["payment: volume"].advice


def test_a_day_that_was_held_back_is_no_fault_and_nobodys_past(feed, table, newest):
    without = table.filter(pa.array(~newest))
    held = {f.name: f for f in compare("payment", without, UNITS, as_of=feed.as_of(), held=["2025-04-13"])}
    assert not bad(held)
    assert bad({f.name: f for f in compare("payment", without, UNITS, as_of=feed.as_of(), held=["2025-04-12"])})
    assert Days.of(table["arrived"].to_numpy(), feed.as_of(), ["2025-04-13"]).newest(7)[-1] == 40


def test_a_day_with_four_times_the_rows_is_off(feed, table, newest):
    flood = pa.concat_tables([table, *[table.filter(pa.array(newest))] * 3])
    assert look(flood, feed.as_of())["payment: volume"].status == "fail"


def test_a_few_rows_more_or_less_of_a_small_feed_are_chance(feed):
    assert not bad(look(feed.payments(a_day=3), feed.as_of(), History()))


def test_a_small_feed_that_dries_up_for_a_week_is_off(feed):
    table = feed.payments(a_day=4)
    dry = table.filter(pa.array(table["arrived"].to_numpy() < feed.START + 35 * DAY))
    assert look(dry, feed.as_of(), History())["payment: volume"].status == "fail"


def test_rows_after_the_moment_do_not_count(feed, table):
    assert look(table, feed.START + 30 * DAY) == look(
        table.filter(pa.array(table["arrived"].to_numpy() < feed.START + 30 * DAY)), feed.START + 30 * DAY
    )


def test_nulls_that_rise_by_more_than_the_limit_name_their_column_and_day(feed, table, newest):
    device = np.where(newest & (np.arange(len(newest)) % 5 == 0), None, np.array(table["device"].to_pylist(), object))
    found = look(feed.put(table, "device", device), feed.as_of())
    assert bad(found) == {"payment: nulls against history"}
    assert found["payment: nulls against history"].advice.startswith("device on 2025-04-13")


@pytest.mark.parametrize("seed", range(8))
def test_a_few_nulls_more_in_a_small_feed_are_chance(feed, seed):
    table = feed.payments(a_day=40, seed=seed)
    device = np.where(
        np.random.default_rng(seed).random(len(table)) < 0.08, None, np.array(table["device"].to_pylist(), object)
    )
    assert not bad(look(feed.put(table, "device", device), feed.as_of(), History()))


def test_a_column_that_goes_null_in_a_small_feed_is_no_chance(feed):
    table = feed.payments(a_day=40)
    spoilt = (table["arrived"].to_numpy() >= feed.as_of() - DAY) & (np.arange(len(table)) % 2 == 0)
    device = np.where(spoilt, None, np.array(table["device"].to_pylist(), object))
    assert bad(look(feed.put(table, "device", device), feed.as_of(), History())) == {"payment: nulls against history"}


def test_a_feed_too_small_for_days_is_compared_by_weeks(feed):
    table = feed.payments(a_day=9)
    assert not bad(look(table, feed.as_of()))
    factor = np.where(table["arrived"].to_numpy() >= feed.as_of() - 6 * DAY, 100, 1)
    found = look(feed.put(table, "amount_cents", table["amount_cents"].to_numpy() * factor), feed.as_of())
    assert bad(found) == {"payment.amount_cents: median against history", "payment.amount_cents: mean against history"}
    assert "in the week from" in found["payment.amount_cents: mean against history"].advice


def test_a_column_that_was_always_null_is_no_news(feed, table):
    assert not bad(look(feed.put(table, "device", pa.nulls(table.num_rows, pa.string())), feed.as_of()))


@pytest.mark.parametrize("factor", [100, 0.01])
def test_cents_for_euros_on_one_day_break_median_and_mean(feed, table, newest, factor):
    amounts = (table["amount_cents"].to_numpy() * np.where(newest, factor, 1)).astype(np.int64)
    found = look(feed.put(table, "amount_cents", amounts), feed.as_of())
    assert bad(found) == {"payment.amount_cents: median against history", "payment.amount_cents: mean against history"}


def test_cents_for_euros_in_one_feed_of_ten_break_the_mean_alone(feed, table, newest):
    factor = np.where(newest & (np.arange(len(newest)) % 10 == 0), 100, 1)
    found = look(feed.put(table, "amount_cents", table["amount_cents"].to_numpy() * factor), feed.as_of())
    assert bad(found) == {"payment.amount_cents: mean against history"}


def test_a_comparison_that_the_suite_calls_a_warning_stops_nothing_and_says_so(feed, table, newest):
    amounts = table["amount_cents"].to_numpy() * np.where(newest, 100, 1)
    spoilt = feed.put(table, "amount_cents", amounts)
    history = History(median={"amount_cents": 3.0}, warnings=("median",))
    finding = look(spoilt, feed.as_of(), history)["payment.amount_cents: median against history"]
    assert finding.status == "pass"
    assert finding.advice.startswith("warning: ")


def test_a_feed_without_a_past_cannot_be_compared(feed):
    table = feed.payments(days=3)
    assert {f.status for f in look(table, feed.as_of(3)).values()} == {"unsure"}


def test_an_empty_feed_never_passes(feed, table):
    assert not [f for f in look(table.slice(0, 0), feed.as_of()).values() if f.status == "pass"]


@settings(max_examples=60, deadline=None)
@given(day=st.integers(1, 200))
def test_a_day_is_only_compared_with_days_before_it(day):
    days = Days(np.zeros(0, int), 0, 200)
    past = days.past(day)
    assert past
    assert all(0 <= d < day for d in past)
