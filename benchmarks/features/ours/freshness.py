"""How old an event is when its features can be read: a producer appends at a steady rate, our worker follows the log."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.features.definitions import STREAM
from benchmarks.features.ours.stream import KINDS
from pipelines.core.event import Event
from pipelines.features.stream import OnlineStore
from pipelines.steps.stream import BATCH, PAUSE, take_some
from pipelines.store.log import SqliteLog

TICK = 0.01
ARRIVED = 'SELECT arrived FROM events WHERE "offset" > ? ORDER BY "offset" LIMIT ?'


def prepare(folder: Path, where: str, rate: str, seconds: str) -> Any:
    work = Path(tempfile.mkdtemp())
    SqliteLog(work / "log.db").close()
    store = OnlineStore.at(work, STREAM, where)
    store.updates, store.fills, store.oldest  # noqa: B018  a worker that is under way has compiled them
    return folder, work, store, int(rate), float(seconds)


def run(ready: Any) -> np.ndarray:
    """Milliseconds from `arrived`, which the log assigns, to the commit that made the event readable; the worker waits as in
    production when the log is at its end."""
    folder, work, store, rate, seconds = ready
    words = [sys.executable, __file__, str(folder), str(work / "log.db"), str(rate), str(seconds)]
    producer = subprocess.Popen(words, env=os.environ)
    log, arrived, late = SqliteLog(work / "log.db"), sqlite3.connect(work / "log.db"), []
    while True:
        over, before = producer.poll() is not None, store.offset()
        if taken := take_some(log, store, KINDS, BATCH):
            now = time.time_ns() // 1000
            late += [now - at for (at,) in arrived.execute(ARRIVED, (before, taken))]
        elif over:
            break
        else:
            time.sleep(PAUSE)
    if producer.returncode or len(late) < rate * seconds * 0.9:
        raise RuntimeError(f"wanted {rate} events/s for {seconds:g} s, the producer managed {len(late)} events")
    return np.array(late) / 1000


def facts(result: np.ndarray) -> dict[str, Any]:
    return {"events": len(result), **{f"p{q}_ms": float(np.percentile(result, q)) for q in (50, 99)}}


def produce(folder: str, log: str, rate: int, seconds: float) -> None:
    """Appends what is due every ten milliseconds."""
    table = pq.read_table(Path(folder) / "activity.parquet").slice(0, int(rate * seconds))
    rows = table.drop_columns(["arrived", "offset"]).to_pylist()
    events = [Event("activity", row.pop("id"), row.pop("ts"), row) for row in rows]
    kept, begun, done = SqliteLog(Path(log)), time.monotonic(), 0
    while done < len(events):
        due = min(int((time.monotonic() - begun) * rate), len(events))
        if due > done:
            kept.append(events[done:due], arrived=time.time_ns() // 1000)
            done = due
        time.sleep(TICK)


if __name__ == "__main__":
    produce(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
