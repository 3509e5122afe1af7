"""The update alone, by hand, in numpy: the tiles of all keys of a window in one array, a ring a key, a whole batch at once.

What a store that keeps nothing but sums and counts could do. It takes no correction, no smallest, first, last or distinct, drops
what is older than a ring, and holds every tile of every key whether anything lies in it or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from benchmarks.features.world import news
from pipelines.core.clock import SECOND

KEYS, AT_ONCE = ("customer", "item"), 1000
COLUMNS = ("ts", *KEYS, "what", "price_cents")
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


class Window(NamedTuple):
    """Tiles of `grain` microseconds of the events of one sort by one key, as many as the window has and two more, and what is summed."""

    by: str
    grain: int
    tiles: int
    what: str | None
    sums: tuple[str, ...]


WINDOWS = (
    Window("customer", 5 * MINUTE, 14, "view", ()),
    Window("customer", HOUR, 26, None, ()),
    Window("customer", 24 * HOUR, 32, "purchase", ("price_cents",)),
    Window("customer", 6 * HOUR, 30, "purchase", ("price_cents",)),
    Window("customer", 6 * HOUR, 30, None, ("price_cents",)),
    Window("item", HOUR, 26, "view", ()),
    Window("item", 6 * HOUR, 30, "purchase", ("price_cents",)),
)
"""The tiles that the eight features of the stream are made of."""


class Rings:
    """Every window's tiles: `starts` [keys * tiles], in grains, -1 where nothing lies, and `cells` [keys * tiles, count and sums]."""

    def __init__(self, keys: dict[str, dict[int, int]]) -> None:
        self.keys = keys
        sizes = [len(keys[window.by]) * window.tiles for window in WINDOWS]
        self.starts = [np.full(size, -1, np.int64) for size in sizes]
        self.cells = [np.zeros((size, 1 + len(window.sums))) for size, window in zip(sizes, WINDOWS, strict=True)]

    def update(self, rows: list[tuple[Any, ...]]) -> None:
        """Decoded events, in any order."""
        said = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
        ts, what = np.array(said["ts"]), np.array(said["what"])
        values = {"price_cents": np.array(said["price_cents"], np.float64)}
        owner = {by: np.fromiter(map(self.keys[by].__getitem__, said[by]), np.int64, len(rows)) for by in KEYS}
        for window, starts, cells in zip(WINDOWS, self.starts, self.cells, strict=True):
            mine = slice(None) if window.what is None else np.flatnonzero(what == window.what)
            tile = ts[mine] // window.grain
            at = owner[window.by][mine] * window.tiles + tile % window.tiles
            begun = starts[at] < tile
            np.maximum.at(starts, at[begun], tile[begun])
            cells[at[begun]] = 0
            young = starts[at] == tile
            np.add.at(cells[:, 0], at[young], 1.0)
            for n, name in enumerate(window.sums, 1):
                np.add.at(cells[:, n], at[young], values[name][mine][young])


def prepare(folder: Path) -> Any:
    table = pq.read_table(folder / "activity.parquet")
    rows = list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))
    rings = Rings({by: {key: n for n, key in enumerate(dict.fromkeys(table[by].to_pylist()))} for by in KEYS})
    begin = len(rows) - news(folder)
    rings.update(rows[:begin])
    return rows, rings, [rows[at : at + AT_ONCE] for at in range(begin, len(rows), AT_ONCE)]


def run(ready: Any) -> Any:
    rows, rings, batches = ready
    for batch in batches:
        rings.update(batch)
    return rows, rings, sum(map(len, batches))


def facts(result: Any) -> dict[str, Any]:
    """How many hours of customers are not what a plain loop counts."""
    rows, rings, events = result
    window, keys = WINDOWS[1], rings.keys["customer"]
    wanted: dict[tuple[int, int], int] = {}
    for ts, customer, *_ in rows:
        wanted[keys[customer], ts // window.grain] = wanted.get((keys[customer], ts // window.grain), 0) + 1
    at = np.flatnonzero(rings.starts[1] >= 0)
    found = zip((at // window.tiles).tolist(), rings.starts[1][at].tolist(), rings.cells[1][at, 0].tolist(), strict=True)
    wrong = sum(wanted[key, tile] != count for key, tile, count in found)
    return {"events": events, "cells": len(at), "wrong": wrong}
