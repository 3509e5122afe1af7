"""Drift that matters: effect sizes against the same weekdays before, with thresholds that the past itself has set.

A column becomes a table of counts, a row a day. Every window, its reference, and every past window that says how much a column
moves by itself are sums of such rows, so that hundreds of comparisons cost no more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from pipelines.core.clock import DAY, micros
from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, judged
from pipelines.evaluation.slices import benjamini_hochberg
from pipelines.evaluation.statistic import Array, codes, nulls

Columns = Mapping[str, Array]
MOST_CATEGORIES = 20
RARE = 0.01
"""Categories beyond the reference's 20 largest, and those of fewer rows than this share, are one: each would add its own noise."""
BINS = 512
"""A number that takes more values than this is counted in so many bins of equal size; a bin stands where its values' mean is."""
SIGMAS = 5.0
FEWEST_PAST = 4
"""With fewer past windows of the same weekdays a check of quality keeps to its own limit."""
FEWEST_TRIALS = 8
"""With fewer past windows nothing says how much a column moves by itself, and only `UNCALIBRATED` is a shift."""
UNCALIBRATED = 0.25
"""The effect size that counts while the past is too short to say: a quarter of a standard deviation."""
FALSE = 0.002
"""The share of false ones that is allowed among the columns said to have moved (Benjamini, Hochberg 1995): one quiet look in
five hundred."""
LEAST_WEIGHT = 0.2
"""What a column without importance weighs at least: a large shift of it is still worth a word."""
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


def effects(kind: str, column: Array, seen: Windows) -> Array:
    """The effect size of each comparison, nulls and infinities left out, in standard deviations.

    Of a number: how far its values must be moved on average (Wasserstein) over the reference's standard deviation. Of a
    category: the same of that value's yes and no that moved most, so that many values do not hide one. NaN where a side has no
    value.
    """
    known = np.isfinite(column.astype(float)) if kind == "number" else ~nulls(column)
    used = known & (seen.weight > 0)
    if not used.any():
        return np.full(len(seen.held), np.nan)
    return _moves(column, used, seen) if kind == "number" else _mixes(column, used, seen)


def effect(kind: str, reference: Array, current: Array) -> float:
    """The effect size between two samples."""
    slot = np.repeat([0, 1], [len(reference), len(current)])
    both = Windows(slot == 1, slot == 0, (), slot, np.ones(len(slot)), np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))
    return float(effects(kind, np.concatenate([reference, current]), both)[0])


def wasserstein(reference: Array, current: Array) -> float:
    """How far numbers have moved, in standard deviations of the reference."""
    return effect("number", reference, current)


def _moves(column: Array, used: Array, seen: Windows) -> Array:
    """The area between two cumulative distributions, over the reference's spread."""
    values = column[used].astype(float)
    code, bins = _bins(values)
    size = np.bincount(code, minlength=bins)
    middle, square = (np.bincount(code, values**power, bins) / size for power in (1, 2))
    every = np.zeros(len(column), np.int64)
    every[used] = code
    window, reference = seen.counts(every, bins, used)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = reference / reference.sum(axis=1, keepdims=True), window / window.sum(axis=1, keepdims=True)
        mean = p @ middle
        spread = np.sqrt(np.maximum(p @ square - mean**2, 0))
        apart = np.abs(np.cumsum(p - q, axis=1))[:, :-1] @ np.diff(middle) / spread
    # What never varied has no standard deviation: the share of values that now differ from it.
    still = spread <= 1e-9 * np.maximum(1.0, np.abs(mean))
    return np.where(still, 1 - (q * (p > 0)).sum(axis=1), apart)


def _bins(values: Array) -> tuple[Array, int]:
    """Codes from 0, rising with the value: one a value, or one a bin where there are many."""
    distinct, code = np.unique(values, return_inverse=True)
    if len(distinct) <= BINS:
        return code, len(distinct)
    edges = distinct[np.unique(np.searchsorted(np.cumsum(np.bincount(code)), np.linspace(0, len(values), BINS + 1)[1:-1]))]
    taken, code = np.unique(np.searchsorted(edges, values), return_inverse=True)
    return code, len(taken)


