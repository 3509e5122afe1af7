"""What is held against what: windows of the same weekdays, as sums of daily counts.

A column becomes a table of counts, a row a day. Every window, its reference, and every past window that says how much a column
moves by itself are sums of such rows, so that hundreds of comparisons cost no more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipelines.core.clock import DAY, micros
from pipelines.core.params import Monitor
from pipelines.evaluation.statistic import Array, codes

Columns = Mapping[str, Array]
FEWEST_UNITS = 20
"""With fewer independent units (customers, sessions, items) in a window there is nothing to compare."""


@dataclass(frozen=True)
class Windows:
    """The window that is looked at, its reference (the same weekdays before) and the reference's own windows of the same
    weekdays, oldest first: row masks.

    For the comparisons, each row has a `slot` (a day, or a window that is shorter) and a `weight`: the rows that one unit has in
    a slot count as one together. `held` and `against`, of shape (comparisons, slots), say which slots each comparison's window
    and reference are made of: the first `recent` are the last windows, newest first, which share no row; the others are what
    the past shows of any weekday, newest first, each a slot earlier than the one before it; a window is `long` slots.
    """

    current: Array
    reference: Array
    past: tuple[Array, ...]
    slot: Array
    weight: Array
    held: Array
    against: Array
    recent: int = 1
    long: int = 1

    def counts(self, code: Array, codes: int, known: Array) -> tuple[Array, Array]:
        """Weighted counts of each code from 0, shape (comparisons, codes), in each window and in its reference."""
        used = known & (self.weight > 0)
        slots = self.held.shape[1]
        flat = np.bincount(self.slot[used] * codes + code[used], self.weight[used], slots * codes)
        table = flat.reshape(slots, codes)
        return self.held @ table, self.against @ table

    @property
    def rows(self) -> tuple[Array, Array]:
        """How many rows each comparison's window and reference have."""
        each = np.bincount(self.slot[self.weight > 0], minlength=self.held.shape[1]).astype(float)
        return self.held @ each, self.against @ each

    @property
    def earlier(self) -> Array:
        """The rows of all days before the last windows, whatever their weekday."""
        return (self.weight > 0) & (self.slot < self.held.shape[1] - self.recent * self.long)

    @property
    def units(self) -> float:
        """How many units the window has; a unit counts once a slot."""
        return float(self.weight[self.current].sum())


def windows(ts: Array, monitor: Monitor, now: int, units: Any = None) -> Windows:
    """The windows that end at `now` (microseconds UTC). For labels, `now` is when the youngest mature label was asked for.

    The reference ends where the first of the last `of` windows began: a change that lasts is held against what was before
    it, and does not become its own reference while people wait for it to last. `units` are whose rows are not independent.
    """
    span = Span.of(monitor)
    age = (now - 1 - np.asarray(ts, np.int64)) // span.slot
    inside = (age >= 0) & (age < span.slots)
    slot = np.where(inside, span.slots - 1 - age, 0)
    held, against = span.comparisons()
    weight = np.where(inside, _weights(slot, units), 0.0)
    first = int(slot[inside].min()) if inside.any() else 0  # what lies before the first row is no window
    past = tuple(inside & window[slot] for window in span.same_weekdays() if np.argmax(window) >= first)
    masks = inside & held[0][slot], inside & against[0][slot]
    return Windows(*masks, past, slot, weight, held * 1.0, against * 1.0, monitor.of, span.long)


@dataclass(frozen=True)
class Span:
    """The time a look reads, in slots, the newest last: `long` slots a window, `apart` slots between the reference and now."""

    slot: int
    long: int
    apart: int
    slots: int

    @staticmethod
    def of(monitor: Monitor) -> Span:
        slot = min(micros(monitor.window), DAY)
        long = micros(monitor.window) // slot
        return Span(slot, long, monitor.of * long, monitor.of * long + micros(monitor.reference) // slot)

    @property
    def season(self) -> Array:
        """Where in the week each slot lies."""
        return np.arange(self.slots) % max(7 * DAY // self.slot, 1)

    def window(self, end: int) -> Array:
        """The slots of the window that ends before slot `end`."""
        at = np.arange(self.slots)
        return (at >= end - self.long) & (at < end)

    def alike(self, window: Array) -> Array:
        """The reference's slots that lie where in the week the window's do, the window's own left out."""
        before = np.arange(self.slots) < self.slots - self.apart
        return before & np.isin(self.season, self.season[window]) & ~window

    @cache  # noqa: B019  a span is four numbers, and a program looks through few of them
    def comparisons(self) -> tuple[Array, Array]:
        """The window and the reference of each comparison: the last windows' first, then those of all past windows."""
        before = self.slots - self.apart
        ends = [*range(self.slots, before, -self.long), *range(before, self.long - 1, -1)]
        held = np.array([self.window(end) for end in ends])
        return held, np.array([self.alike(window) for window in held])

    def same_weekdays(self) -> list[Array]:
        """The windows of the reference that lie where in the week the newest one does, oldest first, sharing no slot."""
        week = max(7 * DAY // self.slot, 1)
        step = week * -(-self.long // week)
        first = self.slots - step * -(-self.apart // step)
        return [self.window(end) for end in range(first, self.long - 1, -step)][::-1]


def _weights(slot: Array, units: Any) -> Array:
    """One over how many rows a row's unit has in its slot."""
    if units is None:
        return np.ones(len(slot))
    code, many = codes(units)
    _, inverse, times = np.unique(slot * many + code, return_inverse=True, return_counts=True)
    return 1.0 / times[inverse]


def history_needed(monitor: Monitor) -> int:
    """How far back from `now` a look reads, in microseconds."""
    return micros(monitor.reference) + monitor.of * micros(monitor.window)


def few_rows(seen: Windows, monitor: Monitor) -> str:
    """Why the window cannot be compared, or nothing."""
    current, reference = int(seen.current.sum()), int(seen.reference.sum())
    if min(current, reference) >= monitor.min_rows:
        units = f"wanted {FEWEST_UNITS} independent units in the window, got {seen.units:.0f}"
        return units if seen.units < FEWEST_UNITS else ""
    return f"wanted {monitor.min_rows} rows on both sides, got {current} in the window and {reference} in its reference"
