"""Child processes that never outlive us: own groups, the parent's death signal, lock files, and the leftovers of a killed parent."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from pipelines.core.errors import ShelflifeError

PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: IO[bytes] | None = None,
    on_death: int = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start the command as the leader of its own session; where the kernel can (Linux), it gets `on_death` when we die."""
    return subprocess.Popen(
        list(command), cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT if output else None,
        start_new_session=True, preexec_fn=partial(die_with_parent, on_death, os.getpid()),  # noqa: PLW1509  one system call, no lock taken
    )  # fmt: skip


def die_with_parent(sig: int = signal.SIGTERM, parent: int | None = None) -> None:
    """Ask the kernel for `sig` when our parent dies. `parent`: who it should be; it may have died before we could ask."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(sig))
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), sig)


def end(process: subprocess.Popen[bytes], patience: float) -> int:
    """Ask the whole group to end; what has not ended after `patience` seconds is killed. Returns the leader's status."""
    _signal_group(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    _signal_group(process.pid, signal.SIGKILL)
    return process.wait()


def end_leftovers(find: Callable[[], list[int]]) -> list[int]:
    """Kill every process that `find` names, until it names no new one; their ids.

    Only for who holds the lock that says that no living owner is left. Finds nothing where there is no /proc.
    """
    gone: list[int] = []
    while pids := [pid for pid in find() if pid not in gone]:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        gone += pids
    return gone


def tagged(name: str, value: str) -> list[int]:
    """Ids of the living processes that were started with NAME=VALUE in their environment, this one and its parents excepted."""
    wanted = f"{name}={value}".encode()
    return _living(lambda folder: wanted in (folder / "environ").read_bytes().split(b"\0"))


def working_in(place: Path, word: str) -> list[int]:
    """Ids of the living processes whose current folder is `place` and whose command line says `word`. For programs that give
    themselves a title, which overwrites the environment that others can see."""
    return _living(lambda folder: (folder / "cwd").readlink() == place and word.encode() in (folder / "cmdline").read_bytes())


def _living(fits: Callable[[Path], bool]) -> list[int]:
    ours = _lineage()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(folder.name) not in ours and fits(folder) and _state(folder) != "Z":
                found.append(int(folder.name))
    return sorted(found)


@contextmanager
def locked(path: Path, *, patience: float = 0.0, whose: str = "another process") -> Iterator[None]:
    """Hold the lock file at `path`. The kernel frees it when its holder ends, however it ends, so it is never stale.

    Waits at most `patience` seconds; then raises ShelflifeError, naming `whose` lock it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("a") as file:
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                raise ShelflifeError(
                    f"{whose} is at work ({path} is locked); wait until it has finished, or end it, and run this again"
                )
            time.sleep(0.05)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal_group(leader: int, sig: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, sig)


def _lineage() -> set[int]:
    """This process and its parents, all the way up."""
    pids, pid = set(), os.getpid()
    while pid > 1 and pid not in pids:
        pids.add(pid)
        with suppress(OSError, ValueError):
            pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return pids


def _state(folder: Path) -> str:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]
