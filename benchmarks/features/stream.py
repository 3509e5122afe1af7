"""The stream: from the log to readable features, durable and exactly once; and the update alone, and how fresh it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.features import world
from benchmarks.features.contest import Contestant, profile, rounds, tell

RATE, SECONDS = 5000, 15
EMBEDDED = ("LMDB", "SQLite")
"""The stores within the worker's own process."""


def contestants(scale: float) -> tuple[Contestant, ...]:
    """Peers that are slow are given fewer events: their rate is what counts."""

    def some(count: int) -> dict[str, str]:
        return {"events": str(max(int(count * scale), 1000))}

    follow = {"rate": str(RATE), "seconds": str(SECONDS if scale == 1 else 1)}
    return (
        *(Contestant(f"ours, {name}", "ours/stream.py", None, {"where": name.lower()}) for name in EMBEDDED),
        Contestant("ours, LMDB, twelve features", "ours/stream.py", None, {"features": "TRAINING", "where": "lmdb"}),
        Contestant("ours, the update alone", "ours/update.py"),
        Contestant("rings by hand, the update alone", "rings.py"),
        Contestant("ours, LMDB, followed", "ours/freshness.py", None, {"where": "lmdb", **follow}),
        Contestant("ours, SQLite, followed", "ours/freshness.py", None, {"where": "sqlite", **follow}),
        Contestant("Bytewax stateful_map", "peers/bytewax/stream.py", "bytewax", some(100_000)),
        Contestant("River Agg + TimeRolling", "peers/river/stream.py", "river", some(30_000)),
        Contestant("Spark Structured Streaming", "peers/spark/stream.py", "spark", some(40_000)),
    )


def run(scale: float, count: int, work: Path) -> dict[str, Any]:
    """The figures of the part. Ends the program where a contestant's result is not what it should be."""
    folder = data(work, scale)
    small = data(work, min(scale, 0.02))
    for measured in rounds(contestants(0.02), 1, small).values():
        _refuse(measured)
    measured = rounds(contestants(scale), count, folder)
    for each in measured.values():
        _refuse(each)
    stages = {one.name: profile(one, folder)["stages"] for one in contestants(scale)[: len(EMBEDDED)]}
    return {"scale": scale, "rounds": measured, "stages": stages}


def data(work: Path, scale: float) -> Path:
    folder = work / f"stream-{scale:g}"
    if not (folder / "log.db").exists():
        tell(f"the stream at scale {scale:g}")
        world.stream(folder, scale)
    return folder


def _refuse(measured: list[dict[str, Any]]) -> None:
    if wrong := [each for each in measured if each.get("wrong")]:
        raise SystemExit(f"a result is wrong: {wrong[0]}; nothing was written")
