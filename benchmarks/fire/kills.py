"""kill -9 at every point of a promotion, a rollback and a fall, while another process reads: exactly the old or the new."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fire.shop import CASE, NOW, Conduct, bundle, home, promote
from pipelines.core.errors import ShelflifeError
from pipelines.store.failpoint import VARIABLE
from pipelines.store.home import Home
from pipelines.store.reigns import Champion

PROMOTION = ("promote.begun", "promote.checked", "promote.written", "promote.mailed", "promote.committed")
ROLLBACK = ("rollback.begun", "rollback.checked", "rollback.written", "rollback.committed")
FALL = ("rollback.checked", "fallback.written")
PAUSE = 0.002
"""Seconds between two reads: the reader shall not take the machine from what it reads."""

ACTS = [
    *(("promote", name) for name in PROMOTION),
    *(("rollback", name) for name in ROLLBACK),
    *(("fall", name) for name in FALL),
]


@dataclass(frozen=True)
class Kills:
    """What kills left: how many there were, states that were neither old nor new, and what the reader saw meanwhile."""

    kills: int
    torn: int
    reads: int
    unreadable: int
    none: int
    ungated: int


def kills(folder: Path, times: int) -> Kills:
    """Kill a process at each failpoint in turn, so many times in all."""
    made = home(folder / "home")
    names = [bundle(made, Conduct(weight)) for weight in (1e-5, 2e-5)]
    for name in names:
        promote(made, name, NOW)
    record = dict(made.releases.history(CASE)[-1].probe or {})
    probes = {name: record | {"bundle": name} for name in names}
    with Reader(made.path, names) as reader:
        torn = sum(not _old_or_new(made, names, probes, n) for n in range(times))
    made.close()
    made = Home.open(made.path)
    assert made.releases.verify() == made.releases.epoch() == len(made.outbox.waiting()) > 2
    return Kills(times, torn, **reader.seen)


def _old_or_new(made: Home, names: list[str], probes: dict[str, dict], n: int) -> bool:
    """One kill; whether there is then what was before, or all of what was to come."""
    act, where = ACTS[n % len(ACTS)]
    before = _ready(made, names, probes, n, back=act != "promote")
    other = names[before.bundle == names[0]]
    told = (made.releases.epoch(), made.releases.held(CASE))
    acts: dict[str, Callable[[], object]] = {
        "promote": lambda: promote(made, other, NOW + n, probes[other]),
        "rollback": lambda: made.releases.rollback(CASE, at=NOW, actor="bench", reason="drill"),
        "fall": lambda: made.releases.fall_back(CASE, before.bundle, at=NOW, actor="bench", reason="drill"),
    }
    killed = _killed(where, acts[act])
    found, after = made.releases.answering(CASE), (made.releases.epoch(), made.releases.held(CASE))
    champion = found and found[0]
    is_old = champion == before and after == told
    is_new = champion is not None and champion.bundle == other and after == (told[0] + 1, told[1])
    return killed and (is_new if where.endswith("committed") else is_old)


def _ready(made: Home, names: list[str], probes: dict[str, dict], n: int, *, back: bool) -> Champion:
    """A champion that may be replaced or, if `back`, gone back from: after a rollback all the way there is a promotion first."""
    champion = made.releases.champion(CASE)
    if champion and back and champion.previous is None:
        other = names[champion.bundle == names[0]]
        promote(made, other, NOW + 10_000_000 + n, probes[other])
        champion = made.releases.champion(CASE)
    assert champion is not None
    return champion


def _killed(where: str, act: Callable[[], object]) -> bool:
    """Do it in a process of its own that is killed at the failpoint; whether it was."""
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = f"{where}=kill"
        try:
            act()
        finally:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


class Reader:
    """A process that asks again and again what answers, and looks whether it may."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names, self.seen = path, names, {}

    def __enter__(self) -> Reader:
        self._told, told = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._told)
            os.write(told, json.dumps(_read(self.path, self.names)).encode())
            os._exit(0)
        os.close(told)
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._child, signal.SIGTERM)
        self.seen = json.loads(os.read(self._told, 10_000) or b"{}")
        os.waitpid(self._child, 0)
        os.close(self._told)


def _read(path: Path, names: list[str]) -> dict[str, int]:
    """Until SIGTERM: reads, and of them those that failed, found nobody, or found what was not promoted by a signed release."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    own, seen = Home.open(path), {"reads": 0, "unreadable": 0, "none": 0, "ungated": 0}
    while not stopped:
        time.sleep(PAUSE)
        seen["reads"] += 1
        try:
            found = own.releases.answering(CASE)
        except ShelflifeError:
            seen["unreadable"] += 1
            continue
        if found is None:
            seen["none"] += 1
            continue
        champion, release, files = found
        seen["ungated"] += champion.bundle not in names or {release.bundle, files.manifest.digest} != {champion.bundle}
    return seen
