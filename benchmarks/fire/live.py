"""The real server under load: rollbacks warm and cold, and models that pass every check and are bad live."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fire.shop import CASE, NOW, ROOT, Conduct, asks, bundle, home, promote
from pipelines.store.home import Home

WAIT = 60.0
"""Seconds that anything may take before it counts as not happening."""


@dataclass(frozen=True)
class Answer:
    """One answered request: when it was sent and answered (monotonic seconds), its status, who answered, and what."""

    sent: float
    got: float
    status: int
    bundle: str
    score: float
    reasons: tuple[str, ...]


@dataclass
class Server:
    """A serving process of a home."""

    folder: Path
    process: subprocess.Popen[str] | None = None
    address: str = ""

    def start(self) -> float:
        """Start it; seconds until it answers."""
        began = time.monotonic()
        command = [sys.executable, "-m", "pipelines", "serve", "--home", str(self.folder), "--port", "0", "--json"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=env
        )
        self.address = json.loads(self.process.stdout.readline())["address"].removeprefix("http://")  # type: ignore[union-attr]
        ask(self.connect(), asks(Random(1), 1)[0])
        return time.monotonic() - began

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address, timeout=WAIT)

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process.stdout.close()  # type: ignore[union-attr]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def ask(connection: http.client.HTTPConnection, one: dict[str, Any]) -> Answer:
    """One request over a connection that stays open."""
    sent = time.monotonic()
    connection.request("POST", f"/v1/{CASE}", json.dumps({"asks": [one]}), {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = json.loads(response.read())
    if response.status != 200:
        return Answer(sent, time.monotonic(), response.status, "", 0.0, ())
    return Answer(sent, time.monotonic(), 200, body["bundle"], body["answers"][0]["score"], tuple(body["reasons"]))


@dataclass
class Load:
    """Clients that ask at a steady pace until the block ends; every answer is kept. `same`: always one ask."""

    server: Server
    clients: int = 2
    pause: float = 0.02
    same: bool = False
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT)

    def _run(self, number: int) -> None:
        dice, connection = Random(number), self.server.connect()
        one = asks(Random(0), 1)[0]
        while not self._stop.wait(self.pause):
            try:
                self.answers.append(ask(connection, one if self.same else asks(dice, 1)[0]))
            except (OSError, http.client.HTTPException):
                self.answers.append(Answer(0, 0, 0, "", 0.0, ()))
                connection.close()


def until(connection: http.client.HTTPConnection, name: str, pause: float = 0.002) -> float:
    """Ask until this bundle answers; the moment at which it did."""
    deadline = time.monotonic() + WAIT
    one = asks(Random(0), 1)[0]
    while time.monotonic() < deadline:
        answer = ask(connection, one)
        if answer.bundle == name:
            return answer.got
        time.sleep(pause)
    raise AssertionError(f"{name[:12]} did not answer within {WAIT} seconds")


@dataclass(frozen=True)
class Rollbacks:
    """Seconds of each rollback from the call to the first answer; how many requests ran meanwhile, failed, or were mixed."""

    seconds: list[float]
    requests: int
    failed: int
    mixed: int

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[max(0, -(-len(self.seconds) * 99 // 100) - 1)]


def two(folder: Path) -> tuple[Home, str, str, dict[str, Any]]:
    """A home with two bundles, the second of which answers, and the second's probe record."""
    made = home(folder / "home")
    first, second = (bundle(made, Conduct(weight)) for weight in (1e-5, 2e-5))
    promote(made, first, NOW)
    promote(made, second, NOW)
    record = made.releases.history(CASE)[-1].probe
    return made, first, second, dict(record or {})


def warm(folder: Path, times: int) -> Rollbacks:
    """Roll back again and again under load, each time from a release that was promoted and answers."""
    made, first, second, record = two(folder)
    seconds = []
    with serving(made.path) as server, Load(server, same=True) as load:
        connection = server.connect()
        for n in range(times):
            if n:
                promote(made, second, NOW + n, record)
            until(connection, second)
            began = time.monotonic()
            made.releases.rollback(CASE, at=NOW + n, actor="bench", reason="drill")
            seconds.append(until(connection, first) - began)
    return Rollbacks(seconds, len(load.answers), *_wrong(load.answers, {first, second}))


def _wrong(answers: list[Answer], names: set[str]) -> tuple[int, int]:
    """How many requests failed, and how many named one bundle and had another's score: it is always the same ask."""
    score: dict[str, float] = {}
    failed = sum(answer.status != 200 or answer.bundle not in names for answer in answers)
    mixed = sum(score.setdefault(a.bundle, a.score) != a.score for a in answers if a.status == 200)
    assert len(set(score.values())) == len(score), "two bundles that score alike would hide a mixture"
    return failed, mixed


def cold(folder: Path, times: int) -> Rollbacks:
    """The server dies, the release is rolled back, and a new server must answer by the one before."""
    made, first, second, record = two(folder)
    seconds = []
    for n in range(times):
        if n:
            promote(made, second, NOW + n, record)
        with serving(made.path) as server:
            until(server.connect(), second)
        began = time.monotonic()
        made.releases.rollback(CASE, at=NOW + n, actor="bench", reason="drill")
        with serving(made.path) as server:
            seconds.append(until(server.connect(), first) - began)
    return Rollbacks(seconds, len(seconds), 0, 0)


@dataclass(frozen=True)
class Bad:
    """A bad model's time in the world: whether it fell, after how many seconds and answers of its own, and what was done."""

    conduct: str
    fell: bool
    seconds: float
    affected: int
    failed: int
    held: bool
    mails: int


def bad(folder: Path, conduct: str, patience: float = WAIT, answers: int = 0) -> Bad:
    """Promote a model that passes every check and is bad live, under load; wait until the one before answers again.

    With `answers`, wait for so many of its own instead: a good model must not fall.
    """
    made = home(folder / "home")
    first, second = bundle(made, Conduct(1e-5)), bundle(made, Conduct(1.1e-5, conduct))
    promote(made, first, NOW)
    with serving(made.path) as server, Load(server, pause=0.01) as load:
        time.sleep(1)
        promote(made, second, NOW + 1)
        began = time.monotonic()
        while time.monotonic() < began + patience and not _over(made, load, second, answers):
            time.sleep(0.05)
        time.sleep(1)
        fell = made.releases.champion(CASE).bundle == first  # type: ignore[union-attr]
    own = [a for a in load.answers if a.bundle == second]
    mails = [m for m in (*made.outbox.waiting(), *made.outbox.sent()) if "fell back" in m.subject]
    seconds = max((a.got for a in own), default=began) - began
    failed = sum(a.status != 200 for a in load.answers)
    return Bad(conduct, fell, seconds, len(own), failed, made.releases.held(CASE) is not None, len(mails))


def _over(made: Home, load: Load, second: str, answers: int) -> bool:
    champion = made.releases.champion(CASE)
    return bool(champion and champion.bundle != second) or (
        answers and sum(a.bundle == second for a in load.answers) >= answers
    )
