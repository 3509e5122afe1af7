"""From a fitted estimator to the one serving format: an ONNX graph, x float32 [rows, columns] to y float32 [rows, outputs]."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.core.errors import ShelflifeError
from pipelines.models.graph import ML_OPSET, OPSET, Graph


def to_onnx(estimator: Any, columns: int) -> bytes:
    """The fitted estimator as ONNX bytes; the same estimator gives the same bytes.

    Raises ShelflifeError when it was fitted on other columns or has no served form.
    """
    fitted = getattr(estimator, "n_features_in_", None)
    if fitted != columns:
        raise ShelflifeError(
            f"wanted an estimator fitted on {columns} columns, got {fitted or 'none'}; fit it on the encoded matrix"
        )
    graph = Graph()
    y = add(graph, estimator, "x")
    return graph.finish(y, columns, _outputs(estimator, columns))


def add(graph: Graph, estimator: Any, x: str) -> str:
    """Add the estimator's nodes; the name of its answer. A foreign scikit-learn estimator is converted by skl2onnx.

    A conversion may be silently wrong (CalibratedClassifierCV is): only parity.check makes it eligible.
    """
    if hasattr(estimator, "graph"):
        return estimator.graph(graph, x)
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    classifier = hasattr(estimator, "predict_proba")
    wanted = [("x", FloatTensorType([None, estimator.n_features_in_]))]
    options = {id(estimator): {"zipmap": False}} if classifier else None
    try:
        model = convert_sklearn(estimator, "part", wanted, options=options, target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET})
    except Exception as error:
        name = type(estimator).__name__
        raise ShelflifeError(
            f"{name} has no served form ({type(error).__name__}); give it a graph(graph, x) of ONNX nodes"
        ) from error
    output = graph.insert(model, x, model.graph.output[-1].name)
    return graph.columns(output, [1]) if classifier else output


def _outputs(estimator: Any, columns: int) -> int:
    """How many numbers it answers a row."""
    from pipelines.models.estimator import answer

    return answer(estimator, np.zeros((1, columns), np.float32)).shape[1]
