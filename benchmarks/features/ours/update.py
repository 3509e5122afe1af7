"""The update of the tiles alone: events that are decoded already, states that are in memory, nothing stored."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.features.definitions import STREAM
from benchmarks.features.world import news
from pipelines.features.plan import plan
from pipelines.features.state import blank, pack_row
from pipelines.features.update import update_of

AT_ONCE = 1000


def prepare(folder: Path) -> Any:
    made = plan(STREAM)
    table = pq.read_table(folder / "activity.parquet")
    rows = list(zip(*(table[name].to_pylist() for name in ("ts", "id", *made.fields["activity"])), strict=True))
    groups = made.groups_of("activity")
    states = [{row[made.places(group)[0]]: None for row in rows} for group in groups]
    states = [{key: blank(group) for key in keys} for group, keys in zip(groups, states, strict=True)]
    update, begin = update_of(made, "activity"), len(rows) - news(folder)
    packed = list(map(pack_row, rows))
    update(rows[:begin], packed[:begin], [], *states)
    cuts = [slice(at, at + AT_ONCE) for at in range(begin, len(rows), AT_ONCE)]
    return update, [(rows[cut], packed[cut]) for cut in cuts], states


def run(ready: Any) -> int:
    update, batches, states = ready
    gc.disable()  # as the worker does
    for rows, packed in batches:
        update(rows, packed, [], *states)
    return sum(len(rows) for rows, _ in batches)


def facts(result: int) -> dict[str, Any]:
    return {"events": result}
