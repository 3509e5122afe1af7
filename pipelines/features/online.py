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
from typing import Any

import msgspec

from pipelines.core.clock import days, micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.core.feature import FeatureSet
from pipelines.features.fold import fold
from pipelines.features.kept import Head, Kept
from pipelines.features.keyvalue import HEAD, LMDB, SQLITE, KeyValue, Moved
from pipelines.features.microbatch import MicroBatch
from pipelines.features.plan import align, store_name
from pipelines.features.rows import Rows
from pipelines.features.state import Row, chunk_end, ts_of


class OnlineStore(Kept):
    """One feature set's state in a store of values. Values made for other definitions are refused: `at` gives each its own."""

    def __init__(self, where: Path | KeyValue, features: FeatureSet) -> None:
        super().__init__(where, features)
        self._rows = Rows(self.plan.fields)
        self._lock = threading.RLock()

    @staticmethod
    def at(folder: Path, features: FeatureSet, where: str = SQLITE) -> OnlineStore:
        """The store of these definitions: "sqlite" or "lmdb", in the folder, or the url of a Redis. Changed definitions begin a
        new one at offset 0, to be caught up from the log, while the old one goes on answering for the release that uses it."""
        name = store_name(features)
        if where == SQLITE:
            return OnlineStore(folder / f"{name}.db", features)
        if where == LMDB:
            from pipelines.features.lmdb_values import LmdbValues

            return OnlineStore(LmdbValues(folder / f"{name}.lmdb"), features)
        from pipelines.features.redis_values import RedisValues

        return OnlineStore(RedisValues(where, name), features)

    @staticmethod
    def kept(folder: Path, features: FeatureSet, where: str = SQLITE) -> bool:
        """Whether there is a store of these definitions (in a Redis there may be)."""
        name = store_name(features)
        files = {SQLITE: folder / f"{name}.db", LMDB: folder / f"{name}.lmdb"}
        return where not in files or files[where].exists()

    def offset(self) -> int:
        """The log's offset up to which events have been applied."""
        return self.head().offset

    def arrived(self) -> int:
        """When the newest applied event arrived (microseconds): what a reader of features may call their freshness."""
        return self.head().arrived

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
            erasures = self.head(self._head).erasures
            try:
                return MicroBatch(self, self._head).take(said, read, upto)
            except Moved:
                self.forget()
                head = self.head(self._head)
                if head.erasures != erasures:  # what was read before may be erased by now: it is to be read again
                    return head.offset
                return MicroBatch(self, self._head).take(said, read, upto)
            except TypeError as error:
                self.forget()
                raise ShelflifeError(f"wanted one value of one type in a field that features read: {error}") from None
            except BaseException:
                self.forget()
                raise

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
                old = [key for key, value in page if ts_of(value) < horizons[kind]]
                yield dict.fromkeys(old), len(old)


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
