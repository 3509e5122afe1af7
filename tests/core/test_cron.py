import itertools
from datetime import timedelta

import pytest

from pipelines.core.cron import FIRST, SPAN, longest_pause
from pipelines.core.errors import ShelflifeError


@pytest.mark.parametrize(
    ("line", "hours"),
    [
        ("30 2 * * *", 24), ("0 3 * * 1", 7 * 24), ("*/15 * * * *", 0.25), ("0 8-18 * * *", 14), ("0 6,18 * * *", 12),
        ("0 9 * * 1-5", 72), ("0 0 1 * *", 31 * 24), ("0 0 29 2 *", 1461 * 24), ("0 0 * * 0,7", 7 * 24), ("0 0 1 * 1", 7 * 24),
        ("0 0 31 * *", 61 * 24),
    ],
)  # fmt: skip
def test_the_longest_pause_of_a_schedule(line, hours):
    assert longest_pause(line) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "line", ["", "* * * *", "60 * * * *", "0 24 * * *", "a * * * *", "0 0 30 2 *", "5-1 * * * *", "*/0 * * * *", "@daily"]
)
def test_what_is_no_schedule_is_refused(line):
    with pytest.raises(ShelflifeError):
        longest_pause(line)


def test_it_agrees_with_the_schedules_own_calendar():
    """Against croniter, which Airflow reads its cron lines with."""
    croniter = pytest.importorskip("croniter").croniter
    from datetime import UTC, datetime

    for line in ("30 2 * * *", "0 9 * * 1-5", "15 4,16 1,15 * *", "*/20 8-10 * 3-5 *"):
        fires = croniter(line, datetime(2024, 1, 1, tzinfo=UTC))
        times = [fires.get_next(datetime) for _ in range(9000)]
        kept = [t for t in times if t < FIRST + timedelta(days=SPAN)]
        assert longest_pause(line) == max(b - a for a, b in itertools.pairwise(kept))
