"""How the online features grow: ten times the events, ten times the keys. `python -m benchmarks.growth` writes the table of
docs/online-features.md (`--json`: prints the figures instead).

Seconds are of processor time, so that a busy machine changes them little; speed beside peers is benchmarks/features' to measure.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.clock import DAY, SECOND, days, hours
from pipelines.core.event import Event
from pipelines.core.feature import Count, Counted, Max, Mean, Sum, features
from pipelines.features.stream import OnlineStore
from pipelines.store.log import SqliteLog

PAGE = Path(__file__).parents[1] / "docs" / "online-features.md"
BEGIN, END = "<!-- python -m benchmarks.growth -->\n", "<!-- end -->"
START = 20_000 * DAY
CUSTOMERS, ITEMS = 50_000, 5_000
BATCH = 10_000
"""Events in a transaction."""

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


def growth(folder: Path, count: int = 8_000) -> list[dict[str, float]]:
    """The same three days with ten times the events, and with ten times the keys."""
    found = []
    for more, keys in ((1, 1), (10, 1), (1, 10)):
        path = folder / f"growth-{more}-{keys}"
        path.mkdir()
        log = fill(path / "log.db", count * more, customers=CUSTOMERS // 10 * keys, items=ITEMS // 10 * keys)
        store = OnlineStore(path / "online.db", FEATURES)
        seconds = _cpu(lambda log=log, store=store: drain(log, store))
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


def table(found: list[dict[str, float]]) -> str:
    """The figures as Markdown; the work an event takes beside that of the first row, for seconds are the machine's."""
    heads = "events | customers | keys | bytes a key | largest | identity, bytes an event | older rows, bytes an event"
    names = "events customers keys state_bytes_a_key largest_state_bytes identity_bytes_an_event older_rows_bytes_an_event"
    rows = []
    for each in found:
        work = each["microseconds_an_event"] / found[0]["microseconds_an_event"]
        cells = [*(f"{each[name]:,.0f}" for name in names.split()), f"{work:.2f} x", f"{each['bytes_after_expiry']:,.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"| {heads} | work an event | after expiry |", "|---" * 9 + "|", *rows]) + "\n"


def write(found: list[dict[str, float]]) -> None:
    """The table into the page, between its marks."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(found) + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        measured = growth(Path(work))
    print(json.dumps(measured, indent=1))
    if "--json" not in sys.argv:
        write(measured)
