"""English reviews of one shop for women's clothing (Brooks, CC0)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pipelines.shop.readers.reading import Reading
from pipelines.shop.readers.written import frame, reviews


def reading(files: Mapping[str, bytes], delay: timedelta) -> Reading:
    """Reviews (title and text, a line each) and ratings with stars and `recommended`; those without any words break the contract."""
    (data,) = files.values()
    rows = frame(data)
    words = (rows["Title"].str.strip() + "\n" + rows["Review Text"].str.strip()).str.strip()
    columns = {
        "review_id": ("w" + rows.iloc[:, 0]).tolist(), "item": ("clothing" + rows["Clothing ID"]).tolist(),
        "category": [name or None for name in rows["Class Name"].str.strip()], "language": ["en"] * len(rows),
        "text": [text or None for text in words],
    }  # fmt: skip
    stars = {"stars": rows["Rating"].astype(int).to_numpy(), "recommended": rows["Recommended IND"].astype(int).to_numpy()}
    return reviews(columns, stars, delay)
