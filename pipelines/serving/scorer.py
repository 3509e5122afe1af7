"""The code that answers is the code that is judged: features in, calibrated scores out, through ONNX Runtime alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnxruntime

    Columns = Mapping[str, np.ndarray]

CHUNK = 512
"""Rows that run at once: text columns are wide, and a chunk's matrix stays in the cache."""


class Encoder(Protocol):
    """The fitted turn from feature columns to the model's matrix, float32 [rows, columns]."""

    def transform(self, columns: Columns) -> np.ndarray:
        """The matrix of these columns, a row each."""


class Calibration(Protocol):
    """The fitted numeric map from the model's raw scores to calibrated ones, of the same shape."""

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """The calibrated scores."""


class OnnxScorer:
    """Scores feature columns with a bundle's `model.onnx`, on one thread.

    `files` are a bundle's verified bytes. Raises onnxruntime's own errors for bytes that are no model: call it only with bytes
    whose digests were checked, first in a process of their own (serving/probe.py).
    """

    def __init__(self, files: Mapping[str, bytes], *, encoder: Encoder, calibration: Calibration) -> None:
        self._encoder = encoder
        self._calibration = calibration
        self._session = _session(files["model.onnx"])
        (self._input,) = (value.name for value in self._session.get_inputs())
        (self._output,) = (value.name for value in self._session.get_outputs())

    def score(self, columns: Columns) -> np.ndarray:
        """Calibrated scores of feature columns, float64: (rows,) or, for quantiles, (rows, levels), rising from zero or more."""
        rows = count(columns)
        parts = [self._chunk(_rows(columns, start)) for start in range(0, max(rows, 1), CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _chunk(self, columns: Columns) -> np.ndarray:
        matrix = np.ascontiguousarray(self._encoder.transform(columns), dtype=np.float32)
        raw = self._session.run([self._output], {self._input: matrix})[0]
        flat = raw[:, 0] if raw.ndim > 1 and raw.shape[1] == 1 else raw
        scores = np.asarray(self._calibration.apply(flat.astype(np.float64)), dtype=np.float64)
        return scores if scores.ndim == 1 else np.maximum(np.sort(scores, axis=1), 0.0)


def count(columns: Columns) -> int:
    """How many rows the columns have."""
    return len(next(iter(columns.values()), ()))


def _rows(columns: Columns, start: int) -> dict[str, np.ndarray]:
    return {name: values[start : start + CHUNK] for name, values in columns.items()}


def _session(model: bytes) -> onnxruntime.InferenceSession:
    """One thread and no spinning: requests run side by side, a request's rows do not."""
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
