"""Reading at the moment: nine features of one customer, and two of each of a hundred items, out of our online store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.features.definitions import ASK, CUSTOMER, ITEM
from benchmarks.features.ours.stream import asks, checked, drain
from pipelines.core.feature import FeatureSet
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.store.log import SqliteLog

ONES, HUNDREDS, WARM = 4000, 400, 50


def prepare(folder: Path, where: str) -> Any:
    """Two stores, as two use cases have, that have seen the whole log."""
    log, work = SqliteLog(folder / "log.db"), Path(tempfile.mkdtemp())
    stores = [OnlineStore.at(work, features, where) for features in (CUSTOMER, ITEM)]
    for store in stores:
        drain(log, store, log.last_offset())
    return folder, stores


def run(ready: Any) -> Any:
    folder, (customers, items) = ready
    table = pq.read_table(folder / "activity.parquet")
    one, hundred = asks(table, ONES), asks(table, HUNDREDS * 100)
    reader, wide = StreamReader(customers, CUSTOMER, ASK), StreamReader(items, ITEM, ASK)
    singles = timed(lambda n: reader.read(one[n : n + 1]), ONES)
    rows = timed(lambda n: wide.read(hundred[n * 100 : n * 100 + 100]), HUNDREDS)
    return folder, (customers, items), singles, rows


def timed(work: Callable[[int], Any], count: int) -> np.ndarray:
    """Microseconds of each call, the first few left out."""
    took = []
    for n in range(count):
        begun = time.perf_counter_ns()
        work(n)
        took.append(time.perf_counter_ns() - begun)
    return np.array(took[WARM:]) / 1000


def facts(result: Any) -> dict[str, Any]:
    folder, stores, singles, rows = result
    found = [checked(folder, store, features) for store, features in zip(stores, (CUSTOMER, ITEM), strict=True)]
    totals = {name: sum(each[name] for each in found) for name in ("cells", "wrong")}
    figures = {
        f"{what}_p{q}_us": float(np.percentile(took, q))
        for what, took in (("one", singles), ("hundred", rows))
        for q in (50, 99)
    }
    return figures | totals


def keep(result: Any, path: Path) -> None:
    """What a store of precomputed values would hold at that moment: a row per key and its features."""
    folder, stores, *_ = result
    table = pq.read_table(folder / "activity.parquet")
    for by, store, features in zip(("customer", "item"), stores, (CUSTOMER, ITEM), strict=True):
        pq.write_table(_values(table, by, store, features), path.with_name(f"{path.stem}-{by}.parquet"))


def _values(table: pa.Table, by: str, store: OnlineStore, features: FeatureSet) -> pa.Table:
    some = {event.body[by]: event for event in asks(table, ONES)}
    columns, _ = StreamReader(store, features, ASK).read(list(some.values()))
    return pa.table({by: list(some), **{name: columns[name] for name in features.names}})
