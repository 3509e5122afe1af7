"""Evidently's default drift rule on the same quiet days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.watch import rates, stream
from pipelines.core.clock import DAY

SHARE, DISTANCE = 0.5, 0.1
"""DataDriftPreset's defaults for a reference of more than 1,000 rows: half of the columns, each by a distance of 0.1."""


def drifted(reference: Any, current: Any, kind: str) -> bool:
    """Whether Evidently 0.7 says that a column has drifted, with a reference of more than 1,000 values: Wasserstein's distance over
    the reference's standard deviation for a number, Jensen-Shannon's for a category, either at least 0.1. Nulls are left out."""
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import wasserstein_distance

    if kind == "number":
        before, now = (np.asarray(side, float)[np.isfinite(np.asarray(side, float))] for side in (reference, current))
        return bool(wasserstein_distance(before, now) / max(before.std(), 0.001) >= DISTANCE)
    names = np.unique(np.concatenate([reference, current]))
    shares = [np.array([(np.asarray(side) == name).mean() for name in names]) for side in (reference, current)]
    return bool(jensenshannon(*shares) >= DISTANCE)


def dataset_drifted(reference: Mapping[str, Any], current: Mapping[str, Any], kinds: Mapping[str, str]) -> bool:
    """The default rule: at least half of the columns have drifted."""
    return bool(np.mean([drifted(reference[name], current[name], kinds.get(name, "number")) for name in reference]) >= SHARE)


def alarms(mornings: int, seed: int) -> int:
    """On how many of the quiet mornings the rule says that the data have drifted."""
    days_ = stream.quiet(seed, rates.SPAN + mornings)
    said = 0
    for day in range(rates.SPAN, rates.SPAN + mornings):
        seen = days_.last(rates.SPAN, day * DAY)
        newest = seen.ts >= (day - 1) * DAY
        sides = [{name: column[mask] for name, column in seen.columns.items()} for mask in (~newest, newest)]
        said += dataset_drifted(*sides, seen.kinds)
    return said
