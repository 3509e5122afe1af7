"""From the log to readable features: our worker drains the log into an embedded online store, a transaction a batch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.features import definitions
from benchmarks.features.definitions import ASK
from benchmarks.features.world import news
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features.batch import features_of, plain
from pipelines.features.database import Database, fields_needed
from pipelines.features.microbatch import MicroBatch
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.steps.stream import BATCH, take_some
from pipelines.store.log import SqliteLog

KINDS = ("activity",)
CHECKED = 500
STAGES = {
    "read from the log": (SqliteLog, "stored"),
    "look for their identities": (MicroBatch, "_known"),
    "read keys that are not in memory": (MicroBatch, "_load"),
    "update the tiles": (MicroBatch, "_add"),
    "pack the keys that changed": (MicroBatch, "_changes"),
    "write and commit": (OnlineStore, "put"),
}
"""What a batch goes through; the rest is JSON into rows and rows into bytes."""


def prepare(folder: Path, where: str, features: str = "STREAM") -> tuple[Path, SqliteLog, OnlineStore]:
    """A store that holds the history, and the log with the news behind it."""
    log = SqliteLog(folder / "log.db")
    store = OnlineStore.at(Path(tempfile.mkdtemp()), getattr(definitions, features), where)
    drain(log, store, log.last_offset() - news(folder))
    return folder, log, store


def run(ready: tuple[Path, SqliteLog, OnlineStore]) -> tuple[Path, OnlineStore, int]:
    folder, log, store = ready
    return folder, store, drain(log, store, log.last_offset())


def drain(log: SqliteLog, store: OnlineStore, until: int) -> int:
    """Applies the log up to an offset; how many events that was."""
    begun = at = store.offset()
    while at < until:
        at += take_some(log, store, KINDS, min(BATCH, until - at))
    return at - begun


def facts(result: tuple[Path, OnlineStore, int]) -> dict[str, Any]:
    folder, store, events = result
    return {"events": events, **checked(folder, store, store.plan.features)}


def checked(folder: Path, store: OnlineStore, features: FeatureSet, count: int = CHECKED) -> dict[str, int]:
    """How many cells of some asks were compared with what the batch engine says at the same moment, and how many were wrong."""
    table = pq.read_table(folder / "activity.parquet")
    events = asks(table, count)
    read, _ = StreamReader(store, features, ASK).read(events)
    asked = pa.table({"id": [e.id for e in events], "ts": [e.ts for e in events], **_keys(events)})
    needed = fields_needed(features.counted)
    with Database({"activity": table}, needed, as_of=2**61) as database:
        wanted = features_of(features, database, "ask", asked)
    wrong = sum(int((~same(read[name], plain(wanted[name]))).sum()) for name in features.names)
    return {"cells": count * len(features.names), "wrong": wrong}


def asks(table: pa.Table, count: int) -> list[Event]:
    """As many moments right after the last event, of customers and items that did something."""
    now = int(np.max(table["arrived"].to_numpy())) + 1
    at = np.random.default_rng(3).integers(0, len(table), count)
    pairs = zip(table["customer"].take(at).to_pylist(), table["item"].take(at).to_pylist(), strict=True)
    return [Event("ask", f"ask{n}", now, {"customer": c, "item": i}, now, None) for n, (c, i) in enumerate(pairs)]


def _keys(events: list[Event]) -> dict[str, list[int]]:
    return {name: [event.body[name] for event in events] for name in ("customer", "item")}


def same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one == other) | (np.isnan(one) & np.isnan(other))
