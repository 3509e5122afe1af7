"""The gate: everything a challenger must show before it may answer, as findings; what cannot be shown is never a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pipelines.core.decision import Probability, Quantiles, Ranking
from pipelines.core.params import Gate
from pipelines.core.usecase import UseCase
from pipelines.core.verdict import Finding, Verdict, judged
from pipelines.evaluation.calibration import expected_error, quantile_error
from pipelines.evaluation.churn import churn
from pipelines.evaluation.cost import has_cost, mean_cost
from pipelines.evaluation.evidence import Evidence, Holdout
from pipelines.evaluation.metrics import metric, statistics
from pipelines.evaluation.paired import Draws, Interval, enough, lived, resample, spend
from pipelines.evaluation.slices import Part, judge_slices, judged_parts
from pipelines.evaluation.statistic import Array, Labelled, Statistic, sound


@dataclass(frozen=True)
class Judgement:
    """The findings, the names of those that must be there, and the metrics' figures that explain without deciding."""

    findings: list[Finding]
    required: list[str]
    figures: dict[str, dict[str, float | None]]

    def verdict(self, subject: str, facts: Mapping[str, Any] | None = None) -> Verdict:
        """The verdict they add up to."""
        return Verdict(subject, tuple(self.findings), tuple(self.required), facts or {})


def required(case: UseCase, gate: Gate, *, champion: bool) -> list[str]:
    """The names of the findings that must be there: from the declaration and the parameters alone, never from the evidence."""
    probability = isinstance(case.answers, Probability)
    names = ["looks", "rows", "answers differ", "floor", "better than the baseline"]
    names += ["positives"] if probability and gate.min_positives else []
    names += ["better: lower bound", "better: upper bound", "churn"] if champion else []
    names += ["calibration"] if not isinstance(case.answers, Ranking) else []
    names += ["cost"] if has_cost(case.answers) else []
    return names + [f"slice: {column}" for column in case.slices] + ["latency", "size", "memory", "parity"]


def judge(case: UseCase, gate: Gate, evidence: Evidence, *, seed: int) -> Judgement:
    """Judge a challenger against the champion, or, where there is none yet, against the trivial baseline alone.

    A pure function: the same evidence, parameters and seed give the same judgement. Raises ShelflifeError where the columns
    do not fit together.
    """
    alpha = spend(gate.confidence, min(evidence.looks, gate.looks - 1))
    holdout = Holdout.of(case, evidence)
    looked_at = judged_parts(case, gate, holdout.rows, holdout.slices)
    draws = _resample(case, gate, holdout, looked_at, alpha, seed)
    value = _primary(case, holdout, draws)
    findings = [
        _looks(gate, evidence.looks), *_counts(case, gate, holdout), _differ(case, holdout),
        _floor(gate, value, alpha), _baseline((value["challenger"] - value["baseline"]).interval(alpha)),
    ]  # fmt: skip
    findings += _against_champion(case, gate, evidence, holdout, draws, alpha) if "champion" in value else []
    findings += _side_effects(case, gate, evidence, holdout, looked_at, draws, alpha)
    return Judgement(
        findings, required(case, gate, champion=evidence.champion is not None), _figures(case, holdout, draws, alpha)
    )


def _resample(
    case: UseCase, gate: Gate, holdout: Holdout, looked_at: Sequence[Part], alpha: float, seed: int
) -> dict[str, Draws]:
    """All statistics of the judgement over the same draws of units; and what time does to those that compare with the champion:
    whoever takes its place answers in weeks to come."""
    wanted: dict[str, Statistic] = {}
    for who, scores in holdout.scores.items():
        wanted |= _worth(case, case.metrics, holdout.rows, who, scores, holdout.amounts)
    if not isinstance(case.answers, Ranking):
        error = quantile_error if isinstance(case.answers, Quantiles) else expected_error
        wanted |= {f"{who} calibration": error(holdout.rows, scores) for who, scores in holdout.compared.items()}
    for who, scores in holdout.compared.items():
        for part in looked_at:
            made = statistics(case.metrics[:1], holdout.rows.part(part.mask), scores[part.mask])
            wanted[f"{who} {part.name}"] = made[case.metrics[0]]
    drawn = resample(wanted, holdout.rows.units, resamples=enough(gate.resamples, alpha), seed=seed)
    if "champion" not in holdout.scores:
        return drawn
    rows = holdout.rows.within(gate.together, holdout.ts)
    return lived(drawn, partial(_both, case, holdout), rows, seed=seed)


