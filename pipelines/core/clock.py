"""Instants and durations as values: an instant is integer microseconds since 1970 in UTC, a duration a timedelta."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EVER = timedelta.max
"""The window that never closes: everything since the beginning."""

SECOND = 1_000_000
DAY = 86_400 * SECOND


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    return timedelta(days=n)


def weeks(n: float) -> timedelta:
    return timedelta(weeks=n)


def micros(duration: timedelta) -> int:
    """A duration as integer microseconds."""
    return duration // timedelta(microseconds=1)


def instant(moment: str | datetime) -> int:
    """Microseconds since 1970 in UTC of an aware datetime or an ISO 8601 text; a bare date means its midnight in UTC.

    Raises ValueError for a naive datetime: a time without a zone is a different moment on every machine.
    """
    if isinstance(moment, str):
        text = moment.strip()
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            text += "T00:00:00Z"
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"wanted an ISO 8601 time such as 2025-03-01T12:00:00Z, got {text!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"wanted a time with a zone, got {moment.isoformat()}; append Z if it is UTC")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def iso(ts: int) -> str:
    """The instant as ISO 8601 text in UTC, without a fraction where it has none."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts)
    return moment.isoformat(timespec="microseconds" if ts % SECOND else "seconds").replace("+00:00", "Z")


def day_of(ts: int) -> str:
    """The UTC day that holds the instant, as YYYY-MM-DD."""
    return iso(ts)[:10]


def duration(text: str) -> timedelta:
    """The duration that people write in params.yaml: 30s, 5min, 1h, 7d, 4w, ever. Raises ValueError for anything else."""
    if text == "ever":
        return EVER
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h|d|w)", text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"wanted a duration such as 30s, 5min, 1h, 7d, 4w or ever, got {text!r}")
    unit = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}[match[2]]
    return timedelta(**{unit: float(match[1])})


def spell(duration: timedelta) -> str:
    """The duration as feature names write it: 5min, 1h, 7d, ever."""
    if duration == EVER:
        return "ever"
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if duration and not duration % unit:
            return f"{duration // unit}{name}"
    return f"{duration.total_seconds():g}s"


def words(duration: timedelta) -> str:
    """The duration as people say it: 5 minutes, 1 hour, 7 days."""
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute")):
        if duration and not duration % unit:
            return f"{duration // unit} {name}{'s' if duration // unit != 1 else ''}"
    return f"{duration.total_seconds():g} seconds"
