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
    said = [title + "\n" + text if title and text else title or text or None for title, text in zip(rows["Title"].str.strip(), rows["Review Text"].str.strip(), strict=True)]
    columns = {
        "review_id": ("w" + rows.iloc[:, 0]).tolist(), "item": ("clothing" + rows["Clothing ID"]).tolist(),
        "category": [name or None for name in rows["Class Name"].str.strip()], "language": ["en"] * len(rows), "text": said,
    }  # fmt: skip
    stars = {"stars": rows["Rating"].astype(int).to_numpy(), "recommended": rows["Recommended IND"].astype(int).to_numpy()}
    return reviews(columns, stars, delay)
