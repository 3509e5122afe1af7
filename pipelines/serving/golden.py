"""Golden requests: a few rows with the scores they had when the bundle was judged; every loader answers them first."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError
from pipelines.serving.vigil import middle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.core.protocols import Scorer

PERCENTILES = np.linspace(0, 1, 101)
RELATIVE = 1e-4
ABSOLUTE = 1e-6
"""How far a golden score may move between machines: other vector units round a float32 sum differently."""


def write(columns: Mapping[str, np.ndarray], scores: np.ndarray, sample: np.ndarray | None = None) -> bytes:
    """The `golden.json` of these rows: an object a row with null for what is not known, and its score or quantiles.

    `sample` are the model's scores of many rows that it did not learn from: their percentiles say how it should behave.
    """
    names = list(columns)
    rows = [dict(zip(names, map(_plain, values), strict=True)) for values in zip(*columns.values(), strict=True)]
    spread = np.quantile(middle(np.asarray(sample)), PERCENTILES, method="lower").tolist() if sample is not None else []
    return canonical({"asks": rows, "scores": np.asarray(scores, dtype=np.float64).tolist(), "quantiles": spread})


def read(files: Mapping[str, bytes]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns and scores of a bundle's golden requests. Raises ShelflifeError where it holds none."""
    golden = json.loads(files["golden.json"])
    kinds = json.loads(files["features.json"])["kinds"]
    asks = golden["asks"]
    lists = asks if isinstance(asks, dict) else {name: [row[name] for row in asks] for name in (asks[0] if asks else ())}
    if not golden["scores"] or not lists:
        raise ShelflifeError("wanted golden requests in golden.json, got none; train the bundle again")
    columns = {name: _column(values, kinds.get(name, "number")) for name, values in lists.items()}
    return columns, np.asarray(golden["scores"], dtype=np.float64)


def check(scorer: Scorer, files: Mapping[str, bytes]) -> np.ndarray:
    """The scores that the scorer gives the golden requests. Raises ShelflifeError when it was judged by others."""
    columns, wanted = read(files)
    got = np.asarray(scorer.score(columns), dtype=np.float64)
    if got.shape != wanted.shape:
        raise ShelflifeError(
            f"wanted golden scores of shape {wanted.shape}, got {got.shape}; the bundle was not made by this code"
        )
    if not np.allclose(got, wanted, rtol=RELATIVE, atol=ABSOLUTE):  # NaN is close to nothing
        worst = float(np.max(np.abs(got - wanted)))
        raise ShelflifeError(
            f"wanted the golden scores again, got scores up to {worst:.3g} away; the bundle must be judged anew"
        )
    return got


def pace(scorer: Scorer, files: Mapping[str, bytes]) -> float:
    """Milliseconds of a one-row answer, the median over the golden rows, each twice: the first may still warm it up."""
    columns, scores = read(files)
    times = []
    for i in [*range(len(scores)), *range(len(scores))]:
        one = {name: values[i : i + 1] for name, values in columns.items()}
        began = time.perf_counter()
        scorer.score(one)
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


def _plain(value: Any) -> Any:
    """A cell as JSON: numpy's numbers as Python's, NaN as null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _column(values: list[Any], kind: str) -> np.ndarray:
    """Numbers as float64 with NaN for null; categories, texts and lists as objects with None."""
    if kind == "number" and all(value is None or isinstance(value, int | float) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
