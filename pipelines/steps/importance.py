"""How much each feature matters to a bundle's answers: how far they move when it is shuffled in the bundle's own reference."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.steps import bundle
from pipelines.steps.rows import Rows, from_arrow

if TYPE_CHECKING:
    from pipelines.core.protocols import Scorer
    from pipelines.core.usecase import UseCase

ROWS = 1000
"""Rows of the reference sample that are shuffled."""


def importance(usecase: UseCase, files: Mapping[str, bytes], scorer: Scorer) -> dict[str, float]:
    """Each feature's share of the moves of the answers, the same whatever the model is; no labels are needed.

    The mean absolute change of the score when one column is shuffled among the reference's rows (Breiman 2001, on answers
    instead of errors), as shares that sum to one; all equal where no answer moves.
    """
    import pyarrow.parquet as pq

    rows = Rows(from_arrow(pq.read_table(io.BytesIO(files["reference.parquet"]))))
    rows = rows.take(np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).astype(np.int64))
    columns = {name: rows[name] for name in bundle.model_columns(usecase)}
    order = np.random.default_rng(0).permutation(len(rows))
    usual = scorer.score(columns)
    moves = {name: _moved(scorer, columns | {name: columns[name][order]}, usual) for name in columns}
    total = sum(moves.values())
    return {name: move / total if total > 0 else 1 / len(moves) for name, move in moves.items()}


def _moved(scorer: Scorer, columns: Mapping[str, Any], usual: np.ndarray) -> float:
    return float(np.abs(scorer.score(columns) - usual).mean())
