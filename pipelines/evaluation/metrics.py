"""The metrics that use cases may name: what each measures, which way is better, and its weightable statistic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.core.errors import ShelflifeError
from pipelines.evaluation.statistic import (
    Array,
    AveragePrecision,
    CardPrecision,
    Labelled,
    RocAuc,
    Statistic,
    Steps,
    Sums,
    Undefined,
    mean_of,
    sound,
)

Orient = Callable[[Array], Array]


def _same(values: Array) -> Array:
    return values


def _less(values: Array) -> Array:
    return -values


@dataclass(frozen=True)
class Metric:
    """A metric by name. `orient` turns its value so that more is better; margins, floors and harms are in those units."""

    name: str
    doc: str
    make: Callable[[Labelled, Array], Statistic]
    orient: Orient = _same


def metric(name: str, levels: tuple[float, ...] = ()) -> Metric:
    """The metric of that name; `levels` are the quantiles answered, where they are. Raises ShelflifeError for a name that is none."""
    if name == "coverage":
        wanted = levels[-1] - levels[0] if levels else float("nan")
        return Metric(
            name, "share of labels between the lowest and the highest quantile", _coverage, lambda v: -np.abs(v - wanted)
        )
    if name in PLAIN:
        return PLAIN[name]
    if match := re.fullmatch(r"(hit|mrr|ndcg)_at_(\d{1,3})", name):
        return _ranking_metric(match[1], int(match[2]))
    if match := re.fullmatch(r"card_precision_at_(\d{1,4})", name):
        k = int(match[1])
        return Metric(
            name,
            f"share of compromised cards among the {k} most suspicious of a day",
            lambda rows, s: CardPrecision(rows, s, k) if rows.weight is None else Undefined(),
        )
    raise ShelflifeError(
        f"there is no metric {name!a}; wanted {', '.join(PLAIN)}, coverage, hit_at_K, mrr_at_K, ndcg_at_K or card_precision_at_K"
    )


def statistics(names: Iterable[str], rows: Labelled, scores: Array) -> dict[str, Statistic]:
    """Each named metric of these scores as a statistic. A score or label that is no finite number makes all of them undefined."""
    names = tuple(names)
    if len(scores) != len(rows.labels):
        raise ShelflifeError(f"wanted a score for each of the {len(rows.labels)} rows, got {len(scores)}; score the same rows")
    if not sound(rows, scores):
        return {name: Undefined() for name in names}
    shared = Steps(rows, scores) if {"average_precision", "roc_auc"} & set(names) else None
    return {name: _statistic(name, rows, scores, shared) for name in names}


def _statistic(name: str, rows: Labelled, scores: Array, steps: Steps | None) -> Statistic:
    if name == "average_precision" and steps:
        return AveragePrecision(steps)
    if name == "roc_auc" and steps:
        return RocAuc(steps)
    return metric(name, rows.levels).make(rows, np.asarray(scores, float))


def measure(names: Iterable[str], rows: Labelled, scores: Array) -> Mapping[str, float]:
    """The metrics' plain values, each unit counting once; NaN where one is not defined."""
    return {name: float(statistic(rows.once)[0]) for name, statistic in statistics(names, rows, scores).items()}


def log_losses(labels: Array, scores: Array) -> Array:
    """Minus the logarithm of the probability given to what happened, a row each."""
    tiny = np.finfo(float).eps
    p = np.clip(scores, tiny, 1 - tiny)
    return -np.where(labels > 0, np.log(p), np.log1p(-p))


def pinball_losses(labels: Array, scores: Array, levels: tuple[float, ...]) -> Array:
    """The mean pinball loss over the levels, a row each; `scores` is (rows, levels)."""
    gap = labels[:, None] - scores
    level = np.asarray(levels)
    return np.maximum(level * gap, (level - 1) * gap).mean(axis=1)


def middle(scores: Array, levels: tuple[float, ...]) -> Array:
    """The point forecast: the quantile nearest to the median, or the scores themselves where there is one a row."""
    return scores if scores.ndim == 1 else scores[:, int(np.argmin(np.abs(np.asarray(levels) - 0.5)))]


