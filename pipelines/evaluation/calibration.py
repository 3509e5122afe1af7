"""Do the numbers mean what they say: expected calibration error of probabilities, distance of quantiles from their levels."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.statistic import Array, Labelled, Statistic, Sums, Undefined, sound

BINS = 15


def expected_error(rows: Labelled, scores: Array, bins: int = BINS) -> Statistic:
    """The mean distance between what was said and how often it happened, over bins of about equally many rows.

    Equal scores share a bin. Equally full bins, because a rare positive class leaves equally wide ones empty (Nixon et al. 2019).
    """
    if not sound(rows, scores):
        return Undefined()
    inner = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(inner, scores, side="right")
    parts = np.zeros((len(scores), len(inner) + 2))
    parts[np.arange(len(scores)), place] = scores - rows.labels
    parts[:, -1] = 1.0
    return Sums(parts, rows, lambda s: np.abs(s[:, :-1]).sum(axis=1) / s[:, -1])


def quantile_error(rows: Labelled, scores: Array) -> Statistic:
    """The largest distance of a quantile's coverage from its level, over the levels.

    Units sold are whole numbers: a quantile is right when its level lies between the share of labels below it and the share
    at or below it.
    """
    if not sound(rows, scores):
        return Undefined()
    label, level = rows.labels[:, None], np.asarray(rows.levels)
    parts = np.concatenate([label < scores, label <= scores, np.ones((len(scores), 1))], axis=1).astype(float)
    return Sums(parts, rows, lambda s: _distance(s / s[:, -1:], level))


def _distance(shares: Array, level: Array) -> Array:
    below, at_most = shares[:, : len(level)], shares[:, len(level) : -1]
    return np.maximum(np.maximum(below - level, level - at_most), 0.0).max(axis=1)


def curve(labels: Array, scores: Array, bins: int = BINS) -> list[tuple[float, float, int]]:
    """The calibration curve: per bin the mean score, the share that happened, and how many rows; nothing where there are none."""
    if not len(scores):
        return []
    place = np.searchsorted(np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])), scores, side="right")
    return [
        (float(scores[place == b].mean()), float(labels[place == b].mean()), int((place == b).sum())) for b in np.unique(place)
    ]
