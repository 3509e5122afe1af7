"""How long a schedule may be silent: the longest pause between two firings of a cron line."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from pipelines.core.clock import days
from pipelines.core.errors import ShelflifeError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = 1600
"""Days that are looked through: from one leap day to the next."""


def longest_pause(line: str) -> timedelta:
    """The longest time between two firings (UTC) of a line such as `30 2 * * *`.

    Numbers, lists, ranges and steps; a day that is named both by date and by weekday fires on either, as in every cron. Raises
    ShelflifeError for any other line, or one that fires less than twice in four years.
    """
    parts = line.split()
    if len(parts) != len(FIELDS):
        raise ShelflifeError(f"wanted five fields as in '30 2 * * *', got {line!a}")
    minutes, hours, dates, months, weekdays = (_values(part, *field) for part, field in zip(parts, FIELDS, strict=True))
    weekdays = {day % 7 for day in weekdays}
    free = parts[2].startswith("*"), parts[4].startswith("*")

    def fires(day: datetime) -> bool:
        date, weekday = day.day in dates, day.isoweekday() % 7 in weekdays
        return day.month in months and (date and weekday if any(free) else date or weekday)

    times = sorted(timedelta(hours=h, minutes=m) for h in hours for m in minutes)
    firing = [day for day in (FIRST + days(n) for n in range(SPAN)) if fires(day)]
    if len(firing) < 2:
        raise ShelflifeError(f"the schedule {line!a} fires less than twice in four years")
    inside = max((b - a for a, b in itertools.pairwise(times)), default=timedelta(0))
    between = max(b - a for a, b in itertools.pairwise(firing)) + times[0] - times[-1]
    return max(inside, between)


def _values(text: str, name: str, low: int, high: int) -> set[int]:
    """The numbers that one field stands for."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        last = last or (str(high) if step else first)
        numbers = (first, last, step or "1")
        if not all(number.isdigit() for number in numbers) or not low <= int(first) <= int(last) <= high or int(step or 1) < 1:
            raise ShelflifeError(f"wanted {name}s from {low} to {high} in a schedule, got {text!a}")
        found |= set(range(int(first), int(last) + 1, int(step or 1)))
    return found
