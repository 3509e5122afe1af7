"""featurize: events become rows of features and matured labels, split by time into what trains, what chooses and what judges."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.steps.workspace import Workspace, known, write_known

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.core.params import LabelWindow
    from pipelines.core.usecase import UseCase
    from pipelines.features.candidates import Index
    from pipelines.features.split import Parts

STRETCHES = 4
"""How many indexes a ranking's training span gets, each fitted on the views before its stretch."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case whose rows are made")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return featurize(Workspace.here(), args.case)


def featurize(workspace: Workspace, case: str) -> dict[str, Any]:
    """Write data/<case>/rows/{train,between,valid,holdout}.parquet, and for a ranking the index that the holdout is expanded by.

    `between` is the gap that keeps the choice honest; what was chosen may learn from it afterwards.
    """
    import pyarrow.parquet as pq

    from pipelines.features import batch, split

    usecase, block = workspace.case(case), workspace.params.block(case)
    as_of, log = known(workspace.events(case))
    parts = split.parts(as_of, usecase.label.matures, block.split)
    tables = {kind: read_events(workspace.events(case) / f"{kind}.parquet", workspace.root) for kind in usecase.kinds}
    indexes = fit_indexes(usecase, tables[usecase.asks.kind], parts)
    folder = workspace.rows(case)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    between = (parts.train[1], parts.valid[0])
    for name, span in (*parts, ("between", between)):
        keep = _keeper(usecase, block.split.sample)
        rows = batch.rows(
            usecase, tables, span, as_of=as_of, index=indexes or None, keep=keep,
            threads=block.train.threads, engine=workspace.params.shop.engine,
        )  # fmt: skip
        rows = _labelled(_seen(workspace, usecase, block.label, rows))
        pq.write_table(rows, folder / f"{name}.parquet", compression="zstd", write_page_checksum=True)
        counts[name] = rows.num_rows
    write_known(folder, as_of, log)
    if indexes:
        (folder / "index.npz").write_bytes(indexes[-1].to_npz())
    return {"text": f"{case}: " + ", ".join(f"{n:,} rows {name}" for name, n in counts.items()), "rows": counts}


def read_events(path: Path, root: Path) -> pa.Table:
    """A kind's events. Raises ShelflifeError when the snapshot is not there."""
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ShelflifeError(f"{path.relative_to(root)} is missing; run dvc repro (or shelflife ingest) first")
    return pq.read_table(path, page_checksum_verification=True)


def fit_indexes(usecase: UseCase, views: pa.Table, parts: Parts) -> list[Index]:
    """The indexes that expand a ranking's asks, each fitted on nothing of what it expands; the last one is the bundle's."""
    from pipelines.features import candidates

    if not isinstance(usecase.answers, Ranking):
        return []
    moments = [*candidates.stretches(*parts.train, STRETCHES), parts.valid[0], parts.holdout[0]]
    return candidates.fit_before(views, moments, usecase.answers)


def _keeper(usecase: UseCase, share: float) -> Any:
    from pipelines.features import split

    return None if share >= 1 else lambda asks: split.sampled(asks[usecase.unit].to_pylist(), share)


def _seen(workspace: Workspace, usecase: UseCase, label: LabelWindow, rows: pa.Table) -> pa.Table:
    """The rows without the labels that an action of ours has hidden, the others weighted for them."""
    from pipelines.features import seen

    if not usecase.hidden_by:
        return rows
    answers = read_events(workspace.events(usecase.name) / "prediction.parquet", workspace.root)
    return seen.weighed(rows, answers, usecase.name, usecase.hidden_by, label.heaviest)


def _labelled(rows: pa.Table) -> pa.Table:
    """The rows whose label is known."""
    import pyarrow.compute as pc

    return rows.filter(pc.and_(pc.is_valid(rows["label"]), pc.invert(pc.is_nan(rows["label"]))))
