"""Where the public datasets lie, and what is said when one is not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipelines.shop import readers
from pipelines.shop.readers import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]


def folder() -> Path:
    """The folder of all datasets: SHELFLIFE_DATASETS, or `shared/datasets` beside the repository."""
    return Path(os.environ.get("SHELFLIFE_DATASETS") or ROOT.parent / "shared" / "datasets")


def missing(name: str) -> str | None:
    """Why the dataset cannot be read, in a sentence, or None if its files are all there."""
    files = [path for path in PUBLISHED[name].files if not (folder() / name / path).exists()]
    if not files:
        return None
    return f"Not computed: {name} is not there ({', '.join(files)}); get it from {PUBLISHED[name].address} and set SHELFLIFE_DATASETS."


def read(name: str) -> readers.Reading:
    """The dataset as events; its checksums are checked. Raises ShelflifeError."""
    return readers.read(name, folder() / name)


def source(name: str) -> dict[str, Any]:
    """What the page says of where the data come from."""
    dataset = PUBLISHED[name]
    return {"name": name, "licence": dataset.licence, "address": dataset.address}
