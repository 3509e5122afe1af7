"""The features of many keys at once, out of their packed values: what a hundred candidates are asked about in one go.

A packed value begins with its numbers (state.py), so the tiles of all keys are one array of doubles, and each part of a window is one
sum over it, by key. That holds for a key that has no row at or after the near edge, so that every tile is whole: the common case of
an ask of now.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.core.feature import Counted
from pipelines.features.finish import Array, ended
from pipelines.features.plan import Group, Question
from pipelines.features.state import WORD
from pipelines.features.update import EMPTY

NUMBERS = ("n", "c", "s", "lo", "hi", "newest")
"""Parts that arrays answer."""

SMALLEST = {"lo": np.minimum, "hi": np.maximum, "newest": np.maximum}


def at_once(feature: Counted) -> bool:
    """Whether arrays answer the feature."""
    return all(part.op in NUMBERS for part in feature.how.parts)


class Together:
    """The packed values of some keys of a group, taken apart at once."""

    def __init__(self, group: Group, values: Sequence[bytes]) -> None:
        many = len(group.series)
        self._words = np.frombuffer(b"".join(values), dtype="<f8")
        sizes = np.fromiter(map(len, values), np.int64, len(values)) // WORD
        starts = sizes.cumsum() - sizes
        head = self._words[starts[:, None] + np.arange(2 + 2 * many)]
        self._newest = head[:, 0]
        self._lengths = head[:, 2 + many :].astype(np.int64)
        self._begins = self._lengths.cumsum(axis=1) - self._lengths + starts[:, None] + head.shape[1]

    def answers(self, question: Question, ts: Array) -> tuple[list[Array], Array]:
        """The question's features, each key's at its own ts, and for which keys they hold. Only where `at_once` says so."""
        n, keys, window = question.number, len(ts), question.window
        tiles = self._lengths[:, n] // question.series.width
        total = tiles.cumsum()
        owner = np.repeat(np.arange(keys), tiles)
        at = (self._begins[:, n] - (total - tiles) * question.series.width)[owner]
        at += np.arange(len(owner)) * question.series.width
        ends = ts - window.lag
        holds = self._newest < ends
        if not window.ever:
            low = ends - window.length
            low -= low % question.series.grain
            inside = self._words[at] >= low[owner]
            owner, at = owner[inside], at[inside]
        found = [_total(cell.op, self._words[at + cell.column], owner, keys) for cell in question.cells]
        takes = zip(question.features, question.takes, strict=True)
        return [ended(feature.how, [found[n] for n in mine], ends) for feature, mine in takes], holds


def _total(op: str, cells: Array, owner: Array, count: int) -> Array:
    if op not in SMALLEST:
        return np.bincount(owner, weights=cells, minlength=count)
    total = np.full(count, EMPTY[op])
    SMALLEST[op].at(total, owner, cells)
    return total
