"""How what a window accumulated becomes its value, over arrays: core's Aggregation.ended for many windows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from pipelines.core.aggregation import SECOND, Aggregation
from pipelines.features.tiles import FOREVER

Array: TypeAlias = "np.ndarray[Any, Any]"


def ended(how: Aggregation, got: Sequence[Array], end: Array) -> Array:
    """The values, float64 with NaN as null (of first and last, what they are), out of the parts in their order, `end` the near
    edge of each. Sums of integers may be of Python's; an extreme that is none is infinite or NaN, a newest of nothing -FOREVER."""
    if how.how == "ratio":
        mine = how.parts
        above, below = (ended(half, [got[mine.index(part)] for part in half.parts], end) for half in how.halves)
        return divided(above, below)
    if how.how in ("first", "last"):
        return got[0]
    if how.how == "since":
        return np.where(got[0] <= -FOREVER, np.nan, (end - got[0]).astype(np.float64) / SECOND)
    if how.how == "std":
        s, c, q = (part.astype(object) for part in got)
        return divided(np.sqrt((c * q - s * s).astype(np.float64)), numbers(got[1]))
    if how.how == "mean":
        return divided(numbers(got[0]), numbers(got[1]))
    if how.how == "rate":
        return divided(numbers(got[1]), numbers(got[0]))
    found = numbers(got[0])
    return np.where(np.isinf(found), np.nan, found) if how.how in ("min", "max") else found


def numbers(values: Array) -> Array:
    return values.astype(np.float64)


def divided(above: Array, below: Array) -> Array:
    """NaN where either is, and over 0."""
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0)
