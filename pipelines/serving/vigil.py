"""A release that is bad live: suspected by its own answers, convicted beside the one before it on the same asks."""

from __future__ import annotations

import collections
import json
import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipelines.core.digest import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipelines.core.event import Event

WINDOW = 200
"""Answers that are looked at together, and that the release before is asked again."""

PROBATION = 5_000
"""Answers of a release that are watched for a wrong shape or speed; what is no number is watched for ever."""

BROKEN = 5
"""Answers of a window without a finite score of their own."""

CHANCE = 1e-9
"""So rare must a run of equal scores be by the reference to be no accident."""

SHIFT = 0.5
"""The largest distance between the distributions of the scores, live and reference (Kolmogorov and Smirnov's)."""

SLOWER = 5.0
"""How many times its own time at loading an answer may take."""

FLOOR_MS = 2.0
"""Milliseconds below which nothing is slow."""

FEWEST = 30
"""Answers, and different asks among them, below which shape and speed are not judged."""

PAIRS = 10
"""Requests that two releases are timed on in turn."""


@dataclass(frozen=True)
class Reference:
    """How a release should behave: quantiles of its scores in validation, and milliseconds of one answer when it was loaded."""

    quantiles: np.ndarray
    ms: float

    @staticmethod
    def of(files: Mapping[str, bytes], ms: float) -> Reference:
        """The reference in a bundle's golden requests; without quantiles (an older bundle) shapes are not judged."""
        return Reference(np.asarray(json.loads(files["golden.json"]).get("quantiles", ()), dtype=np.float64), ms)


@dataclass(frozen=True)
class Sample:
    """One request as the watch keeps it: what was asked, the raw scores (NaN: none of its own), milliseconds of scoring."""

    asks: Sequence[Event]
    scores: np.ndarray
    ms: float


def middle(scores: np.ndarray) -> np.ndarray:
    """One number a row: the score itself, or of quantiles the middle one."""
    return scores if scores.ndim == 1 else scores[:, scores.shape[1] // 2]


def symptoms(samples: Sequence[Sample], reference: Reference) -> dict[str, str]:
    """What is wrong with the answers, by name, each with the evidence in words. A pure function of what was seen."""
    if not samples:
        return {}
    found = {}
    scores = np.concatenate([middle(sample.scores) for sample in samples])
    broken = sum(not np.isfinite(sample.scores).all() for sample in samples)
    if broken >= BROKEN:
        found["no number"] = f"{broken} of {len(samples)} answers had no finite score"
    finite = scores[np.isfinite(scores)]
    if len(finite) < FEWEST:
        return found
    if (run := _equal_by_no_accident(samples, finite, reference.quantiles)) is not None:
        found["one score"] = f"{run} different asks in a row had the score {finite[-1]:.6g}"
    if len(samples) == WINDOW and len(reference.quantiles) and (far := distance(finite, reference.quantiles)) > SHIFT:
        found["another scale"] = (
            f"the scores of {len(samples)} answers lie {far:.2f} from those in validation (at most {SHIFT})"
        )
    typical = float(np.median([sample.ms for sample in samples]))
    if len(samples) >= FEWEST and typical > max(SLOWER * reference.ms, FLOOR_MS):
        found["slow"] = f"an answer takes {typical:.1f} ms, {reference.ms:.1f} ms when it was loaded"
    return found


def distance(scores: np.ndarray, quantiles: np.ndarray) -> float:
    """The largest difference between the scores' distribution and the one that these evenly spaced quantiles describe, 0 to 1."""
    share = np.searchsorted(np.sort(scores), quantiles, side="right") / len(scores)
    below = np.searchsorted(np.sort(scores), quantiles, side="left") / len(scores)
    level = np.linspace(0, 1, len(quantiles))
    low, high = _levels(quantiles, level)
    return float(max(np.max(below - high), np.max(low - share), 0.0))


def _levels(quantiles: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each quantile the least and the greatest level at which its value stands: tied scores have many."""
    first = np.searchsorted(quantiles, quantiles, side="left")
    last = np.searchsorted(quantiles, quantiles, side="right") - 1
    return level[first], level[last]


def _equal_by_no_accident(samples: Sequence[Sample], scores: np.ndarray, quantiles: np.ndarray) -> int | None:
    """How many different asks had one and the same score, where the reference says that chance does not make that."""
    if len(quantiles) < FEWEST or np.ptp(scores) > 0:
        return None
    _, counts = np.unique(quantiles, return_counts=True)
    common = float(counts.max()) / len(quantiles)
    different = len({canonical({**ask.body}) for sample in samples for ask in sample.asks})
    return different if different >= FEWEST and different * math.log(max(common, 0.5)) < math.log(CHANCE) else None


@dataclass
class Vigil:
    """The last answers of the release that answers one use case. Written by the requests, judged by the watcher's thread."""

    bundle: str
    reference: Reference
    _seen: int = field(default=0, init=False)
    _samples: collections.deque[Sample] = field(default_factory=lambda: collections.deque(maxlen=WINDOW), init=False)
    _lock: Any = field(default_factory=threading.Lock, init=False)

    def note(self, sample: Sample) -> None:
        with self._lock:
            self._seen += 1
            self._samples.append(sample)

    def suspicion(self) -> tuple[list[Sample], dict[str, str]]:
        """The last answers, and what is wrong with them; past the probation only what is no number counts."""
        with self._lock:
            samples, late = list(self._samples), self._seen > PROBATION
        found = symptoms(samples, self.reference)
        return samples, {name: said for name, said in found.items() if name == "no number" or not late}

    def acquit(self) -> None:
        """Begin to look anew: what was suspicious is the world's doing, for the release before shows the same."""
        with self._lock:
            self._samples.clear()


class Asked(Protocol):
    """A loaded release that can be asked again."""

    @property
    def reference(self) -> Reference: ...

    def again(self, asks: Sequence[Event]) -> Sample:
        """Its own scores of these asks, and how long they took."""


def convict(samples: Sequence[Sample], suspected: Mapping[str, str], now: Asked, before: Asked) -> dict[str, str]:
    """Of what is suspected, what the release before does not show when it is asked the same in the same moment."""
    innocent = symptoms([before.again(sample.asks) for sample in samples], before.reference)
    guilty = {name: said for name, said in suspected.items() if name not in innocent}
    if "slow" in guilty and not _slower(samples[-PAIRS:], now, before):
        del guilty["slow"]
    return guilty


def _slower(samples: Sequence[Sample], now: Asked, before: Asked) -> bool:
    """Whether it is slower than the one before by as much, both asked in turn: a busy machine slows both."""
    pairs = [(now.again(sample.asks).ms, before.again(sample.asks).ms) for sample in samples]
    return float(np.median([a for a, _ in pairs])) > SLOWER * float(np.median([b for _, b in pairs]))
