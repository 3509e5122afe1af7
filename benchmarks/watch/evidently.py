"""Evidently's default drift rule on the same quiet days; that the reproduced rule equals Evidently itself is checked by
tests/benchmarks/test_lifecycle.py."""

from __future__ import annotations

from benchmarks.lifecycle import peers
from benchmarks.watch import rates, stream
from pipelines.core.clock import DAY


def alarms(mornings: int, seed: int) -> int:
    """On how many of the quiet mornings the rule says that the data have drifted, against all days that our watch sees."""
    days_ = stream.quiet(seed, rates.SPAN + mornings)
    return sum(_drifted(days_, day) for day in range(rates.SPAN, rates.SPAN + mornings))


def _drifted(days_: stream.Stream, day: int) -> bool:
    seen = days_.last(rates.SPAN, day * DAY)
    newest = seen.ts >= (day - 1) * DAY
    before, now = ({name: column[mask] for name, column in seen.columns.items()} for mask in (~newest, newest))
    kinds = {name: seen.kinds.get(name, "number") for name in seen.columns}
    return peers.drifted_share(before, now, kinds) >= peers.SHARE
