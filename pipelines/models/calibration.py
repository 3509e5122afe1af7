"""From a model's scores to scores that mean what they say: a small numeric map, applied after the model by whoever serves.

Probabilities pass through a rising piecewise-linear map; quantiles are moved, level by level, until they cover what they
promise; ranking scores only order, and stay. Applying needs numpy alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.core.decision import Answers, Probability, Quantiles
from pipelines.core.errors import NotDecidable, ShelflifeError

ENOUGH = 200
"""With so many rows of the rarer label the shape is read off the data (isotonic); with fewer only two numbers are (Platt)."""

LEAST = 10
"""With fewer rows than this (of the rarer label) chance would do the calibrating: the model's own word stands."""


@dataclass(frozen=True)
class Calibration:
    """`kind` is as_is, curve (through the points `x`, `y`, straight lines) or shift (`y` per level, added to square roots)."""

    kind: str
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        good = {
            "as_is": not self.x and not self.y,
            "curve": len(self.x) == len(self.y) >= 2 and _rising(self.x, strictly=True) and _rising((0.0, *self.y, 1.0)),
            "shift": not self.x and len(self.y) > 0,
        }
        if not good.get(self.kind) or not np.isfinite([*self.x, *self.y]).all():
            raise ShelflifeError(
                f"wanted a calibration that is as_is, a rising curve within 0..1 or a shift, got {str(self)[:200]}"
            )

    def apply(self, scores: Any) -> np.ndarray:
        """Calibrated scores, float64, in the shape that came: (rows,) or (rows, levels)."""
        scores = np.asarray(scores, dtype=np.float64)
        if self.kind == "curve":
            return np.interp(scores, self.x, self.y)
        if self.kind == "shift":
            return _shifted(scores, np.asarray(self.y))
        return scores

    def to_json(self) -> bytes:
        return json.dumps({"kind": self.kind, "x": self.x, "y": self.y}).encode()

    @staticmethod
    def from_json(data: bytes) -> Calibration:
        """The calibration that `to_json` wrote. Raises ShelflifeError for anything else."""
        try:
            read = json.loads(data)
            return Calibration(read["kind"], tuple(map(float, read["x"])), tuple(map(float, read["y"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ShelflifeError(f"wanted a calibration as JSON with kind, x and y, got {str(error)[:100]}") from None


def fit(scores: Any, labels: Any, kind: Answers) -> Calibration:
    """The calibration that these later rows ask for: their scores (rows,) or (rows, levels), and what turned out to be true.

    `kind` is what the use case answers. Raises NotDecidable without rows, or with unknown labels or scores among them.
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, float)
    if not len(labels) or len(scores) != len(labels) or not np.isfinite(scores).all() or not np.isfinite(labels).all():
        raise NotDecidable(f"wanted a known label for each of {len(scores)} finite scores, got {np.isfinite(labels).sum()}")
    if isinstance(kind, Quantiles):
        return _fit_shift(scores, labels, np.asarray(kind.levels))
    if isinstance(kind, Probability):
        return _fit_curve(scores.ravel(), labels)
    return Calibration("as_is")


def _fit_curve(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    rarer = int(min(labels.sum(), len(labels) - labels.sum()))
    if rarer < LEAST:
        return Calibration("as_is")
    return _isotonic(scores, labels) if rarer >= ENOUGH else _platt(scores, labels)


def _isotonic(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """Isotonic regression, drawn through the centres of its blocks (Oron and Flournoy 2017, Centered isotonic regression).

    Flat blocks would tie scores that the model told apart. The curve runs from (0, 0) to (1, 1).
    """
    order = np.argsort(scores, kind="stable")
    x, where = np.unique(scores[order], return_inverse=True)
    weights = np.bincount(where).astype(float)
    means = np.bincount(where, weights=labels[order]) / weights
    centres, values = _pool(x, means, weights)
    inside = (centres > 0) & (centres < 1)
    return Calibration("curve", (0.0, *centres[inside].tolist(), 1.0), (0.0, *values[inside].tolist(), 1.0))


def _pool(x: np.ndarray, means: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pool adjacent violators: the blocks' centres and means, both rising."""
    blocks: list[tuple[float, float, float]] = []
    for block in zip(x.tolist(), means.tolist(), weights.tolist(), strict=True):
        centre, mean, weight = block
        while blocks and blocks[-1][1] >= mean:
            before = blocks.pop()
            total = before[2] + weight
            centre, mean = (before[0] * before[2] + centre * weight) / total, (before[1] * before[2] + mean * weight) / total
            weight = total
        blocks.append((centre, mean, weight))
    centres, values, rows = map(np.array, zip(*blocks, strict=True))
    return centres, _never_certain(values, rows)


def _never_certain(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A block without a single 1 (or 0) gets half a row of it: no answer is certain, and none ties with its neighbours."""
    values = values.copy()
    if values[0] == 0:
        values[0] = min(0.5 / (rows[0] + 1), values[1] / 2 if len(values) > 1 else 1)
    if values[-1] == 1:
        values[-1] = max(1 - 0.5 / (rows[-1] + 1), (1 + values[-2]) / 2 if len(values) > 1 else 0)
    return values


def _platt(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """A logistic curve over the log-odds, drawn through 201 points.

    With the targets of Platt 1999, Probabilistic outputs for support vector machines.
    """
    ones = labels.sum()
    zeros = len(labels) - ones
    targets = np.where(labels > 0, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    odds = _odds(scores)
    slope, offset = _newton(odds - odds.mean(), targets)
    grid = np.linspace(-16, 16, 201)
    x = 1 / (1 + np.exp(-grid))
    y = 1 / (1 + np.exp(-(max(slope, 0) * (grid - odds.mean()) + offset)))
    return Calibration("curve", (0.0, *x.tolist(), 1.0), (float(y[0]), *y.tolist(), float(y[-1])))


def _newton(odds: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Slope and offset of the logistic curve, by Newton's steps with a pinch of ridge; constant scores get slope 0."""
    design = np.column_stack([odds, np.ones(len(odds))])
    w = np.array([0.0, np.log(targets.mean() / (1 - targets.mean()))])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -30, 30)))
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (targets - p))
        w = w + step / max(1.0, float(np.abs(step).max()))
    return w


def _odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.log(p) - np.log(1 - p)


def _fit_shift(quantiles: np.ndarray, units: np.ndarray, levels: np.ndarray) -> Calibration:
    """Split conformal prediction, level by level (Romano, Patterson, Candès 2019, Conformalized quantile regression).

    The shift with which a share `level` of these rows would have been covered; between square roots, where counts of all
    sizes are alike.
    """
    rows = len(units)
    if rows < LEAST:
        return Calibration("as_is")
    errors = np.sort(np.sqrt(np.maximum(units, 0) + 1)[:, None] - np.sqrt(np.maximum(quantiles, 0) + 1), axis=0)
    place = np.clip(np.ceil((rows + 1) * levels).astype(int) - 1, 0, rows - 1)
    return Calibration("shift", (), tuple(errors[place, np.arange(len(levels))].tolist()))


def _shifted(quantiles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    if quantiles.shape[-1] != len(shifts):
        raise ShelflifeError(
            f"wanted {len(shifts)} quantiles a row, got {quantiles.shape[-1]}; the model is not the one calibrated"
        )
    root = np.sqrt(np.maximum(quantiles, 0) + 1)
    # (root + shift)^2 - 1, spelt so that a shift of 0 changes nothing; rounded, for a whole number of units must stay whole.
    moved = np.round(np.maximum(quantiles, 0) + shifts * (2 * root + shifts), 9)
    return np.sort(np.where(root + shifts > 1, moved, 0), axis=-1)


def _rising(values: tuple[float, ...], strictly: bool = False) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() if strictly else (steps >= 0).all())
