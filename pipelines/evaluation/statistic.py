"""A metric as a function of how often each independent unit counts, so that resampling units is only arithmetic on counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipelines.core.clock import DAY, micros
from pipelines.core.errors import ShelflifeError

Array = np.ndarray
TINY = float(np.finfo(float).tiny)


class Statistic(Protocol):
    """What a metric is worth when each unit counts so many times."""

    def __call__(self, counts: Array) -> Array:
        """Values, shape (batch,), of `counts`, whole numbers of shape (batch, units); NaN where the metric is not defined."""


@dataclass(frozen=True)
class Labelled:
    """Rows whose label is known. `unit` and `group` are codes from 0 (a group is a card, or the ask of a ranking).

    `labels` float64 (rows,); `units` how many different units there are in the whole comparison, which a part of the rows
    keeps; `day` days since 1970; `block` codes of the time that rows live through together, of which there are `blocks` (None
    where they do not); `levels` the levels that quantile scores stand for; `weight` how many rows each stands for (the inverse of
    the chance that its label could be seen), None where all could.
    """

    labels: Array
    unit: Array
    units: int
    group: Array
    day: Array
    levels: tuple[float, ...] = ()
    ranking: bool = False
    weight: Array | None = None
    block: Array | None = None
    blocks: int = 1

    def part(self, mask: Array) -> Labelled:
        """The rows of the mask, with the same units."""
        weight = None if self.weight is None else self.weight[mask]
        block = None if self.block is None else self.block[mask]
        cut = {name: getattr(self, name)[mask] for name in ("labels", "unit", "group", "day")}
        return replace(self, weight=weight, block=block, **cut)

    def within(self, together: timedelta, ts: Any) -> Labelled:
        """The same rows in blocks of so much time, counted back from the last; `ts` is microseconds UTC, None where nobody knows
        (then all rows are one block). No time at all: rows of different units share nothing."""
        if not together:
            return self
        if ts is None or not len(self.labels):
            return replace(self, block=np.zeros(len(self.labels), np.int32), blocks=1)
        moment = np.asarray(ts, np.int64)
        block, blocks = codes((moment.max() - moment) // micros(together))
        return replace(self, block=block, blocks=blocks)

    @property
    def when(self) -> Array:
        """Each row's block of time; the same one where rows come in none."""
        return np.zeros(len(self.labels), np.int32) if self.block is None else self.block

    def by_block(self) -> Labelled:
        """The same rows, where a block of time is what counts so many times."""
        return replace(self, unit=self.when, units=self.blocks)

    def by_cell(self) -> Labelled:
        """The same rows, where what one unit did in one block of time is what counts so many times."""
        unit, units = codes(self.unit.astype(np.int64) * self.blocks + self.when)
        return replace(self, unit=unit, units=units)

    @property
    def asks(self) -> int:
        """How many questions were answered: a ranking has many rows to an ask."""
        return len(np.unique(self.group)) if self.ranking else len(self.labels)

    def lacking(self, asks: int, positives: int) -> str:
        """What these labels lack to be judged on, or nothing: so many asks, and so many positives among their labels."""
        got = int((self.labels > 0).sum())
        if self.asks >= asks and got >= positives:
            return ""
        return f"wanted {asks} mature labels with {positives} positives, got {self.asks} with {got}"

    @property
    def once(self) -> Array:
        """Counts, shape (1, units), in which every unit counts once."""
        return np.ones((1, self.units), np.int32)


