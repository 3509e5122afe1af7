"""Chinese reviews of ten categories (SophonPlus, ChineseNlpCorpus)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from pipelines.shop.readers.reading import Reading
from pipelines.shop.readers.written import frame, reviews


def reading(files: Mapping[str, bytes], delay: timedelta) -> Reading:
    """Reviews and ratings. The set only says good or bad: 5 stars or 1. It names no items, so the category stands for one."""
    (data,) = files.values()
    rows = frame(data)
    columns = {
        "review_id": [f"o{i:06d}" for i in range(len(rows))], "item": rows["cat"].tolist(), "category": rows["cat"].tolist(),
        "language": ["zh"] * len(rows), "text": [text.strip("\ufeff \n\t") or None for text in rows["review"]],
    }  # fmt: skip
    return reviews(columns, {"stars": np.where(rows["label"] == "1", 5, 1)}, delay)
