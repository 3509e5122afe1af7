"""A clock that goes on while what it reads is away."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from pipelines.core.protocols import Clock

FRESH = 0.2
"""Seconds for which a reading holds: a simulated shop's clock is a row of the state."""


@dataclass
class SteadyClock:
    """The world's clock, read at most a few times a second; when it cannot be read, the last reading and the time since then.

    A clock that could never be read gives this machine's time, which is good enough to answer by.
    """

    clock: Clock
    _read: int = field(default=0, init=False)
    _at: float = field(default=-FRESH, init=False)
    _looked: float = field(default=-FRESH, init=False)

    def __call__(self) -> int:
        self._look()
        if not self._read:
            return time.time_ns() // 1000
        passed = time.monotonic() - self._at
        return self._read + (int(1_000_000 * passed) if self._looked > self._at else 0)

    def sure(self) -> int:
        """The same, for what the log will keep. Raises ShelflifeError where the clock could never be read: a simulated shop's log
        must not be told this machine's time."""
        now = self()
        if not self._read:
            raise ShelflifeError("the state is away, and with it the shop's clock; nothing can enter the log until it is back")
        return now

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < FRESH:
            return
        self._looked = now
        try:
            self._read = self.clock()
        except Exception:  # the state is away: the time since the last reading is added to it
            return
        self._at = now
