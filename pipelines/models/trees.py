"""LightGBM's trees as one ONNX node, exactly: the same row goes to the same leaf in both.

Two things make that so. LightGBM compares in double precision and ONNX in single; since every value it is asked about is a
float32, a threshold rounded *down* to float32 sends each of them the same way. And where a null goes is read off each split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.models.graph import Graph


class Table:
    """The attributes of a TreeEnsembleRegressor under way: a row a node, a row a leaf's weight."""

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, int, float, str, int, int, int]] = []
        self.leaves: list[tuple[int, int, int, float]] = []

    def add_tree(self, tree: int, target: int, root: dict[str, Any]) -> None:
        """Add one tree; its leaves' values count towards the output `target`. Node ids rise from 0, the root."""
        waiting = [(0, root)]
        taken = 1
        while waiting:
            place, node = waiting.pop()
            if "leaf_value" in node:
                self.nodes.append((tree, place, 0, 0.0, "LEAF", 0, 0, 0))
                self.leaves.append((tree, place, target, float(node["leaf_value"])))
                continue
            left, right = taken, taken + 1
            tests = _tests(node)
            spots = [place, *range(taken + 2, taken + 1 + len(tests))]
            taken += 1 + len(tests)
            for i, (mode, value, null_left) in enumerate(tests):
                otherwise = spots[i + 1] if i + 1 < len(spots) else right
                self.nodes.append((tree, spots[i], node["split_feature"], value, mode, left, otherwise, null_left))
            waiting += [(left, node["left_child"]), (right, node["right_child"])]


def _tests(split: dict[str, Any]) -> list[tuple[str, float, int]]:
    """The split as (mode, value, whether null goes left), in turn: the first that holds sends the row left."""
    if split["decision_type"] == "==":
        return [("BRANCH_EQ", float(code), 0) for code in split["threshold"].split("||")]
    if split["decision_type"] != "<=" or split["missing_type"] == "Zero":
        raise ShelflifeError(f"wanted splits by <= or ==, got {split['decision_type']} with missing {split['missing_type']}")
    threshold = round_down(split["threshold"])
    # A column without nulls in training takes null for 0.
    null_left = split["default_left"] if split["missing_type"] == "NaN" else threshold >= 0
    return [("BRANCH_LEQ", threshold, int(null_left))]


def round_down(threshold: float) -> float:
    """The largest float32 that is not above the threshold: x <= threshold and x <= this agree for every float32 x."""
    value = np.float32(np.clip(threshold, np.finfo(np.float32).min, np.finfo(np.float32).max))
    with np.errstate(over="ignore"):  # below all float32 lies minus infinity, and that is right
        return float(value if float(value) <= threshold else np.nextafter(value, np.float32(-np.inf)))


def add_trees(graph: Graph, x: str, boosters: Sequence[Any]) -> str:
    """Add the boosters' trees as one node; the name of their sums, [rows, boosters]."""
    table, tree = Table(), 0
    for target, booster in enumerate(boosters):
        for info in booster.dump_model()["tree_info"]:
            table.add_tree(tree, target, info["tree_structure"])
            tree += 1
    ids, places, columns, values, modes, lefts, rights, nulls = (list(part) for part in zip(*table.nodes, strict=True))
    leaf_trees, leaf_places, targets, weights = (list(part) for part in zip(*table.leaves, strict=True))
    return graph.node(
        "TreeEnsembleRegressor", x, domain="ai.onnx.ml", n_targets=len(boosters), post_transform="NONE",
        nodes_treeids=ids, nodes_nodeids=places, nodes_featureids=columns, nodes_values=values, nodes_modes=modes,
        nodes_truenodeids=lefts, nodes_falsenodeids=rights, nodes_missing_value_tracks_true=nulls,
        target_treeids=leaf_trees, target_nodeids=leaf_places, target_ids=targets, target_weights=weights,
    )  # fmt: skip
