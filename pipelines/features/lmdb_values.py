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
from contextlib import contextmanager
from functools import partial
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
        self._turn = threading.Lock()
        self._number = _newest(folder)
        self._tree = _tree(_file(folder, self._number))

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        tree = self._tree
        with tree.begin() as reading:
            get = reading.get if max(map(len, keys), default=0) < LONGEST else partial(_get, reading)
            found = {key: value for key in keys if (value := get(key)) is not None}
        if HEAD not in found and HEAD in keys:
            self._go_on()
            if self._tree is not tree:
                return self.get(keys)
        return found

    def put(self, changes: Iterable[Change], added: Iterable[Addition] = (), *, on: bytes | None) -> None:
        ordered = sorted(changes)  # neighbours share a page, which then is copied once
        with self._tree.begin(write=True) as writing:
            moved = writing.get(HEAD) != on or _newest(self.folder) > self._number
            if not moved:
                for key, more in sorted(added):
                    writing.put(*_item(key, (_get(writing, key) or b"") + more))
                writing.cursor().putmulti([_item(key, value) for key, value in ordered if value is not None])
                for key in (key for key, value in ordered if value is None):
                    writing.delete(_short(key))
        if moved:
            self._go_on()
            raise Moved

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
        with self._tree.begin(write=True) as writing:  # nobody else writes until it is done
            if _newest(self.folder) == self._number:  # else another process has just made it anew, from what is here
                self._make(writing, self._number + 1)
                writing.drop(self._tree.open_db(txn=writing), delete=False)
        self._go_on()

    def _make(self, everything: Any, number: int) -> None:
        """A file of all that the transaction sees. It has its name only when it is whole."""
        fresh = self.folder / f"{number}.making"
        _remove(fresh)
        made = _tree(fresh)
        with made.begin(write=True) as filling:
            filling.cursor().putmulti(everything.cursor(), append=True)
        made.sync(True)
        made.close()
        fresh.rename(_file(self.folder, number))
        _remove(fresh)

    def _go_on(self) -> None:
        """Over to the newest file. The older ones go, and whoever has one open finds nothing in it any more: also where the process
        that made the newest was killed before it had emptied the last."""
        with self._turn:  # only one of the threads has the old tree in its hands
            number = _newest(self.folder)
            if number <= self._number:
                return
            old, self._tree, self._number = self._tree, _tree(_file(self.folder, number)), number
            with old.begin(write=True) as writing:
                writing.drop(old.open_db(txn=writing), delete=False)
            for older in range(1, number):
                _remove(_file(self.folder, older))

    def close(self) -> None:
        self._tree = None


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether no process has the values of a folder open, nor can open them until this ends: each holds a lock on one byte of the
    file beside them."""
    import fcntl

    file = _file(folder, _newest(folder))
    if _name(file) in _trees:  # who closes a file that it has a lock on loses the lock
        yield False
        return
    if not _locks(file).exists():
        yield True
        return
    with _locks(file).open("r+b") as locks:
        try:
            fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
            free = True
        except OSError:
            free = False
        yield free


def _tree(file: Path) -> Any:
    """The tree in a file: one for all of a process, which must not open it twice."""
    try:
        import lmdb
    except ImportError:
        raise ShelflifeError("wanted the library lmdb for an online store in LMDB; install shelflife[lmdb]") from None
    name = _name(file)
    with _lock:
        tree = _trees.get(name)
        if tree is None:
            tree = lmdb.open(
                str(file), subdir=False, map_size=ROOM, metasync=False, max_readers=READERS, readahead=False, mode=0o600
            )
            tree.reader_check()  # what killed readers held
            _trees[name] = tree
        return tree


def _name(file: Path) -> tuple[int, str]:
    return os.getpid(), str(file.absolute())


def _newest(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("*.mdb")), default=1)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.mdb"


def _locks(file: Path) -> Path:
    return file.with_name(f"{file.name}-lock")


def _remove(file: Path) -> None:
    for path in (file, _locks(file)):
        path.unlink(missing_ok=True)


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


def _item(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """How a key and its value are kept in the tree."""
    return (key, value) if len(key) < LONGEST else (_short(key), len(key).to_bytes(4, "big") + key + value)


def _get(transaction: Any, key: bytes) -> bytes | None:
    """The value of a key of any length."""
    name = _short(key)
    value = transaction.get(name)
    return value if value is None else _whole(name, value)[1]


def _whole(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A key and its value, of their names in the tree."""
    if len(name) < LONGEST:
        return name, value
    end = 4 + int.from_bytes(value[:4], "big")
    return value[4:end], value[end:]
