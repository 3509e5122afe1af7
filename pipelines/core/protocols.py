"""The small protocols through which rooms meet: steps hand one room's object to another by argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from pipelines.core.event import Event

Columns: TypeAlias = Mapping[str, Any]
"""A numpy array per name, of one length: numbers as float64 with NaN for null, everything else as objects with None."""


class EventLog(Protocol):
    """Append-only and bitemporal. An acknowledged event survives a kill and counts once, however often it is delivered."""

    def append(self, events: Iterable[Event], *, arrived: int) -> list[int]:
        """The events' offsets, in order; durable when it returns. A duplicate gets the offset it has already.

        `arrived` is the clock (microseconds UTC); the log never goes back: the stored value is at least the last one's.
        """

    def read(self, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] | None = None) -> list[Event]:
        """Events with an offset above `after`, in offset order."""


class FeatureReader(Protocol):
    """Features as they are known at the moment of each ask."""

    def read(self, asks: Sequence[Event]) -> tuple[Columns, int]:
        """A column per feature, a row per ask (or per candidate, with `ask` and `candidate` columns), and the offset of the
        log that they had seen."""


class Scorer(Protocol):
    """The code that serves, which is also the code that is judged."""

    def score(self, columns: Columns) -> Any:
        """Calibrated scores of feature columns: shape (rows,) or, for quantiles, (rows, levels)."""


class Clock(Protocol):
    """Where the time comes from: the wall, a simulated shop, or a test."""

    def __call__(self) -> int:
        """Now, in microseconds UTC; never less than the last answer."""
