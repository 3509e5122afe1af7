"""Would a release that answered before answer better now? A change that ends makes the model that had learnt it the wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.core.params import Gate
from pipelines.core.usecase import UseCase
from pipelines.core.verdict import Finding, judged
from pipelines.evaluation.cost import has_cost, mean_cost
from pipelines.evaluation.metrics import metric, statistics
from pipelines.evaluation.paired import Draws, enough, resample
from pipelines.evaluation.statistic import Array, Labelled, Statistic

MOST = 3
"""So many releases before the champion are asked at most: each one more makes it harder for all to be sure."""


def recall(
    case: UseCase, gate: Gate, rows: Labelled, champion: Array, formers: Mapping[str, Array], amounts: Any = None, *, seed: int
) -> dict[str, Finding]:
    """Of each former release, by its scores: what it would save in money over the champion (where nobody has put money on the
    answers, what it would gain in the primary metric), on labels that nobody had learnt from.

    Passes where that is above nothing as surely as `gate.back` asks for, the error shared among those that are asked. To go back
    takes less than to go on: a newcomer has shown what it can on one holdout alone, a former release has passed the gate and
    answered, its bytes are the ones that did, and whoever goes back in error is where he was. So nobody waits here for weeks that
    say the same (`gate.together`): what the weeks leave open speaks for the one that was there before. It need not show anything
    else again.
    """
    name, wanted = _name(case), f"better than the champion, {gate.back:.0%} sure"
    if not formers:
        return {}
    if few := rows.lacking(gate.min_rows, gate.min_positives):
        return {who: Finding(f"{who}: {name}", "unsure", None, wanted, advice=few) for who in formers}
    alpha = (1 - gate.back) / len(formers)
    everybody = {"champion": champion, **formers}
    made = {who: _worth(case, rows, scores, amounts) for who, scores in everybody.items()}
    drawn = resample(made, rows.units, resamples=enough(gate.resamples, alpha), seed=seed)
    better = {who: _oriented(case, rows, draws) for who, draws in drawn.items()}
    return {who: _found(f"{who}: {name}", wanted, better[who] - better["champion"], alpha) for who in formers}


def best(found: Mapping[str, Finding]) -> str | None:
    """The former release that passes with the largest gain, if any does."""
    passing = [who for who, finding in found.items() if finding.status == "pass"]
    return max(passing, key=lambda who: found[who].observed or 0.0, default=None)


def _name(case: UseCase) -> str:
    return "saving in currency units per 1,000 answers" if has_cost(case.answers) else f"gain in {case.metrics[0]}"


def _worth(case: UseCase, rows: Labelled, scores: Array, amounts: Any) -> Statistic:
    if has_cost(case.answers):
        return mean_cost(case.answers, rows, scores, amounts)
    return statistics(case.metrics[:1], rows, scores)[case.metrics[0]]


def _oriented(case: UseCase, rows: Labelled, draws: Draws) -> Draws:
    """So that more is better: currency units per 1,000 answers (a thousand answers, a hundred cents), or the metric."""
    if has_cost(case.answers):
        return draws.map(lambda cents: -10 * cents)
    return draws.map(metric(case.metrics[0], rows.levels).orient)


def _found(name: str, wanted: str, gain: Draws, alpha: float) -> Finding:
    seen = gain.interval(alpha)
    if not seen.known:
        return Finding(name, "unsure", None, wanted, advice="it cannot be computed with confidence from these rows")
    rules = {"passes_if": "low > 0", "fails_unless": "high >= 0"}
    return judged(name, seen.estimate, wanted, **rules, low=seen.low, high=seen.high, sure=seen.sure)
