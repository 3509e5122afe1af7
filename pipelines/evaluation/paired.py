"""How sure a difference is: a bootstrap over independent units, the same draws for both models, with BCa bounds, which the weeks
or days that all units live through together make wider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.statistic import Array, Labelled, Statistic

MIN_UNITS = 20
"""With fewer independent units no interval is honest."""
MAX_UNDEFINED = 0.01
"""The share of resamples in which a metric may be undefined (say, without a positive) before its interval is."""
MIN_BLOCKS = 2
"""With a single block of time nothing is known about another one."""
JACKKNIFE_GROUPS = 200
BATCH = 400_000
"""Counts held at once: the working set of a batch stays within the processor's cache."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds; all NaN where it cannot be computed. `sure` is the two-sided level."""

    estimate: float
    low: float
    high: float
    sure: float

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.estimate, self.low, self.high]).all())


@dataclass(frozen=True)
class Time:
    """A statistic's values with one block of time left out each, and with one group of cells left out each; a cell is what one
    unit did in one block."""

    blocks: Array
    cells: Array

    def __sub__(self, other: Time) -> Time:
        return Time(self.blocks - other.blocks, self.cells - other.cells)

    def map(self, function: Callable[[Array], Array]) -> Time:
        return Time(function(self.blocks), function(self.cells))

    @property
    def known(self) -> bool:
        """Whether there is more than one block, and the statistic is defined without each of them."""
        return len(self.blocks) >= MIN_BLOCKS and bool(np.isfinite(self.blocks).all())

    def adds(self, units: float) -> tuple[float, float]:
        """What time adds to the variance over units, which is `units`; and the degrees of freedom of the whole.

        The whole is the variance over units, plus that over blocks, less that over cells, which both of them hold (Cameron,
        Gelbach, Miller 2011, "Robust inference with multiway clustering"), and no less than that over units. Of few blocks the
        second is uncertain; the degrees of freedom follow from it (Satterthwaite 1946).
        """
        blocks = _jackknife(self.blocks)
        more = max(blocks - _jackknife(self.cells), 0.0)
        return more, (len(self.blocks) - 1) * max((units + more) / blocks, 1.0) ** 2 if blocks > 0 else np.inf


@dataclass(frozen=True)
class Draws:
    """A statistic's value, its values over the resamples, and over the groups left out; `units` independent units. `time` where
    the units live through the same time."""

    value: float
    resampled: Array
    left_out: Array
    units: int
    time: Time | None = None

    def __sub__(self, other: Draws) -> Draws:
        """The paired difference: both were drawn with the same counts."""
        return Draws(
            self.value - other.value,
            self.resampled - other.resampled,
            self.left_out - other.left_out,
            min(self.units, other.units),
            self.time - other.time if self.time and other.time else None,
        )

    @property
    def spread(self) -> float:
        """The standard deviation that chance gives the statistic; 0 where it is never defined."""
        draws = self.resampled[np.isfinite(self.resampled)]
        return float(draws.std()) if len(draws) else 0.0

    def map(self, function: Callable[[Array], Array]) -> Draws:
        """The draws of a function of the statistic."""
        return Draws(
            float(function(np.array([self.value]))[0]),
            function(self.resampled),
            function(self.left_out),
            self.units,
            self.time and self.time.map(function),
        )

    def interval(self, alpha: float) -> Interval:
        """The bias-corrected and accelerated interval that errs by `alpha` on each side (Efron 1987), as much wider as time asks for."""
        draws = self.resampled[np.isfinite(self.resampled)]
        if self._unknown(draws) or not np.isfinite(self.value):
            return Interval(self.value, np.nan, np.nan, 1 - 2 * alpha)
        low, high = np.quantile(draws, self._levels(draws, alpha))
        if self.time:
            low, high = self._widened(self.time, low, high, alpha)
        return Interval(self.value, float(low), float(high), 1 - 2 * alpha)

    def _unknown(self, draws: Array) -> bool:
        """Whether no bounds can be had: too few units or blocks of time, or too many draws in which it is not defined."""
        undefined = len(draws) < (1 - MAX_UNDEFINED) * len(self.resampled)
        return self.units < MIN_UNITS or undefined or (self.time is not None and not self.time.known)

    def _widened(self, time: Time, low: float, high: float, alpha: float) -> tuple[float, float]:
        """Bounds as far away as the units' bounds and what time adds are together, by Student's t for few blocks."""
        from scipy.special import ndtri, stdtrit

        more, freedom = time.adds(_jackknife(self.left_out))
        usual = -ndtri(alpha)
        few = -stdtrit(freedom, alpha) / usual if np.isfinite(freedom) else 1.0
        below, above = (few * np.hypot(max(away, 0.0), usual * np.sqrt(more)) for away in (self.value - low, high - self.value))
        return self.value - below, self.value + above

    def _levels(self, draws: Array, alpha: float) -> Array:
        """Where to read the draws: alpha and 1 - alpha, moved by the bias and the acceleration."""
        from scipy.special import ndtr, ndtri

        below = (np.mean(draws < self.value) + np.mean(draws <= self.value)) / 2
        bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
        z = bias + ndtri(np.array([alpha, 1 - alpha]))
        return ndtr(bias + z / (1 - self._acceleration() * z))

    def _acceleration(self) -> float:
        left_out = self.left_out[np.isfinite(self.left_out)]
        away = left_out.mean() - left_out if len(left_out) else left_out
        spread = (away**2).sum() ** 1.5
        return float((away**3).sum() / (6 * spread)) if spread > 0 else 0.0

    def chance_not_above(self, bar: float) -> float:
        """The one-sided p-value of "not above the bar", of units alone: the share of resamples at or below it; 1 where nothing is known."""
        draws = self.resampled[np.isfinite(self.resampled)]
        if self._unknown(draws):
            return 1.0
        return float((1 + (draws <= bar).sum()) / (1 + len(draws)))


