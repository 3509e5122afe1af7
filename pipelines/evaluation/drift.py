"""Drift that matters: effect sizes against the same weekdays before, with thresholds that the past itself has set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.core.clock import DAY, micros
from pipelines.core.params import Monitor
from pipelines.core.verdict import Finding, Status, judged
from pipelines.evaluation.metrics import metric, statistics
from pipelines.evaluation.paired import resample
from pipelines.evaluation.statistic import Array, Labelled, nulls

Columns = Mapping[str, Array]
MOST_CATEGORIES = 20
"""Categories beyond the reference's largest are one: each rare one would add its own noise."""
SIGMAS = 5.0
FEWEST_PAST = 4
"""With fewer past windows the parameters' floor is the threshold."""


Pair = tuple[Array, Array]
"""Row masks of a reference and of the window held against it."""


@dataclass(frozen=True)
class Windows:
    """Row masks: the window that is looked at, its reference (the same weekdays before), and the reference's own windows of
    the same weekdays, oldest first.

    `trials` pairs every window of the reference's span with its own reference there: what shifts by itself, on any weekday.
    """

    current: Array
    reference: Array
    past: tuple[Array, ...]
    trials: tuple[Pair, ...]


def windows(ts: Array, monitor: Monitor, now: int) -> Windows:
    """The windows that end at `now` (microseconds UTC). For labels, `now` is when the youngest mature label was asked for.

    The reference ends where the first of the last `of` windows began: a change that lasts is held against what was before
    it, and does not become its own reference while people wait for it to last.
    """
    length = micros(monitor.window)
    end = now - monitor.of * length
    first, weekday = end - micros(monitor.reference), _weekday(ts)
    known, ours = (ts >= first) & (ts < end), _weekdays(now - length, now)
    past, trials = [], []
    for edge in np.arange(end, first, -length)[::-1]:
        window = known & (ts >= edge - length) & (ts < edge)
        its = _weekdays(edge - length, edge)
        trials.append((known & _on(weekday, its) & ~window, window))
        if set(its) == set(ours):
            past.append(window)
    current = (ts >= now - length) & (ts < now)
    return Windows(current, known & _on(weekday, ours), tuple(past), tuple(trials))


def history_needed(monitor: Monitor) -> int:
    """How far back from `now` a look reads, in microseconds."""
    return micros(monitor.reference) + monitor.of * micros(monitor.window)


def _weekday(ts: Array) -> Array:
    return (ts // DAY + 3) % 7


def _on(weekday: Array, days: Array) -> Array:
    """Which rows lie on these weekdays."""
    return np.isin(np.arange(7), days)[weekday]


def _weekdays(start: int, end: int) -> Array:
    """The weekdays, Monday 0, that the span touches."""
    return np.unique(_weekday(np.r_[np.arange(start, end, DAY), end - 1]))


def psi(reference: Array, current: Array) -> float:
    """Population stability index of two lists of counts; half a count is added to each, so that an empty bin is finite."""
    p, q = _shares(reference), _shares(current)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Array, current: Array) -> float:
    """The Jensen-Shannon distance (the root of the divergence, base 2) of two lists of counts: 0 alike, 1 disjoint."""
    p, q = reference / max(reference.sum(), 1), current / max(current.sum(), 1)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(np.sqrt(max(parts.sum() / 2, 0.0)))


def category_shift(reference: Array, current: Array) -> float:
    """The root of the PSI beyond what two samples of these sizes show by chance (about (k - 1) (1/n + 1/m))."""
    used = int(((reference + current) > 0).sum())
    chance = max(used - 1, 0) * (1 / max(reference.sum(), 1) + 1 / max(current.sum(), 1))
    return float(np.sqrt(max(psi(reference, current) - chance, 0.0)))


def _shares(counts: Array) -> Array:
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))


def effects(kind: str, column: Array, pairs: Sequence[Pair]) -> list[float]:
    """The effect size of each pair of a column's samples, nulls and infinities left out, in standard deviations.

    Of a number: how far its values must be moved on average (Wasserstein) over the reference's standard deviation. Of a
    category: the shift of a normal that has the same PSI, whose square that is. NaN where a sample has no value.
    """
    known = np.isfinite(column.astype(float)) if kind == "number" else ~nulls(column)
    values, kept = column[known], [(reference[known], current[known]) for reference, current in pairs]
    return _moves(values.astype(float), kept) if kind == "number" else _mixes(values.astype(str), kept)


def effect(kind: str, reference: Array, current: Array) -> float:
    """The effect size between two samples."""
    first = np.arange(len(reference) + len(current)) < len(reference)
    return effects(kind, np.concatenate([reference, current]), [(first, ~first)])[0]


def wasserstein(reference: Array, current: Array) -> float:
    """How far numbers have moved, in standard deviations of the reference."""
    return effect("number", reference, current)


def _moves(values: Array, pairs: Sequence[Pair]) -> list[float]:
    """Sorted once; each pair is then the area between two cumulative distributions."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    gaps = np.diff(ranked)
    return [_move(ranked, gaps, reference[order], current[order]) for reference, current in pairs]


def _move(ranked: Array, gaps: Array, reference: Array, current: Array) -> float:
    if not reference.any() or not current.any():
        return float("nan")
    past = ranked[reference]
    spread = float(past.std())
    if spread <= 1e-12 * max(1.0, float(np.abs(past).max())):
        # What never varied has no standard deviation: the share of values that now differ from it.
        return float(np.mean(ranked[current] != past[0]))
    apart = np.cumsum(reference) / reference.sum() - np.cumsum(current) / current.sum()
    return float(np.abs(apart[:-1]) @ gaps / spread)


def _mixes(values: Array, pairs: Sequence[Pair]) -> list[float]:
    names, code = np.unique(values, return_inverse=True)
    counts = [tuple(np.bincount(code[mask], minlength=len(names)).astype(float) for mask in pair) for pair in pairs]
    return [_mix(reference, current) for reference, current in counts]


def _mix(reference: Array, current: Array) -> float:
    """The shift between two lists of counts; beyond the reference's 20 largest, categories count as one."""
    if not reference.sum() or not current.sum():
        return float("nan")
    largest = np.argsort(-reference, kind="stable")[:MOST_CATEGORIES]
    kept = [np.r_[counts[largest], counts.sum() - counts[largest].sum()] for counts in (reference, current)]
    return category_shift(*kept)


