"""What an online store keeps: packed values, the states of some keys in memory, and the head, which says how far they have got.

Everything in memory may be let go of at any time, for what is stored is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import FeatureSet
from pipelines.features.keyvalue import HEAD, KeyValue, MemoryValues, Moved, SqliteValues
from pipelines.features.plan import Plan, plan
from pipelines.features.state import State
from pipelines.features.tiles import FOREVER
from pipelines.features.update import fill_of, oldest_of, update_of


class Head(msgspec.Struct, frozen=True):
    """What the store is made for, how far it has got, and from when on it still has the events of each kind."""

    plan: str
    offset: int = 0
    arrived: int = 0
    horizons: dict[str, int] = {}
    erasures: int = 0

    def horizon(self, kind: str) -> int:
        return self.horizons.get(kind, -FOREVER)


_pack_head = msgspec.msgpack.Encoder(order="deterministic").encode
_unpack_head = msgspec.msgpack.Decoder(Head).decode


class Kept:
    """One feature set's values and states. Values made for other definitions are refused."""

    def __init__(self, where: Path | KeyValue, features: FeatureSet) -> None:
        self.plan: Plan = plan(features)
        self.path = where if isinstance(where, Path) else None
        self.values: KeyValue = _open(where) if isinstance(where, Path) else where
        self._known = (b"", Head(""))
        self.states: list[dict[Any, State]] = [{} for _ in self.plan.groups]
        self._head: bytes | None = self.values.get([HEAD]).get(HEAD)
        if self._head is None:
            self._start()
        self.head(self._head)

    def _start(self) -> None:
        head = _pack_head(Head(self.plan.digest))
        try:
            self.values.put([(HEAD, head)], on=None)
        except Moved:  # another process has made the same store meanwhile
            head = self.values.get([HEAD])[HEAD]
        self._head = head

    def head(self, data: bytes | None = None) -> Head:
        """The head as it is stored now. Raises ShelflifeError where it was made for other definitions, or is gone."""
        data = self.values.get([HEAD]).get(HEAD) if data is None else data
        if data is not None and data == self._known[0]:
            return self._known[1]
        found = _unpack_head(data) if data else None
        if found is None or found.plan != self.plan.digest:
            raise ShelflifeError(
                f"{self.path or 'the online store'} was made for other feature definitions; use OnlineStore.at and read the log again"
            )
        self._known = (data or b"", found)
        return found

    def forget(self) -> None:
        """Let go of what is in memory; it is read again from what is stored."""
        for states in self.states:
            states.clear()
        self._head = self.values.get([HEAD]).get(HEAD)

    def put(self, changes: dict[bytes, bytes | None], head: Head, added: Mapping[bytes, bytes] = MappingProxyType({})) -> None:
        """Make the changes and the new head, in one transaction. Raises Moved where another writer has been here."""
        data = _pack_head(head)
        self.values.put([*changes.items(), (HEAD, data)], added.items(), on=self._head)
        self._head = data

    @cached_property
    def updates(self) -> dict[str, Callable[..., None]]:
        """Per kind, the function that takes rows into states."""
        return {kind: update_of(self.plan, kind) for kind in self.plan.fields}

    @cached_property
    def fills(self) -> list[list[Callable[..., None]]]:
        """Per group and series, the function that takes rows into the tiles of that series alone."""
        return [[fill_of(self.plan, group, series) for series in group.series] for group in self.plan.groups]

    @cached_property
    def oldest(self) -> list[list[Callable[..., None]]]:
        """Per group, the functions that count rows older than its horizon over EVER."""
        return [oldest_of(self.plan, group) for group in self.plan.groups]

    def id_key(self, kind: str, name: str) -> bytes:
        """Where the newest version of an event is kept."""
        return b"i%c" % list(self.plan.fields).index(kind) + name.encode()

    def close(self) -> None:
        self.values.close()


def _open(path: Path) -> KeyValue:
    return MemoryValues() if str(path) == ":memory:" else SqliteValues(path)
