"""What is said of broken feeds, and what would have been trained on; measured by benchmarks.watch.corruption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.decisions.kept import Job, Tell, measured
from benchmarks.watch import corruption

TITLE = "Broken data"
SEEDS = 20
CODE = (
    "pipelines/evaluation/*.py", "pipelines/checks/*.py", "pipelines/shop/**/*.py", "pipelines/steps/looking.py",
    "benchmarks/watch/corruption.py",
)  # fmt: skip


def one(seed: int) -> dict[str, Any]:
    """Every corruption, and none, in the shop of one seed."""
    return {
        name: vars(found) for name, found in corruption.outcomes([corruption.SOUND, *corruption.CORRUPTIONS], [seed]).items()
    }


def run(tell: Tell, share: float = 1.0) -> dict[str, Any]:
    """All figures of the section; `share` of the full number of shops, for a quick look."""
    seeds = range(1, max(1, int(SEEDS * share)) + 1)
    jobs: dict[str, Job] = {f"corruption-{seed}": (one, (seed,)) for seed in seeds}
    parts = list(measured(jobs, tell, CODE).values())
    return {"shops": len(parts), "rows": {name: _summed([part[name] for part in parts]) for name in parts[0]}}


def _summed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    counts = {key: dict(sum((Counter(part[key]) for part in parts), Counter())) for key in ("said", "why")}
    return {**counts, "trained": sum(part["trained"] for part in parts)}


def section(found: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    told = (
        f"One day of payments is broken in each of {found['shops']} simulated shops, as the first column says; the watch looks on the two "
        "mornings after, and holds what it finds from training. In the last column: shops where nothing kept the day from training. A "
        "unit bug in a fiftieth of a day's rows is about fourteen rows, of which some are refused for their size. None of "
        f"{found['shops']} shops still leaves room for {1 - 0.05 ** (1 / found['shops']):.0%} of all (95 % sure)."
    )
    lines = [
        told,
        "",
        "| what broke | said: broken data | said: nothing | first named by | trained on |",
        "|---|---:|---:|---|---:|",
    ]
    for name, row in found["rows"].items():
        said = [row["said"].get(word, 0) for word in ("broken data", "nothing")]
        why = ", ".join(f"{check} {many}" for check, many in sorted(row["why"].items(), key=lambda one: -one[1]))
        lines.append(f"| {name} | {said[0]} | {said[1]} | {why} | {row['trained'] if name != corruption.SOUND else '—'} |")
    return "\n".join(lines)