def threshold(past: Sequence[float], floor: float) -> float:
    """Median plus five robust standard deviations of what past windows showed, and at least the floor."""
    seen = np.array([value for value in past if np.isfinite(value)])
    if len(seen) < FEWEST_PAST:
        return floor
    middle = float(np.median(seen))
    return max(floor, middle + SIGMAS * 1.4826 * float(np.median(np.abs(seen - middle))))


def shifts(channel: str, columns: Columns, kinds: Mapping[str, str], seen: Windows, monitor: Monitor) -> list[Finding]:
    """A finding a column of a channel (`features` or `predictions`): how far the window lies from its reference.

    `kinds` says number, category or text; text is left to the model's own outputs. Too few rows is never an answer.
    """
    return [
        _shift(f"{channel}: {name}", kinds.get(name, "number"), columns[name], seen, monitor)
        for name in columns
        if kinds.get(name, "number") != "text"
    ]


def _shift(name: str, kind: str, column: Array, seen: Windows, monitor: Monitor) -> Finding:
    trials = [pair for pair in seen.trials if min(pair[0].sum(), pair[1].sum()) >= monitor.min_rows]
    size, *past = effects(kind, column, [(seen.reference, seen.current), *trials])
    limit = threshold(past, monitor.drift)
    source = f"set by {len(past)} past windows" if limit > monitor.drift else "the floor"
    wanted = f"an effect size below {limit:.3g} ({source})"
    if too_few := few_rows(seen, monitor):
        return Finding(name, "unsure", None, wanted, advice=too_few)
    if not np.isfinite(size):
        return Finding(name, "unsure", None, wanted, advice="no values to compare in the window or its reference")
    rule = f"observed < {float(limit)!r}"
    return judged(name, float(size), wanted, passes_if=rule, fails_unless=rule)


def few_rows(seen: Windows, monitor: Monitor) -> str:
    """Why the window cannot be compared, or nothing."""
    current, reference = int(seen.current.sum()), int(seen.reference.sum())
    if min(current, reference) >= monitor.min_rows:
        return ""
    return f"wanted {monitor.min_rows} rows on both sides, got {current} in the window and {reference} in its reference"


def predictions(scores: Array, seen: Windows, monitor: Monitor) -> list[Finding]:
    """Drift of what the model says: of its score, or of each quantile."""
    table = np.asarray(scores, float).reshape(len(scores), -1)
    names = ["score"] if table.shape[1] == 1 else [f"quantile {i}" for i in range(table.shape[1])]
    return shifts("predictions", dict(zip(names, table.T, strict=True)), {}, seen, monitor)


@dataclass(frozen=True)
class Realised:
    """Rows whose labels are mature, with the champion's scores of them."""

    rows: Labelled
    scores: Array


def performance(
    name: str, now: Realised, before: Realised, monitor: Monitor, *, min_positives: int = 0, resamples: int = 1000, seed: int
) -> Finding:
    """Has the metric `name` fallen, on matured labels, against the reference, by `monitor.drop` and more than chance allows?

    `observed` is the fall (more is worse) with its interval over independent units. `min_positives` of each label are needed
    where the metric is about two classes. A large fall that chance may explain, or too few labels, is "cannot decide".
    """
    wanted, found = f"{name} fallen by less than {monitor.drop:g}", f"performance: {name}"
    for span, side in ((now, "the window"), (before, "its reference")):
        positives = int((span.rows.labels > 0).sum())
        if span.rows.asks < monitor.min_rows or positives < min_positives:
            seen = f"{span.rows.asks} mature labels with {positives} positives in {side}"
            return Finding(
                found, "unsure", None, wanted, advice=f"wanted {monitor.min_rows} with {min_positives} positives, got {seen}"
            )
    orient = metric(name, now.rows.levels).orient
    draws = [_draws(name, span, resamples, seed + i).map(orient) for i, span in enumerate((before, now))]
    fall = draws[0].apart(draws[1]).interval(0.025)
    if not fall.known:
        return Finding(found, "unsure", None, wanted, advice="the metric cannot be computed with confidence from these labels")
    large = fall.estimate >= monitor.drop
    status: Status = "pass" if not large else "fail" if fall.low > 0 else "unsure"
    return Finding(found, status, fall.estimate, wanted, fall.low, fall.high, fall.sure)


def _draws(name: str, span: Realised, resamples: int, seed: int) -> Any:
    return resample(statistics([name], span.rows, span.scores), span.rows.units, resamples=resamples, seed=seed)[name]


def persistent(looks: Sequence[Sequence[Finding]], monitor: Monitor) -> list[Finding]:
    """The newest look's failures that failed in at least `persist` of the last `of` looks; `looks` is oldest first.

    A look that could not decide counts neither for nor against.
    """
    recent = [{f.name for f in look if f.status == "fail"} for look in looks[-monitor.of :]]
    return [
        f
        for f in (looks[-1] if looks else ())
        if f.status == "fail" and sum(f.name in names for names in recent) >= monitor.persist
    ]
