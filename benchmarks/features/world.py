"""A made-up shop's log of activity, and the moments at which features are wanted, as Parquet: the same for the same seed and scale.

60 days; how active a customer and how popular an item is are log-normal; an event becomes visible two seconds later on average,
and one in fifty is late, by 1 to 29 minutes. Rows lie in the order in which they became visible, as in a landed log.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.core.clock import DAY, SECOND

START = 20_000 * DAY
SPAN = 60 * DAY
EVENTS, CUSTOMERS, ITEMS, ASKS = 5_000_000, 50_000, 5_000, 500_000
HISTORY, NEWS = 400_000, 100_000
"""Events of a stream: those that an online store holds already, and those that come."""
LATE, SPREAD = 0.02, 1.0
WHAT = ("view", "cart", "purchase")
SHARES = (0.8, 0.15, 0.05)


def write(folder: Path, scale: float = 1.0, seed: int = 7) -> None:
    """activity.parquet and ask.parquet; `scale` shrinks events, customers, items and asks alike."""
    rng = np.random.default_rng(seed)
    count, customers, items, asks = (max(int(n * scale), 10) for n in (EVENTS, CUSTOMERS, ITEMS, ASKS))
    folder.mkdir(parents=True, exist_ok=True)
    activity = _activity(rng, count, customers, items)
    pq.write_table(activity, folder / "activity.parquet")
    pq.write_table(_asks(rng, asks, activity), folder / "ask.parquet")


def stream(folder: Path, scale: float = 1.0, seed: int = 11) -> None:
    """activity.parquet, events.jsonl and log.db: fewer events of as many keys, for whoever takes them one after the other."""
    from pipelines.store.log import SqliteLog

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    history, news, customers, items = (max(int(n * scale), 1000) for n in (HISTORY, NEWS, CUSTOMERS, ITEMS))
    table = _activity(rng, history + news, customers, items)
    pq.write_table(table, folder / "activity.parquet")
    lines = (json.dumps(row, separators=(",", ":")) for row in table.drop_columns(["offset"]).to_pylist())
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    log = SqliteLog(folder / "log.db")
    log.append_table("activity", table)
    log.close()


def _activity(rng: np.random.Generator, count: int, customers: int, items: int) -> pa.Table:
    ts = START + rng.integers(0, SPAN, count)
    item = _skewed(rng, count, items)
    usual = np.exp(rng.normal(7.5, 1.0, items)).astype(np.int64) + 50
    price = (usual[item] * rng.uniform(0.8, 1.2, count)).astype(np.int64)
    delay = rng.exponential(2 * SECOND, count).astype(np.int64)
    late = rng.random(count) < LATE
    delay[late] = rng.integers(60 * SECOND, 29 * 60 * SECOND, late.sum())
    order = np.argsort(ts + delay, kind="stable")
    columns = {"customer": _skewed(rng, count, customers), "item": item, "price_cents": price}
    what = pa.DictionaryArray.from_arrays(rng.choice(3, count, p=SHARES).astype(np.int8), list(WHAT)).cast(pa.string())
    cells = {name: values[order] for name, values in columns.items()} | {"what": what}
    return _table(rng, ts[order], (ts + delay)[order], cells)


def _asks(rng: np.random.Generator, count: int, activity: pa.Table) -> pa.Table:
    """A customer asks a minute after doing something, about an item that somebody was active on; in the order of time."""
    at = np.sort(rng.integers(0, len(activity), count))
    ts = activity["ts"].to_numpy()[at] + rng.exponential(60 * SECOND, count).astype(np.int64)
    order = np.argsort(ts, kind="stable")
    customer = activity["customer"].to_numpy()[at]
    item = activity["item"].to_numpy()[rng.integers(0, len(activity), count)]
    return _table(rng, ts[order], ts[order], {"customer": customer[order], "item": item[order]})


def _table(rng: np.random.Generator, ts: np.ndarray, arrived: np.ndarray, cells: dict[str, np.ndarray]) -> pa.Table:
    envelope = {"id": _ids(rng, len(ts)), "ts": ts, "arrived": arrived, "offset": np.arange(1, len(ts) + 1)}
    return pa.table(envelope | cells)


def _ids(rng: np.random.Generator, count: int) -> pa.Array:
    """Sixteen random hexadecimal digits each."""
    edges = np.arange(count + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(count, pa.py_buffer(edges.tobytes()), pa.py_buffer(rng.bytes(count * 8).hex().encode()))


def _skewed(rng: np.random.Generator, count: int, kinds: int) -> np.ndarray:
    weights = np.exp(rng.normal(0, SPREAD, kinds))
    return rng.choice(kinds, count, p=weights / weights.sum())


def news(folder: Path) -> int:
    """How many of the log's last events are those that come."""
    total = pq.read_metadata(folder / "activity.parquet").num_rows
    return round(total * NEWS / (HISTORY + NEWS))
