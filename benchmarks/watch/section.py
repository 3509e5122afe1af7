"""The watch's error rates in words and tables, for docs/decisions.md."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.watch import peer, rates, stream

WORKERS = 2
PART = 125
"""Quiet mornings that one stream has; the streams' customers and seeds differ."""


def drift(mornings: int, runs: int) -> str:
    """The section on false alarms and on what is found, measured now."""
    with ProcessPoolExecutor(WORKERS) as pool:
        quiet = list(
            pool.map(_quiet, [(min(PART, mornings - first), 1 + i) for i, first in enumerate(range(0, mornings, PART))])
        )
        found = {
            change: list(pool.map(_found, [(change, 1000 + seed) for seed in range(runs)], chunksize=4))
            for change in stream.CHANGES
        }
    return "\n".join([*_alarms(quiet), "", *_power(found)])


def _quiet(job: tuple[int, int]) -> tuple[rates.Quiet, int]:
    return rates.quiet(*job), peer.alarms(*job)


def _found(job: tuple[str, int]) -> int | None:
    return rates.found_within(*job)


def _alarms(parts: Sequence[tuple[rates.Quiet, int]]) -> list[str]:
    mornings = sum(quiet.mornings for quiet, _ in parts)
    said = sum(quiet.alarms for quiet, _ in parts)
    retrained = sum(quiet.retrainings for quiet, _ in parts)
    theirs = sum(alarms for _, alarms in parts)
    return [
        "### Quiet days",
        "",
        f"{mornings:,} mornings without any drift (500 rows a day, ten of each customer, a weekly season, an effect of each day; 20 features).",
        'The watch looks through all its channels; "said" counts every word of a shift, mail or not.',
        "",
        "| rule | said | retrainings |",
        "|---|---|---|",
        f"| the watch | {said} | {retrained} |",
        f"| Evidently's default rule on the same days (reference: the 56 days before) | {theirs} | {theirs} |",
    ]


def _power(found: dict[str, list[int | None]]) -> list[str]:
    lines = ["### What is found", "", "| change | runs | found within 3 windows | found on window |", "|---|---|---|---|"]
    for change, windows in found.items():
        hits = [window for window in windows if window is not None]
        when = ", ".join(f"{n}: {hits.count(n)}" for n in sorted(set(hits)))
        lines.append(f"| {change} | {len(windows)} | {len(hits) / len(windows):.1%} | {when} |")
    return lines