def labelled(
    labels: Any,
    unit: Any,
    *,
    ask: Any = None,
    card: Any = None,
    ts: Any = None,
    weight: Any = None,
    levels: tuple[float, ...] = (),
) -> Labelled:
    """Labelled rows from plain columns. A null unit stands for itself alone: guests are not one customer.

    `ask` groups the rows of a ranking; `card` is what card precision counts (by default the unit); `ts` is microseconds UTC;
    `weight` is how many rows each stands for. Raises ShelflifeError when the lengths differ or a weight is no positive number.
    """
    values = np.asarray(labels, float)
    unit_codes, units = codes(unit)
    groups = card if ask is None else ask
    group = unit_codes if groups is None else codes(groups)[0]
    day = np.zeros(len(values), np.int64) if ts is None else np.asarray(ts, np.int64) // DAY
    weights = None if weight is None else np.asarray(weight, float)
    lengths = {len(column) for column in (values, unit_codes, group, day, weights) if column is not None}
    if len(lengths) != 1:
        raise ShelflifeError(
            f"wanted as many units, groups, times and weights as the {len(values)} labels; give one of each per row"
        )
    if weights is not None and not ((weights > 0) & np.isfinite(weights)).all():
        raise ShelflifeError("wanted weights above 0, got others; leave out rows whose label could never be seen")
    return Labelled(values, unit_codes, units, group, day, levels, ask is not None, weights)


def codes(values: Any) -> tuple[Array, int]:
    """Codes from 0, in order of value, and how many there are; each null gets a code of its own."""
    array = np.asarray(values)
    null = nulls(array)
    kept = array[~null]
    distinct, inverse = np.unique(kept.astype(str) if array.dtype == object else kept, return_inverse=True)
    result = np.empty(len(array), np.int32)
    result[~null] = inverse
    result[null] = len(distinct) + np.arange(int(null.sum()))
    return result, len(distinct) + int(null.sum())


def nulls(array: Array) -> Array:
    """Where a column has no value: None or NaN."""
    if array.dtype == object:
        return np.asarray((array == None) | (array != array), bool)  # noqa: E711, PLR0124  (element by element; NaN)
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)


def sound(rows: Labelled, scores: Array) -> bool:
    """Whether there are rows, all labels and scores are numbers, and, but for a ranking's items that are not listed, finite ones."""
    known = np.isfinite(scores) | (np.isneginf(scores) if rows.ranking else False)
    return bool(len(scores) and known.all() and np.isfinite(rows.labels).all())


class Undefined:
    """A metric that cannot be computed at all: no rows, or a score that is no number."""

    def __call__(self, counts: Array) -> Array:
        return np.full(len(counts), np.nan)


