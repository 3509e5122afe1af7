"""Does the served form answer as the trained one does? A candidate whose two forms differ is not eligible."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.core.verdict import Finding

TOLERANCE = 1e-4
"""The largest difference allowed, as a share of max(1, |answer|): far above float32's rounding, far below what decides."""

ROWS = 1000
"""How many rows must be compared at least."""

ALONE = 16
"""So many rows are also asked one at a time, as the shop asks."""


def check(estimator: Any, onnx: bytes, matrix: Any, *, tolerance: float = TOLERANCE) -> Finding:
    """The finding `parity`: the largest difference between the estimator and its ONNX form over the rows of `matrix`.

    It passes on at least 1,000 rows, or on all there are, which it then says. No rows, an unloadable graph, a shape or a value
    that is not a finite number never pass.
    """
    from pipelines.models.estimator import answer, dense

    rows = matrix.shape[0]
    wanted = f"at most {tolerance:g} on {rows} rows" + ("" if rows >= ROWS else f" (all there are, fewer than {ROWS})")
    try:
        x = dense(matrix)
        truth = answer(estimator, matrix)
        served = _served(onnx, x)
    except Exception as error:
        return Finding(
            "parity", "fail", None, wanted, advice=f"the ONNX form does not run: {type(error).__name__}: {str(error)[:200]}"
        )
    if not rows or served.shape != truth.shape:
        return Finding("parity", "fail", None, wanted, advice=f"got answers of shape {served.shape} for {truth.shape}")
    worst = float(np.max(np.abs(served - truth) / np.maximum(1.0, np.abs(truth))))
    good = np.isfinite(served).all() and np.isfinite(truth).all() and worst <= tolerance
    advice = "" if good else "do not release it; look for a node that rounds, or a converter that is wrong"
    return Finding("parity", "pass" if good else "fail", worst if np.isfinite(worst) else None, wanted, advice=advice)


def _served(onnx: bytes, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime answers; the first rows one at a time, the rest at once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    parts = [x[i : i + 1] for i in range(min(ALONE, len(x)))] + [x[i : i + 512] for i in range(ALONE, len(x), 512)]
    return np.concatenate([session.run(["y"], {"x": part})[0] for part in parts]).astype(np.float64)
