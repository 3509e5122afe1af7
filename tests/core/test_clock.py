from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.clock import EVER, day_of, days, duration, instant, iso, micros, spell


@given(st.integers(min_value=0, max_value=4 * 10**15))
def test_an_instant_survives_its_text(ts):
    assert instant(iso(ts)) == ts


def test_a_bare_date_is_its_midnight_in_utc():
    assert instant("2025-03-01") == instant(datetime(2025, 3, 1, tzinfo=UTC))
    assert day_of(instant("2025-03-01")) == "2025-03-01"


def test_a_zone_is_converted_not_dropped():
    assert instant("2025-03-01T01:00:00+01:00") == instant("2025-03-01T00:00:00Z")


@pytest.mark.parametrize("text", ["2025-03-01T12:00:00", "yesterday", "", "2025-13-01"])
def test_a_time_without_a_zone_or_sense_is_refused(text):
    with pytest.raises(ValueError, match="wanted"):
        instant(text)


@pytest.mark.parametrize(
    ("text", "value"), [("30s", timedelta(seconds=30)), ("5min", timedelta(minutes=5)), ("4w", days(28)), ("ever", EVER)]
)
def test_a_duration_reads_as_people_write_it(text, value):
    assert duration(text) == value


@pytest.mark.parametrize("text", ["7", "d", "7 days", "-1d", "", 7])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="wanted a duration"):
        duration(text)


def test_durations_name_themselves():
    assert [spell(d) for d in (days(7), timedelta(hours=1), timedelta(minutes=5), EVER)] == ["7d", "1h", "5min", "ever"]
    assert micros(days(1)) == 86_400_000_000
