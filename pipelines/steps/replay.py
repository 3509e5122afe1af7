"""replay: decide a recorded decision again. The same evidence, parameters and seed give the same verdict, or something is wrong."""

from __future__ import annotations

import argparse
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


def replay(workspace: Workspace, home: Home, id_: str) -> dict[str, Any]:
    """The verdict decided again from the kept evidence. Exit status 1 when it is not the recorded one."""
    from pipelines.evaluation import gate
    from pipelines.steps.evaluate import evidence_from

    decision = home.decisions.get(id_)
    if "evidence.parquet" not in decision.files:
        raise ShelflifeError(f"decision {decision.id[:12]} ({decision.kind}) kept no evidence to decide from")
    recorded = Verdict.from_dict(decision.body["verdict"])
    evidence = evidence_from(home.decisions.files(decision.id)["evidence.parquet"])
    judgement = gate.judge(workspace.case(decision.case), Gate(**decision.body["gate"]), evidence, seed=decision.body["seed"])
    again = judgement.verdict(recorded.subject, recorded.facts)
    same = again.to_dict() == recorded.to_dict()
    word = "the same verdict" if same else "NOT the recorded verdict; was the code or the use case changed since?"
    return {
        "text": f"decision {decision.id[:12]}: {word}\n{again.why()}",
        "same": same,
        "verdict": again.to_dict(),
        "exit": 0 if same else 1,
    }
