"""What has been measured is kept, so that a long run that was broken off goes on where it stood."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".shelflife" / "measured"
Tell = Callable[[str], None]
Job = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a module and its arguments."""


def parts(runs: int, size: int) -> list[tuple[int, int]]:
    """Runs that are kept together: of each part the first and the one after its last."""
    return [(first, min(first + size, runs)) for first in range(0, runs, size)]


def measured(
    jobs: Mapping[str, Job], tell: Tell, code: Sequence[str], *, processes: int = 2, folder: Path = FOLDER
) -> dict[str, Any]:
    """The JSON answer of each job, by its name; jobs that were done before, by the very code of these files, are not done again."""
    folder = folder / digest(code)
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [name for name in jobs if not (folder / f"{name}.json").exists()]
    with ProcessPoolExecutor(processes) as pool:
        for name in pool.map(_done, waiting, [jobs[name] for name in waiting], [folder] * len(waiting)):
            tell(name)
    return {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in jobs}


def _done(name: str, job: Job, folder: Path) -> str:
    function, arguments = job
    half = folder / f"{name}.part"
    half.write_text(json.dumps(function(*arguments)), "utf-8")
    half.rename(folder / f"{name}.json")
    return name


def digest(code: Sequence[str]) -> str:
    """A digest of the files that match the patterns, from the repository's root."""
    found = hashlib.sha256()
    for path in sorted(path for pattern in code for path in ROOT.glob(pattern)):
        found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return found.hexdigest()[:12]
