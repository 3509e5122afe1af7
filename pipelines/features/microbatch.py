"""One batch of events on its way into the online store: new rows and tiles, corrections, and what of it all is to be put."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pipelines.features.kept import Kept
from pipelines.features.keyvalue import HEAD
from pipelines.features.plan import ROWS, SINCE, Group, plain_key
from pipelines.features.state import (
    Packed,
    Row,
    State,
    between,
    blank,
    chunk_keys,
    chunk_prefix,
    chunks_for,
    drop,
    pack,
    pack_row,
    pack_rows,
    trim,
    ts_of,
    unpack,
    unpack_row,
    unpack_rows,
    value_key,
)  # fmt: skip

LONGEST = 16
"""Rows that a key's value holds before all but the newest half of so many move into chunks."""

SKIPPED = 1000
"""Events of other kinds that pass by before it is written down how far the log was read."""

HELD = 200_000
"""Keys whose state is held in memory between two batches; beyond that, those that the last batch did not touch are let go."""


class MicroBatch:
    """One batch of events on its way into the store: what it read, what it changed."""

    def __init__(self, store: Kept, head: bytes | None) -> None:
        self.store, self.plan = store, store.plan
        self.head = store.head(head)
        self.touched: list[set[Any]] = [set() for _ in self.plan.groups]
        self.chunks: dict[bytes, list[Packed]] = {}
        self.added: dict[bytes, list[Packed]] = {}
        self.ids: dict[bytes, bytes | None] = {}
        self.over: set[bytes] = set()

    def take(self, said: Sequence[tuple[Any, ...]], read: Callable[[str, int, Any], Row], upto: int) -> int:
        """Everything above the head's offset, in order; the new offset."""
        done = self.head.offset
        fresh = sorted((one for one in said if one[0] > done), key=lambda one: one[0])
        if not fresh and upto < done + SKIPPED:
            return done
        for number, kind in enumerate(self.plan.fields):
            if rows := [read(kind, ts, body) for _, k, ts, _, body in fresh if k == kind]:
                self._take_kind(number, kind, rows)
        arrived = max(self.head.arrived, *(one[3] for one in fresh)) if fresh else self.head.arrived
        head = msgspec.structs.replace(self.head, offset=max(upto, fresh[-1][0] if fresh else 0), arrived=arrived)
        self.store.put(self._changes(), head, {name: pack_rows(rows) for name, rows in self.added.items()})
        self._let_go()
        return head.offset

    def erase(self, events: Mapping[str, Sequence[str]]) -> int:
        """Takes events back, per kind their ids, as if they had never been; a key that has nothing else goes with them. How many
        the store held."""
        taken = 0
        for number, kind in enumerate(self.plan.fields):
            names = [b"i%c" % number + name.encode() for name in events.get(kind, ())]
            for row in self._known(names, self.head.horizon(kind)).values():
                self._retract(kind, row)
                taken += 1
            self.ids |= dict.fromkeys(names)
        self.over = {value_key(g, key) for g in self.plan.groups for key in self.touched[g.number] if self._is_over(g, key)}
        self.store.put(self._changes(), msgspec.structs.replace(self.head, erasures=self.head.erasures + 1))
        return taken

    def _is_over(self, group: Group, key: Any) -> bool:
        """Whether nothing is left of a key: no tile, no row at hand, none in a chunk."""
        state = self.store.states[group.number][key]
        if any(len(state[slot]) for slot in (ROWS, *group.arrays, *group.lists)):
            return False
        stored = (name for page in self.store.values.scan(chunk_prefix(group, key)) for name, _ in page)
        return not any(self.chunks.get(name, True) for name in stored)

    def _take_kind(self, number: int, kind: str, rows: list[Row]) -> None:
        """New events are taken in; a version that is corrected is taken out first. What is older than the horizon counts
        over EVER alone, and once and for all."""
        horizon, prefix = self.head.horizon(kind), b"i%c" % number
        names = [prefix + row[1].encode() for row in rows]
        known = self._known(names, horizon)
        fresh: dict[bytes, Packed] = {}
        young: list[Row] = []
        old: list[Row] = []
        for name, row in zip(names, rows, strict=True):
            packed = pack_row(row)
            before = fresh.get(name) or known.get(name)
            if before == packed:
                continue
            if before is not None:
                self._add(kind, young, list(fresh.values()))
                known |= fresh
                fresh, young = {}, []
                self._retract(kind, before)
            if row[0] < horizon:
                old.append(row)
                known.pop(name, None)
                self.ids.pop(name, None)
            else:
                young.append(row)
                fresh[name] = self.ids[name] = packed
        self._add(kind, young, list(fresh.values()))
        self._add_old(kind, old)

    def _known(self, names: list[bytes], horizon: int) -> dict[bytes, Packed]:
        found = self.store.values.get(names)
        return {name: row for name, row in found.items() if name != HEAD and ts_of(row) >= horizon}

    def _add(self, kind: str, rows: list[Row], packed: list[Packed]) -> None:
        if not rows:
            return
        groups = self.plan.groups_of(kind)
        self._load(groups, rows)
        late: list[tuple[int, Any, Packed]] = []
        self.store.updates[kind](rows, packed, late, *(self.store.states[group.number] for group in groups))
        for n, key, row in late:
            self._put_away(groups[n], key, [row])

    def _add_old(self, kind: str, rows: list[Row]) -> None:
        if not rows:
            return
        groups = self.plan.groups_of(kind)
        self._load(groups, rows)
        for group in groups:
            states = self.store.states[group.number]
            for row in rows:
                if (key := plain_key(row[at] for at in self.plan.places(group))) is not None:
                    for count in self.store.oldest[group.number]:
                        count(states[key], [row])

    def _retract(self, kind: str, packed: Packed) -> None:
        """The row out of its keys' rows, and their tiles of its time made again without it."""
        row, groups = unpack_row(packed), self.plan.groups_of(kind)
        self._load(groups, [row])
        for group in groups:
            if (key := plain_key(row[at] for at in self.plan.places(group))) is None:
                continue
            state = self.store.states[group.number][key]
            holders = (state[ROWS], *self._chunks(group, key, row[0], row[0] + 1))
            next(rows for rows in holders if packed in rows).remove(packed)
            for series, fill in zip(group.series, self.store.fills[group.number], strict=True):
                start = row[0] - row[0] % series.grain
                drop(state, series, start)
                fill(state, map(unpack_row, sorted(self._between(group, key, state, start, start + series.grain))))

    def _between(self, group: Group, key: Any, state: State, low: int, end: int) -> list[Packed]:
        """A key's rows with `low <= ts < end`."""
        older = self._chunks(group, key, low, min(end, state[SINCE])) if low < state[SINCE] else []
        return [row for rows in (*older, state[ROWS]) for row in between(rows, low, end)]

    def _chunks(self, group: Group, key: Any, low: int, end: int) -> list[list[Packed]]:
        """The chunks in which a key's older rows of a time may be, to be read and changed."""
        names = chunk_keys(group, key, low, end)
        if unread := [name for name in names if name not in self.chunks]:
            found = self.store.values.get(unread)
            for name in unread:
                stored, more = found.get(name), self.added.pop(name, [])
                if stored or more:
                    self.chunks[name] = [*(unpack_rows(stored) if stored else []), *more]
        return [self.chunks[name] for name in names if name in self.chunks]

    def _put_away(self, group: Group, key: Any, rows: list[Packed]) -> None:
        """Older rows (in order) to others of their time, which need not be read for it."""
        for name, some in chunks_for(group, key, rows):
            known = self.chunks[name] if name in self.chunks else self.added.setdefault(name, [])
            known += some

    def _load(self, groups: Sequence[Group], rows: Sequence[Row]) -> None:
        """The state of every key of the rows, from what is stored where it is not in memory."""
        missing: dict[bytes, tuple[Group, Any]] = {}
        for group in groups:
            at, states = self.plan.places(group), self.store.states[group.number]
            keys = {row[at[0]] for row in rows} if len(at) == 1 else {tuple(row[i] for i in at) for row in rows}
            mine = {key for key in keys if key is not None and (len(at) == 1 or None not in key)}
            self.touched[group.number] |= mine
            missing |= {value_key(group, key): (group, key) for key in mine if key not in states}
        found = self.store.values.get(list(missing)) if missing else {}
        for name, (group, key) in missing.items():
            data = found.get(name)
            self.store.states[group.number][key] = unpack(data, group) if data else blank(group)

    def _changes(self) -> dict[bytes, bytes | None]:
        """Everything that the batch has changed, packed."""
        changes: dict[bytes, bytes | None] = {}
        for group in self.plan.groups:
            states = self.store.states[group.number]
            for key in self.touched[group.number]:
                state = states[key]
                if len(state[ROWS]) > LONGEST:
                    self._settle(group, key, state)
                trim(state, group)
                name = value_key(group, key)
                changes[name] = None if name in self.over else pack(state, group)
        changes |= {name: pack_rows(rows) if rows else None for name, rows in self.chunks.items()}
        return changes | self.ids

    def _settle(self, group: Group, key: Any, state: State) -> None:
        """The older rows of a busy key into the chunks of their time."""
        rows = sorted(state[ROWS])
        moved, state[ROWS] = rows[: -LONGEST // 2], rows[-LONGEST // 2 :]
        state[SINCE] = ts_of(moved[-1]) + 1
        self._put_away(group, key, moved)

    def _let_go(self) -> None:
        for states, touched in zip(self.store.states, self.touched, strict=True):
            if len(states) > HELD:
                for key in states.keys() - touched:
                    del states[key]
