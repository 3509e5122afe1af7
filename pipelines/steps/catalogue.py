"""catalogue: every feature in a sentence: whose it is, how often missing, how much the chosen model makes of it, what it costs."""

from __future__ import annotations

import argparse
import csv
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ShelflifeError
from pipelines.steps.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", nargs="?", help="the use case whose features are listed; all of them without it")
    parser.add_argument("--write", action="store_true", help="write the page of all use cases, docs/feature-catalogue.md")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pipelines import usecases
    from pipelines.features import catalogue

    workspace = Workspace.here()
    if args.write:
        path = workspace.root / catalogue.PAGE
        path.write_text(catalogue.page(usecases.load()), encoding="utf-8")
        return {"text": f"{catalogue.PAGE} holds what is declared now"}
    cases = [usecases.get(args.case)] if args.case else list(usecases.load().values())
    found = [
        entry
        for case in cases
        for entry in catalogue.entries(case, missing(workspace, case), importance(workspace, case), kept(workspace, case))
    ]
    return {"text": catalogue.table(found), "features": [asdict(entry) for entry in found]}


def missing(workspace: Workspace, case: UseCase) -> dict[str, float]:
    """The share of the training rows in which each feature is null; empty where there are no rows."""
    import pyarrow.parquet as pq

    path = workspace.rows(case.name) / "train.parquet"
    if not path.is_file():
        return {}
    names = [name for name in case.features.names if name in pq.read_schema(path).names]
    rows = pq.read_table(path, columns=names)
    return {name: rows[name].null_count / max(len(rows), 1) for name in names}


def importance(workspace: Workspace, case: UseCase) -> dict[str, float]:
    """The chosen model's importance of each feature, where it has any: the sum over the columns that the feature became."""
    reports = workspace.reports(case.name)
    if not (reports / "training.json").is_file():
        return {}
    try:
        chosen = json.loads((reports / "training.json").read_text())["chosen"]
        with (reports / "plots" / "importance.csv").open(newline="", encoding="utf-8") as file:
            lines = [row for row in csv.DictReader(file) if row["candidate"] == chosen]
    except (OSError, ValueError, KeyError) as error:
        raise ShelflifeError(
            f"the report of {case.name}'s training cannot be read ({error}); run dvc repro train@{case.name}"
        ) from None
    shares: dict[str, float] = {}
    for row in lines:
        if owner := _owner(row["feature"], case.features.names):
            shares[owner] = shares.get(owner, 0.0) + float(row["importance"])
    return shares


def kept(workspace: Workspace, case: UseCase) -> dict[str, float]:
    """The bytes that a key keeps online for each counted feature; empty where no stream has run for these definitions."""
    from pipelines.features import cost
    from pipelines.features.stream import OnlineStore
    from pipelines.steps.stream import open_store, where

    folder = Path(os.environ.get("SHELFLIFE_HOME") or workspace.root / ".shelflife") / "online"
    if not OnlineStore.kept(folder, case.features, where()):
        return {}
    store = open_store(folder, case.features)
    try:
        return cost.kept(store)
    finally:
        store.close()


def _owner(column: str, names: tuple[str, ...]) -> str | None:
    """The feature that an encoded column was made from: itself, or the longest whose name it begins with."""
    owners = [name for name in names if column == name or column.startswith((f"{name}=", f"{name} ", f"{name}:"))]
    return max(owners, key=len, default=None)