def _both(case: UseCase, holdout: Holdout, rows: Labelled) -> dict[str, Statistic]:
    """The primary metric and the cost of challenger and champion."""
    made = (_worth(case, case.metrics[:1], rows, who, scores, holdout.amounts) for who, scores in holdout.compared.items())
    return {name: statistic for each in made for name, statistic in each.items()}


def _worth(
    case: UseCase, names: Sequence[str], rows: Labelled, who: str, scores: Array, amounts: Array | None
) -> dict[str, Statistic]:
    """The metrics of these scores, and their cost where the shop has put money on the answers."""
    made = {f"{who} {name}": statistic for name, statistic in statistics(names, rows, scores).items()}
    if has_cost(case.answers):
        made[f"{who} cost"] = mean_cost(case.answers, rows, scores, amounts)
    return made


def _primary(case: UseCase, holdout: Holdout, draws: Mapping[str, Draws]) -> dict[str, Draws]:
    """Everybody's primary metric, so that more is better."""
    primary = metric(case.metrics[0], holdout.rows.levels)
    return {who: draws[f"{who} {primary.name}"].map(primary.orient) for who in holdout.scores}


def _looks(gate: Gate, looks: int) -> Finding:
    spent = looks >= gate.looks
    advice = "this holdout is retired; judge on newer matured labels" if spent else ""
    wanted = f"fewer than {gate.looks} earlier looks at this holdout"
    return judged("looks", float(looks), wanted, passes_if=f"observed < {gate.looks}", advice=advice)


def _counts(case: UseCase, gate: Gate, holdout: Holdout) -> list[Finding]:
    """Enough labelled asks; for a probability, enough positives too."""
    found = [_at_least("rows", holdout.rows.asks, gate.min_rows, "labelled asks")]
    if isinstance(case.answers, Probability) and gate.min_positives:
        found.append(_at_least("positives", int((holdout.rows.labels > 0).sum()), gate.min_positives, "positives"))
    return found


def _at_least(name: str, seen: int, least: int, what: str) -> Finding:
    enough_seen = seen >= least
    advice = "" if enough_seen else f"wait for {least - seen} more matured {what}"
    return judged(name, float(seen), f"at least {least} {what}", passes_if=f"observed >= {least}", advice=advice)


def _differ(case: UseCase, holdout: Holdout) -> Finding:
    """A model that answers everybody alike knows nothing, whatever its metric says."""
    scores = holdout.scores["challenger"]
    wanted = "answers that differ between rows"
    if not sound(holdout.rows, scores):
        return Finding("answers differ", "unsure", None, wanted, advice="some scores are missing or no finite numbers")
    table = scores.reshape(len(scores), -1)
    if isinstance(case.answers, Ranking):
        listed = np.isfinite(scores)
        group, score = holdout.rows.group[listed], scores[listed]
        lowest, highest = np.full(holdout.rows.asks, np.inf), np.full(holdout.rows.asks, -np.inf)
        np.minimum.at(lowest, group, score)
        np.maximum.at(highest, group, score)
        share = float(np.mean(highest > lowest))
    else:
        share = float(np.mean((table != table[0]).any(axis=1)))
    return judged("answers differ", share, wanted, passes_if="observed > 0", fails_unless="observed > 0")


def _floor(gate: Gate, value: Mapping[str, Draws], alpha: float) -> Finding:
    """The least primary metric, or the champion's own where that lies below: what answers if the challenger does not is no better."""
    least = min(gate.floor, value["champion"].value) if _known(value.get("champion")) else gate.floor
    why = "" if least == gate.floor else f", as the champion; {gate.floor:g} is wished for"
    rule = f"observed >= {least!r}"
    return _finding("floor", value["challenger"].interval(alpha), f"at least {least:g}{why}", passes_if=rule, fails_unless=rule)