def _wape(rows: Labelled, scores: Array) -> Statistic:
    off = np.abs(rows.labels - middle(scores, rows.levels))
    parts = np.stack([off, np.abs(rows.labels)], axis=1)
    return Sums(parts, rows, lambda s: s[:, 0] / s[:, 1])


def _coverage(rows: Labelled, scores: Array) -> Statistic:
    inside = (rows.labels >= scores[:, 0]) & (rows.labels <= scores[:, -1])
    return mean_of(inside.astype(float), rows)


def _macro_f1(rows: Labelled, scores: Array) -> Statistic:
    truth, said = rows.labels > 0, scores >= 0.5
    parts = np.stack([truth & said, ~truth & ~said, truth != said], axis=1).astype(float)
    return Sums(parts, rows, lambda s: (_f1(s[:, 0], s[:, 2]) + _f1(s[:, 1], s[:, 2])) / 2)


def _f1(right: Array, wrong: Array) -> Array:
    """F1 of one class from its true positives and all mistakes; 0 for a class that is neither there nor said."""
    return np.where(right + wrong > 0, 2 * right / np.maximum(2 * right + wrong, 1e-12), 0.0)


PLAIN = {
    each.name: each
    for each in (
        Metric(
            "average_precision",
            "area under the precision-recall steps",
            lambda r, s: AveragePrecision(Steps(r, s)),
        ),
        Metric("roc_auc", "chance that a positive scores above a negative", lambda r, s: RocAuc(Steps(r, s))),
        Metric("log_loss", "surprise at what happened", lambda r, s: mean_of(log_losses(r.labels, s), r), _less),
        Metric("brier", "squared distance of probability and truth", lambda r, s: mean_of((s - r.labels) ** 2, r), _less),
        Metric("accuracy", "share of right answers at one half", lambda r, s: mean_of(((s >= 0.5) == (r.labels > 0)) * 1.0, r)),
        Metric("macro_f1", "mean F1 of both classes at one half", _macro_f1),
        Metric(
            "pinball",
            "mean pinball loss over the levels",
            lambda r, s: mean_of(pinball_losses(r.labels, s, r.levels), r),
            _less,
        ),
        Metric("wape", "absolute error of the median over what was sold", _wape, _less),
    )
}


def _ranking_metric(how: str, k: int) -> Metric:
    gain = {"hit": np.ones(k), "mrr": 1 / np.arange(1, k + 1), "ndcg": 1 / np.log2(np.arange(2, k + 2))}[how]
    doc = {"hit": "share of asks answered", "mrr": "mean reciprocal rank", "ndcg": "discounted gain"}[how]
    return Metric(f"{how}_at_{k}", f"{doc} within the first {k}", lambda rows, scores: _ranking(rows, scores, gain))


def _ranking(rows: Labelled, scores: Array, gain: Array) -> Statistic:
    """The mean gain at the rank of what came next, over asks; an ask whose candidates miss it gains nothing.

    Equal scores share their ranks' mean gain, so a model that cannot tell candidates apart gets what chance would.
    """
    order = np.argsort(rows.group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(rows.group[order]) != 0])
    truth, score = rows.labels[order] > 0, scores[order]
    # One wanted item an ask; its score is spread over the ask's rows to count who stands above or beside it.
    wanted = np.maximum.reduceat(np.where(truth, score, -np.inf), starts)
    spread = np.repeat(wanted, np.diff(np.r_[starts, len(order)]))
    above = np.add.reduceat(score > spread, starts, dtype=np.int64)
    beside = np.add.reduceat(score == spread, starts, dtype=np.int64)
    total = np.r_[0.0, np.cumsum(gain)]
    k = len(gain)
    gained = (total[np.minimum(above + beside, k)] - total[np.minimum(above, k)]) / np.maximum(beside, 1)
    unit, weight = rows.unit[order][starts], None if rows.weight is None else rows.weight[order][starts]
    parts = np.stack([np.where(np.isfinite(wanted), gained, 0.0), np.ones(len(unit))], axis=1)
    return Sums(parts, replace(rows, unit=unit, weight=weight), lambda s: s[:, 0] / s[:, 1])
