"""How far a column has moved, in standard deviations: of a number its values, of a category its shares."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.statistic import Array, nulls
from pipelines.evaluation.windows import Windows

MOST_CATEGORIES = 20
RARE = 0.01
"""Categories beyond the reference's 20 largest, and those of fewer rows than this share, are one: each would add its own noise."""
BINS = 512
"""A number that takes more values than this is counted in so many bins of equal size; a bin stands where its values' mean is."""


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
    """Codes from 0, rising with the value: one a value, or one a bin where there are many. Sorted once; the rest is counting."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    first = np.r_[True, rising[1:] != rising[:-1]]
    if (distinct := int(first.sum())) > BINS:
        # A bin ends with the value that holds the quantile; the next one begins a new bin.
        last = np.r_[np.flatnonzero(first)[1:], len(values)]
        ends = np.unique(np.searchsorted(last, np.linspace(0, len(values), BINS + 1)[1:-1]))
        begins = np.zeros(distinct, bool)
        begins[0], begins[ends[ends + 1 < distinct] + 1] = True, True
        first[first] = begins
    code = np.empty(len(values), np.int64)
    code[order] = np.cumsum(first) - 1
    return code, int(first.sum())


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
