"""Has a number's unit changed: in all rows, in those of one feed, or in so few that only records give it away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.evaluation.effects import wasserstein
from pipelines.evaluation.statistic import Array
from pipelines.evaluation.usual import SIGMAS
from pipelines.evaluation.windows import Windows

FACTORS = (10.0, 100.0, 1000.0)
ALIKE = 0.2
"""How near (in standard deviations of the logarithm) values must come to the past's once a change of unit is undone."""
SHARE = 0.02
"""From so many rows on, values that left the usual range are held against it; fewer must be records."""
FAR = 1.9
"""A shop's own dear goods reach ten times the usual: records tell of factors from about a hundred on (in powers of ten)."""
RECORD = 1e-6
"""So unlikely a number of records is no chance. That k of m new units are all above n earlier ones has the chance (m / (m + n))^k,
whatever their values are; eight weeks before a day make four records enough."""
UNLIKE = 1e-3
"""Records whose values, once moved back, are so unlikely among the past's are goods of a new kind, not another unit."""
NO_CHANGE = (0.0, "")


def unit_change(column: Array, kind: str, seen: Windows, most: float = np.inf) -> tuple[float, str]:
    """The share of values outside what the past has seen, and inside it again once divided by a power of ten; in words.

    Cents for euros in all rows, in those of one feed alone, or in a handful. Rows above `most` are refused: none is here.
    """
    if kind != "number" or column.dtype.kind != "f":
        return NO_CHANGE
    (past, _), (current, now) = _logarithm(column, seen.reference), _logarithm(column, seen.current)
    if len(past) < 100 or len(current) < 30 or np.ptp(past) == 0:
        return NO_CHANGE
    usual, shifts = Usual.of(past), [(sign * float(np.log10(f)), sign, f) for f in FACTORS for sign in (1, -1)]
    units = float(seen.weight[now].sum())
    shares = [_explained(usual, current, units, shift) or _records(column, seen, shift, most) for shift, _, _ in shifts]
    share, (_, sign, factor) = max(zip(shares, shifts, strict=True), key=lambda one: one[0])
    words = f"{share:.1%} of the values look {'multiplied' if sign > 0 else 'divided'} by {factor:g}"
    return (share, words) if share > 0 else NO_CHANGE


def _logarithm(column: Array, rows: Array) -> tuple[Array, Array]:
    """The sizes of these rows' numbers, in powers of ten, and where they are; zeros have none."""
    kept = np.flatnonzero(rows & np.isfinite(column) & (column != 0))
    return np.log10(np.abs(column[kept])), kept


@dataclass(frozen=True)
class Usual:
    """The past's values (logarithms), their median, and the range that all but one in a hundred lie in."""

    values: Array
    middle: float
    within: tuple[float, float]

    @staticmethod
    def of(values: Array) -> Usual:
        middle, low, high = np.quantile(values, [0.5, 0.005, 0.995])
        return Usual(values, float(middle), (float(low), float(high)))


def _explained(past: Usual, after: Array, units: float, shift: float) -> float:
    """The share of values that a change of unit explains: all, or those of one feed; 0 where it explains them no better.

    What chance explains is reckoned by the `units` that the values are of: ten values of one customer leave the range together.
    """
    before = past.values
    near = abs(float(np.median(after)) - past.middle - shift) < abs(shift) / 2
    if near and wasserstein(before, after - shift) < min(ALIKE, 0.5 * wasserstein(before, after)):
        return 1.0
    sides = (_back_inside(values, past.within, past.within, shift) for values in (after, before))
    (outside, explained), (usual, by_chance) = sides
    share, expected = float(explained.mean()), float(by_chance.mean())
    at_most = max(expected + SIGMAS * float(np.sqrt(expected / units)) + 8 / units, SHARE)
    if share < at_most or share < 0.8 * (outside.mean() - usual.mean()):
        return 0.0
    # A mere growth also leaves the old range: the rows that moved must look like the past again once moved back.
    still_away = wasserstein(before, np.where(explained, after - shift, after))
    return share if still_away < min(ALIKE, 0.5 * wasserstein(before, after)) else 0.0


def _records(column: Array, seen: Windows, shift: float, most: float) -> float:
    """The share of the window's values that are records by chance hardly ever, and nothing new once moved back.

    Rows of one unit count as one together: a customer who buys for a company sets one record, not ten.
    """
    if abs(shift) < FAR:
        return 0.0
    (before, earlier), (after, now) = (_logarithm(column, rows) for rows in (seen.earlier, seen.current))
    ends = float(before.min()), float(before.max())
    outside, back = _back_inside(after, ends, ends, shift)
    new, old = float(seen.weight[now].sum()), float(seen.weight[earlier].sum())
    chance = (new / (new + old)) ** float(seen.weight[now[back]].sum())
    if chance > RECORD or back.sum() < 0.8 * outside.sum():
        return 0.0
    from scipy.stats import ks_2samp

    moved = before + shift
    could = (moved > ends[1]) & (moved <= np.log10(most)) if shift > 0 else moved < ends[0]
    return float(back.mean()) if ks_2samp(after[back] - shift, before[could]).pvalue > UNLIKE else 0.0


def _back_inside(values: Array, within: tuple[float, float], edges: tuple[float, float], shift: float) -> tuple[Array, Array]:
    """Which values lie beyond the edge, and which of them within the past's range once moved back."""
    outside = (values > edges[1]) if shift > 0 else (values < edges[0])
    return outside, outside & (values - shift >= within[0]) & (values - shift <= within[1])
