"""A clock that goes on while what it reads is away."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.core.protocols import Clock

FRESH = 0.2
"""Seconds for which a reading holds: a simulated shop's clock is a row of the state."""


@dataclass
class SteadyClock:
    """The home's clock, read at most a few times a second; when it cannot be read, the last reading and the time since then."""

    clock: Clock
    _read: int = field(default=0, init=False)
    _at: float = field(default=-FRESH, init=False)

    def __call__(self) -> int:
        now = time.monotonic()
        if now - self._at >= FRESH:
            self._look(now)
        return self._read

    def _look(self, now: float) -> None:
        try:
            self._read, self._at = self.clock(), now
        except Exception:  # the state is away: answers go on with the time that has passed since, or this machine's
            passed = int(1_000_000 * (now - self._at))
            self._read, self._at = (self._read + passed if self._read else time.time_ns() // 1000), now