def lived(
    drawn: Mapping[str, Draws], made: Callable[[Labelled], Mapping[str, Statistic]], rows: Labelled, *, seed: int
) -> dict[str, Draws]:
    """The draws with what time does to them, of each statistic that `made` makes of the rows: its values without each block of
    time (`Labelled.within`), and without each of up to 200 groups of cells. Without blocks, the draws as they are."""
    if rows.block is None or not len(rows.labels):
        return dict(drawn)
    random = np.random.default_rng(seed)
    blocks, cells = (_evaluate(made(by), _leave_out(by.units, random)) for by in (rows.by_block(), rows.by_cell()))
    return {**drawn, **{name: replace(drawn[name], time=Time(blocks[name], cells[name])) for name in blocks}}


def _jackknife(left_out: Array) -> float:
    """The variance that values with one group left out each foretell; 0 where there are none."""
    values = left_out[np.isfinite(left_out)]
    return float((len(values) - 1) * values.var()) if len(values) else 0.0


def resample(statistics: Mapping[str, Statistic], units: int, *, resamples: int, seed: int) -> dict[str, Draws]:
    """Every statistic over the same resamples of units, drawn with replacement; the same seed gives the same draws."""
    if not units:
        return {name: Draws(np.nan, np.full(resamples, np.nan), np.empty(0), 0) for name in statistics}
    random = np.random.default_rng(seed)
    once = _evaluate(statistics, iter([np.ones((1, units), np.int32)]))
    drawn = _evaluate(statistics, _bootstrap(units, resamples, random))
    left = _evaluate(statistics, _leave_out(units, random))
    return {name: Draws(float(once[name][0]), drawn[name], left[name], units) for name in statistics}


def spend(confidence: float, looks: int) -> float:
    """The error allowed on each side at this look at a holdout, after `looks` earlier ones.

    Each look pays half of what the last one paid, so that all looks together err by less than 1 - confidence; the first
    look's pair of bounds is the usual two-sided interval at `confidence`.
    """
    return float((1 - confidence) / 2 ** (looks + 1))


def enough(resamples: int, alpha: float) -> int:
    """At least `resamples`, and so many that ten lie beyond the bound."""
    return max(resamples, int(np.ceil(10 / alpha)))


def _evaluate(statistics: Mapping[str, Statistic], batches: Iterator[Array]) -> dict[str, Array]:
    rows = [{name: statistic(counts) for name, statistic in statistics.items()} for counts in batches]
    return {name: np.concatenate([row[name] for row in rows]) if rows else np.empty(0) for name in statistics}


def _bootstrap(units: int, resamples: int, random: np.random.Generator) -> Iterator[Array]:
    step = max(1, BATCH // max(units, 1))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield np.stack(
            [np.bincount(random.integers(0, units, units, dtype=np.int32), minlength=units) for _ in range(size)]
        ).astype(np.int32)


def _leave_out(units: int, random: np.random.Generator) -> Iterator[Array]:
    """Counts that leave one of at most 200 groups of units out."""
    groups = min(units, JACKKNIFE_GROUPS)
    group = random.permutation(units) % max(groups, 1)
    step = max(1, BATCH // max(units, 1))
    for start in range(0, groups, step):
        left = np.arange(start, min(start + step, groups))
        yield (group[None, :] != left[:, None]).astype(np.int32)
