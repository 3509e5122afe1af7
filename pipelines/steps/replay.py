"""replay: decide a recorded decision again. The same evidence, parameters and seed give the same verdict, or something is wrong."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Gate
from pipelines.core.verdict import Verdict
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.store.home import Home


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("decision", help="the decision's id, or the first digits of it (shelflife why lists them)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    return replay(workspace, open_home(workspace), args.decision)


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two verdicts say the same, numbers to a billionth: sums may be taken in another order by another library."""
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    return bool(ours == theirs)


def replay(workspace: Workspace, home: Home, id_: str) -> dict[str, Any]:
    """The verdict decided again from the kept evidence. Exit status 1 when it is not the recorded one."""
    from pipelines.evaluation import gate
    from pipelines.steps.evaluate import evidence_from

    decision = home.decisions.get(id_)
    if "evidence.parquet" not in decision.files:
        raise ShelflifeError(f"decision {decision.id[:12]} ({decision.kind}) kept no evidence to decide from")
    recorded = Verdict.from_dict(decision.body["verdict"])
    evidence = evidence_from(home.decisions.files(decision.id)["evidence.parquet"])
    judgement = gate.judge(
        workspace.case(decision.case), Gate.from_dict(decision.body["gate"]), evidence, seed=decision.body["seed"]
    )
    # What is looked at today and was not then decided nothing then.
    later = sorted(set(judgement.required) - set(recorded.required))
    findings = tuple(finding for finding in judgement.findings if finding.name not in later)
    again = Verdict(recorded.subject, findings, recorded.required, recorded.facts)
    same = _alike(again.to_dict(), recorded.to_dict())
    word = "the same verdict" if same else "NOT the recorded verdict; was the code or the use case changed since?"
    word += f" (not looked at then: {', '.join(later)})" if later else ""
    return {
        "text": f"decision {decision.id[:12]}: {word}\n{again.why()}",
        "same": same,
        "verdict": again.to_dict(),
        "exit": 0 if same else 1,
    }