def _known(draws: Draws | None) -> bool:
    return draws is not None and bool(np.isfinite(draws.value))


def _baseline(gain: Interval) -> Finding:
    advice = "" if gain.low > 0 else "a trivial rule does as well; more labels or better features are needed"
    return _finding(
        "better than the baseline", gain, "lower bound above 0", passes_if="low > 0", fails_unless="high > 0", advice=advice
    )


def _against_champion(
    case: UseCase, gate: Gate, evidence: Evidence, holdout: Holdout, draws: Mapping[str, Draws], alpha: float
) -> list[Finding]:
    """The pair of bounds that says promote, reject or inconclusive, and how many answers change for it."""
    gain = _gain(case, holdout, draws).interval(alpha)
    saved = _saved(holdout, draws, alpha) if has_cost(case.answers) else None
    upheld = evidence.upheld(gate.reasons, cheaper=saved is not None and saved.known and saved.low > 0)
    bar, why = (-gate.inferior, f"no worse, as it is {' and '.join(upheld)}") if upheld else (gate.margin, "better")
    above, possible = f"low > {bar!r}", f"high >= {bar!r}"
    advice = _needed(gain, bar, holdout)
    lower = _finding(
        "better: lower bound", gain, f"above {bar:g} ({why})", passes_if=above, fails_unless=possible, advice=advice
    )
    upper = _finding("better: upper bound", gain, f"at least {bar:g} ({why})", passes_if=possible, fails_unless=possible)
    lower = replace(lower, observed=gain.low if gain.known else None)
    upper = replace(upper, observed=gain.high if gain.known else None)
    proven = gain.known and gain.low > gate.margin
    return [lower, upper, _churn(case, gate, holdout, proven=proven, final=bool(upheld))]


def _needed(gain: Interval, bar: float, holdout: Holdout) -> str:
    """How many more labels would decide, if the estimate is right: the distance to the bound shrinks with the root of the asks."""
    if not gain.known or gain.low > bar or gain.high < bar:
        return ""
    away = abs(gain.estimate - bar)
    nearer = (gain.estimate - gain.low) if gain.estimate > bar else (gain.high - gain.estimate)
    if away <= nearer / 10:
        return "too close to call: more labels would hardly decide"
    asks, days = holdout.rows.asks, len(np.unique(holdout.rows.day))
    more = int(np.ceil(asks * (nearer / away) ** 2)) - asks
    rate = f", or {int(np.ceil(more * days / asks)):,} more days of them" if days > 1 else ""
    return f"about {more:,} more labels beside the {asks:,} would decide, if the estimate holds{rate}"


def _churn(case: UseCase, gate: Gate, holdout: Holdout, *, proven: bool, final: bool) -> Finding:
    """Answers may change for a proven gain; for any other reason only a few may. `final`: no more labels would prove one."""
    challenger, champion = holdout.scores["challenger"], holdout.scores["champion"]
    share = churn(case.answers, challenger, champion, group=holdout.rows.group, amounts=holdout.amounts)
    wanted = f"at most {gate.churn:g} of the answers changed, or a proven gain"
    if not np.isfinite(share):
        return Finding("churn", "unsure", None, wanted, advice="some scores or amounts are missing")
    rule = f"observed <= {1.0 if proven else gate.churn!r}"
    return judged("churn", share, wanted, passes_if=rule, fails_unless=rule if final else None)


def _side_effects(
    case: UseCase,
    gate: Gate,
    evidence: Evidence,
    holdout: Holdout,
    looked_at: Sequence[Part],
    draws: Mapping[str, Draws],
    alpha: float,
) -> list[Finding]:
    """Calibration, money, slices, budgets and the export's parity."""
    found = []
    if "challenger calibration" in draws:
        error, usual = draws["challenger calibration"].interval(alpha), draws.get("champion calibration")
        # What answers if the challenger does not may be further off.
        limit = max(gate.calibration, usual.value) if usual is not None and _known(usual) else gate.calibration
        rules = {"passes_if": f"observed <= {limit!r}", "fails_unless": f"low <= {limit!r}"}
        found.append(_finding("calibration", error, f"error of at most {limit:g}", **rules))
    if has_cost(case.answers):
        found.append(_cost(holdout, draws, alpha))
    unsure = {(part.column, part.value) for part in looked_at if not part.sure}
    gains = _gains(case, holdout, looked_at, draws)
    found += judge_slices(case.slices, gains, harm=gate.slice_harm, alpha=1 - gate.confidence, few=unsure)
    found += [
        _budget("latency", evidence.latency_ms, gate.latency_ms, "ms"),
        _budget("size", evidence.size_mb, gate.size_mb, "MB"),
        _budget("memory", evidence.memory_mb, gate.memory_mb, "MB"),
    ]
    parity = evidence.parity
    missing = Finding("parity", "unsure", None, "the exported model equals the trained one", advice="parity was not checked")
    return [*found, replace(parity, name="parity") if parity else missing]


