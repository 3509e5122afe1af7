"""How good the answers probably are while their labels are out: an estimate, used only where it has tracked the labels before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, Status
from pipelines.evaluation.metrics import measure, metric
from pipelines.evaluation.performance import Realised
from pipelines.evaluation.statistic import Array, Labelled

DRAWS = 10
"""How often labels are drawn from the scores; their mean is the estimate."""
DOUBTS = 10
"""Groups of asks of equal doubt, each with the metric that such asks had."""
FEWEST = 4
"""Past windows that an estimate must have been compared with before it is used."""
COVERED = 0.75
"""The share of past windows that must lie where the others' errors said."""

Estimate = Callable[[Labelled, Array], float]
"""The metric that these rows probably have, from the scores alone: their labels are not looked at."""


def claimed(name: str, seed: int) -> Estimate:
    """What calibrated probabilities claim of themselves: the metric over labels drawn from them.

    This is confidence-based performance estimation (CBPE): right while the probabilities are, blind to a change of concept.
    """

    def estimate(rows: Labelled, scores: Array) -> float:
        random = np.random.default_rng(seed)
        chance = np.clip(np.nan_to_num(scores), 0, 1)
        drawn = [(random.random(len(chance)) < chance) * 1.0 for _ in range(DRAWS)]
        values = [measure([name], replace(rows, labels=labels), scores)[name] for labels in drawn]
        return float(np.mean(values))

    return estimate


def by_doubt(name: str, known: Sequence[Realised]) -> Estimate:
    """What asks of equal doubt had: the metric learnt by the width of the forecast, or by the best candidate's score.

    This is direct loss estimation (DLE) with the model's own doubt as its one feature.
    """
    doubts = np.concatenate([_doubt(span.rows, span.scores) for span in known])
    edges = np.unique(np.quantile(doubts, np.linspace(0, 1, DOUBTS + 1)[1:-1]))
    groups = range(len(edges) + 1)
    values = np.array([[_of_group(name, span, edges, g) for g in groups] for span in known])
    usual = np.nanmean(values, axis=0)

    def estimate(rows: Labelled, scores: Array) -> float:
        group = np.searchsorted(edges, _doubt(rows, scores))
        weight = np.bincount(group, 1.0 / _times(rows), len(usual))
        return float(weight @ np.nan_to_num(usual) / weight.sum())

    return estimate


def _of_group(name: str, span: Realised, edges: Array, group: int) -> float:
    mask = np.searchsorted(edges, _doubt(span.rows, span.scores)) == group
    return float(measure([name], span.rows.part(mask), span.scores[mask])[name]) if mask.any() else float("nan")


def _doubt(rows: Labelled, scores: Array) -> Array:
    """A number a row: the width of the quantiles; of a ranking, the best score of the row's ask."""
    if scores.ndim > 1:
        return np.asarray(scores[:, -1] - scores[:, 0])
    best = np.full(int(rows.group.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, rows.group, scores)
    return best[rows.group]


def _times(rows: Labelled) -> Array:
    """How many rows each row's ask has."""
    return np.bincount(rows.group)[rows.group] if rows.ranking else np.ones(len(rows.labels))


@dataclass(frozen=True)
class Track:
    """How estimates compared with what the labels then said: the errors of past windows, realised less estimated."""

    errors: tuple[float, ...]

    @property
    def bias(self) -> float:
        return float(np.mean(self.errors))

    @property
    def spread(self) -> float:
        return float(np.std(self.errors, ddof=1))

    @property
    def covered(self) -> float:
        """The share of windows whose error lies within two spreads of the others' mean."""
        e = np.array(self.errors)
        rest = [np.delete(e, i) for i in range(len(e))]
        return float(np.mean([abs(x - o.mean()) <= 2 * max(o.std(ddof=1), 1e-12) * np.sqrt(1 + 1 / len(o)) for x, o in zip(e, rest, strict=True)]))  # fmt: skip

    def why_not(self, drop: float) -> str:
        """Why the estimate is not used, or nothing: it must be able to tell a fall of `drop` from its own error."""
        if len(self.errors) < FEWEST:
            return f"compared with the labels of {len(self.errors)} windows, {FEWEST} are needed"
        if abs(self.bias) > drop or 2 * self.spread > drop:
            return f"it missed by {self.bias:.3g}, give or take {self.spread:.3g}, which hides a fall of {drop:g}"
        if self.covered < COVERED:
            return f"only {self.covered:.0%} of past windows lay where it said"
        return ""


def track(name: str, past: Sequence[Realised], probability: bool, seed: int) -> Track:
    """The errors of the estimate over past windows whose labels are mature, each estimated without its own labels."""
    errors = []
    for i, span in enumerate(past):
        others = [*past[:i], *past[i + 1 :]]
        if not probability and not others:
            continue
        estimate = claimed(name, seed) if probability else by_doubt(name, others)
        real = measure([name], span.rows, span.scores)[name]
        error = real - estimate(span.rows, span.scores)
        errors += [error] if np.isfinite(error) else []
    return Track(tuple(errors))


def estimated(
    name: str, now: tuple[Labelled, Array], past: Sequence[Realised], monitor: Monitor, *, probability: bool, seed: int
) -> Finding:
    """The fall of the metric that the newest rows' scores foretell, against what past windows had; labels of `now` are not read.

    `observed` is the fall (more is worse), bounded by how far past estimates were off. Unsure, with the reason, where the
    estimate has not tracked the labels: it is then not used.
    """
    found, wanted = f"estimated: {name}", f"{name} foretold to fall by less than {monitor.drop:g}"
    if len(now[1]) < monitor.min_rows:
        return Finding(found, "unsure", None, wanted, advice=f"not used: {len(now[1])} rows, wanted {monitor.min_rows}")
    tracked = track(name, past, probability, seed)
    if reason := tracked.why_not(monitor.drop):
        return Finding(found, "unsure", None, wanted, advice=f"not used: {reason}")
    estimate = claimed(name, seed) if probability else by_doubt(name, past)
    orient = metric(name, now[0].levels).orient
    usual = np.mean([measure([name], span.rows, span.scores)[name] for span in past])
    before, after = orient(np.array([usual, estimate(*now) + tracked.bias]))
    fall = float(before - after)
    if not np.isfinite(fall):
        return Finding(found, "unsure", None, wanted, advice="not used: it cannot be computed from these scores")
    off = 2 * tracked.spread * float(np.sqrt(1 + 1 / len(tracked.errors)))
    status: Status = "fail" if fall >= monitor.drop and fall > off else "pass"
    words = f"no labels yet; over {len(tracked.errors)} past windows such estimates missed by {tracked.bias:.2g}, give or take {tracked.spread:.2g}"
    return Finding(found, status, fall, wanted, fall - off, fall + off, 0.95, words)
