"""Drift that matters: moves that last, against the same weekdays before, with thresholds that the past itself has set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, judged
from pipelines.evaluation.effects import effects
from pipelines.evaluation.slices import benjamini_hochberg
from pipelines.evaluation.statistic import Array
from pipelines.evaluation.usual import FEWEST_TRIALS, Scatter, pooled
from pipelines.evaluation.windows import Columns, Windows, few_rows

T = TypeVar("T")

FALSE = 0.005
"""The share of false ones that is allowed among all columns and answers that a look says have moved (Benjamini, Hochberg 1995): one
quiet look in two hundred."""
ANSWERS = 0.2
"""The share of it that is the answers': one or few among many columns, they show best what matters (Rabanser et al. 2019)."""
LEAST_WEIGHT = 0.2
"""What a column without importance weighs at least: a large shift of it is still worth a word."""


def shifts(
    columns: Columns,
    kinds: Mapping[str, str],
    scores: Array | None,
    seen: Windows,
    monitor: Monitor,
    importance: Mapping[str, float] | None = None,
) -> list[Finding]:
    """A finding a column and an answer (`features: ..` and `predictions: ..`): how far it has moved and stayed.

    What is observed is the move that `persist` of the last `of` windows have shown, the newest among them; the limit is what
    past windows show of just that, so that a column whose days resemble each other must move further. `kinds` says number,
    category or text; text is left to the model's own outputs, the `scores`. `importance` (shares of the model's answers) weighs
    the columns: what matters little must move more to be said. Too few rows is never an answer.

    A look is one family: one alarm comes of any of its findings, and the columns and answers tell of each other's noise.
    """
    names = [name for name in columns if kinds.get(name, "number") != "text"]
    read = _of("features", {name: columns[name] for name in names})
    said = {} if scores is None else _of("predictions", answers(scores))
    kind = _of("features", {name: kinds.get(name, "number") for name in names}) | dict.fromkeys(said, "number")
    weight = shared(_of("features", weights(names, importance)), list(said))
    enough = np.minimum(*seen.rows) >= monitor.min_rows
    each = {name: np.where(enough, effects(kind[name], values, seen), np.nan) for name, values in (read | said).items()}
    stayed = {name: lasting(sizes, seen, monitor.persist) for name, sizes in each.items()}
    sharing = seen.recent * seen.long
    usual = pooled({name: Scatter.of_past(sizes[1:], sharing) for name, sizes in stayed.items()}, kind)
    limits = _limits({name: sizes[0] for name, sizes in stayed.items()}, usual, weight, monitor.drift)
    return [_shift(name, stayed[name][0], each[name][0], usual[name], limits[name], seen, monitor) for name in each]


def _of(channel: str, each: Mapping[str, T]) -> dict[str, T]:
    """The same, by the names of the channel's findings."""
    return {f"{channel}: {name}": value for name, value in each.items()}


def _limits(
    sizes: Mapping[str, float], usual: Mapping[str, Scatter], weight: Mapping[str, float], floor: float
) -> dict[str, float]:
    """The effect size that each must show, so that few of those said to have moved have not. What is below the floor is none."""
    chances = [usual[name].chance(size) / weight[name] if size >= floor else 1.0 for name, size in sizes.items()]
    moved = int(benjamini_hochberg(chances, FALSE).sum())
    cut = FALSE * max(moved, 1) / max(len(sizes), 1)
    return {name: usual[name].limit(min(cut * weight[name], 0.5), floor) for name in sizes}


def answers(scores: Array) -> dict[str, Array]:
    """What the model says: its score, or each quantile."""
    table = np.asarray(scores, float).reshape(len(scores), -1)
    names = ["score"] if table.shape[1] == 1 else [f"quantile {i}" for i in range(table.shape[1])]
    return dict(zip(names, table.T, strict=True))


def shared(read: Mapping[str, float], said: Sequence[str]) -> dict[str, float]:
    """The weights of all, one on average, where columns weigh so among themselves and the answers have their share."""
    if not (read and said):
        return {**read, **dict.fromkeys(said, 1.0)}
    every = len(read) + len(said)
    columns = {name: own * (1 - ANSWERS) * every / len(read) for name, own in read.items()}
    return columns | dict.fromkeys(said, ANSWERS * every / len(said))


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
