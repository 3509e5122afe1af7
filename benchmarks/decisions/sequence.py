"""What a holdout that is used again and again makes a gate believe, and how long one judgement takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.decisions import worlds
from benchmarks.decisions.kept import Tell, measured, parts
from benchmarks.decisions.promotions import auc
from pipelines.evaluation.gate import judge

TITLE = "One holdout, again and again"
SEQUENCE = 30
"""Challengers that come one after the other to the same holdout."""
ROWS = 2_000
PART = 10
"""Sequences that are kept together."""
CODE = ("pipelines/evaluation/*.py", "benchmarks/decisions/worlds.py", "benchmarks/decisions/sequence.py")


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
            "point": auc(holdout, challenger) > auc(holdout, champions["point"]),
        }
        champions |= {who: challenger for who, better in chosen.items() if better}
        counts = {who: count + chosen[who] for who, count in counts.items()}
    return {who: (auc(holdout, last) - auc(holdout, first), counts[who]) for who, last in champions.items()}


def _passes(holdout: worlds.Holdout, challenger: np.ndarray, champion: np.ndarray, look: int, seed: int) -> bool:
    """The verdict at this look. A holdout that is retired passes nobody, whatever the scores: one such look is judged, the rest are not."""
    if look > worlds.GATE.looks:
        return False
    return judge(worlds.CASE, worlds.GATE, holdout.evidence(challenger, champion, look), seed=seed).verdict("").status == "pass"


def chains(first: int, until: int) -> list[dict[str, Any]]:
    """Some of the sequences, by their seeds."""
    return [sequence(ROWS, seed) for seed in range(first, until)]


def run(tell: Tell, share: float = 1.0) -> dict[str, Any]:
    """All figures of the section; `share` of the full number of sequences, for a quick look."""
    runs = max(1, int(100 * share))
    jobs = {f"sequence-{a}-{b}": (chains, (a, b)) for a, b in parts(runs, PART)}
    each = [chain for part in measured(jobs, tell, CODE).values() for chain in part]
    means = {who: np.mean([chain[who] for chain in each], axis=0) for who in ("ours", "point")}
    told = {who: {"gain": float(mean[0]), "promotions": float(mean[1])} for who, mean in means.items()}
    return {"runs": runs, "rows": ROWS, **told, "seconds": round(_seconds(), 2)}


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
    ours, point = found["ours"], found["point"]
    told = (
        f"{SEQUENCE} challengers, all equal to the champion, come one after the other to one holdout of {found['rows']:,} rows "
        f"({found['runs']} times). Our gate pays for each look and retires the holdout after {worlds.GATE.looks}:"
    )
    return "\n".join([
        told,
        "",
        "| gate | gain that the holdout reports (truth: 0) | promotions |",
        "|---|---:|---:|",
        f"| ours (wanted: at most +0.002, at most 0.3) | {ours['gain']:+.4f} | {ours['promotions']:.2f} |",
        f"| comparing two numbers | {point['gain']:+.4f} | {point['promotions']:.2f} |",
        "",
        f"One whole judgement of 100,000 rows with at least 1,000 resamples: {found['seconds']:.1f} s of CPU (wanted: under 5).",
    ])  # fmt: skip
