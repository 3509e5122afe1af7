"""Data from elsewhere as events: public datasets, a shop's own files, a shop's own database."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path

from pipelines.core.clock import days
from pipelines.core.errors import ShelflifeError
from pipelines.shop.readers.published import PUBLISHED, contents, dataset, download
from pipelines.shop.readers.reading import Reading

__all__ = ["DELAYS", "PUBLISHED", "Reading", "download", "read"]

DELAYS = {"fraud_handbook_transactions": days(7), "womens_clothing_reviews": days(0), "online_shopping_10_cats": days(0)}
"""How long after the asking event a label is visible, where the publisher does not say: a week for frauds, as the Handbook has
it; nothing for reviews, whose label came with the text."""


def read(name: str, folder: Path, *, delay: timedelta | None = None) -> Reading:
    """A public dataset as events; its files' SHA-256 are checked before anything parses them.

    `arrived` is `ts` (nobody published when an event became visible), and `ts` plus `delay` for what becomes a label. Rows
    that break their contract are in `broken`. Data without times have synthetic ones, a second apart in the published order,
    and their split in `splits`. Raises ShelflifeError for an unknown name, a missing file or a wrong checksum.
    """
    dataset(name)
    if delay is not None and delay < timedelta(0):
        raise ShelflifeError(f"{name}: wanted a delay of zero or more, got {delay}")
    files = contents(name, folder)
    reader = importlib.import_module(f"pipelines.shop.readers.{name}")
    return reader.reading(files, delay if delay is not None else DELAYS.get(name, timedelta(0)))
