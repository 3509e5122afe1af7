"""Would a release that answered before answer better now? A change that ends makes the model that had learnt it the wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.core.params import Gate
from pipelines.core.usecase import UseCase
from pipelines.core.verdict import Finding, judged
from pipelines.evaluation.cost import has_cost, mean_cost
from pipelines.evaluation.metrics import metric, statistics
from pipelines.evaluation.paired import Draws, enough, lived, resample, spend
from pipelines.evaluation.statistic import Array, Labelled, Statistic

MOST = 3
"""So many releases before the champion are asked at most: each one more makes it harder for all to be sure."""


def recall(
    case: UseCase, gate: Gate, rows: Labelled, champion: Array, formers: Mapping[str, Array], amounts: Any = None, *, seed: int
) -> dict[str, Finding]:
    """Of each former release, by its scores: the paired gain over the champion in the primary metric, on labels that nobody had
    learnt from. The error that the gate allows a challenger is shared among them.

    Passes where the gain is above the gate's margin for sure and the answers are not provably dearer. It need not show anything
    else again: a former release has passed the gate once, and its bytes are the ones that did.
    """
    name, wanted = case.metrics[0], f"a gain above {gate.margin:g} over the champion, at no provable cost"
    if few := _few(gate, rows):
        return {who: Finding(f"{who}: {name}", "unsure", None, wanted, advice=few) for who in formers}
    alpha = spend(gate.confidence, 0) / max(len(formers), 1)
    everybody = {"champion": champion, **formers}

    def made(rows: Labelled) -> dict[str, Statistic]:
        each = {f"{who} {name}": statistics([name], rows, scores)[name] for who, scores in everybody.items()}
        costs = everybody if has_cost(case.answers) else {}
        return each | {f"{who} cost": mean_cost(case.answers, rows, scores, amounts) for who, scores in costs.items()}

    drawn = lived(resample(made(rows), rows.units, resamples=enough(gate.resamples, alpha), seed=seed), made, rows, seed=seed)
    orient = metric(name, rows.levels).orient
    gains = {who: drawn[f"{who} {name}"].map(orient) - drawn[f"champion {name}"].map(orient) for who in formers}
    saved = {who: drawn["champion cost"] - drawn[f"{who} cost"] for who in formers} if has_cost(case.answers) else {}
    return {who: _found(f"{who}: {name}", wanted, gains[who], saved.get(who), gate.margin, alpha) for who in formers}


def best(found: Mapping[str, Finding]) -> str | None:
    """The former release that passes with the largest gain, if any does."""
    passing = [who for who, finding in found.items() if finding.status == "pass"]
    return max(passing, key=lambda who: found[who].observed or 0.0, default=None)


def _found(name: str, wanted: str, gain: Draws, saved: Draws | None, margin: float, alpha: float) -> Finding:
    seen = gain.interval(alpha)
    if not seen.known:
        return Finding(name, "unsure", None, wanted, advice="it cannot be computed with confidence from these rows")
    rules = {"passes_if": f"low > {margin!r}", "fails_unless": f"high >= {margin!r}"}
    finding = judged(name, seen.estimate, wanted, **rules, low=seen.low, high=seen.high, sure=seen.sure)
    if finding.status == "pass" and saved is not None and not saved.interval(alpha).high >= 0:
        return Finding(name, "unsure", seen.estimate, wanted, seen.low, seen.high, seen.sure, "its answers would cost more")
    return finding


def _few(gate: Gate, rows: Labelled) -> str:
    """What the labels lack to be judged on, or nothing."""
    positives = int((rows.labels > 0).sum())
    if rows.asks >= gate.min_rows and positives >= gate.min_positives:
        return ""
    return f"wanted {gate.min_rows} labels with {gate.min_positives} positives, got {rows.asks} with {positives}"
