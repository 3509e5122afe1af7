"""Bundles from where they lie: a training's folder, or the releases of a home; every byte checked before it is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Bundle

if TYPE_CHECKING:
    from pipelines.core.feature import FeatureSet
    from pipelines.store.home import Home

DIGEST = 64
"""Characters of a bundle's name."""


def read(folder: Path) -> tuple[Bundle, Mapping[str, bytes]]:
    """A bundle's manifest and bytes, each checked. Raises ShelflifeError for a changed, missing or extra file."""
    from pipelines.store.bundles import pack as check

    if not (folder / "manifest.json").is_file():
        raise ShelflifeError(f"{folder} holds no bundle; run dvc repro (or shelflife train) first")
    found = check(folder)
    return found.manifest, found.files


def released(home: Home, name: str) -> tuple[Bundle, Mapping[str, bytes]]:
    """A released bundle by its digest, each byte checked."""
    found = home.releases.read(name)
    return found.manifest, found.files


def definitions(home: Home) -> Iterator[FeatureSet | None]:
    """What each bundle of the home was judged with; None where a bundle cannot be read."""
    from pipelines.core.feature import FeatureSet

    for folder in sorted(path for path in (home.path / "releases").iterdir() if path.is_dir() and len(path.name) == DIGEST):
        try:
            yield FeatureSet.from_json(released(home, folder.name)[1]["features.json"])
        except (ShelflifeError, KeyError, ValueError):
            yield None
