"""Evidently's default drift rule, reproduced so that it takes milliseconds; tests/benchmarks/test_lifecycle.py compares it with
Evidently itself, on forty windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SHARE = 0.5
"""A data set has drifted when at least this share of its columns has (DataDriftPreset's drift_share)."""
DISTANCE, CHANCE = 0.1, 0.05
"""A column has drifted from this distance on or, with a small reference, up to this p-value."""
SMALL = 1000
"""A reference of so many values, or fewer, is compared by a test instead of a distance."""
FEW = 5
"""Numbers with so many different values, or fewer, are treated as categories."""


def drifted_share(reference: Mapping[str, Any], current: Mapping[str, Any], kinds: Mapping[str, str]) -> float:
    """The share of columns that have drifted by Evidently 0.7's defaults (`kinds` says number or category)."""
    return float(np.mean([drifted(reference[name], current[name], kinds[name]) for name in kinds]))


def drifted(reference: Any, current: Any, kind: str) -> bool:
    """Whether a column has drifted; nulls and infinities are left out, as Evidently leaves them.

    Raises ValueError for an empty column, as Evidently does.
    """
    before, now = _values(reference, kind), _values(current, kind)
    if not len(before) or not len(now):
        raise ValueError("an empty column was provided for drift calculation")
    names, code = np.unique(np.concatenate([before, now]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(names)) for part in (code[: len(before)], code[len(before) :])]
    if kind == "number" and len(names) > FEW:
        return _distribution(names, *counts) if len(before) > SMALL else _ks(before, now)
    if len(before) > SMALL:
        return _jensen_shannon(*counts) >= DISTANCE
    return bool((_chi_square(*counts) if len(names) > 2 else _z(*counts)) < CHANCE)


def _values(column: Any, kind: str) -> np.ndarray:
    if kind == "number":
        values = np.asarray(column, float)
        return values[np.isfinite(values)]
    return np.array([str(value) for value in column if value is not None and value == value])  # noqa: PLR0124  (NaN)


def _distribution(values: np.ndarray, before: np.ndarray, now: np.ndarray) -> bool:
    """Wasserstein's distance over the reference's standard deviation: the area between the cumulative shares."""
    share = before / before.sum()
    spread = np.sqrt(max(share @ (values - share @ values) ** 2, 0.0))
    apart = np.abs(np.cumsum(share) - np.cumsum(now) / now.sum())
    return bool(apart[:-1] @ np.diff(values) / max(spread, 0.001) >= DISTANCE)


def _jensen_shannon(before: np.ndarray, now: np.ndarray) -> float:
    """With natural logarithms, which is scipy's default and Evidently's."""
    from scipy.spatial import distance

    return float(distance.jensenshannon(before / before.sum(), now / now.sum()))


def _ks(before: np.ndarray, now: np.ndarray) -> bool:
    from scipy.stats import ks_2samp

    return bool(ks_2samp(before, now)[1] <= CHANCE)


def _chi_square(before: np.ndarray, now: np.ndarray) -> float:
    from scipy.stats import chisquare

    return float(chisquare(now, before / before.sum() * now.sum())[1])


def _z(before: np.ndarray, now: np.ndarray) -> float:
    """Two proportions, pooled; of two values the second (Evidently's choice does not matter: the test is two-sided)."""
    from scipy.stats import norm

    n, m = before.sum(), now.sum()
    p, q = before[-1] / n, now[-1] / m
    pooled = (p * n + q * m) / (n + m)
    z = (p - q) / np.sqrt(max(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-300))
    return float(2 * min(norm.cdf(z), 1 - norm.cdf(z)))
