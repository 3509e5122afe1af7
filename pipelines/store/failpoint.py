"""Places where a test makes the process die, to show that what is on disk is exactly the old or the new."""

from __future__ import annotations

import errno
import os
import signal

VARIABLE = "SHELFLIFE_FAILPOINT"


def failpoint(name: str) -> None:
    """Nothing, unless the environment says SHELFLIFE_FAILPOINT=<name>=kill, raise or enospc."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    where, _, mode = wanted.rpartition("=")
    if where == name:
        _fail(name, mode)


def _fail(name: str, mode: str) -> None:
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    raise RuntimeError(f"failpoint {name}")
