"""The watch's error rates: measured in parts that are kept, in words and tables for docs/decisions.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.decisions.kept import Job, Tell, measured
from benchmarks.watch import evidently, rates, stream

PART = 25
"""Quiet mornings that one stream has, and runs of a change that are kept together; the streams' customers and seeds differ."""

EVALUATION = (
    "windows",
    "effects",
    "usual",
    "drift",
    "quality",
    "units",
    "performance",
    "paired",
    "statistic",
    "metrics",
    "slices",
    "triage",
    "controller",
)
CODE = (
    *(f"pipelines/evaluation/{name}.py" for name in EVALUATION),
    "benchmarks/watch/rates.py",
    "benchmarks/watch/stream.py",
    "benchmarks/lifecycle/peers.py",
)
"""What the figures are of: measured again when it changes."""


def quiet(mornings: int, seed: int) -> dict[str, Any]:
    """What our watch and Evidently's rule say on so many quiet mornings."""
    return vars(rates.quiet(mornings, seed)) | {"theirs": evidently.alarms(mornings, seed)}


def found(change: str, first: int, until: int) -> list[int | None]:
    """On which window each run of a change finds it."""
    return [rates.found_within(change, 1000 + seed) for seed in range(first, until)]


def figures(mornings: int, runs: int, tell: Tell, processes: int = 2) -> dict[str, Any]:
    """All figures of the section."""
    jobs: dict[str, Job] = {}
    for first in range(0, mornings, PART):
        jobs[f"quiet-{first}-{min(PART, mornings - first)}"] = (quiet, (min(PART, mornings - first), 1 + first // PART))
    for change in stream.CHANGES:
        for first in range(0, runs, PART):
            jobs[f"{change.replace(' ', '_')}-{first}-{min(first + PART, runs)}"] = (
                found,
                (change, first, min(first + PART, runs)),
            )
    done = measured(jobs, tell, CODE, processes=processes)
    calm = [answer for name, answer in done.items() if name.startswith("quiet-")]
    said = sum((Counter(part["said"]) for part in calm), Counter())
    return {
        "quiet": {key: sum(part[key] for part in calm) for key in ("mornings", "alarms", "retrainings", "theirs")} | {"said": dict(said)},
        "power": {
            change: [one for name, answer in done.items() if name.startswith(f"{change.replace(' ', '_')}-") for one in answer]
            for change in stream.CHANGES
        },
    }  # fmt: skip


def text(figures: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    return "\n".join([*_alarms(figures["quiet"]), "", *_power(figures["power"])])


def _alarms(quiet: Mapping[str, Any]) -> list[str]:
    said = ", ".join(f"{kind} {many:,}" for kind, many in sorted(quiet["said"].items(), key=lambda one: -one[1]))
    told = (
        f"{quiet['mornings']:,} mornings without any drift: 500 rows a day, ten of each customer, half of whose variance is the customer's "
        "own; a weekly season in half of the 20 features, an effect of each day on all. The watch looks through all its channels; an alarm "
        "is every word of a shift or of harm that is new, mail or not."
    )
    return [
        told,
        "",
        "| rule | alarms | retrainings | wanted of 1,000 mornings |",
        "|---|---:|---:|---|",
        f"| the watch | {quiet['alarms']} | {quiet['retrainings']} | at most 10 alarms and 1 retraining |",
        f"| Evidently's default rule, the same mornings against the 56 days before | {quiet['theirs']} | one an alarm | |",
        "",
        f"The mornings by what the watch said: {said}.",
    ]


def _power(power: Mapping[str, Any]) -> list[str]:
    from scipy.stats import binomtest

    lines = [
        "From one moment on something has changed. A window is a day; of labels it is two days, and counts from when they are mature.",
        "",
        "| change | runs | found within 3 windows (95 % interval) | first found on window 1, 2, 3 |",
        "|---|---:|---:|---|",
    ]
    for change, windows in power.items():
        hits = [window for window in windows if window is not None]
        bounds = binomtest(len(hits), len(windows)).proportion_ci(method="wilson")
        share = f"{len(hits) / len(windows):.1%} ({bounds.low:.1%} to {bounds.high:.1%})"
        lines.append(f"| {change} | {len(windows)} | {share} | {', '.join(str(hits.count(n)) for n in (1, 2, 3))} |")
    return lines
