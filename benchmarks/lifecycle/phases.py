"""When the money is lost: before the world changed, while it was another one, and after it was the old one again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.lifecycle.shop import Setting

PHASES = ("before", "during", "after")
CHANGE = {"fraud": "concept_change", "demand": "price_response"}
"""The largest change of each use case's world; it comes in every shop, and it ends."""


def weeks(season: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Which weeks of a season lie before, during and after the change: masks over its Mondays."""
    first, last = _days(season["incidents"], CHANGE[season["case"]])
    monday = Setting().history + 7 * np.arange(len(season["oracle"]))
    before, after = monday + 7 <= first, monday > last
    return {"before": before, "during": ~before & ~after, "after": after}


def _days(incidents: Sequence[str], name: str) -> tuple[int, int]:
    """The first and the last day of the incident of that name, as it is said in words."""
    said = next(words for words in incidents if words.startswith(f"{name}, "))
    days = re.match(r"\w+, days? (\d+)(?: to (\d+))?:", said)
    if days is None:
        raise ValueError(f"wanted an incident such as 'concept_change, days 3 to 5: ..', got {said!r}")
    return int(days[1]), int(days[2] or days[1])


def lost(season: Mapping[str, Any], name: str) -> dict[str, float]:
    """What a policy has lost in each phase, in currency units per 100 days of the whole season: the three add up to all of it."""
    each = np.subtract(season["policies"][name]["cents"], season["oracle"]) / (7 * len(season["oracle"]))
    return {phase: float(each[mask].sum()) for phase, mask in weeks(season).items()}
