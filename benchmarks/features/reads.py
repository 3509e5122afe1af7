"""Reading at the moment, ours and Feast's, on SQLite and on a Redis of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.features import stream
from benchmarks.features.contest import Contestant, profile, result, rounds, tell

OURS = tuple(Contestant(f"ours, {name}", "ours/reads.py", None, {"where": name.lower()}) for name in stream.EMBEDDED)

SHARE = 0.2
"""Of the stream's events, and of its keys: what a key holds stays the same."""


def run(scale: float, count: int, work: Path) -> dict[str, Any]:
    """The figures of the part. Without a redis-server on the path, SQLite alone is measured, and that is said."""
    folder = stream.data(work, scale * SHARE)
    with _redis() as address:
        measured = rounds(_contestants(folder, address), count, folder)
    for each in measured.values():
        if wrong := [one for one in each if one["wrong"]]:
            raise SystemExit(f"a result is wrong: {wrong[0]}; nothing was written")
    return {"scale": scale, "rounds": measured, **profile(OURS[0], folder)}


def _contestants(folder: Path, address: str | None) -> tuple[Contestant, ...]:
    values = {"values": str(result(folder, OURS[1]).with_suffix(""))}
    embedded = (*OURS, Contestant("Feast, SQLite", "peers/feast/reads.py", "feast", values))
    if address is None:
        tell("there is no redis-server on the path: SQLite alone is measured")
        return embedded
    url, host = {"where": f"redis://{address}/0"}, {**values, "address": f"{address},db=1"}
    return (
        *embedded,
        Contestant("ours, Redis", "ours/reads.py", None, url),
        Contestant("Feast, Redis", "peers/feast/reads.py", "feast", host),
    )


@contextmanager
def _redis() -> Iterator[str | None]:
    """A Redis of our own on a free port of the loopback, for as long as it is needed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"]
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            _wait(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait(port: int) -> None:
    for _ in range(200):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("redis-server did not answer within ten seconds")
