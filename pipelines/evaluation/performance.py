"""Has quality fallen, by labels that are mature: the newest window of them against what the champion had shown before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, Status
from pipelines.evaluation.metrics import measure, metric, statistics
from pipelines.evaluation.paired import Draws, Interval, resample
from pipelines.evaluation.slices import benjamini_hochberg
from pipelines.evaluation.statistic import Array, Labelled

ERROR = 0.025
"""The share of false ones that is allowed among the references that a look says quality has fallen against."""
FEWEST_PAST = 5
"""With fewer past windows nothing says how much quality moves by itself, and `drop` alone is the limit."""
SIGMAS = 2.0
"""A fall of so many standard deviations of what quality moves by itself is none yet."""


@dataclass(frozen=True)
class Realised:
    """Rows whose labels are mature, with the champion's scores of them."""

    rows: Labelled
    scores: Array

    def part(self, mask: Array) -> Realised:
        """The rows of the mask, with the same units."""
        return Realised(self.rows.part(mask), self.scores[mask])


def performance(
    name: str,
    known: Realised,
    now: Array,
    references: Mapping[str, Array],
    monitor: Monitor,
    *,
    past: Sequence[Array] = (),
    min_positives: int = 0,
    resamples: int = 1000,
    seed: int,
) -> Finding:
    """Has the metric `name` fallen in the window `now` against a reference, by `monitor.drop` and more than chance allows?

    `now`, the `references` (by what they are, in words) and the `past` windows (oldest first) are row masks. Two references see
    what one alone does not: against all labels before, a change is lost once most of them lie after it; a reference that stays
    where it is sees it whenever one looks. All are resampled with the same units, for a customer may be in several; with false
    discoveries among the references under control. What past windows moved by themselves raises the limit.

    `observed` is the largest fall (more is worse) with its interval. `min_positives` of each side are needed where the metric is
    about two classes; a reference that has too little is left out. "Cannot decide": too few labels in the window or in every
    reference, or a large fall that chance may explain.
    """
    found = f"performance: {name}"
    wanted = f"{name} fallen by less than {monitor.drop:g}"
    lacking = {words: known.part(mask).rows.lacking(monitor.min_rows, min_positives) for words, mask in references.items()}
    if why := known.part(now).rows.lacking(monitor.min_rows, min_positives):
        return Finding(found, "unsure", None, wanted, advice=f"{why} in the window")
    if all(lacking.values()):
        words, why = next(iter(lacking.items()), ("no reference", "no labels"))
        return Finding(found, "unsure", None, wanted, advice=f"{why} in {words}")
    sides = {words: references[words] for words in lacking if not lacking[words]}
    drawn = _drawn(name, known, {"": now, **_distinct(sides)}, resamples, seed)
    newest = drawn.pop("")
    moved = restless(name, [known.part(mask) for mask in past], newest.spread, monitor)
    limit = max(monitor.drop, SIGMAS * moved)
    return _judged(
        found, f"{name} fallen by less than {limit:.3g}", {words: draws - newest for words, draws in drawn.items()}, limit
    )


def restless(name: str, past: Sequence[Realised], by_chance: float, monitor: Monitor) -> float:
    """How far the metric moves about its level by itself, beyond what a window's few rows explain (`by_chance`, the standard
    deviation of one window): a standard deviation, 0 where too few windows are known.

    The level may have changed once, where that explains the most: a change that lasts is no restlessness, and must not hide itself.
    """
    enough = [span for span in past if span.rows.asks >= monitor.min_rows]
    values = np.array([measure([name], span.rows, span.scores)[name] for span in enough])
    values = values[np.isfinite(values)]
    if len(values) < FEWEST_PAST:
        return 0.0
    about = min(_scatter(values[:at]) + _scatter(values[at:]) for at in range(1, len(values)))
    return float(np.sqrt(max(about / (len(values) - 2) - by_chance**2, 0.0)))


def _scatter(values: Array) -> float:
    """The sum of squares about the mean."""
    return float(((values - values.mean()) ** 2).sum())


def _distinct(sides: Mapping[str, Array]) -> dict[str, Array]:
    """Without a reference that is another one once more: it is no second witness."""
    kept: dict[str, Array] = {}
    for words, mask in sides.items():
        if not any(np.array_equal(mask, other) for other in kept.values()):
            kept[words] = mask
    return kept


def _drawn(name: str, known: Realised, sides: Mapping[str, Array], resamples: int, seed: int) -> dict[str, Draws]:
    """The metric of each side, more is better, in draws of the same units for all."""
    rows = recoded(known.rows, np.logical_or.reduce(list(sides.values())))
    spans = {words: Realised(rows, known.scores).part(mask) for words, mask in sides.items()}
    each = {words: statistics([name], span.rows, span.scores)[name] for words, span in spans.items()}
    drawn = resample(each, rows.units, resamples=resamples, seed=seed)
    orient = metric(name, rows.levels).orient
    return {words: replace(drawn[words].map(orient), units=len(np.unique(spans[words].rows.unit))) for words in sides}


def recoded(rows: Labelled, used: Array) -> Labelled:
    """The same rows with the units of the used ones alone, so that nobody is drawn who is not there."""
    units, code = np.unique(rows.unit[used], return_inverse=True)
    unit = np.zeros(len(rows.unit), np.int32)
    unit[used] = code
    return replace(rows, unit=unit, units=len(units))


def _judged(found: str, wanted: str, falls: Mapping[str, Draws], limit: float) -> Finding:
    """The finding on the reference that decides: one that shows a fall, else one that may, else the largest."""
    proven = int(benjamini_hochberg([fall.chance_not_above(0.0) for fall in falls.values()], ERROR).sum())
    bounds = {words: fall.interval(ERROR * max(proven, 1) / len(falls)) for words, fall in falls.items()}
    bounds = {words: fall for words, fall in bounds.items() if fall.known}
    if not bounds:
        return Finding(found, "unsure", None, wanted, advice="the metric cannot be computed with confidence from these labels")
    words = max(bounds, key=lambda w: (SEVERITY.index(_status(bounds[w], limit)), bounds[w].estimate))
    fall = bounds[words]
    return Finding(found, _status(fall, limit), fall.estimate, wanted, fall.low, fall.high, fall.sure, f"against {words}")


SEVERITY: tuple[Status, ...] = ("pass", "unsure", "fail")


def _status(fall: Interval, limit: float) -> Status:
    if fall.estimate < limit:
        return "pass"
    return "fail" if fall.low > 0 else "unsure"


def persistent(looks: Sequence[Sequence[Finding]], monitor: Monitor) -> list[Finding]:
    """The newest window's failures that failed in at least `persist` of the last `of` windows; `looks` is oldest first.

    A window that could not be decided counts neither for nor against. The looks must share no row: the same rows looked at
    twice are no second witness.
    """
    recent = [{f.name for f in look if f.status == "fail"} for look in looks[-monitor.of :]]
    return [
        f
        for f in (looks[-1] if looks else ())
        if f.status == "fail" and sum(f.name in names for names in recent) >= monitor.persist
    ]
