"""The skew ledger: what was served, beside what batch makes of the same asks at the offsets that they had seen.

Every answer logs its features and the offset of the log that they had seen. Batch, told that offset, must give the very same; where
it does not, the stream, the store or the definitions are at fault, and a model answers from features that it never learnt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.feature import FeatureSet
from pipelines.features import batch
from pipelines.features.database import Database, Tables, fields_needed

if TYPE_CHECKING:
    import pyarrow as pa

CLOSE = 1e-9
"""Two fractions that differ by less than this share of the larger are the same: sums of fractions depend on their order."""


@dataclass(frozen=True)
class Skew:
    """One feature over the rows compared: how often both sides had a value and it differed (`mismatch`), only batch had one
    (`missing` from what was served), or only what was served had one (`extra`)."""

    feature: str
    rows: int
    mismatch: int
    missing: int
    extra: int

    @property
    def share(self) -> float:
        """The share of rows that differ in any way; 0 where there are none."""
        return (self.mismatch + self.missing + self.extra) / self.rows if self.rows else 0.0

    def sentence(self) -> str:
        return (
            f"{self.feature}: {self.share:.2%} of {self.rows:,} rows differ "
            f"({self.mismatch:,} other values, {self.missing:,} missing, {self.extra:,} extra)"
        )


def compare(served: Mapping[str, Sequence[Any]], again: Mapping[str, Sequence[Any]]) -> list[Skew]:
    """Each feature of `again` beside what was served, row by row, the worst first. A feature that was not served is missing."""
    found = [_compare(name, served.get(name), list(values)) for name, values in again.items()]
    return sorted(found, key=lambda skew: (-skew.share, skew.feature))


def recompute(
    features: FeatureSet,
    tables: Tables,
    kind: str,
    asked: pa.Table,
    *,
    as_of: int,
    candidates: tuple[Sequence[int], Sequence[str]] | None = None,
    threads: int = 1,
) -> dict[str, np.ndarray]:
    """The features of asks by the batch engine. `asked` has the asks' id, ts, fields, and `sees`, the offset they had seen; of a
    ranking, `candidates` says for each row which ask (by its place) and which item."""
    needed = fields_needed(features.counted)
    with Database(tables, needed, as_of=as_of, by_offset=True, threads=threads) as database:
        if candidates is None:
            made = batch.features_of(features, database, kind, asked)
        else:
            pairs = {"ask": np.array(candidates[0], dtype=np.int64), "candidate": np.array(candidates[1], dtype=object)}
            made = batch.expanded_features(features, database, kind, asked, pairs)
    return {name: batch.plain(made[name]) for name in features.names}


def worst(found: Iterable[Skew]) -> float:
    """The largest share of rows that differ, over the features."""
    return max((skew.share for skew in found), default=0.0)


def _compare(name: str, served: Sequence[Any] | None, again: list[Any]) -> Skew:
    pairs = list(zip(served if served is not None else [None] * len(again), again, strict=True))
    missing = sum(_null(s) and not _null(a) for s, a in pairs)
    extra = sum(_null(a) and not _null(s) for s, a in pairs)
    mismatch = sum(not _null(s) and not _null(a) and not _same(s, a) for s, a in pairs)
    return Skew(name, len(again), mismatch, missing, extra)


def _null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return bool(one == other or abs(one - other) <= CLOSE * max(abs(one), abs(other)))
