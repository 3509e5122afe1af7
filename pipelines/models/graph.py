"""A small builder of ONNX graphs, so that a model's served form is written beside the model, node by node.

Every estimator of ours adds its nodes to one graph: nothing is guessed by a converter, and an ensemble is its members' nodes
with one more on top. Where a foreign estimator has to be converted, the result is inserted whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8
"""Versions that every runtime of the last years reads; the nodes used here need no newer ones."""


class Graph:
    """Nodes and constants under way to an ONNX model. Values are handed around by name; the input is called `x`."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a constant; the same value twice is stored once."""
        from onnx import numpy_helper

        array = np.array(value, dtype=dtype, order="C")
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def node(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its first output. With `outputs` above 1 the others are there but not named to the caller."""
        from onnx import helper

        names = [f"n{len(self._nodes)}" if i == 0 else f"n{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0]

    def insert(self, model: Any, x: str, output: str) -> str:
        """Insert a converted model that reads one input, fed from `x`; the name of its value `output` here."""
        from onnx import compose

        prefix = f"m{len(self._nodes)}_"
        part = compose.add_prefix(model, prefix).graph
        names = {part.input[0].name: x}
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
        self._nodes += part.node
        self._initializers += part.initializer
        return prefix + output

    def columns(self, x: str, indices: Any) -> str:
        """The columns of these indices, in this order."""
        return self.node("Gather", x, self.constant(indices, np.int64), axis=1)

    def repeat(self, x: str, row: Any) -> str:
        """The same row for each row of `x`."""
        row = np.atleast_2d(np.asarray(row, np.float32))
        rows = self.node("Shape", x, start=0, end=1)
        shape = self.node("Concat", rows, self.constant([row.shape[1]], np.int64), axis=0)
        return self.node("Expand", self.constant(row), shape)

    def affine(self, x: str, weights: Any, bias: Any) -> str:
        """x @ weights + bias."""
        return self.node("Gemm", x, self.constant(weights), self.constant(bias))

    def sigmoid(self, x: str) -> str:
        """1 / (1 + exp(-x)), spelt out: the runtime's own Sigmoid is coarse near 0, where an ensemble takes log-odds again."""
        one = self.constant(1.0)
        return self.node("Div", one, self.node("Add", one, self.node("Exp", self.node("Neg", x))))

    def square(self, x: str) -> str:
        return self.node("Mul", x, x)

    def rising(self, x: str, levels: int) -> str:
        """Each row sorted upwards and cut at zero: quantiles that neither cross nor promise negative units."""
        ordered = self.node("TopK", x, self.constant([levels], np.int64), axis=1, largest=0, sorted=1, outputs=2)
        return self.node("Relu", ordered)

    def finish(self, y: str, columns: int, outputs: int) -> bytes:
        """The model as bytes, checked: input x float32 [rows, columns], output y float32 [rows, outputs]."""
        from onnx import TensorProto, checker, helper

        self._nodes.append(helper.make_node("Identity", [y], ["y"]))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", columns])
        answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])
        graph = helper.make_graph(self._nodes, "shelflife", [x], [answer], self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="shelflife")
        checker.check_model(model)
        return model.SerializeToString(deterministic=True)
