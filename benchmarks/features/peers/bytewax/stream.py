"""Bytewax' stateful_map keeps the same tiles, written by hand; recovery is on, into its SQLite files.

The lines of a file are the log. State is Bytewax' own: what it emits is the changed tile, which a sink here takes and drops; to
read features at a moment one would need a store behind it.
"""

import json
import random
import tempfile
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
WANTED = {
    "customer": ((5 * MINUTE, "view"), (HOUR, None), (DAY, "purchase"), (6 * HOUR, "purchase"), (6 * HOUR, None)),
    "item": ((HOUR, "view"), (6 * HOUR, "purchase")),
}
"""Tile length and filter of each series."""

SEEN = {"customer": {}, "item": {}}


class Drop(StatelessSinkPartition, DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return self

    def write_batch(self, items):
        for key, (by, tiles) in items:
            SEEN[by][key] = tiles


def prepare(folder, events):
    work = Path(tempfile.mkdtemp())
    lines = (folder / "events.jsonl").read_text().splitlines()[: int(events)]
    (work / "events.jsonl").write_text("\n".join(lines) + "\n")
    (work / "recovery").mkdir()
    init_db_dir(work / "recovery", 1)
    return work


def counting(by):
    """The mapper: (tiles, event) -> (tiles, what is emitted)."""

    def add(tiles, event):
        tiles = tiles or [{} for _ in WANTED[by]]
        for series, (grain, what) in zip(tiles, WANTED[by]):
            if what is None or event["what"] == what:
                numbers = series.setdefault(event["ts"] - event["ts"] % grain, [0, 0])
                numbers[0] += 1
                numbers[1] += event["price_cents"]
        return tiles, (by, tiles)

    return add


def run(work):
    flow = Dataflow("features")
    events = op.map("parse", op.input("log", flow, FileSource(work / "events.jsonl")), json.loads)
    made = []
    for by in WANTED:
        keyed = op.map(f"by_{by}", events, lambda event, by=by: (str(event[by]), event))
        made.append(op.stateful_map(f"tiles_{by}", keyed, counting(by)))
    op.output("drop", op.merge("both", *made), Drop())
    run_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(work / "recovery"))
    return work


def facts(work):
    """How many of two hundred keys' tiles differ from the sums that a plain loop makes."""
    events = [json.loads(line) for line in (work / "events.jsonl").read_text().splitlines()]
    wrong = 0
    for by in WANTED:
        for key in random.Random(1).sample(sorted({event[by] for event in events}), 100):
            tiles = None
            for event in events:
                if event[by] == key:
                    tiles, _ = counting(by)(tiles, event)
            wrong += tiles != SEEN[by][str(key)]
    return {"events": len(events), "wrong": wrong}