def _mixes(column: Array, used: Array, seen: Windows) -> Array:
    """The largest move of a category's share, over its standard deviation; rare categories count as one."""
    names, code = np.unique(column[used].astype(str), return_inverse=True)
    usual = np.bincount(code[seen.reference[used]], minlength=len(names))
    largest = np.argsort(-usual, kind="stable")[:MOST_CATEGORIES]
    rank = np.full(len(names), MOST_CATEGORIES)
    rank[largest] = np.where(usual[largest] >= RARE * usual.sum(), np.arange(len(largest)), MOST_CATEGORIES)
    every = np.zeros(len(column), np.int64)
    every[used] = rank[code]
    window, reference = seen.counts(every, MOST_CATEGORIES + 1, used)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = reference / reference.sum(axis=1, keepdims=True), window / window.sum(axis=1, keepdims=True)
        return np.max(np.abs(q - p) / np.sqrt(np.maximum(p * (1 - p), RARE * (1 - RARE))), axis=1)


def threshold(past: Sequence[float], floor: float) -> float:
    """Median plus five robust standard deviations of what past windows showed, and at least the floor."""
    seen = np.array([value for value in past if np.isfinite(value)])
    if len(seen) < FEWEST_PAST:
        return floor
    middle, spread = scatter(seen)
    return max(floor, middle + SIGMAS * spread)


def scatter(values: Array) -> tuple[float, float]:
    """The median and the robust standard deviation (from the median absolute deviation)."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


@dataclass(frozen=True)
class Scatter:
    """How much a column moves by itself: the middle and the spread of what `of` past windows showed; none where too few did."""

    middle: float
    spread: float
    of: int

    @staticmethod
    def of_past(past: Array) -> Scatter:
        """A spread that rests on few windows is widened."""
        known = past[np.isfinite(past)]
        if len(known) < FEWEST_TRIALS:
            return Scatter(0.0, 0.0, len(known))
        middle, spread = scatter(known)
        return Scatter(middle, spread * float(np.sqrt(1 + FEWEST_TRIALS / len(known))), len(known))

    def chance(self, size: float) -> float:
        """How likely so large an effect is by chance: half a Laplace distribution's tail, which is as heavy as an effect size's."""
        if self.of < FEWEST_TRIALS or not np.isfinite(size):
            return 1.0
        away = (size - self.middle) / max(self.spread, 1e-12)
        return float(min(1.0, 0.5 * np.exp(-np.sqrt(2) * max(away, -10.0))))

    def limit(self, chance: float, floor: float) -> float:
        """The effect size that is as unlikely as `chance`, at least the floor. Alone of twenty columns it takes the median plus six
        robust standard deviations."""
        if self.of < FEWEST_TRIALS:
            return max(floor, UNCALIBRATED)
        return max(floor, self.middle + self.spread * float(np.log(0.5 / chance)) / float(np.sqrt(2)))

    def interval(self, size: float) -> dict[str, float]:
        """The bounds of the size, two spreads to each side; nothing where the spread is not known."""
        if self.of < FEWEST_TRIALS:
            return {}
        return {"low": max(size - 2 * self.spread, 0.0), "high": size + 2 * self.spread, "sure": 0.95}


def shifts(
    channel: str,
    columns: Columns,
    kinds: Mapping[str, str],
    seen: Windows,
    monitor: Monitor,
    importance: Mapping[str, float] | None = None,
) -> list[Finding]:
    """A finding a column of a channel (`features` or `predictions`): how far it has moved and stayed.

    What is observed is the move that `persist` of the last `of` windows have shown, the newest among them; the limit is what
    past windows show of just that, so that a column whose days resemble each other must move further. `kinds` says number,
    category or text; text is left to the model's own outputs. `importance` (shares of the model's answers) weighs the columns:
    what matters little must move more to be said. Too few rows is never an answer.
    """
    names = [name for name in columns if kinds.get(name, "number") != "text"]
    enough = np.minimum(*seen.rows) >= monitor.min_rows
    each = {n: np.where(enough, effects(kinds.get(n, "number"), columns[n], seen), np.nan) for n in names}
    stayed = {name: lasting(each[name], seen, monitor.persist) for name in names}
    usual = pooled({name: Scatter.of_past(stayed[name][1:]) for name in names})
    weight = weights(names, importance)
    chances = [usual[name].chance(stayed[name][0]) / weight[name] for name in names]
    moved = int(benjamini_hochberg(chances, FALSE).sum()) if names else 0
    cut = FALSE * max(moved, 1) / max(len(names), 1)
    limits = {name: usual[name].limit(min(cut * weight[name], 0.5), monitor.drift) for name in names}
    return [_shift(f"{channel}: {n}", stayed[n][0], each[n][0], usual[n], limits[n], seen, monitor) for n in names]


def lasting(sizes: Array, seen: Windows, persist: int) -> Array:
    """The effect that lasted, of the newest window and of each past one: the smaller of its own and of the `persist - 1` largest
    among the `recent - 1` windows before it. A window that is not known (a day held back) shows nothing; NaN where the newest
    is not known, or fewer than `persist` are."""
    recent, past = sizes[: seen.recent], sizes[seen.recent :]
    reach = (seen.recent - 1) * seen.long
    many = max(len(past) - reach, 0)
    rows = [recent, *(past[i : i + reach + 1 : seen.long] for i in range(many))]
    return np.array([_lasted(row, persist) for row in rows])


def _lasted(row: Array, persist: int) -> float:
    before = np.sort(row[1:][np.isfinite(row[1:])])[::-1]
    if persist < 2:
        return float(row[0])
    return float(min(row[0], before[persist - 2])) if np.isfinite(row[0]) and len(before) >= persist - 1 else float("nan")


def pooled(usual: Mapping[str, Scatter]) -> dict[str, Scatter]:
    """No column is believed to be quieter than half of them are: a spread from few windows is itself uncertain."""
    known = [found.spread for found in usual.values() if found.of >= FEWEST_TRIALS]
    least = float(np.median(known)) if known else 0.0
    return {name: replace(found, spread=max(found.spread, least)) for name, found in usual.items()}


def weights(names: Sequence[str], importance: Mapping[str, float] | None) -> dict[str, float]:
    """Each column's weight, one on average (Genovese, Roeder, Wasserman 2006: false-discovery control with weights)."""
    if not importance or not names:
        return dict.fromkeys(names, 1.0)
    raw = np.array([max(importance.get(name, 0.0), 0.0) for name in names])
    raw = np.maximum(raw / raw.mean(), LEAST_WEIGHT) if raw.sum() > 0 else np.ones(len(names))
    return dict(zip(names, (raw / raw.mean()).tolist(), strict=True))


