"""Are two contestants' results the same? Cell by cell, a null being equal to a null, nothing rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Names = tuple[str, ...]


def differing(one: Path, other: Path, names: Names) -> dict[str, int]:
    """Per column, in how many rows two Parquet files differ. Raises ValueError where they have not the same number of rows."""
    return {name: int(different.sum()) for name, different in _columns(pq.read_table(one), pq.read_table(other), names)}


def differing_rows(one: Path, other: Path, names: Names) -> int:
    """In how many rows any column differs."""
    found = [different for _, different in _columns(pq.read_table(one), pq.read_table(other), names)]
    return int(np.logical_or.reduce(found).sum())


def at_places(whole: Path, some: Path, names: Names) -> dict[str, int]:
    """The same where `some` has only the rows of `whole` that its column `place` tells."""
    part = pq.read_table(some)
    return {name: int(different.sum()) for name, different in _columns(pq.read_table(whole).take(part["place"]), part, names)}


def rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows


def _columns(one: pa.Table, other: pa.Table, names: Names) -> list[tuple[str, np.ndarray]]:
    if len(one) != len(other):
        raise ValueError(f"wanted as many rows in both results, got {len(one)} and {len(other)}")
    if not len(one):
        raise ValueError("wanted rows to compare, got none")
    return [(name, ~_same(one[name], other[name])) for name in names]


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    a, b = (column.cast(pa.float64()).fill_null(np.nan).to_numpy() for column in (one, other))
    return (a == b) | (np.isnan(a) & np.isnan(b))
