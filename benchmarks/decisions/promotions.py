"""How often the gate promotes what is equal, worse or better, and what a holdout that is used again and again makes it believe."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.decisions import worlds
from pipelines.evaluation.gate import judge
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled

TITLE = "The gate"
SEQUENCE = 30
"""Challengers that come one after the other to the same holdout."""

Tell = Callable[[str], None]


def promoted(gain: float, rows: int, seed: int) -> tuple[bool, bool]:
    """Whether our gate, and one that compares two numbers, promote a challenger that is truly better by that AUC."""
    random = np.random.default_rng([seed, rows])
    holdout = worlds.Holdout.drawn(rows, random)
    challenger, champion = (holdout.scored(auc, random) for auc in worlds.truths(gain))
    ours = judge(worlds.CASE, worlds.GATE, holdout.evidence(challenger, champion), seed=seed).verdict("")
    return ours.status == "pass", _auc(holdout, challenger) > _auc(holdout, champion)


def sequence(rows: int, seed: int) -> dict[str, tuple[float, int]]:
    """Thirty equal challengers against one holdout, by our gate and by comparing two numbers: the gain that the holdout reports of
    the last champion over the first (the truth is none), and how many were promoted."""
    random = np.random.default_rng([seed, rows])
    holdout = worlds.Holdout.drawn(rows, random)
    first, *others = (holdout.scored(worlds.AUC, random) for _ in range(SEQUENCE + 1))
    champions, counts = {"ours": first, "point": first}, {"ours": 0, "point": 0}
    for look, challenger in enumerate(others):
        chosen = {
            "ours": _passes(holdout, challenger, champions["ours"], look, seed),
            "point": _auc(holdout, challenger) > _auc(holdout, champions["point"]),
        }
        champions |= {who: challenger for who, better in chosen.items() if better}
        counts = {who: count + chosen[who] for who, count in counts.items()}
    return {who: (_auc(holdout, last) - _auc(holdout, first), counts[who]) for who, last in champions.items()}


def _passes(holdout: worlds.Holdout, challenger: np.ndarray, champion: np.ndarray, look: int, seed: int) -> bool:
    """The verdict at this look. A holdout that is retired passes nobody, whatever the scores: one such look is judged, the rest are not."""
    if look > worlds.GATE.looks:
        return False
    return judge(worlds.CASE, worlds.GATE, holdout.evidence(challenger, champion, look), seed=seed).verdict("").status == "pass"


def _auc(holdout: worlds.Holdout, scores: np.ndarray) -> float:
    return measure(["roc_auc"], labelled(holdout.labels, holdout.unit), scores)["roc_auc"]


def run(tell: Tell, share: float = 1.0) -> dict[str, Any]:
    """All figures of the section; `share` of the full number of runs, for a quick look."""
    found: dict[str, Any] = {"rates": [], "seconds": _seconds()}
    for gain, rows, runs in (
        (0.0, 2_000, 1000), (-0.01, 2_000, 1000), (0.01, 2_000, 200), (0.02, 2_000, 200), (0.04, 2_000, 200),
        (0.005, 10_000, 100), (0.01, 10_000, 100), (0.02, 10_000, 100),
    ):  # fmt: skip
        many = max(1, int(runs * share))
        both = np.array([promoted(gain, rows, seed) for seed in range(many)])
        found["rates"].append(
            {"gain": gain, "rows": rows, "runs": many, "ours": int(both[:, 0].sum()), "point": int(both[:, 1].sum())}
        )
        tell(f"AUC {gain:+g} on {rows:,} rows: {found['rates'][-1]}")
    many = max(1, int(100 * share))
    chains = [sequence(2_000, seed) for seed in range(many)]
    found["sequence"] = {"runs": many, "rows": 2_000} | {
        who: {"gain": float(np.mean([c[who][0] for c in chains])), "promotions": float(np.mean([c[who][1] for c in chains]))}
        for who in ("ours", "point")
    }
    tell(f"{SEQUENCE} equal ones in sequence: {found['sequence']}")
    return found


def _seconds(rows: int = 100_000) -> float:
    """CPU seconds of one whole judgement of so many rows."""
    random = np.random.default_rng(1)
    holdout = worlds.Holdout.drawn(rows, random)
    challenger, champion = (holdout.scored(auc, random) for auc in worlds.truths(0.01))
    judge(worlds.CASE, worlds.GATE, worlds.Holdout.drawn(600, random).evidence(np.full(600, 0.1), np.full(600, 0.1)), seed=1)
    start = time.process_time()
    judge(worlds.CASE, worlds.GATE, holdout.evidence(challenger, champion), seed=1)
    return time.process_time() - start


def section(found: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    from scipy.stats import binomtest

    told = (
        "Two models score the same holdout (10 % positives, three payments a customer, errors that correlate by 0.8). The truth is "
        "known: the challenger's true AUC differs from the champion's 0.82 by as much as the first column says. The whole gate judges, "
        "generous in all but the comparison; beside it a gate that promotes whatever scores higher."
    )
    lines = [
        told,
        "",
        "| true gain | rows | runs | promoted by our gate (95 % interval) | by comparing two numbers | wanted |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    for row in found["rates"]:
        bounds = binomtest(row["ours"], row["runs"]).proportion_ci(method="wilson")
        share = f"{row['ours'] / row['runs']:.1%} ({bounds.low:.1%} to {bounds.high:.1%})"
        lines.append(
            f"| {row['gain']:+g} | {row['rows']:,} | {row['runs']:,} | {share} | {row['point'] / row['runs']:.1%} | {_wanted(row['gain'])} |"
        )
    return "\n".join([*lines, *_sequence(found), *_speed(found)])


def _speed(found: Mapping[str, Any]) -> list[str]:
    if "seconds" not in found:
        return []
    return [
        "",
        f"One whole judgement of 100,000 rows with at least 1,000 resamples: {found['seconds']:.1f} s of CPU (wanted: under 5).",
    ]


def _sequence(found: Mapping[str, Any]) -> list[str]:
    if "sequence" not in found:
        return []
    ours, point = found["sequence"]["ours"], found["sequence"]["point"]
    told = (
        f"{SEQUENCE} challengers, all equal to the champion, come one after the other to one holdout of {found['sequence']['rows']:,} rows "
        f"({found['sequence']['runs']} times). Our gate pays for each look and retires the holdout after {worlds.GATE.looks}:"
    )
    return [
        "",
        told,
        "",
        "| gate | gain that the holdout reports (truth: 0) | promotions |",
        "|---|---:|---:|",
        f"| ours (wanted: at most +0.002, at most 0.3) | {ours['gain']:+.4f} | {ours['promotions']:.2f} |",
        f"| comparing two numbers | {point['gain']:+.4f} | {point['promotions']:.2f} |",
    ]


def _wanted(gain: float) -> str:
    return "at most 5 %" if gain == 0 else "at most 0.5 %" if gain < 0 else "the more the better"