def _cost(holdout: Holdout, draws: Mapping[str, Draws], alpha: float) -> Finding:
    """Money saved per thousand answers, against whom it is compared with; a challenger must not provably cost more."""
    return _finding(
        "cost",
        _saved(holdout, draws, alpha),
        f"not provably dearer than the {holdout.other}; saving in currency units per 1,000 answers",
        passes_if="high >= 0",
        fails_unless="high >= 0",
    )


def _gain(case: UseCase, holdout: Holdout, draws: Mapping[str, Draws]) -> Draws:
    """The paired gain in the primary metric over whom the challenger is compared with."""
    value = _primary(case, holdout, draws)
    return value["challenger"] - value[holdout.other]


def _saved(holdout: Holdout, draws: Mapping[str, Draws], alpha: float) -> Interval:
    """Currency units that the challenger saves per 1,000 answers: ten times the cents per answer."""
    return (draws[f"{holdout.other} cost"] - draws["challenger cost"]).map(lambda cents: cents * 10).interval(alpha)


def _gains(
    case: UseCase, holdout: Holdout, looked_at: Sequence[Part], draws: Mapping[str, Draws]
) -> dict[str, dict[str, Draws]]:
    """The paired gain in each judged part of each slice that is there."""
    orient = metric(case.metrics[0], holdout.rows.levels).orient
    gains: dict[str, dict[str, Draws]] = {column: {} for column in holdout.slices}
    for part in looked_at:
        gains[part.column][part.value] = draws[f"challenger {part.name}"].map(orient) - draws[
            f"{holdout.other} {part.name}"
        ].map(orient)
    return gains


def _budget(name: str, seen: float | None, limit: float, unit: str) -> Finding:
    wanted = f"at most {limit:g} {unit}"
    if seen is None or not np.isfinite(seen):
        return Finding(name, "unsure", None, wanted, advice=f"the {name} was not measured")
    rule = f"observed <= {limit!r}"
    return judged(name, float(seen), wanted, passes_if=rule, fails_unless=rule)


def _finding(name: str, seen: Interval, wanted: str, *, passes_if: str, fails_unless: str, advice: str = "") -> Finding:
    """A finding from an interval; unsure whenever estimate or bounds could not be computed."""
    if not seen.known:
        estimate = seen.estimate if np.isfinite(seen.estimate) else None
        return Finding(
            name, "unsure", estimate, wanted, sure=seen.sure, advice="it cannot be computed with confidence from these rows"
        )
    rules = {"passes_if": passes_if, "fails_unless": fails_unless}
    return judged(name, seen.estimate, wanted, **rules, low=seen.low, high=seen.high, sure=seen.sure, advice=advice)


def _figures(case: UseCase, holdout: Holdout, draws: Mapping[str, Draws], alpha: float) -> dict[str, dict[str, float | None]]:
    """Every metric of everybody, and the challenger's oriented gain with its bounds; None where it is not defined."""
    figures = {}
    for name in case.metrics:
        orient = metric(name, holdout.rows.levels).orient
        gain = (draws[f"challenger {name}"].map(orient) - draws[f"{holdout.other} {name}"].map(orient)).interval(alpha)
        row = {who: draws[f"{who} {name}"].value for who in holdout.scores} | {
            "gain": gain.estimate,
            "low": gain.low,
            "high": gain.high,
        }
        figures[name] = {key: float(number) if np.isfinite(number) else None for key, number in row.items()}
    return figures
