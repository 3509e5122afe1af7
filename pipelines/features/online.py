"""The online store: rows and tiles by key, the log's offset and the identity of events, changed whole or not at all.

One engine over any store of values (features/keyvalue.py): SQLite, Redis, memory. A batch of events is taken into the states of
its keys, which stay in memory for the next batch, and everything that it changed is put at once, the offset among it. A batch
that breaks, or that another writer overtook, is forgotten with all that is in memory; what is stored is the truth.

A key's value holds its tiles and its newest rows. Older rows lie in chunks of an hour, a day or a month, for the three that need them: a
moment in the past, a window with a delay, and a correction, which takes its tile down and makes it again from the rows.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from pipelines.core.clock import days, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features.fold import fold
from pipelines.features.keyvalue import HEAD, KeyValue, MemoryValues, Moved, SqliteValues
from pipelines.features.microbatch import MicroBatch
from pipelines.features.plan import Plan, align, plan
from pipelines.features.rows import Rows
from pipelines.features.state import Row, State, chunk_end, unpack_row
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


class OnlineStore:
    """One feature set's state in a store of values. Values made for other definitions are refused: `at` gives each its own."""

    def __init__(self, where: Path | KeyValue, features: FeatureSet) -> None:
        self.plan: Plan = plan(features)
        self._rows = Rows(self.plan.fields)
        self.path = where if isinstance(where, Path) else None
        self.values: KeyValue = _open(where) if isinstance(where, Path) else where
        self._lock = threading.RLock()
        self._known = (b"", Head(""))
        self.states: list[dict[Any, State]] = [{} for _ in self.plan.groups]
        self._head: bytes | None = self.values.get([HEAD]).get(HEAD)
        if self._head is None:
            self._start()
        self.head(self._head)

    @staticmethod
    def at(folder: Path, features: FeatureSet, url: str | None = None) -> OnlineStore:
        """The store of these definitions: a file in the folder, or values in the Redis of the url. Changed definitions begin a
        new one at offset 0, to be caught up from the log, while the old one goes on answering for the release that uses it."""
        name = plan(features).digest[:16]
        if url:
            from pipelines.features.redis_values import RedisValues

            return OnlineStore(RedisValues(url, name), features)
        return OnlineStore(folder / f"{name}.db", features)

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

    def offset(self) -> int:
        """The log's offset up to which events have been applied."""
        return self.head().offset

    def arrived(self) -> int:
        """When the newest applied event arrived (microseconds): what a reader of features may call their freshness."""
        return self.head().arrived

    def close(self) -> None:
        self.values.close()

    def apply(self, events: Iterable[Event]) -> int:
        """Apply events of the log, whole or not at all, and return the new offset; what was applied before is skipped.

        Events need their offset: raises ShelflifeError for one that has none, and for a body that no feature can read.
        """
        batch = list(events)
        if any(event.offset is None for event in batch):
            raise ShelflifeError(
                "wanted events that the log has given an offset, got one without; append it to the log and read it back"
            )
        rows = [(e.offset or 0, e.kind, e.ts, e.arrived or 0, (e.id, e.body)) for e in batch]
        return self._apply(rows, self._rows.from_body)

    def apply_stored(self, rows: Sequence[tuple[Any, ...]], *, upto: int = 0) -> int:
        """The same for rows as the log stores them (offset, kind, id, ts, arrived, digest, body as JSON): only the fields
        that features read are taken out of the JSON. `upto`: the log holds nothing else that features read up to there."""
        return self._apply(
            [(o, kind, ts, at, (name, body)) for o, kind, name, ts, at, _, body in rows], self._rows.from_json, upto
        )

    def _apply(self, said: Sequence[tuple[Any, ...]], read: Callable[[str, int, Any], Row], upto: int = 0) -> int:
        with self._lock, _no_collection():
            try:
                return MicroBatch(self, self._head).take(said, read, upto)
            except Moved:
                self.forget()
                return MicroBatch(self, self._head).take(said, read, upto)
            except TypeError as error:
                self.forget()
                raise ShelflifeError(f"wanted one value of one type in a field that features read: {error}") from None
            except BaseException:
                self.forget()
                raise

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

    def expire(self, now: int, keep: int = micros(days(30))) -> int:
        """Drop what no ask at or after `now` can need and return how many events went. `keep` (microseconds): how late a
        correction may come and still replace what it corrects over EVER."""
        with self._lock:
            self.forget()
            head = self.head(self._head)
            reached = {kind: align(now - self.plan.reach(kind, keep)) for kind in self.plan.fields}
            horizons = {kind: max(at, head.horizon(kind)) for kind, at in reached.items()}
            if horizons != head.horizons:
                self.put({}, msgspec.structs.replace(head, horizons=horizons))  # from now on nobody asks for what goes
            gone = 0
            for changes, count in self._expired(horizons):
                self.put(changes, self.head(self._head))
                gone += count
            return gone

    def erase(self, events: Mapping[str, Mapping[str, int]]) -> int:
        """Take events back as if they had never been, per kind their ids and ts, and leave no byte of them; how many were held.

        What has expired and still counts over EVER cannot be taken back alone: then the store begins anew at offset 0, and is made
        again from the log. A writer in another process begins again with what is stored.
        """
        with self._lock, _no_collection():
            self.forget()
            head = self.head(self._head)
            if any(ts < head.horizon(kind) for kind in self._ever for ts in events.get(kind, {}).values()):
                taken = self._begin_anew(head)
            else:
                taken = MicroBatch(self, self._head).erase({kind: list(ids) for kind, ids in events.items()})
            self.forget()
            self.values.compact()
            return taken

    @cached_property
    def _ever(self) -> set[str]:
        """The kinds that count for ever."""
        return {group.of for group in self.plan.groups for series in group.series if series.ever}

    def _begin_anew(self, head: Head) -> int:
        everything = {key: None for page in self.values.scan(b"") for key, _ in page if key != HEAD}
        self.put(dict(everything), Head(self.plan.digest, erasures=head.erasures + 1))
        return sum(key[:1] == b"i" for key in everything)

    def _expired(self, horizons: Mapping[str, int]) -> Iterator[tuple[dict[bytes, bytes | None], int]]:
        """What is older than the horizons, some at a time, and how many events are among it. A kill between two leaves no harm."""
        for group in self.plan.groups:
            horizon = horizons[group.of]
            for page in self.values.scan(b"v%c" % group.number):
                made = {key: fold(value, group, horizon) for key, value in page}
                yield {key: made[key] for key, value in page if made[key] != value}, 0
            for page in self.values.scan(b"c%c" % group.number):
                yield {key: None for key, _ in page if chunk_end(key) <= horizon}, 0
        for n, kind in enumerate(self.plan.fields):
            for page in self.values.scan(b"i%c" % n):
                old = [key for key, value in page if unpack_row(value)[0] < horizons[kind]]
                yield dict.fromkeys(old), len(old)

    def id_key(self, kind: str, name: str) -> bytes:
        """Where the newest version of an event is kept."""
        return b"i%c" % list(self.plan.fields).index(kind) + name.encode()


def _open(path: Path) -> KeyValue:
    return MemoryValues() if str(path) == ":memory:" else SqliteValues(path)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the collector of cycles: states are many small lists, none of them in a cycle, and it would look at all of them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
