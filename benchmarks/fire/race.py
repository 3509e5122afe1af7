"""Many processes that promote, roll back, fall back, hold, free and prune at once: one chain of epochs, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

from benchmarks.fire.shop import CASE, NOW, Conduct, bundle, home, promote
from pipelines.core.clock import DAY
from pipelines.core.errors import ShelflifeError
from pipelines.store.home import Home
from pipelines.store.retention import prune

ACTS = ("promote", "promote", "promote", "rollback", "fall", "hold", "free", "prune")


@dataclass(frozen=True)
class Race:
    """How a race ended: what was tried and done, changes that are not in the ledger or not linked, and the slowest act."""

    tried: int
    done: int
    lost: int
    unlinked: int
    broken: int
    slowest: float


def race(folder: Path, crowd: int = 8, turns: int = 250) -> Race:
    """So many processes, each doing so many acts in an order of its own."""
    made = home(folder / "home")
    names = []
    for number in range(crowd):
        name = bundle(made, Conduct(1e-5 + number * 1e-6))
        shutil.copytree(made.path / "releases" / name, folder / f"from {number}")
        names.append(name)
    promote(made, names[0], NOW)
    made.close()
    ends = [_run(made.path, folder / f"from {number}", names[number], number, turns) for number in range(crowd)]
    told = [json.loads(_end(child, pipe)) for child, pipe in ends]
    return _judged(Home.open(made.path), told, crowd * turns)


def _run(path: Path, source: Path, name: str, number: int, turns: int) -> tuple[int, int]:
    out, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        told = {"done": 0, "broken": 1, "slowest": 0.0}
        try:
            told = _acts(Home.open(path), source, name, number, turns)
        finally:
            os.write(pipe, json.dumps(told).encode())
            os._exit(0)
    os.close(pipe)
    return child, out


def _end(child: int, pipe: int) -> bytes:
    data = os.read(pipe, 10_000)
    os.close(pipe)
    os.waitpid(child, 0)
    return data


def _acts(own: Home, source: Path, name: str, number: int, turns: int) -> dict[str, float]:
    """One process' acts; how many changed the ledger, how many broke otherwise than by a refusal, and the slowest's seconds."""
    dice, told = Random(number), {"done": 0, "broken": 0, "slowest": 0.0}
    record = {"ok": True, "bundle": name}
    words = {"at": NOW, "actor": f"p{number}", "reason": "race"}

    def promoting(turn: int) -> None:
        own.releases.add(source)
        promote(own, name, NOW + number * 100_000 + turn, record)

    def falling(_: int) -> None:
        champion = own.releases.champion(CASE)
        own.releases.fall_back(CASE, champion.bundle if champion else "", **words)

    acts: dict[str, Callable[[int], object]] = {
        "promote": promoting,
        "rollback": lambda _: own.releases.rollback(CASE, expected_epoch=own.releases.epoch(), **words),
        "fall": falling,
        "hold": lambda _: own.releases.hold(CASE, **words),
        "free": lambda _: own.releases.unhold(CASE, **words),
        "prune": lambda _: prune(own, NOW + 100 * DAY, timedelta(days=30)),
    }
    for turn in range(turns):
        act, began = dice.choice(ACTS), time.monotonic()
        try:
            acts[act](turn)
            told["done"] += act != "prune"
        except ShelflifeError:
            pass  # somebody was faster, or it is held: that is what the race is about
        except Exception:  # whatever else is raised is what must not be
            told["broken"] += 1
        told["slowest"] = max(told["slowest"], time.monotonic() - began)
    return told


def _judged(made: Home, told: list[dict[str, float]], tried: int) -> Race:
    changes, done = made.releases.history(), int(sum(each["done"] for each in told))
    lost = abs(len(changes) - 1 - done) + (made.releases.verify() != made.releases.epoch())
    unlinked = sum(b.epoch != a.epoch + 1 for a, b in pairwise(changes)) + _unlinked([c for c in changes if c.bundle])
    found = made.releases.answering(CASE)
    broken = int(sum(each["broken"] for each in told)) + (found is None)
    return Race(tried, done, lost, unlinked, broken, max(each["slowest"] for each in told))


def _unlinked(reigns: list) -> int:
    """Promotions that do not name the champion before them as theirs, and ways back to what was not the one before."""
    return sum(
        (after.previous != before.bundle) if after.action == "promote" else (after.bundle != before.previous)
        for before, after in pairwise(reigns)
    )
