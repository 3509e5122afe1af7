"""kill -9 at every point of a promotion, a rollback and a fall, while another process reads: exactly the old or the new."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fire.shop import CASE, NOW, Conduct, bundle, home, promote
from pipelines.core.errors import ShelflifeError
from pipelines.store.failpoint import VARIABLE
from pipelines.store.home import Home

PROMOTION = ("promote.begun", "promote.checked", "promote.written", "promote.mailed", "promote.committed")
ROLLBACK = ("rollback.begun", "rollback.checked", "rollback.written", "rollback.committed")
FALL = ("rollback.checked", "fallback.written")
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
    made.close()
    with Reader(made.path, names) as reader:
        torn = sum(not _old_or_new(made.path, names, probes, n) for n in range(times))
    made = Home.open(made.path)
    assert made.releases.verify() == made.releases.epoch() == len(made.outbox.waiting()) > 2
    return Kills(times, torn, **reader.seen)


def _old_or_new(path: Path, names: list[str], probes: dict[str, dict], n: int) -> bool:
    """One kill; whether a new process then sees what was there before, or all of what was to come."""
    act, where = ACTS[n % len(ACTS)]
    made = Home.open(path)
    before = made.releases.champion(CASE)
    assert before is not None
    other = names[before.bundle == names[0]]
    if act != "promote" and before.previous is None:  # went back as far as there is: go forth again
        promote(made, other, NOW + 10_000_000 + n, probes[other])
        before, other = made.releases.champion(CASE), before.bundle
        assert before is not None
    if made.releases.held(CASE):
        made.releases.unhold(CASE, at=NOW, actor="bench")
    told = (made.releases.epoch(), len(made.outbox.waiting()), made.releases.held(CASE))
    made.close()
    acts: dict[str, Callable[[Home], object]] = {
        "promote": lambda own: promote(own, other, NOW + n, probes[other]),
        "rollback": lambda own: own.releases.rollback(CASE, at=NOW, actor="bench", reason="drill"),
        "fall": lambda own: own.releases.fall_back(CASE, before.bundle, at=NOW, actor="bench", reason="drill"),
    }
    killed = _killed(path, where, acts[act])
    made = Home.open(path)
    champion, files = made.releases.champion(CASE), made.releases.answering(CASE)
    after = (made.releases.epoch(), len(made.outbox.waiting()), made.releases.held(CASE))
    made.close()
    is_old = champion == before and after == told
    is_new = champion is not None and champion.bundle == other and after == (told[0] + 1, told[1] + 1, told[2])
    return killed and files is not None and (is_new if where.endswith("committed") else is_old)


def _killed(path: Path, where: str, act: Callable[[Home], object]) -> bool:
    """Do it in a process of its own that is killed at the failpoint; whether it was."""
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = f"{where}=kill"
        try:
            act(Home.open(path))
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
