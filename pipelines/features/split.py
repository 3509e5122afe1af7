"""What trains, what chooses, what judges: parts of history with a gap of the label's delay between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from pipelines.core.clock import iso, micros
from pipelines.core.errors import NotDecidable
from pipelines.core.params import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    Span = tuple[int, int]


@dataclass(frozen=True)
class Parts:
    """Three spans of asks, `[from, to)` in microseconds UTC. At the end of each span plus the label's delay the next begins,
    so that every label of the earlier part was final before the later part began."""

    train: Span
    valid: Span
    holdout: Span

    def __iter__(self) -> Iterator[tuple[str, Span]]:
        return iter((("train", self.train), ("valid", self.valid), ("holdout", self.holdout)))

    def name_of(self, ts: np.ndarray) -> np.ndarray:
        """The part each moment lies in, shape (rows,) of str, None in a gap or outside."""
        import numpy as np

        names = np.full(len(ts), None, dtype=object)
        for name, (start, end) in self:
            names[(ts >= start) & (ts < end)] = name
        return names


def parts(as_of: int, matures: timedelta, split: Split) -> Parts:
    """The parts of the history that is known at as_of, back from the last ask whose label is final.

    Raises NotDecidable where that would begin before 1970.
    """
    gap = micros(matures)
    holdout = (as_of - gap - micros(split.holdout), as_of - gap)
    valid = (holdout[0] - gap - micros(split.valid), holdout[0] - gap)
    train = (valid[0] - gap - micros(split.train), valid[0] - gap)
    if train[0] < 0:
        raise NotDecidable(
            f"wanted a history that reaches back before {iso(as_of)} by more than the split needs; shorten train"
        )
    return Parts(train, valid, holdout)


def sampled(units: Sequence[object], share: float) -> np.ndarray:
    """Which rows to keep, shape (rows,) of bool: all rows of a unit or none, by a hash of the unit, the same on every machine."""
    import numpy as np

    limit = int(share * 2**64)
    kept = {unit: int.from_bytes(blake2b(str(unit).encode(), digest_size=8).digest(), "big") < limit for unit in set(units)}
    return np.fromiter((kept[unit] for unit in units), dtype=bool, count=len(units))
