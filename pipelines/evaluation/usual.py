"""How much a column moves by itself: what past windows show of it, and the limits that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.statistic import Array

SIGMAS = 5.0
FEWEST_PAST = 4
"""With fewer past windows of the same weekdays a check of quality keeps to its own limit."""
FEWEST_TRIALS = 8
"""With fewer past windows nothing says how much a column moves by itself, and only `UNCALIBRATED` is a shift."""
DEAF, CLIPPED = 0.2, 0.2873
"""The share of past windows that may have drifted themselves, and what the mean of a normal value's distance above its median is when
the furthest such share is clipped: phi(0) - phi(z) + 0.2 z with z = 0.8416."""
UNCALIBRATED = 0.25
"""The effect size that counts while the past is too short to say: a quarter of a standard deviation."""


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


def upper_spread(values: Array) -> float:
    """The standard deviation from the mean distance above the median, the furthest counted as far as the rest reaches.

    Effect sizes are never negative and lean to the right: what lies below the median says nothing of how far they reach above it.
    Deaf to a share `DEAF` of the values that did drift.
    """
    above = np.maximum(values - np.median(values), 0.0)
    return float(np.minimum(above, np.quantile(above, 1 - DEAF)).mean()) / CLIPPED


@dataclass(frozen=True)
class Scatter:
    """How much a column moves by itself: the middle and the spread of what `of` past windows showed; none where too few did. Of those
    so many are `alone`, as neighbours share rows."""

    middle: float
    spread: float
    of: int
    alone: float = 0.0

    @staticmethod
    def of_past(past: Array, sharing: int = 1) -> Scatter:
        """A spread that rests on few windows is widened. So many windows in a row are `sharing` rows."""
        known = past[np.isfinite(past)]
        if len(known) < FEWEST_TRIALS:
            return Scatter(0.0, 0.0, len(known))
        middle, spread = float(np.median(known)), upper_spread(known)
        return Scatter(middle, spread * float(np.sqrt(1 + FEWEST_TRIALS / len(known))), len(known), len(known) / sharing)

    @property
    def doubt(self) -> float:
        """The variance of the logarithm of a spread: 1 / 2n of n normal values, of which half lie above the median."""
        return 1 / self.alone if self.alone else float("inf")

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


def pooled(usual: Mapping[str, Scatter], kinds: Mapping[str, str]) -> dict[str, Scatter]:
    """Columns of one kind lend each other what they know of spreads, for one from few windows is itself uncertain.

    No column is believed to be quieter than half of them are. One that looks more restless is drawn towards that middle by the
    share of such differences that doubt explains: columns that are alike share one spread, others keep their own (shrinkage as
    of Smyth 2004, on the side that raises limits).
    """
    known = {name: found for name, found in usual.items() if found.spread > 0}
    middle = {kind: _drawn([found for name, found in known.items() if kinds[name] == kind]) for kind in set(kinds.values())}
    return {name: replace(found, spread=middle[kinds[name]](found.spread)) for name, found in usual.items()}


def _drawn(known: Sequence[Scatter]) -> Callable[[float], float]:
    """What becomes of a spread beside these."""
    if not known:
        return lambda spread: spread
    middle = float(np.median([found.spread for found in known]))
    above = np.log([max(found.spread / middle, 1.0) for found in known])
    apart, doubt = 2 * float(np.mean(above**2)), float(np.mean([found.doubt for found in known]))
    own = max(1 - doubt / apart, 0.0) if apart > 0 else 0.0
    return lambda spread: middle * max(spread / middle, 1.0) ** own
