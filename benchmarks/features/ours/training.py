"""The training set by our batch engine: Parquet in, Arrow out."""

from __future__ import annotations

from pathlib import Path

import duckdb  # noqa: F401  imports are not measured, for nobody
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from benchmarks.features.definitions import ASK, TRAINING
from pipelines.features.batch import features_of
from pipelines.features.database import Database, fields_needed

LATEST = 2**61


def run(folder: Path) -> pa.Table:
    """A column per feature, a row per ask, in the order of the asks."""
    tables = {name: [folder / f"{name}.parquet"] for name in ("activity", "ask")}
    needed = {**fields_needed(TRAINING.counted), "ask": {field.name for field in ASK.fields}}
    with Database(tables, needed, as_of=LATEST, threads=2) as database:
        asked = database.first_versions("ask")
        columns = features_of(TRAINING, database, "ask", asked)
        return pa.table({"ask": asked["id"], **columns})


def keep(result: pa.Table, path: Path) -> None:
    pq.write_table(result, path)
