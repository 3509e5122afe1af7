"""How much a column moves by itself: what past windows show of it, and the limits that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluation.statistic import Array

SIGMAS = 5.0
FEWEST_PAST = 4
"""With fewer past windows of the same weekdays a check of quality keeps to its own limit."""
FEWEST_TRIALS = 8
"""With fewer past windows nothing says how much a column moves by itself, and only `UNCALIBRATED` is a shift."""
DEAF, CLIPPED = 0.2, 0.7032
"""The share of past windows that may have drifted themselves, and what the mean of a normal value's distance is when its furthest
such share is clipped: 2 (phi(0) - phi(z)) + 0.2 z with z = 1.2816."""
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


def sure_spread(values: Array) -> float:
    """The standard deviation from the mean distance to the median, the furthest fifth counted as far as the rest reaches: less
    uncertain than the median distance where there are many values, and deaf to a fifth of them that did drift."""
    away = np.abs(values - np.median(values))
    return float(np.minimum(away, np.quantile(away, 1 - DEAF)).mean()) / CLIPPED


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
        middle, spread = float(np.median(known)), sure_spread(known)
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


def pooled(usual: Mapping[str, Scatter]) -> dict[str, Scatter]:
    """No column is believed to be quieter than half of them are: a spread from few windows is itself uncertain."""
    known = [found.spread for found in usual.values() if found.of >= FEWEST_TRIALS]
    least = float(np.median(known)) if known else 0.0
    return {name: replace(found, spread=max(found.spread, least)) for name, found in usual.items()}
