"""From the figures of every season to the page's: totals, medians, and intervals of paired differences over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.lifecycle import phases

OURS = "shelflife"
RESAMPLES = 10_000
SURE = 0.95


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its percentile bootstrap interval over seeds."""
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(0, len(sample), (RESAMPLES, len(sample)))
    low, high = np.quantile(sample[drawn].mean(axis=1), [(1 - SURE) / 2, (1 + SURE) / 2])
    return float(sample.mean()), float(low), float(high)


def summary(seasons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of one use case from its seasons, one a seed. Money is in currency units per 100 days."""
    names = list(seasons[0]["policies"])
    days = 7 * len(seasons[0]["oracle"])
    lost = {name: [_lost(season, name) / days for season in seasons] for name in names}
    rows = {name: _row([season["policies"][name] for season in seasons], seasons, lost[name]) for name in names}
    for name in names:
        if name != OURS:
            rows[name]["saved"] = interval([theirs - ours for theirs, ours in zip(lost[name], lost[OURS], strict=True)])
    for name in names:
        rows[name]["phases"] = {p: interval([phases.lost(season, name)[p] for season in seasons]) for p in phases.PHASES}
    weeks = {name: np.mean([_weekly(season, name) for season in seasons], axis=0).round(2).tolist() for name in names}
    oracle = interval([sum(season["oracle"]) / days for season in seasons])
    return {
        "seeds": len(seasons), "shops": [season["seed"] for season in seasons], "days": days, "oracle": oracle,
        "asks": int(np.mean([season["asks"] for season in seasons])), "mondays": mondays(seasons),
        "quiet_days": sum(season["quiet"] for season in seasons), "rows": rows, "lost_by_week": weeks,
    }  # fmt: skip


def mondays(seasons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What became of ours' Mondays: how many challengers `pass`, `fail` or stay `unsure`, on how many the data were not `valid`, how
    often a former model was brought `back`; which findings stood `alone` in the way of an undecided one; and in how many shops
    nothing ever passed (`unmoved`)."""
    said = [words.split(": ", 1) for season in seasons for _, words in season["policies"][OURS]["notes"] if ": " in words]
    undecided = [found.split(", ") for verdict, found in said if verdict == "unsure"]
    alone = Counter(found[0].rsplit(" ", 1)[0] for found in undecided if len(found) == 1)
    verdicts = Counter(verdict for verdict, _ in said)
    unmoved = sum(not season["policies"][OURS]["promotions"] for season in seasons)
    return {
        "back": verdicts["brought back"],
        **{name: verdicts[name] for name in ("pass", "fail", "unsure", "not valid")},
        "alone": dict(alone.most_common()),
        "unmoved": unmoved,
    }


def _lost(season: Mapping[str, Any], name: str) -> float:
    """Cents above the oracle times a hundred days in units: cents and hundred cancel."""
    return float(sum(season["policies"][name]["cents"]) - sum(season["oracle"]))


def _weekly(season: Mapping[str, Any], name: str) -> np.ndarray:
    """What was lost up to the end of each week, in currency units."""
    return np.cumsum(np.subtract(season["policies"][name]["cents"], season["oracle"])) / 100


def _row(found: Sequence[Mapping[str, Any]], seasons: Sequence[Mapping[str, Any]], lost: Sequence[float]) -> dict[str, Any]:
    quiet = [season["quiet"] for season in seasons]
    false = [one["false_alarms"] + one["dearer"] for one in found]
    faults = _days(found, "seen", change=False)
    changes, recovered = _days(found, "seen", change=True), _days(found, "recovered", change=True)
    return {
        "lost": interval(lost), "faults": _spread(faults), "changes": _spread(changes), "recovered": _spread(recovered),
        "false": _rate(false, quiet), "retrainings": float(np.mean([one["retrainings"] for one in found])),
        "promotions": float(np.mean([one["promotions"] for one in found])), "cpu": float(np.mean([one["cpu"] for one in found])),
    }  # fmt: skip


def _days(found: Sequence[Mapping[str, Any]], what: str, *, change: bool) -> list[int | None]:
    """Days to detect or recover, over all seeds; a change is what has a recovery."""
    return [days for one in found for name, days in one[what].items() if (name in one["recovered"]) == change]


def _spread(days: Sequence[int | None]) -> dict[str, Any]:
    """How many there were, how many were found, and the median days of all, None where fewer than half were."""
    known = [np.inf if one is None else one for one in days]
    middle = float(np.median(known)) if known else np.inf
    return {"of": len(known), "found": sum(np.isfinite(known).tolist()), "median": middle if np.isfinite(middle) else None}


def _rate(false: Sequence[int], quiet: Sequence[int], seed: int = 0) -> tuple[float, float, float]:
    """Per 100 quiet days, with the bootstrap interval of the ratio over seeds."""
    events, days = np.asarray(false, float), np.asarray(quiet, float)
    drawn = np.random.default_rng(seed).integers(0, len(days), (RESAMPLES, len(days)))
    ratio = 100 * events[drawn].sum(axis=1) / np.maximum(days[drawn].sum(axis=1), 1)
    low, high = np.quantile(ratio, [(1 - SURE) / 2, (1 + SURE) / 2])
    return float(100 * events.sum() / max(days.sum(), 1)), float(low), float(high)
