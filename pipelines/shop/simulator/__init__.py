"""A deterministic shop whose truth is known: the same seed gives the same bytes, whichever days are asked for first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Simulate
from pipelines.shop.incidents import Incident

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["simulate", "simulate_days", "truth"]


def simulate(
    size: Simulate, seed: int, *, first_day: int, last_day: int, incidents: Sequence[Incident] = ()
) -> Iterator[tuple[str, pa.Table]]:
    """The events that arrive on the days first_day, .., last_day - 1 (0 is `size.start`): a table per day and kind.

    Days come in order, and within a day the kinds by name, each table sorted by (arrived, ts, id); a day without events of a
    kind has no table. Events are contract-clean but for what the incidents do. Simulating 0..140 and then 140..147 gives
    exactly what 0..147 gives. Raises ShelflifeError for days before 0, an empty range or a shop that is too small.
    """
    for _, tables in simulate_days(size, seed, first_day=first_day, last_day=last_day, incidents=incidents):
        yield from tables


def simulate_days(
    size: Simulate, seed: int, *, first_day: int, last_day: int, incidents: Sequence[Incident] = ()
) -> Iterator[tuple[int, list[tuple[str, pa.Table]]]]:
    """The same, a day at a time: (day, its tables). A log that merges a day's kinds by `arrived` takes one such list."""
    from pipelines.shop.simulator.partitions import partitions

    _check(first_day, last_day)
    return partitions(size, seed, first_day, last_day, tuple(incidents))


def truth(
    size: Simulate, seed: int, *, first_day: int, last_day: int, incidents: Sequence[Incident] = ()
) -> dict[str, pa.Table]:
    """What really happened on the days first_day, .., last_day - 1, as nobody in the shop can know it.

    Tables `payment` (fraud 0/1 and its scenario), `demand` (per item and day: units expected, wanted and sold), `review` (what
    was felt in stars), `view` (robot 0/1) and `incident` (each in words). Days are those on which the order or visit began.
    """
    from pipelines.shop.simulator.known import known

    _check(first_day, last_day)
    return known(size, seed, first_day, last_day, tuple(incidents))


def _check(first_day: int, last_day: int) -> None:
    if not 0 <= first_day < last_day:
        raise ShelflifeError(f"wanted days from 0 on and the last after the first, got {first_day} to {last_day}")
