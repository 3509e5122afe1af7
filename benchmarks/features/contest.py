"""Contestants, each in a fresh process and, where it is a peer, in a locked environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / ".benchmarks" / "features"
"""Made-up data and results: ignored by git, made again when missing."""


@dataclass(frozen=True)
class Contestant:
    """A program under benchmarks/features that alone.py can run. `peer`: the folder of its environment; None is ours."""

    name: str
    program: str
    peer: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def python(peer: str | None) -> Path:
    """The environment's python, made from its lock file where it is not there yet. Ends the program where that cannot be done."""
    if peer is None:
        return Path(sys.executable)
    project = HERE / "peers" / peer
    found = project / ".venv" / "bin" / "python"
    if not found.exists():
        uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
        if uv is None:
            raise SystemExit("the peers' environments are made with uv, which is not there; run make setup")
        subprocess.run([uv, "sync", "--locked", "--compile-bytecode", "--project", str(project)], check=True)
    return found


def measure(one: Contestant, folder: Path, target: Path) -> dict[str, Any]:
    """What alone.py printed last. Ends the program, with the contestant's own words, where it failed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if one.peer is None else "", "OMP_NUM_THREADS": "1"}
    environment["PYTHONHASHSEED"] = "0"
    pairs = [f"{name}={value}" for name, value in one.options.items()]
    command = [python(one.peer), HERE / "alone.py", HERE / one.program, folder, target, *pairs]
    with tempfile.TemporaryDirectory() as passing:  # what it keeps for itself, a store of hundreds of megabytes, goes with it
        environment["TMPDIR"] = passing
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{one.name} failed:\n{done.stderr[-3000:]}\nnothing was written")
    return json.loads(done.stdout.splitlines()[-1])


def rounds(contestants: tuple[Contestant, ...], count: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every contestant once a round, so that what disturbs the machine for a while disturbs them alike."""
    measured: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contestants}
    for number in range(count):
        for one in contestants:
            found = measure(one, folder, result(folder, one))
            measured[one.name].append(found)
            tell(f"round {number + 1}: {one.name}: " + ", ".join(f"{name} {_short(value)}" for name, value in found.items()))
    return measured


def profile(one: Contestant, folder: Path) -> dict[str, Any]:
    """Where one of ours spends its time, of a run that is not timed: "stages" and their seconds, or under "profile" functions and
    their shares."""
    return measure(replace(one, options={**one.options, "profile": "yes"}), folder, folder / "none")


def result(folder: Path, one: Contestant) -> Path:
    """Where its result is kept for comparison."""
    return folder / f"result-{one.name.replace(' ', '-')}.parquet"


def tell(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def _short(value: Any) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and value < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
