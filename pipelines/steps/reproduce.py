"""Run one stage in a run's worktree: alone, on the worktree's own code, and ended whole when it must end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.core.errors import ShelflifeError
from pipelines.steps.processes import die_with_parent, end, end_leftovers, locked, start, tagged

MOMENT = 0.5
"""Seconds in which a living dvc has long written its table of locks."""

TAG = "SHELFLIFE_WORKTREE"
"""The environment variable by which the processes of a stage are found again if their supervisor was killed."""


def repro(tree: Path, stage: str, case: str, home: Path) -> int:
    """Run one stage of one use case in this worktree, alone, and return dvc's status.

    A lock held by the kernel keeps two attempts apart; what a killed attempt left behind (processes still writing, DVC's lock
    file half-written) is cleared first. A signal to us ends the whole stage; if we are killed, dvc is killed with us.
    """
    with locked(tree / ".dvc" / "tmp" / "shelflife.lock", patience=30, whose="another attempt at this run"):
        end_leftovers(lambda: tagged(TAG, str(tree)))
        heal(tree, alone=True)
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "-s", f"{stage}@{case}"]
        print(f"{tree.name}: {' '.join(command[2:])}", flush=True)
        with _ended_by_signals():
            process = start(command, cwd=tree, env=environment(home, tree))
            try:
                return process.wait()
            finally:
                end(process, patience=10)


def heal(root: Path, *, alone: bool = False) -> bool:
    """Remove DVC's table of path locks if a kill left it half-written, after which every dvc command would fail.

    `alone`: no other dvc can be at work here, so whatever it says is stale. Else only what is broken goes, and is still broken
    after a moment: a dvc at work empties the table and fills it again. Returns whether something was removed.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.is_file() or not (alone or (_broken(path) and _broken(path, after=MOMENT))):
        return False
    path.unlink(missing_ok=True)
    return True


def own_code(tree: Path) -> None:
    """Raises ShelflifeError unless the code that runs lies inside this worktree: a run must be made by the commit it names."""
    import pipelines

    source = Path(pipelines.__file__).resolve()
    if not source.is_relative_to(tree.resolve()):
        raise ShelflifeError(
            f"wanted the code of {tree}, got {source}; run it as python -m pipelines with the worktree as current folder"
        )


def _broken(path: Path, after: float = 0.0) -> bool:
    time.sleep(after)
    try:
        return not isinstance(json.loads(path.read_text()), dict)
    except ValueError:
        return True
    except FileNotFoundError:
        return False


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and the death of our parent end us in order, so that what we started is ended too."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    die_with_parent(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def environment(home: Path, tree: Path) -> dict[str, str]:
    """A stage's environment: the worktree's code with this interpreter, the living state's home, nothing of Airflow's secrets."""
    hidden = ("AIRFLOW", "GIT_", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE", "DVC_ROOT", "DVC_STAGE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    return {**env, "PATH": path, "SHELFLIFE_HOME": str(home), "DVC_NO_ANALYTICS": "1", TAG: str(tree)}
