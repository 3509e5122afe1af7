"""Which labels could be seen: a blocked payment is never charged back, so its silence says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence


def weighed(rows: pa.Table, predictions: pa.Table, usecase: str, hidden_by: Sequence[str], heaviest: float) -> pa.Table:
    """The rows without the labels that could not be seen, each with its `weight`: it stands for those like it that hid theirs.

    `predictions` are the answers that were given; the first to an ask is the one that acted. Where its action hides the label
    there is none; any other row stands for 1 / propensity rows, at most `heaviest` (Horvitz, Thompson 1952; the cap trades a
    little bias for much variance). An ask that nobody answered weighs 1.
    """
    first = _first(predictions, usecase)
    answers = [first.get(ask, (None, None)) for ask in rows["ask"].to_pylist()]
    hidden = np.array([action in hidden_by for action, _ in answers], bool)
    chance = np.array([1.0 if chance is None else chance for _, chance in answers], float)
    label = np.where(hidden, np.nan, rows["label"].to_numpy())
    weighted = rows.append_column("weight", pa.array(1 / np.maximum(chance, 1 / heaviest)))
    return weighted.set_column(rows.column_names.index("label"), "label", pa.array(label, from_pandas=True))


def _first(predictions: pa.Table, usecase: str) -> dict[str, tuple[str | None, float | None]]:
    """The action and propensity of the first answer to each ask."""
    names = [name for name in ("usecase", "ask", "action", "propensity") if name in predictions.column_names]
    found: dict[str, tuple[str | None, float | None]] = {}
    for row in predictions.sort_by([("ts", "ascending"), ("id", "ascending")]).select(names).to_pylist():
        if row["usecase"] == usecase:
            found.setdefault(row["ask"], (row["action"], row.get("propensity")))
    return found
