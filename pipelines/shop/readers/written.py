"""Reviews and their stars as events, for sets that give neither times nor a split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pipelines.core.clock import SECOND, instant, micros
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.readers.reading import Reading, checked
from pipelines.shop.tables import table

ORIGIN = instant("2015-01-01")
"""Reviews lie a second apart from here on, in the published order."""


def reviews(columns: Mapping[str, Sequence[Any]], stars: Mapping[str, Sequence[Any]], delay: timedelta) -> Reading:
    """Reviews, their ratings `delay` later, and a frozen split.

    The publishers give no split, so this is ours, fixed by the text alone: equal texts are never on both sides.
    """
    import numpy as np

    n = len(columns["review_id"])
    ids, ts = list(columns["review_id"]), ORIGIN + np.arange(n) * SECOND
    written = table(CONTRACTS["review"], ids, ts, ts, columns)
    given = table(CONTRACTS["rating"], ids, ts, ts + micros(delay), {"review_id": ids, "item": columns["item"], **stars})
    return checked(
        {"review": written, "rating": given}, {id_: part(text or "") for id_, text in zip(ids, columns["text"], strict=True)}
    )


def part(text: str) -> str:
    """Which part a text belongs to, by its SHA-256: train 80 %, valid 10 %, test 10 %."""
    tenth = int.from_bytes(hashlib.sha256(" ".join(text.split()).encode()).digest()[:8]) % 10
    return {8: "valid", 9: "test"}.get(tenth, "train")


def frame(data: bytes) -> Any:
    """The rows of a CSV file, every column as text, nothing guessed."""
    import io

    import pandas as pd

    return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8")
