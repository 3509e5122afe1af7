"""Now and then a payment that would be blocked is let pass, so that its label can be seen: drawn by lot, capped, and logged."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from pipelines.core.clock import DAY
from pipelines.serving.answers import Advice, Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipelines.core.decision import CostMatrix
    from pipelines.core.event import Event


@dataclass(frozen=True)
class Explorer:
    """Lets a `share` of the asks pass whose action would hide their label: at most `per_day` of them a UTC day, and at most
    `amount_per_day` cents at stake. `kept` is the file in which the day's spending is kept, for all servers of the home.
    """

    cost: CostMatrix
    hidden_by: tuple[str, ...]
    share: float
    per_day: int
    amount_per_day: int
    kept: Path

    def tried(self, ask: Event, answer: Answer, now: int) -> tuple[Answer, float | None]:
        """The answer that is given, and the chance that its label can be seen (the propensity); None where nothing is hidden.

        The lot is a hash of the answer's own id, which the server drew: nobody outside can choose it. Where the day's caps are
        spent, or their file cannot be written, the answer stays and the chance is nought.
        """
        if not isinstance(answer, Advice):
            return answer, None
        if answer.action not in self.hidden_by:
            return answer, 1.0
        amount = self.cost.missed if isinstance(self.cost.missed, int) else int(ask.body[self.cost.missed])
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), _locked(self.kept) as file:
            spent = _spent(file, now // DAY)
            if spent["count"] >= self.per_day or spent["amount"] + amount > self.amount_per_day:
                return answer, 0.0
            if lot(answer.prediction) >= self.share:
                return answer, self.share
            _keep(file, {"day": now // DAY, "count": spent["count"] + 1, "amount": spent["amount"] + amount})
            return msgspec.structs.replace(answer, action=self.cost.actions[0]), self.share
        return answer, 0.0


def lot(name: str) -> float:
    """A number in [0, 1) from a name, the same everywhere."""
    return int.from_bytes(blake2b(name.encode(), digest_size=7).digest(), "big") / 2**56


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, opened and locked until the end."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _spent(file: int, day: int) -> dict[str, int]:
    """What was spent on that day. Raises ValueError, KeyError or TypeError for a file that is not ours."""
    text = os.pread(file, 1_000, 0)
    found = json.loads(text) if text else {"day": day, "count": 0, "amount": 0}
    if int(found["day"]) > day:
        raise ValueError("the clock went back; the day's spending is not known")
    return {name: int(found[name]) if found["day"] == day else 0 for name in ("count", "amount")}


def _keep(file: int, spent: dict[str, int]) -> None:
    """Written down before the answer is given: a killed server has rather explored too little."""
    data = json.dumps(spent).encode()
    os.pwrite(file, data.ljust(100), 0)
    os.fsync(file)
