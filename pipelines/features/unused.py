"""Online stores that nobody needs any more: those of definitions that no use case and no bundle has, and that no process has open."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipelines.core.feature import FeatureSet
from pipelines.features.lmdb_values import alone
from pipelines.features.plan import store_name


def discard_unused(folder: Path, needed: Iterable[FeatureSet]) -> list[str]:
    """Removes the stores of other definitions than those that are needed; their names. A store that a server, or a stream that
    makes it anew, has open stays."""
    gone = []
    for path in unused(folder, needed):
        with alone(path) if path.is_dir() else _alone(path) as nobody_else:
            if nobody_else:
                discard(path)
                gone.append(path.stem)
    return gone


def unused(folder: Path, needed: Iterable[FeatureSet]) -> list[Path]:
    """The stores in the folder of other definitions than those that are needed."""
    names = {store_name(features) for features in needed}
    return [path for path in sorted([*folder.glob("*.db"), *folder.glob("*.lmdb")]) if path.stem not in names]


def discard(path: Path) -> None:
    """Removes a store, whoever has it open."""
    if path.is_dir():
        shutil.rmtree(path)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Only who is alone with a file can take away its journal, and is until this ends; what is no database is not ours to remove."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        try:
            free = connection.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            free = False
        yield free
