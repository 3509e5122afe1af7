"""What becomes of a key's state when it expires: older tiles and rows go, over EVER the older tiles become one."""

from __future__ import annotations

from array import array

from pipelines.features.merge import gather, tile
from pipelines.features.plan import FROM, ROWS, Group, Series
from pipelines.features.state import State, pack, pack_ts, unpack
from pipelines.features.tiles import FOREVER


def fold(data: bytes, group: Group, horizon: int) -> bytes | None:
    """The packed state without what is older than the horizon; None where nothing is left of it."""
    state = unpack(data, group)
    state[ROWS] = [row for row in state[ROWS] if row >= pack_ts(horizon)]
    for series in group.series:
        _fold(state, series, horizon)
    return pack(state, group) if any(len(state[slot]) for slot in range(ROWS, group.slots) if slot != FROM) else None


def _fold(state: State, series: Series, horizon: int) -> None:
    old = gather(state, series, series.cells, -FOREVER, horizon) if series.ever else []
    numbers, width = state[series.slot], series.width
    older = [start for start in numbers[::width] if start < horizon]
    oldest = tile(series, -FOREVER, old) if series.ever and older else array("d")
    state[series.slot] = oldest + numbers[len(older) * width :]
    for n, slot in enumerate(series.lists.values(), len(series.numbers)):
        young = [entry for entry in state[slot] if entry[0] >= horizon]
        state[slot] = [[-FOREVER, old[n]], *young] if old and old[n] else young
