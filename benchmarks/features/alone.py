"""One contestant in a process of its own: `alone.py CONTESTANT.py FOLDER RESULT [NAME=VALUE..]`. Standard library only.

A contestant is a module with `run(ready) -> result`, and where it needs them `prepare(folder, **options) -> ready` and
`keep(result, path)`; only `run` is measured. `prepare` gives the folder where there is none; what `facts(result)` gives is added
to the measurement. The last line of the output is JSON: seconds, CPU seconds (of all threads and children), peak MB of this
process and of the programs it started, read before the result is kept. With `profile=yes` the run is not measured but taken apart:
the CPU seconds of each of its STAGES where it names them, else the functions that took most, and their shares.
"""

from __future__ import annotations

import cProfile
import importlib.util
import json
import os
import pstats
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any


def measured(contestant: ModuleType, folder: Path, target: Path, options: dict[str, str]) -> dict[str, Any]:
    """Seconds, CPU seconds and peak memory of `run`, and the contestant's own facts."""
    profiled = options.pop("profile", "")
    ready = contestant.prepare(folder, **options) if hasattr(contestant, "prepare") else folder
    if profiled and hasattr(contestant, "STAGES"):
        return {"stages": _stages(contestant.STAGES, lambda: contestant.run(ready))}
    if profiled:
        return {"profile": _profile(lambda: contestant.run(ready))}
    cpu, wall = _cpu(), time.perf_counter()
    result = contestant.run(ready)
    found = {"seconds": time.perf_counter() - wall, "cpu": _cpu() - cpu, "peak_mb": _peak_mb()}
    if hasattr(contestant, "facts"):
        found |= contestant.facts(result)
    if hasattr(contestant, "keep"):
        contestant.keep(result, target)
    return found


def _profile(work: Callable[[], Any]) -> list[tuple[str, float]]:
    """The dozen functions in which most of the time was spent, and their shares of it."""
    profile = cProfile.Profile()
    profile.runcall(work)
    spent = {where: row[2] for where, row in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    most = sorted(spent, key=lambda where: spent[where], reverse=True)[:12]
    return [(_said(*where), spent[where] / sum(spent.values())) for where in most]


def _stages(stages: Mapping[str, tuple[type, str]], work: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds of each stage, a method, without those of a stage within it; and "the rest"."""
    spent, under_way = dict.fromkeys([*stages, "the rest"], 0.0), ["the rest"]
    since = time.process_time()

    def go_on(stage: str | None) -> None:
        nonlocal since
        now = time.process_time()
        spent[under_way[-1]] += now - since
        under_way.append(stage) if stage else under_way.pop()
        since = now

    def timed(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            go_on(stage)
            try:
                return method(*args, **options)
            finally:
                go_on(None)

        return call

    for stage, (owner, name) in stages.items():
        setattr(owner, name, timed(stage, getattr(owner, name)))
    work()
    go_on(None)
    return spent


def _said(file: str, _: int, function: str) -> str:
    return function.strip("<>") if file in {"~", ""} else f"{Path(file).name}: {function}"


def _cpu() -> float:
    """CPU seconds so far: this process, the programs it ran to their end, and those still running."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = os.sysconf("SC_CLK_TCK")
    running = sum(sum(map(int, _after_name(each).split()[11:13])) for each in _running())
    return sum(each.ru_utime + each.ru_stime for each in used) + running / ticks


def _peak_mb() -> float:
    """Linux counts per program what was resident at most; ru_maxrss would bring along what the parent held before the start."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return sum(_high_water(each / "status") for each in (status.parent, *_running())) / 1024


def _high_water(status: Path) -> int:
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) if lines else 0


def _running() -> list[Path]:
    """The /proc folders of the programs that this one started, and of those that they started."""
    if not Path("/proc/self/stat").exists():
        return []
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_after_name(folder).split()[1])
        except OSError:  # it ended while we looked
            continue
    family, grown = {os.getpid()}, 0
    while grown < len(family):
        grown = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    return [Path("/proc") / str(child) for child in sorted(family - {os.getpid()})]


def _after_name(folder: Path) -> str:
    """/proc/<id>/stat from the state on: the name before it may hold spaces."""
    return (folder / "stat").read_text().rpartition(")")[2]


def main(source: str, folder: str, target: str, *pairs: str) -> None:
    sys.path.insert(0, str(Path(source).parent))
    spec = importlib.util.spec_from_file_location("contestant", source)
    assert spec is not None
    assert spec.loader is not None
    contestant = importlib.util.module_from_spec(spec)
    sys.modules["contestant"] = contestant
    spec.loader.exec_module(contestant)
    options = dict(pair.split("=", 1) for pair in pairs)
    print(json.dumps(measured(contestant, Path(folder), Path(target), options)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
