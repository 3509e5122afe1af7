"""The training set: 5 million events, half a million asks, twelve windowed features, Parquet in, Arrow out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.features import compare, world
from benchmarks.features.contest import Contestant, measure, profile, result, rounds, tell
from benchmarks.features.definitions import TRAINING

OURS = Contestant("ours", "ours/training.py")
BY_HAND = (
    Contestant("numpy by hand", "peers/frames/numpy_rows.py", "frames"),
    Contestant("Polars by hand", "peers/frames/polars_rows.py", "frames"),
    Contestant("DuckDB range join", "peers/frames/duckdb_range.py", "frames"),
)
"""They compute the same features, with the same edges and visibility; none of them looks for duplicates or corrections."""

PRECOMPUTE = Contestant("rows computed beforehand", "peers/frames/precompute.py", "frames")
JOINS = (
    Contestant("pandas merge_asof", "peers/frames/asof.py", "frames"),
    Contestant("Feast, DuckDB store", "peers/feast/training.py", "feast"),
)
"""They join rows that were computed beforehand: those do not decay, so they are not compared with the true windows but counted."""

CHECKED = 0.02
"""Before anything is timed, everybody's cells are compared at this scale."""


def run(scale: float, count: int, work: Path) -> dict[str, Any]:
    """The figures of the part. Ends the program where two results differ that must not."""
    small = _data(work, min(scale, CHECKED))
    for one in (OURS, *BY_HAND, PRECOMPUTE, *JOINS):
        measure(one, small, result(small, one))
    _same(small)
    folder = _data(work, scale)
    beforehand = measure(PRECOMPUTE, folder, result(folder, PRECOMPUTE))
    tell(f"rows computed beforehand in {beforehand['seconds']:.0f} s")
    measured = rounds((OURS, *BY_HAND, *JOINS), count, folder)
    checked = _same(folder)
    return {
        "scale": scale, "asks": checked["rows"], "rounds": measured, "beforehand": beforehand, "checked": checked,
        **profile(OURS, folder),
    }  # fmt: skip


def _data(work: Path, scale: float) -> Path:
    folder = work / f"training-{scale:g}"
    if not (folder / "ask.parquet").exists():
        tell(f"the shop at scale {scale:g}")
        world.write(folder, scale)
    return folder


def _same(folder: Path) -> dict[str, Any]:
    """Compares, and tells how many cells were equal and how many of the joined rows are not what the windows say."""
    names = TRAINING.names
    ours = result(folder, OURS)
    for one in BY_HAND:
        _refuse(one.name, OURS.name, compare.differing(ours, result(folder, one), names))
    joined, feast = (result(folder, one) for one in JOINS)
    rows = compare.at_places(joined, feast, names)
    _refuse(JOINS[1].name, JOINS[0].name, rows)
    total = compare.rows(ours)
    tell(f"equal in all {total * len(names):,} cells: ours, {', '.join(one.name for one in BY_HAND)}")
    return {"rows": total, "cells": total * len(names), "stale_rows": compare.differing_rows(ours, joined, names)}


def _refuse(name: str, other: str, found: dict[str, int]) -> None:
    if wrong := {column: count for column, count in found.items() if count}:
        raise SystemExit(f"{name} and {other} differ in {wrong}: nothing was timed or written")
