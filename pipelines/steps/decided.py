"""A verdict with all that it was decided from, kept so that it can be decided again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core.clock import iso
from pipelines.core.release import Moment
from pipelines.core.verdict import Verdict
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home

EVIDENCE = ("report.json", "evidence.parquet")


def record_decision(home: Home, tree: Workspace, moment: Moment, verdict: Verdict, facts: dict[str, Any]) -> str:
    """Keep the verdict with all it was decided from, so that it can be decided again."""
    case = moment.usecase
    folder = tree.reports(case) / "verdict"
    block = tree.params.block(case)
    body = {
        **facts, "verdict": verdict.to_dict(), "champion": moment.champion, "as_of": iso(moment.as_of), "log": moment.log,
        "holdout": moment.holdout, "gate": block.gate.to_dict(), "seed": block.train.seed, "subject": verdict.subject,
    }  # fmt: skip
    files = {name: (folder / name).read_bytes() for name in EVIDENCE if (folder / name).is_file()}
    return home.decisions.record(facts.get("action", "verdict"), case, home.clock()(), body, files)
