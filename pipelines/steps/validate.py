"""validate: bad data stops here, before anything is trained on it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipelines.core.clock import iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Verdict
from pipelines.steps.workspace import HELD, Workspace, known, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case whose snapshot is looked at")


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    verdict = look(workspace, args.case)
    if verdict.status != "pass":
        raise ShelflifeError(
            f"{verdict.why()}\nNothing was trained. Mend the feed, or hold the bad partition with shelflife quarantine hold, then run again."
        )
    return {"text": f"{verdict.subject} passes: {len(verdict.findings)} checks", "verdict": verdict.to_dict()}


def look(workspace: Workspace, case: str) -> Verdict:
    """Validate every kind of the snapshot; write reports/<case>/validation.json and the Data Docs."""
    from rich.progress import track

    from pipelines.checks import batch
    from pipelines.shop.contracts import CONTRACTS

    usecase, (as_of, _) = workspace.case(case), known(workspace.events(case))
    held = json.loads((workspace.events(case) / HELD).read_text())
    verdicts = []
    for kind in track(usecase.kinds, "validating", transient=True):
        table = _read(workspace, case, kind)
        docs = workspace.reports(case) / "data_docs" / kind
        suites = workspace.root / "great_expectations"
        verdicts.append(batch.validate(kind, table, CONTRACTS[kind], suites, docs, as_of=as_of, held=held[kind]))
    verdict = Verdict(
        f"{case} data as of {iso(as_of)}",
        tuple(finding for v in verdicts for finding in v.findings),
        tuple(name for v in verdicts for name in v.required),
        {name: value for v in verdicts for name, value in v.facts.items()},
    )
    write_json(workspace.reports(case) / "validation.json", verdict.to_dict())
    return verdict


def _read(workspace: Workspace, case: str, kind: str) -> Any:
    import pyarrow.parquet as pq

    path = workspace.events(case) / f"{kind}.parquet"
    if not path.is_file():
        raise ShelflifeError(f"{path.relative_to(workspace.root)} is missing; run shelflife ingest {case} (or dvc repro) first")
    return pq.read_table(path, page_checksum_verification=True)
