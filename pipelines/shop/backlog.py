"""When a row should have come: a feed that was silent sends what it held back all at once, and those rows are late, not too many."""

from __future__ import annotations

import numpy as np

from pipelines.core.clock import DAY, SECOND

LATE = 3600 * SECOND
"""A row that arrives so long after it happened is late: a clock in another time zone is off by an hour at least."""
ROWS = 20
"""The feed is listened to for as long as so many rows take to come: fewer would be missing by chance."""
WEEKS = 4
"""Whether it was silent is told by the same moment of so many weeks before."""


def due(ts: np.ndarray, arrived: np.ndarray) -> np.ndarray:
    """When each row was due, shape (rows,) microseconds UTC: when it arrived; when it happened (`ts`), where it is late and the feed
    was silent then: just before or just after less than half as many rows came as usual at that moment of the week. Late rows that
    came within the same hour are judged together, as most of them are.

    A clock in another time zone also makes rows late, but they keep coming all the time: those were due when they arrived.
    """
    ts, arrived = np.asarray(ts, np.int64), np.asarray(arrived, np.int64)
    late = np.flatnonzero(arrived - ts > LATE)
    if not len(late):
        return arrived
    came = np.sort(arrived)
    long = int((came[-1] - came[0]) * ROWS / len(came))
    silent = _silent(came, ts[late] - long, long) | _silent(came, ts[late], long)
    _, burst = np.unique(arrived[late] // LATE, return_inverse=True)
    held_back = np.bincount(burst, silent) > np.bincount(burst) / 2
    found = arrived.copy()
    found[late] = np.where(held_back[burst], ts[late], arrived[late])
    return found


def _silent(came: np.ndarray, begin: np.ndarray, long: int) -> np.ndarray:
    """Whether less than half as many rows as usual came in the stretches of that length that begin then."""
    counts = [
        np.searchsorted(came, begin + long - week * 7 * DAY) - np.searchsorted(came, begin - week * 7 * DAY)
        for week in range(WEEKS + 1)
    ]
    usual = np.median(counts[1:], axis=0)
    return np.asarray((usual >= ROWS / 2) & (counts[0] < usual / 2))
