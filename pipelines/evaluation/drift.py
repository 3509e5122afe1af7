"""Drift that matters: moves that last, against the same weekdays before, with thresholds that the past itself has set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, judged
from pipelines.evaluation.effects import effects
from pipelines.evaluation.slices import benjamini_hochberg
from pipelines.evaluation.statistic import Array
from pipelines.evaluation.usual import FEWEST_TRIALS, Scatter, pooled
from pipelines.evaluation.windows import Columns, Windows, few_rows

FALSE = 0.0025
"""The share of false ones that is allowed among the columns said to have moved (Benjamini, Hochberg 1995): one quiet look in
four hundred."""
LEAST_WEIGHT = 0.2
"""What a column without importance weighs at least: a large shift of it is still worth a word."""


def shifts(
    channel: str,
    columns: Columns,
    kinds: Mapping[str, str],
    seen: Windows,
    monitor: Monitor,
    importance: Mapping[str, float] | None = None,
) -> list[Finding]:
    """A finding a column of a channel (`features` or `predictions`): how far it has moved and stayed.

    What is observed is the move that `persist` of the last `of` windows have shown, the newest among them; the limit is what
    past windows show of just that, so that a column whose days resemble each other must move further. `kinds` says number,
    category or text; text is left to the model's own outputs. `importance` (shares of the model's answers) weighs the columns:
    what matters little must move more to be said. Too few rows is never an answer.
    """
    names = [name for name in columns if kinds.get(name, "number") != "text"]
    enough = np.minimum(*seen.rows) >= monitor.min_rows
    each = {n: np.where(enough, effects(kinds.get(n, "number"), columns[n], seen), np.nan) for n in names}
    stayed = {name: lasting(each[name], seen, monitor.persist) for name in names}
    usual = pooled({name: Scatter.of_past(stayed[name][1:]) for name in names})
    weight = weights(names, importance)
    chances = [usual[name].chance(stayed[name][0]) / weight[name] for name in names]
    moved = int(benjamini_hochberg(chances, FALSE).sum()) if names else 0
    cut = FALSE * max(moved, 1) / max(len(names), 1)
    limits = {name: usual[name].limit(min(cut * weight[name], 0.5), monitor.drift) for name in names}
    return [_shift(f"{channel}: {n}", stayed[n][0], each[n][0], usual[n], limits[n], seen, monitor) for n in names]


def lasting(sizes: Array, seen: Windows, persist: int) -> Array:
    """The effect that lasted, of the newest window and of each past one: the smaller of its own and of the `persist - 1` largest
    among the `recent - 1` windows before it. A window that is not known (a day held back) shows nothing; NaN where the newest
    is not known, or fewer than `persist` are."""
    recent, past = sizes[: seen.recent], sizes[seen.recent :]
    reach = (seen.recent - 1) * seen.long
    many = max(len(past) - reach, 0)
    rows = [recent, *(past[i : i + reach + 1 : seen.long] for i in range(many))]
    return np.array([_lasted(row, persist) for row in rows])


def _lasted(row: Array, persist: int) -> float:
    before = np.sort(row[1:][np.isfinite(row[1:])])[::-1]
    if persist < 2:
        return float(row[0])
    return float(min(row[0], before[persist - 2])) if np.isfinite(row[0]) and len(before) >= persist - 1 else float("nan")


def weights(names: Sequence[str], importance: Mapping[str, float] | None) -> dict[str, float]:
    """Each column's weight, one on average (Genovese, Roeder, Wasserman 2006: false-discovery control with weights)."""
    if not importance or not names:
        return dict.fromkeys(names, 1.0)
    raw = np.array([max(importance.get(name, 0.0), 0.0) for name in names])
    raw = np.maximum(raw / raw.mean(), LEAST_WEIGHT) if raw.sum() > 0 else np.ones(len(names))
    return dict(zip(names, (raw / raw.mean()).tolist(), strict=True))


def _shift(name: str, size: float, newest: float, usual: Scatter, limit: float, seen: Windows, monitor: Monitor) -> Finding:
    source = "the floor" if limit <= monitor.drift else f"set by {usual.of} past windows"
    if usual.of < FEWEST_TRIALS:
        source = "the past is too short to set it"
    wanted = f"a lasting effect size below {limit:.3g} ({source})"
    if too_few := few_rows(seen, monitor):
        return Finding(name, "unsure", None, wanted, advice=too_few)
    if not np.isfinite(size):
        return Finding(name, "unsure", None, wanted, advice="no values to compare in the last windows or their reference")
    rule = f"observed < {float(limit)!r}"
    words = f"{newest:.3g} in the newest window alone" if newest >= limit > size else ""
    return judged(name, float(size), wanted, passes_if=rule, fails_unless=rule, advice=words, **usual.interval(size))


def predictions(scores: Array, seen: Windows, monitor: Monitor) -> list[Finding]:
    """Drift of what the model says: of its score, or of each quantile."""
    table = np.asarray(scores, float).reshape(len(scores), -1)
    names = ["score"] if table.shape[1] == 1 else [f"quantile {i}" for i in range(table.shape[1])]
    return shifts("predictions", dict(zip(names, table.T, strict=True)), {}, seen, monitor)