class Sums:
    """A metric that is a function of weighted sums over rows.

    `rows`, shape (rows, k), is summed per unit once; `finish` turns the sums, shape (batch, k), into values, shape (batch,).
    """

    def __init__(self, rows: Array, labelled: Labelled, finish: Callable[[Array], Array]) -> None:
        weighted = rows if labelled.weight is None else rows * labelled.weight[:, None]
        self.totals = np.stack([np.bincount(labelled.unit, column, labelled.units) for column in weighted.T], axis=1)
        self.finish = finish

    def __call__(self, counts: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.finish(counts.astype(np.float64, copy=False) @ self.totals)


def mean_of(rows: Array, labelled: Labelled) -> Sums:
    """The weighted mean of one number a row."""
    return Sums(np.stack([rows, np.ones(len(rows))], axis=1), labelled, lambda s: s[:, 0] / s[:, 1])


class Steps:
    """Rows sorted by falling score, and the steps at which positives join; equal scores are one step.

    Sorting happens once; each resample only adds up weights.
    """

    def __init__(self, labelled: Labelled, scores: Array) -> None:
        order = np.argsort(-scores, kind="stable")
        positive, ranked = labelled.labels[order] > 0, scores[order]
        first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        last = np.r_[first[1:], len(order)] - 1
        step = np.repeat(np.arange(len(first)), last - first + 1)
        steps, self.positive_starts = np.unique(step[positive], return_index=True)
        self.ends, self.positive, self.tied = last[steps], positive, ~positive & np.isin(step, steps)
        self.unit, self.weight = labelled.unit[order], None if labelled.weight is None else labelled.weight[order]
        self.tied_starts = np.searchsorted(steps, step[self.tied])
        self._seen: tuple[Array, Weights] | None = None

    def weigh(self, counts: Array) -> Weights:
        """The weights at each step. The last answer is kept: the metrics of one model share it."""
        if self._seen is None or self._seen[0] is not counts:
            self._seen = counts, self._weigh(counts)
        return self._seen[1]

    def _weigh(self, counts: Array) -> Weights:
        everything = _summed(self._of(counts, slice(None)))
        joined = self._of(counts, self.positive)
        if len(self.positive_starts) < joined.shape[1]:
            joined = np.add.reduceat(joined, self.positive_starts, axis=1)
        tied = np.zeros((len(counts), 1))
        if len(self.tied_starts):
            weights = self._of(counts, self.tied)
            tied = np.stack([np.bincount(self.tied_starts, row, len(self.ends)) for row in weights])
        return Weights(joined, _summed(joined), np.take(everything, self.ends, axis=1), tied, everything[:, -1])

    def _of(self, counts: Array, chosen: Any) -> Array:
        """What the chosen rows weigh in each resample."""
        often = np.take(counts, self.unit[chosen], axis=1)
        return often if self.weight is None else often * self.weight[chosen]


def _summed(weights: Array) -> Array:
    """Running sums; whole numbers stay small whole numbers, which is twice as fast."""
    return np.cumsum(weights, axis=1, dtype=np.int32 if weights.dtype.kind == "i" else np.float64)


class Weights(NamedTuple):
    """Per resample and step, best scores first: positives that join, positives and all rows so far, negatives of the very
    score; and the weight of all rows.
    """

    joined: Array
    positives: Array
    everything: Array
    tied: Array
    total: Array


class AveragePrecision:
    """Precision at each step, weighted by the positives that join there (as scikit-learn sums it)."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def __call__(self, counts: Array) -> Array:
        at = self.steps.weigh(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = at.positives / np.maximum(at.everything, TINY)
            return np.einsum("ij,ij->i", at.joined, precision) / at.joined.sum(axis=1)


class RocAuc:
    """The chance that a positive scores above a negative, equal scores counting half."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def __call__(self, counts: Array) -> Array:
        at = self.steps.weigh(counts)
        positives = at.joined.sum(axis=1)
        not_below = (at.everything - at.positives) - at.tied / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - np.einsum("ij,ij->i", at.joined, not_below) / (positives * (at.total - positives).astype(float))


class CardPrecision:
    """Of the k most suspicious cards of a day, the share that is compromised; the mean over days.

    A card's score and truth are the largest of its day; a card that was caught is not looked at again. As in the Fraud
    Detection Handbook (Le Borgne et al. 2022), chapter 4. Cards are looked at whole, so rows must all weigh the same.
    """

    def __init__(self, labelled: Labelled, scores: Array, k: int) -> None:
        self.k, self.cards = k, int(labelled.group.max()) + 1
        self.days = [self._day(labelled.part(mask), scores[mask]) for mask in by_value(labelled.day)]

    @staticmethod
    def _day(day: Labelled, scores: Array) -> tuple[Array, Array, Array]:
        """Card, truth and unit of each card of the day, most suspicious first."""
        cards, first, inverse = np.unique(day.group, return_index=True, return_inverse=True)
        score, truth = np.full(len(cards), -np.inf), np.zeros(len(cards))
        np.maximum.at(score, inverse, scores)
        np.maximum.at(truth, inverse, day.labels)
        order = np.argsort(-score, kind="stable")
        return cards[order], truth[order] > 0, day.unit[first][order]

    def __call__(self, counts: Array) -> Array:
        caught = np.zeros((len(counts), self.cards), bool)
        found = np.zeros(len(counts))
        for cards, truth, unit in self.days:
            weight = np.where(caught[:, cards], 0, np.take(counts, unit, axis=1))
            looked_at = np.clip(self.k - (np.cumsum(weight, axis=1) - weight), 0, weight)
            found += (looked_at * truth).sum(axis=1) / self.k
            caught[:, cards] |= (looked_at > 0) & truth
        return found / len(self.days)


def by_value(column: Array) -> list[Array]:
    """Row numbers of each value of the column, in order of value."""
    order = np.argsort(column, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(column[order])) + 1)
