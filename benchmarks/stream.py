"""The stream engine alone: `python -m benchmarks.stream update | through | freshness | reads | growth`, JSON on the last line.

Each is also a function here that takes its sizes and returns its figures, for a comparison with others to call:

- `update(events)`: rows into tiles in memory, the generated code alone. events/s of one core.
- `through(events, folder)`: from the log's file to readable features, durable and exactly once, in one process. events/s of one core.
- `freshness(rate, seconds, folder)`: another process appends at a steady rate; milliseconds until each event can be read.
- `reads(folder)`: one customer's nine features, a hundred items' two; microseconds. `values=` puts them in another store (Redis).
- `growth(folder)`: bytes and cost an event for ten times the events, and for ten times the keys.

Seconds are of processor time, so that a busy machine changes them little; freshness is by the clock.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.clock import DAY, SECOND, days, hours
from pipelines.core.contract import Contract, Field
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Max, Mean, Sum, features
from pipelines.features.keyvalue import KeyValue
from pipelines.features.plan import plan
from pipelines.features.state import blank
from pipelines.features.stream import OnlineStore, StreamReader
from pipelines.features.update import update_of
from pipelines.store.log import SqliteLog

START = 20_000 * DAY
CUSTOMERS, ITEMS = 50_000, 5_000
BATCH = 50_000
"""What the stream takes at once from a log that is ahead of it; the same as in steps/stream.py."""

FEATURES = features(
    counted=(
        Counted("actions_1h", of="view_item", by="customer", how=Count(), over=hours(1)),
        Counted("actions_1d", of="view_item", by="customer", how=Count(), over=days(1)),
        Counted("seen_1d", of="view_item", by="customer", how=Sum("cents"), over=days(1)),
        Counted("mean_1d", of="view_item", by="customer", how=Mean("cents"), over=days(1)),
        Counted("most_1d", of="view_item", by="customer", how=Max("cents"), over=days(1)),
        Counted("actions_7d", of="view_item", by="customer", how=Count(), over=days(7)),
        Counted("seen_7d", of="view_item", by="customer", how=Sum("cents"), over=days(7)),
        Counted("mean_7d", of="view_item", by="customer", how=Mean("cents"), over=days(7)),
        Counted("most_7d", of="view_item", by="customer", how=Max("cents"), over=days(7)),
        Counted("views_1d", of="view_item", by="item", how=Count(), over=days(1)),
        Counted("worth_7d", of="view_item", by="item", how=Sum("cents"), over=days(7)),
    )
)
"""Nine of a customer, two of an item: four kinds of tiles."""

ASK = Contract("ask", "Asks.", (Field("customer", "string", key=True), Field("item", "string", key=True)), days(1))
ITEM = features(counted=FEATURES.counted[9:])
CUSTOMER = features(counted=FEATURES.counted[:9])


def events(count: int, seed: int = 3, span: int = 3 * DAY, customers: int = CUSTOMERS, items: int = ITEMS) -> Iterator[Event]:
    """Views in order of time, two of a hundred late by up to half an hour; how popular an item is is log-normal."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.normal(0, 1, items))
    item = rng.choice(items, count, p=weights / weights.sum()).tolist()
    customer, cents = rng.integers(0, customers, count).tolist(), rng.integers(50, 50_000, count).tolist()
    late = np.where(rng.random(count) < 0.02, rng.integers(0, 1800 * SECOND, count), 0)
    ts = (START + np.linspace(0, span, count).astype(np.int64) - late).tolist()
    for n in range(count):
        body = {"customer": f"c{customer[n]}", "item": f"i{item[n]}", "cents": cents[n], "page": "shop"}
        yield Event("view_item", f"v{n:012d}", ts[n], body, ts[n], n + 1)


def update(count: int = 300_000) -> dict[str, float]:
    """Rows into tiles in memory."""
    shape = plan(FEATURES)
    names = shape.fields["view_item"]
    rows = [(e.ts, e.id, *(e.body[name] for name in names)) for e in events(count)]
    places = [shape.places(group)[0] for group in shape.groups]
    states = [{row[at]: blank(group) for row in rows} for at, group in zip(places, shape.groups, strict=True)]
    run = update_of(shape, "view_item")
    late: list[Any] = []
    gc.freeze()
    gc.disable()
    seconds = _cpu(lambda: run(rows, late, *states))
    gc.enable()
    return {"events": count, "events_per_second": count / seconds, "microseconds": seconds / count * 1e6}


def fill(path: Path, count: int, **world: int) -> SqliteLog:
    """A log with so many events."""
    log = SqliteLog(path)
    made = list(events(count, **world))
    for at in range(0, count, 10_000):
        log.append(made[at : at + 10_000], arrived=made[at].ts + DAY)
    return log


def drain(log: SqliteLog, store: OnlineStore, batch: int = BATCH) -> int:
    """Everything in the log into the store, as steps/stream.py does it; how many events."""
    done = 0
    while rows := log.stored(after=store.offset(), limit=batch, kinds=["view_item"]):
        store.apply_stored(rows)
        done += len(rows)
    return done


