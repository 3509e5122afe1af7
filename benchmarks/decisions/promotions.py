"""How often the gate promotes what is equal, worse or better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.decisions import worlds
from benchmarks.decisions.kept import Job, Tell, measured, parts
from pipelines.core.clock import days
from pipelines.evaluation.gate import judge
from pipelines.evaluation.metrics import measure
from pipelines.evaluation.statistic import labelled

TITLE = "The gate"

SPREAD, ROWS_A_WEEK = 0.04, 1_000
"""What a week does to a challenger's AUC, as a standard deviation, and payments a week."""
WEEKS = (2, 4)
RATES = (
    (0.0, 2_000, 1000), (-0.01, 2_000, 1000), (0.01, 2_000, 200), (0.02, 2_000, 200), (0.04, 2_000, 200),
    (0.005, 10_000, 100), (0.01, 10_000, 100), (0.02, 10_000, 100),
)  # fmt: skip
"""The true gain, the holdout's rows, and how many runs."""
RUNS = 500
"""Of each number of weeks."""
PART = 50
"""Runs that are kept together."""
CODE = ("pipelines/evaluation/*.py", "benchmarks/decisions/worlds.py", "benchmarks/decisions/promotions.py")


def promoted(gain: float, rows: int, seed: int) -> tuple[bool, bool]:
    """Whether our gate, and one that compares two numbers, promote a challenger that is truly better by that AUC."""
    random = np.random.default_rng([seed, rows])
    holdout = worlds.Holdout.drawn(rows, random)
    challenger, champion = (holdout.scored(auc, random) for auc in worlds.truths(gain))
    ours = judge(worlds.CASE, worlds.GATE, holdout.evidence(challenger, champion), seed=seed).verdict("")
    return ours.status == "pass", auc(holdout, challenger) > auc(holdout, champion)


def promoted_by_weeks(weeks: int, seed: int, rows: int = ROWS_A_WEEK) -> tuple[bool, bool]:
    """Whether our gate promotes a challenger that is equal to the champion but for what each week does to it, where it knows that
    weeks are lived through together, and where it takes customers alone for independent."""
    random = np.random.default_rng([seed, weeks])
    holdout, truth = worlds.through_weeks(rows * weeks, weeks, SPREAD, random)
    evidence = holdout.evidence(holdout.scored(truth, random), holdout.scored(worlds.AUC, random))
    gates = (replace(worlds.GATE, together=together) for together in (days(7), days(0)))
    knowing, not_knowing = (judge(worlds.CASE, gate, evidence, seed=seed).verdict("").status == "pass" for gate in gates)
    return knowing, not_knowing


def auc(holdout: worlds.Holdout, scores: np.ndarray) -> float:
    return measure(["roc_auc"], labelled(holdout.labels, holdout.unit), scores)["roc_auc"]


def rates(gain: float, rows: int, first: int, until: int) -> list[tuple[bool, bool]]:
    """Some of the runs of a true gain, by their seeds."""
    return [promoted(gain, rows, seed) for seed in range(first, until)]


def through_weeks(weeks: int, first: int, until: int) -> list[tuple[bool, bool]]:
    """Some of the runs of equal models in a holdout of so many weeks, by their seeds."""
    return [promoted_by_weeks(weeks, seed) for seed in range(first, until)]


def run(tell: Tell, share: float = 1.0) -> dict[str, Any]:
    """All figures of the section; `share` of the full number of runs, for a quick look."""
    rows_of = [(gain, rows, max(1, int(runs * share))) for gain, rows, runs in RATES]
    many = max(1, int(RUNS * share))
    jobs: dict[str, Job] = {}
    for gain, rows, runs in rows_of:
        jobs |= {f"rates-{gain:+g}-{rows}-{a}-{b}": (rates, (gain, rows, a, b)) for a, b in parts(runs, PART)}
    for weeks in WEEKS:
        jobs |= {f"weeks-{weeks}-{a}-{b}": (through_weeks, (weeks, a, b)) for a, b in parts(many, PART)}
    done = measured(jobs, tell, CODE)

    def promotions(name: str) -> list[int]:
        each = [pair for job, part in done.items() if job.startswith(f"{name}-") for pair in part]
        return np.sum(each, axis=0).tolist()

    found: dict[str, Any] = {"rates": [], "weeks": []}
    for gain, rows, runs in rows_of:
        ours, point = promotions(f"rates-{gain:+g}-{rows}")
        found["rates"].append({"gain": gain, "rows": rows, "runs": runs, "ours": ours, "point": point})
    for weeks in WEEKS:
        ours, units = promotions(f"weeks-{weeks}")
        found["weeks"].append({"weeks": weeks, "runs": many, "ours": ours, "units": units})
    return found


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
    return "\n".join([*lines, "", *_weeks(found.get("weeks", []))])


def _weeks(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What weeks that all live through do to a gate that knows of them, and to one that does not."""
    told = (
        f"All customers live through the same weeks. Here the challenger's AUC is another one each week, by {SPREAD:g} (a standard deviation) "
        f"about the champion's: over the weeks to come the two are equal. {ROWS_A_WEEK:,} payments a week; beside our gate, told by "
        "`gate.together: 7d` that weeks are lived through together, the same gate that takes customers alone for independent (`0s`)."
    )
    lines = [
        told,
        "",
        "| weeks in the holdout | runs | promoted (wanted: at most 5 %) | customers alone |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['weeks']} | {row['runs']:,} | {row['ours'] / row['runs']:.1%} | {row['units'] / row['runs']:.1%} |"
        for row in found
    ]
    return lines if found else []


def _wanted(gain: float) -> str:
    return "at most 5 %" if gain == 0 else "at most 0.5 %" if gain < 0 else "the more the better"
