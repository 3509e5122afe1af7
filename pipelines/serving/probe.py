"""A bundle's first load: in a process of its own, with little memory, time and rights, so that bad bytes kill only that."""

from __future__ import annotations

import importlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.core.protocols import Scorer

MEMORY = 2 << 30
"""Bytes of address space."""

SECONDS = 20
"""Seconds of CPU."""

PATIENCE = 60
"""Seconds by the clock: other processes may hold the machine."""

SCORER = "pipelines.steps.bundle:open_scorer"
"""What makes a Scorer of a bundle's files, as module:function. It is named, not imported: a room imports no step."""

TIMED = 200
"""Answers that are timed, one row each."""


def probe(files: Mapping[str, bytes], *, bundle: str = "", scorer: str = SCORER) -> dict[str, Any]:
    """Load a bundle's verified files in a limited process and answer the golden requests there. It never raises.

    `bundle` is the digest that the record is to name. The record: `ok`, `why` (empty when ok), `bundle`, `seconds`,
    `p50_ms` and `p99_ms` of one row, `rss_mb` at its highest, `limits` (what held the process back).
    """
    began = time.monotonic()
    record: dict[str, Any] = {
        "ok": False,
        "why": "",
        "bundle": bundle,
        "p50_ms": None,
        "p99_ms": None,
        "rss_mb": None,
        "limits": [],
    }
    try:
        record |= _result(_run(_frame(files), scorer))
    except subprocess.TimeoutExpired:
        record["why"] = f"it had not answered after {PATIENCE} seconds"
    except OSError as error:
        record["why"] = f"its process could not be started: {error.strerror}"
    return record | {"seconds": round(time.monotonic() - began, 3)}


def _run(frame: bytes, scorer: str) -> subprocess.CompletedProcess[bytes]:
    """The probing process: an environment without secrets, an empty folder, its own session."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV")}
    code = [sys.executable, "-I", "-c", _START, json.dumps([str(Path(path).absolute()) for path in sys.path]), scorer]
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        return subprocess.run(
            code, input=frame, capture_output=True, cwd=folder, env=kept | {"OMP_NUM_THREADS": "1", "HOME": folder},
            timeout=PATIENCE, start_new_session=True, check=False,
        )  # fmt: skip


_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from pipelines.serving.probe import child; child(sys.argv[2])"
)


def _result(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    if done.returncode < 0:
        return {"why": f"loading it ended the process with signal {-done.returncode}"}
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return {"why": f"the process ended with status {done.returncode} and no record"}


def _frame(files: Mapping[str, bytes]) -> bytes:
    """The files as one run of bytes, a head of JSON with their sizes first: nothing but our own code reads it."""
    head = json.dumps({name: len(data) for name, data in files.items()}).encode()
    return struct.pack(">Q", len(head)) + head + b"".join(files.values())


def _unframe(frame: bytes) -> dict[str, bytes]:
    (size,) = struct.unpack(">Q", frame[:8])
    files, at = {}, 8 + size
    for name, length in json.loads(frame[8:at]).items():
        files[name] = frame[at : at + length]
        at += length
    return files


def child(scorer: str) -> NoReturn:
    """What the probing process does: read the bytes, give up its rights, load, answer, and say how it went."""
    files = _unframe(sys.stdin.buffer.read())
    module, _, function = scorer.partition(":")
    make = getattr(importlib.import_module(module), function)
    try:
        record = {"limits": limits()} | _answer(make, files)
    except MemoryError:
        record = {"why": f"it wanted more than {MEMORY >> 20} MB"}
    except Exception as error:  # whatever a parser raises is a finding, not a crash of ours
        record = {"why": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write("\n" + json.dumps(record) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a damaged model must not decide how its process ends


def _answer(make: Any, files: Mapping[str, bytes]) -> dict[str, Any]:
    from pipelines.serving import golden

    scorer: Scorer = make(files)
    golden.check(scorer, files)
    times = sorted(_timed(scorer, golden.read(files)[0]))
    return {
        "ok": True, "p50_ms": times[len(times) // 2], "p99_ms": times[int(0.99 * len(times))], "rss_mb": _rss(),
    }  # fmt: skip


def _timed(scorer: Scorer, columns: Mapping[str, Any]) -> list[float]:
    """Milliseconds of one-row answers, the golden rows in turn."""
    rows = len(next(iter(columns.values())))
    times = []
    for i in range(TIMED):
        one = {name: values[i % rows : i % rows + 1] for name, values in columns.items()}
        began = time.perf_counter()
        scorer.score(one)
        times.append(round(1000 * (time.perf_counter() - began), 4))
    return times


def _rss() -> float:
    """Megabytes at the highest. Linux's own account of this program: the one of getrusage still counts whoever started it."""
    try:
        status = Path("/proc/self/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def limits() -> list[str]:
    """Give up what loading a model does not need; the names of what was given up. No way back in this process."""
    import resource

    from pipelines.serving import sandbox

    os.umask(0o077)
    held = ["umask"]
    for name, value in (("CPU", SECONDS), ("AS", MEMORY), ("CORE", 0), ("FSIZE", 0), ("NOFILE", 64)):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError):  # macOS does not know an address space's limit
            continue
        held.append(name.lower())
    return [*held, sandbox.no_network()]
