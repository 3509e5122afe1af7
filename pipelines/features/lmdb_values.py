"""The online features in one LMDB file: the same packed values in a tree that every process maps into its memory.

A reader finds a value without waiting for anybody, several times as fast as in SQLite; a writer copies the pages that it changes
and makes them the tree with one write, so a kill leaves the tree that was. Its pages are never written over in place, so what was
erased goes by making the file anew: the folder holds one file, named by how often that was done.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pipelines.core.errors import ShelflifeError
from pipelines.features.keyvalue import HEAD, PAGE, Addition, Change, Moved

ROOM = 1 << 40
"""Bytes of addresses that are set aside; the file is as large as what is in it."""

LONGEST = 511
"""Bytes of a key in the tree. Of one that is not shorter it holds the beginning and the digest, and the value begins with the key."""

BEGINNING = LONGEST - 32

READERS = 1024
"""Reads at the same moment, over all processes."""

_trees: WeakValueDictionary[tuple[int, str], Any] = WeakValueDictionary()
_lock = threading.Lock()


class LmdbValues:
    """Values in one folder. One process writes, any number read. Raises ShelflifeError where the library lmdb is missing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._number = _newest(folder)
        self._tree = _tree(_file(folder, self._number))

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        with self._tree.begin() as reading:
            get = reading.get if max(map(len, keys), default=0) < LONGEST else _Long(reading).get
            found = {key: value for key in keys if (value := get(key)) is not None}
        if HEAD not in found and HEAD in keys and self._go_on():
            return self.get(keys)
        return found

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        if self._go_on():
            raise Moved
        ordered = sorted(changes)  # neighbours share a page, which then is copied once
        with self._tree.begin(write=True) as writing:
            if writing.get(HEAD) != on:
                raise Moved
            long = _Long(writing)
            for key, more in sorted(added):
                long.put(key, (long.get(key) or b"") + more)
            kept = [(key, value) for key, value in ordered if value is not None]
            if max((len(key) for key, _ in kept), default=0) < LONGEST:
                writing.cursor().putmulti(kept)
            else:
                for key, value in kept:
                    long.put(key, value)
            for key, gone in ordered:
                if gone is None:
                    writing.delete(_short(key))

    def scan(self, prefix: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        after, begin = b"", prefix[:BEGINNING]
        while True:
            with self._tree.begin() as reading:
                page = list(_some(reading.cursor(), begin, after))
            found = [_whole(name, value) for name, value in page]
            if some := [(key, value) for key, value in found if key.startswith(prefix)]:
                yield some
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def compact(self) -> None:
        """Everything into a new file. Who has the old one open finds it empty and goes on with the new one."""
        number, old = self._number, self._tree
        fresh = self.folder / f"{number + 1}.making"
        for path in (fresh, _locks(fresh)):
            path.unlink(missing_ok=True)
        with old.begin(write=True) as writing:  # nobody else writes until it is done
            made = _tree(fresh)
            with made.begin(write=True) as filling:
                filling.cursor().putmulti(writing.cursor(), append=True)
            made.sync(True)
            made.close()
            fresh.rename(_file(self.folder, number + 1))
            _locks(fresh).unlink(missing_ok=True)
            writing.drop(old.open_db(txn=writing), delete=False)
        self._go_on()

    def _go_on(self) -> bool:
        """Over to the newest file, where there is a newer one; the older ones go, and nobody finds anything in them any more."""
        if not _file(self.folder, self._number + 1).exists() and _file(self.folder, self._number).exists():
            return False
        old, self._number = self._tree, _newest(self.folder)
        self._tree = _tree(_file(self.folder, self._number))
        with old.begin(write=True) as writing:
            writing.drop(old.open_db(txn=writing), delete=False)
        for number in range(1, self._number):
            for path in (_file(self.folder, number), _locks(_file(self.folder, number))):
                path.unlink(missing_ok=True)
        return True

    def close(self) -> None:
        self._tree = None


class _Long:
    """A transaction whose keys may be of any length."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction

    def get(self, key: bytes) -> bytes | None:
        value = self._transaction.get(_short(key))
        return value if value is None or len(key) < LONGEST else _whole(_short(key), value)[1]

    def put(self, key: bytes, value: bytes) -> None:
        said = value if len(key) < LONGEST else len(key).to_bytes(4, "big") + key + value
        self._transaction.put(_short(key), said)


def in_use(folder: Path) -> bool:
    """Whether a process has the values of a folder open: each holds a lock on one byte of the file beside them."""
    import fcntl

    file = _file(folder, _newest(folder))
    if (os.getpid(), str(file)) in _trees:  # who closes a file that it has a lock on loses the lock
        return True
    with suppress(FileNotFoundError), _locks(file).open("r+b") as locks:
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError:
            return True
    return False


def _tree(file: Path) -> Any:
    """The tree in a file: one for all of a process, which must not open it twice."""
    try:
        import lmdb
    except ImportError:
        raise ShelflifeError("wanted the library lmdb for an online store in LMDB; install shelflife[lmdb]") from None
    name = (os.getpid(), str(file))
    with _lock:
        tree = _trees.get(name)
        if tree is None:
            tree = lmdb.open(
                str(file), subdir=False, map_size=ROOM, metasync=False, max_readers=READERS, readahead=False, mode=0o600
            )
            tree.reader_check()  # what killed readers held
            _trees[name] = tree
        return tree


def _newest(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("*.mdb")), default=1)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.mdb"


def _locks(file: Path) -> Path:
    return file.with_name(f"{file.name}-lock")


def _some(cursor: Any, begin: bytes, after: bytes) -> Iterator[tuple[bytes, bytes]]:
    """At most a page of what begins so, behind a key."""
    more = cursor.set_range(max(begin, after))
    if more and cursor.key() == after:
        more = cursor.next()
    for _ in range(PAGE):
        if not more or not cursor.key().startswith(begin):
            return
        yield cursor.item()
        more = cursor.next()


def _short(key: bytes) -> bytes:
    return key if len(key) < LONGEST else key[:BEGINNING] + hashlib.sha256(key).digest()


def _whole(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A key and its value, of their names in the tree."""
    if len(name) < LONGEST:
        return name, value
    end = 4 + int.from_bytes(value[:4], "big")
    return value[4:end], value[end:]
