"""Tmall's anonymous sessions (IJCAI-15) in the cut of the session-recommendation papers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.core.clock import SECOND, instant
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.readers.reading import Reading, checked
from pipelines.shop.tables import table

ORIGIN = instant("2015-01-01")
"""The set has no times: clicks lie a second apart from here on, in the published order, all training sessions first."""
TRAIL = 50


def reading(files: Mapping[str, bytes], delay: timedelta) -> Reading:
    """A view_item per click. `splits` names each session's part: train (the first 80 % of the papers' training sessions),
    valid (their last 20 %) or test."""
    parts = {name: files[f"{name}.txt.gz"].decode("ascii").split() for name in ("train", "test")}
    early = len(files["train_valid.txt.gz"].decode("ascii").split())
    names = [f"train{i:06d}" for i in range(len(parts["train"]))] + [f"test{i:06d}" for i in range(len(parts["test"]))]
    splits = dict.fromkeys(names[:early], "train")
    splits |= dict.fromkeys(names[early : len(parts["train"])], "valid") | dict.fromkeys(names[len(parts["train"]) :], "test")
    return checked({"view_item": _views(names, [*parts["train"], *parts["test"]])}, splits)


def _views(names: list[str], sessions: list[str]) -> Any:
    import numpy as np
    import pyarrow as pa

    clicks = [session.split(",") for session in sessions]
    length = np.array([len(session) for session in clicks])
    item = pa.array(["i" + click for session in clicks for click in session])
    of = np.repeat(np.arange(len(clicks)), length)
    step = np.arange(len(of)) - np.repeat(np.cumsum(length) - length, length)
    before = np.minimum(step, TRAIL)
    offsets = np.concatenate([[0], np.cumsum(before)])
    at = np.repeat(np.arange(len(of)) - before - offsets[:-1], before) + np.arange(offsets[-1])
    trail = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), item.take(pa.array(at)))
    ts = ORIGIN + np.arange(len(of)) * SECOND
    ids = [f"v{i:07d}" for i in range(len(of))]
    return table(CONTRACTS["view_item"], ids, ts, ts, {"session": pa.array(names).take(of), "item": item, "trail": trail})