def _shift(name: str, size: float, newest: float, usual: Scatter, limit: float, seen: Windows, monitor: Monitor) -> Finding:
    source = "the floor" if limit <= monitor.drift else f"set by {usual.of} past windows"
    if usual.of < FEWEST_TRIALS:
        source = "the past is too short to set it"
    wanted = f"a lasting effect size below {limit:.3g} ({source})"
    if too_few := few_rows(seen, monitor):
        return Finding(name, "unsure", None, wanted, advice=too_few)
    if not np.isfinite(size):
        return Finding(name, "unsure", None, wanted, advice="no values to compare in the last windows or their reference")
    rule = f"observed < {float(limit)!r}"
    words = f"{newest:.3g} in the newest window alone" if newest >= limit > size else ""
    return judged(name, float(size), wanted, passes_if=rule, fails_unless=rule, advice=words, **usual.interval(size))


def few_rows(seen: Windows, monitor: Monitor) -> str:
    """Why the window cannot be compared, or nothing."""
    current, reference = int(seen.current.sum()), int(seen.reference.sum())
    if min(current, reference) >= monitor.min_rows:
        units = f"wanted {FEWEST_UNITS} independent units in the window, got {seen.units:.0f}"
        return units if seen.units < FEWEST_UNITS else ""
    return f"wanted {monitor.min_rows} rows on both sides, got {current} in the window and {reference} in its reference"


def predictions(scores: Array, seen: Windows, monitor: Monitor) -> list[Finding]:
    """Drift of what the model says: of its score, or of each quantile."""
    table = np.asarray(scores, float).reshape(len(scores), -1)
    names = ["score"] if table.shape[1] == 1 else [f"quantile {i}" for i in range(table.shape[1])]
    return shifts("predictions", dict(zip(names, table.T, strict=True)), {}, seen, monitor)
