"""Every answer's trace, off the request's path: written to a spool before the answer leaves, moved to the log behind it."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from pipelines.core.event import Event
from pipelines.serving.answers import Answer, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipelines.serving.champion import Champion

PAUSE = 0.1
"""Seconds between two moves to the log: one durable write for all the answers of that time."""

PATIENCE = 30.0
"""The longest wait, in seconds, before a log that was away is tried again."""

MOVED = 500
"""Events in one write to the log."""

KEPT = 10_000
"""Answers kept in memory while the disk takes none; the oldest are given up first."""


class Predictions:
    """A spool of answers on disk, and a thread that moves it to the log.

    A line is written to the spool before its answer is sent, so a killed server loses none that a client saw; it reaches the
    log at least once, and the log counts it once. A log that is away leaves the lines in the spool, over restarts too.
    """

    def __init__(self, folder: Path, log: Callable[[Sequence[Event]], Any]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._file: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._behind = self._untraced = False
        self._memory: collections.deque[Event] = collections.deque(maxlen=KEPT)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is away: `log` while the spool cannot be moved to it, `spool` when the last answer could not be written down."""
        return ("log",) * self._behind + ("spool",) * self._untraced

    def record(self, events: Sequence[Event]) -> bool:
        """Write the predictions down; False, never an error, if the disk does not take them and they are in memory only."""
        line = b"".join(msgspec.json.encode([e.kind, e.id, e.ts, e.body]) + b"\n" for e in events)
        with self._lock:
            try:
                _write(self._open(), line)
                self._untraced = False
            except OSError:
                self._untraced = True
                self._memory.extend(events)
            return not self._untraced

    def start(self) -> None:
        """Begin to move what there is, also what an earlier process left."""
        self._thread = threading.Thread(target=self._run, name="predictions", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Move what is left if the log takes it within `timeout` seconds; otherwise the next start does."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout)

    def move(self) -> int:
        """Move the spool to the log, oldest first; how many answers. A file goes when the log has acknowledged all of it."""
        moved = 0
        for path in self._closed():
            with _locked(path) as mine:
                if mine:
                    moved += self._append([event for line in path.read_bytes().split(b"\n") if (event := _event(line))])
                    path.unlink()
        return moved + self._move_memory()

    def _move_memory(self) -> int:
        with self._lock:
            kept = list(self._memory)
        self._append(kept)
        sent = {event.id for event in kept}
        with self._lock:
            self._memory = collections.deque((e for e in self._memory if e.id not in sent), maxlen=KEPT)
        return len(kept)

    def _append(self, events: Sequence[Event]) -> int:
        for start in range(0, len(events), MOVED):
            self._log(events[start : start + MOVED])
        return len(events)

    def _run(self) -> None:
        wait = PAUSE
        while True:
            last = self._stop.wait(wait)
            try:
                self.move()
                self._behind, wait = False, PAUSE
            except Exception:  # whatever the log raises, answers go on and the lines stay
                self._behind, wait = True, min(2 * max(wait, 0.5), PATIENCE)
            if last:
                return

    def _open(self) -> int:
        """The file that is written to. It gets its name with the lock already on it, so that no other server moves it."""
        if self._file is None:
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}.jsonl"
            file = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            path.with_suffix(".new").rename(path)
            self._file = file
        return self._file

    def _closed(self) -> list[Path]:
        """The spool's files, oldest first; the one that we write to is closed for it."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            return sorted(self._folder.glob("*.jsonl"))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """A lock on a spool's file; False while another server writes to it, or when that one has just moved it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(file) and path.exists()
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def events(
    champion: Champion,
    asks: Sequence[Event],
    found: Sequence[Answer],
    inputs: Sequence[str],
    chances: Sequence[float | None],
    *,
    request: str,
    seen: int | None,
    away: Sequence[str],
    now: int,
) -> list[Event]:
    """A `prediction` event for each answer: who asked, what was known, which release said what, on whose word, and with which
    chance its label can be seen where an action may hide it."""
    same = {
        "request_id": request, "usecase": champion.case, "release": champion.release, "bundle": champion.bundle,
        "verdict": champion.verdict, "seen_offset": seen, "degraded": bool(away), "reasons": list(away),
    }  # fmt: skip
    return [
        Event(
            "prediction",
            answer.prediction,
            now,
            same
            | {"ask": ask.id, "answer": _json(answer), "inputs": known, **summary(answer)}
            | ({} if chance is None else {"propensity": chance}),
        )
        for ask, answer, known, chance in zip(asks, found, inputs, chances, strict=True)
    ]


def inputs(columns: Mapping[str, Sequence[Any] | np.ndarray], rows: Sequence[int], ts: int) -> str:
    """The features of these rows as JSON, with the moment of the ask: what a replay of the answer needs. NaN is null."""
    picked = [{name: _plain(values[row]) for name, values in columns.items()} for row in rows]
    return _json({"ts": ts, "rows": picked})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _write(file: int, data: bytes) -> None:
    """All of it, or OSError with a line break after what did get in, so that the next line begins anew."""
    written = os.write(file, data)
    if written != len(data):
        with contextlib.suppress(OSError):
            os.write(file, b"\n")
        raise OSError("the disk is full")


def _event(line: bytes) -> Event | None:
    """The event of a spool's line; None for a line that a kill or a full disk cut short: its answer was not sent as traced."""
    try:
        kind, name, ts, body = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, ValueError):
        return None
    return Event(kind, name, ts, body)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
