"""The rows that featurize writes, as the columns that models, metrics and the serving code take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Newsvendor, Quantiles, Ranking
from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.core.usecase import UseCase


TIMES = ("ts", "arrived")
"""Columns that stay integer microseconds: a float would lose some."""


@dataclass(frozen=True)
class Rows:
    """Columns of a table of rows: numbers float64 with NaN for null, everything else objects with None."""

    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def take(self, which: np.ndarray) -> Rows:
        """The rows of a mask or of indices."""
        return Rows({name: values[which] for name, values in self.columns.items()})

    def repeated(self) -> Rows:
        """Each row as often as it weighs, to the nearest whole number: what any learner understands. Without weights the same."""
        if "weight" not in self.columns:
            return self
        plain = Rows({name: values for name, values in self.columns.items() if name != "weight"})
        return plain.take(np.repeat(np.arange(len(self)), np.rint(self["weight"]).astype(int)))

    def __add__(self, other: Rows) -> Rows:
        return Rows({name: np.concatenate([values, other[name]]) for name, values in self.columns.items()})

    def halves(self) -> tuple[Rows, Rows]:
        """The earlier and the later half of the asks, by time; rows of one ask and of one moment stay together."""
        later = self["ts"] >= np.quantile(np.unique(self["ts"]), 0.5, method="higher") if len(self) else np.zeros(0, bool)
        return self.take(~later), self.take(later)


def read(path: Path, part: str, root: Path) -> Rows:
    """The rows of one part. Raises ShelflifeError when the file is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / f"{part}.parquet"
    if not file.is_file():
        raise ShelflifeError(f"{file.relative_to(root)} is missing; run dvc repro (or shelflife featurize) first")
    try:
        return Rows(from_arrow(pq.read_table(file, page_checksum_verification=True)))
    except (OSError, pa.ArrowException) as error:
        raise ShelflifeError(
            f"{file.relative_to(root)} cannot be read ({error}); run dvc checkout, or dvc repro -f featurize"
        ) from None


def from_arrow(table: pa.Table) -> dict[str, np.ndarray]:
    """A table's columns as numpy arrays."""
    return {name: table[name].to_numpy() if name in TIMES else _column(table[name]) for name in table.column_names}


def _column(column: pa.ChunkedArray) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def amounts(usecase: UseCase, rows: Rows) -> np.ndarray | None:
    """The field that the cost needs, in cents; None where it needs none."""
    cost: Any = getattr(usecase.answers, "cost", None)
    field = cost.price if isinstance(cost, Newsvendor) else getattr(cost, "missed", None)
    return rows[field].astype(np.float64) if isinstance(field, str) else None


def groups(usecase: UseCase, rows: Rows) -> np.ndarray | None:
    """Each row's ask, where the rows of an ask belong together."""
    return rows["ask"] if isinstance(usecase.answers, Ranking) else None


def measure(usecase: UseCase, rows: Rows, scores: np.ndarray) -> Mapping[str, float]:
    """The use case's metrics of these scores."""
    from pipelines.evaluation import metrics

    return metrics.measure(usecase.metrics, labelled(usecase, rows), scores)


def labelled(usecase: UseCase, rows: Rows) -> Any:
    """Rows as the metrics take them."""
    from pipelines.evaluation import statistic

    levels = usecase.answers.levels if isinstance(usecase.answers, Quantiles) else ()
    ask, card = groups(usecase, rows), rows.columns.get("card")
    return statistic.labelled(
        rows["label"], rows[usecase.unit], ask=ask, card=card, ts=rows["ts"], levels=levels, weight=rows.columns.get("weight")
    )
