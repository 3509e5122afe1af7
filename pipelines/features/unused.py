"""Online stores that nobody needs any more: files of definitions that no use case and no bundle has, and that no process has open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from pipelines.core.feature import FeatureSet
from pipelines.features.plan import store_name


def discard_unused(folder: Path, needed: Iterable[FeatureSet]) -> list[str]:
    """Removes the files of stores of other definitions than those that are needed; their names. A store that a server, or a
    stream that makes it anew, has open stays."""
    names = {store_name(features) for features in needed}
    return [path.stem for path in sorted(folder.glob("*.db")) if path.stem not in names and _discard(path)]


def _discard(path: Path) -> bool:
    """Only who is alone with a file can take away its journal: so nobody else has it open."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        try:
            if connection.execute("PRAGMA journal_mode=DELETE").fetchone() != ("delete",):
                return False
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            return False
        path.unlink()
    return True