def through(count: int, folder: Path, values: Callable[[], KeyValue] | None = None) -> dict[str, float]:
    """From the log's file to readable features."""
    log = fill(folder / "log.db", count)
    store = OnlineStore(values() if values else folder / "online.db", FEATURES)
    gc.freeze()
    wall = time.perf_counter()
    seconds = _cpu(lambda: drain(log, store))
    wall = time.perf_counter() - wall
    return {
        "events": count, "events_per_second": count / seconds, "microseconds": seconds / count * 1e6, "by_the_clock": count / wall,
    }  # fmt: skip


def freshness(rate: int, seconds: float, folder: Path) -> dict[str, float]:
    """Milliseconds from an event's append until its features can be read, with another process appending."""
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_append, args=(folder / "log.db", rate, seconds), daemon=True)
    SqliteLog(folder / "log.db").close()
    log, store = SqliteLog(folder / "log.db"), OnlineStore(folder / "online.db", FEATURES)
    writer.start()
    waits: list[tuple[int, float]] = []
    busy, end = time.process_time(), time.monotonic() + seconds + 20
    while (sum(n for n, _ in waits) < rate * seconds) and time.monotonic() < end:
        rows = log.stored(after=store.offset(), limit=BATCH, kinds=["view_item"])
        if not rows:
            time.sleep(0.005)
            continue
        store.apply_stored(rows)
        now = time.time_ns() // 1000
        waits += [(1, (now - row[4]) / 1000) for row in rows]
    busy = time.process_time() - busy
    writer.join()
    found = sorted(wait for _, wait in waits)[int(0.02 * len(waits)) :] if waits else [float("nan")]
    return {
        "rate": rate, "events": len(waits), "p50_ms": found[len(found) // 2], "p99_ms": found[int(len(found) * 0.99)],
        "most_ms": found[-1], "busy_share": busy / seconds,
    }  # fmt: skip


def _append(path: Path, rate: int, seconds: float) -> None:
    log, made, step = SqliteLog(path), list(events(int(rate * seconds))), 0.01
    begun, at = time.perf_counter(), 0
    while at < len(made):
        due = min(int((time.perf_counter() - begun) * rate) + 1, len(made))
        if due > at:
            log.append(made[at:due], arrived=time.time_ns() // 1000)
            at = due
        time.sleep(step)


def reads(folder: Path, count: int = 300_000, values: Callable[[str], KeyValue] | None = None) -> dict[str, float]:
    """One customer's nine features; a hundred items' two. Microseconds, half of the reads are faster."""
    made, found = list(events(count)), {}
    now = made[-1].ts + SECOND
    for name, wanted, asked in (("customer", CUSTOMER, 1), ("item", ITEM, 100)):
        store = OnlineStore(values(name) if values else folder / f"{name}.db", wanted)
        for at in range(0, count, BATCH):
            store.apply(made[at : at + BATCH])
        store.forget()
        reader = StreamReader(store, wanted, ASK)
        asks = [
            [Event("ask", f"a{n}", now, e.body) for n, e in enumerate(made[at : at + asked])] for at in range(0, 200_000, 200)
        ]
        gc.collect()
        gc.freeze()
        times = sorted(_wall(lambda some=some, reader=reader: reader.read(some)) for some in asks)
        found |= {f"{name}_p50_us": times[len(times) // 2] * 1e6, f"{name}_p99_us": times[int(len(times) * 0.99)] * 1e6}
    return found


def growth(folder: Path, count: int = 100_000) -> list[dict[str, float]]:
    """The same three days with ten times the events, and with ten times the keys."""
    found = []
    for more, keys in ((1, 1), (10, 1), (1, 10)):
        path = folder / f"growth-{more}-{keys}"
        path.mkdir()
        log = fill(path / "log.db", count * more, customers=CUSTOMERS // 10 * keys, items=ITEMS // 10 * keys)
        store = OnlineStore(path / "online.db", FEATURES)
        seconds = _cpu(lambda log=log, store=store: drain(log, store, 10_000))
        states, rows, ids = (_size(store, prefix) for prefix in (b"v", b"c", b"i"))
        found.append({
            "events": count * more, "customers": CUSTOMERS // 10 * keys, "microseconds_an_event": seconds / count / more * 1e6,
            "keys": states[0], "state_bytes_a_key": states[1] / states[0], "largest_state_bytes": states[2],
            "older_rows_bytes_an_event": rows[1] / count / more, "identity_bytes_an_event": ids[1] / count / more,
        })  # fmt: skip
        store.expire(START + 60 * DAY)
        found[-1]["bytes_after_expiry"] = sum(_size(store, prefix)[1] for prefix in (b"v", b"c", b"i"))
    return found


def _size(store: OnlineStore, prefix: bytes) -> tuple[int, int, int]:
    """How many values, their bytes together, the largest."""
    sizes = [
        len(key) + len(value)
        for n in range(len(store.plan.groups))
        for page in store.values.scan(prefix + bytes([n]))
        for key, value in page
    ]
    return len(sizes), sum(sizes), max(sizes, default=0)


def _cpu(run: Callable[[], Any]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def _wall(run: Callable[[], Any]) -> float:
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def main(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        runs: dict[str, Callable[[], Any]] = {
            "update": update,
            "through": lambda: through(300_000, path),
            "freshness": lambda: freshness(5_000, 20, path),
            "reads": lambda: reads(path),
            "growth": lambda: growth(path),
        }
        print(json.dumps(runs[what](), indent=1 if what == "growth" else None))


if __name__ == "__main__":
    main(sys.argv[1])
