"""The events of the keys that are asked about, in the order of time, and the features of every ask over them: how DuckDB's answers
are made. DuckDB reads, filters, joins and sorts, a part of the keys at a time; the windows are runs of what it gives (runs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipelines.core.aggregation import Part, over_cap
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, Filter
from pipelines.features import ordered
from pipelines.features.dialect import quote
from pipelines.features.finish import ended, numbers
from pipelines.features.ordered import Ordered, both
from pipelines.features.runs import Array, Runs, bisect, exact, laid_out, previous
from pipelines.features.sql import Types
from pipelines.features.tiles import FOREVER, Window, by_window

EVENTS, ASKS = 500_000, 250_000
"""About how many events are looked at together, and how many asks at most: bounds the memory."""

UNKNOWN = 4_000_000
"""How many pairs of an ask and an event before it that was not known at its moment are held at once."""

Query = Callable[[str], pa.Table]


class Tied(Exception):
    """Events of one key and moment are in an order that their ids decide, and the ids are not at hand."""


def columns(
    query: Query, features: Sequence[Counted], types: Types, rows: int, *, versions: bool, named: bool
) -> dict[str, Array]:
    """A column per feature, float64 or objects, over the tables `asks` and `past <kind>`. The features count one kind of events
    by one key. `versions`: the events' kind has been corrected. `named`:
    their ids are at hand. Raises Tied where they are not and are needed."""
    windows = by_window(features)
    window, reads = next(iter(windows)), Ordered.read_by(windows, types)
    asked = query(ordered.asked(window))
    found = {f.name: _empty(f, types, rows) for f in features}
    for events in _parts(query, reads, asked, versions=versions, named=named):
        for asks in _some(asked, events):
            _answer(events, asks, windows, found)
    return found


def _parts(query: Query, reads: Ordered, asked: pa.Table, *, versions: bool, named: bool) -> Iterator[Events]:
    """The events of some keys after the other's."""
    keys = asked["key"].to_numpy().max(initial=-1) + 1
    count = query(f"SELECT count(*) AS n FROM {quote('past ' + reads.of)}")["n"][0].as_py()  # noqa: S608  a quoted name
    parts = max(1, min(keys, -(-count // EVENTS)))
    for n in range(parts):
        low, high = keys * n // parts, keys * (n + 1) // parts
        events = Events(query(reads.text(low, high, named=named)), low, high, reads, versions)
        if reads.ranked and not named and events.tied:
            raise Tied
        yield events


def _some(asked: pa.Table, events: Events) -> Iterator[Asks]:
    """The part's asks, some at a time, each of its keys' whole or cut."""
    key = asked["key"].to_numpy()
    low, high = np.searchsorted(key, [events.low, events.high])
    for at in range(low, high, ASKS):
        some = asked.slice(at, min(ASKS, high - at))
        yield Asks(some["row"].to_numpy(), some["ts"].to_numpy(), some["key"].to_numpy() - events.low)


def _answer(events: Events, asks: Asks, windows: dict[Window, list[Counted]], found: dict[str, Array]) -> None:
    spans = events.unknown(asks, min(FOREVER, max(w.length + w.lag + w.grain for w in windows)))
    if sum(int((high - low).sum()) for _, low, high in spans) > UNKNOWN and len(asks.row) > 1:
        half = len(asks.row) // 2
        for some in (asks.cut(slice(half)), asks.cut(slice(half, None))):
            _answer(events, some, windows, found)
        return
    without = _pairs(spans)
    for window, group in windows.items():
        held = Held(events, events.runs(asks, window, *without), window.where)
        end = asks.ts - window.lag
        for feature in group:
            found[feature.name][asks.row] = held.answer(feature, end)


def _pairs(spans: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array]:
    """Ask and place of what is to be left out, in their order."""
    asks, places = [], []
    for place, low, high in spans:
        owner, ask = laid_out(low, high)
        asks.append(ask)
        places.append(place[owner])
    ask, place = np.concatenate(asks), np.concatenate(places)
    order = np.lexsort((place, ask))
    return ask[order], place[order]


@dataclass(frozen=True)
class Asks:
    """Asks in the order of key and time: their row, moment and key."""

    row: Array
    ts: Array
    key: Array

    def cut(self, some: slice) -> Asks:
        return Asks(self.row[some], self.ts[some], self.key[some])


class Events:
    """The events of the keys `[low, high)`, in the order of key, time and id."""

    def __init__(self, table: pa.Table, low: int, high: int, reads: Ordered, versions: bool) -> None:
        self.low, self.high, self.reads, self.versions = low, high, reads, versions
        self._table = table.combine_chunks()
        self.ts, self.since, self.until = (self._table[name].to_numpy() for name in ("ts", "since", "until"))
        self.key = self._table["key"].to_numpy() - low
        self.begins = np.searchsorted(self.key, np.arange(high - low + 1))
        self._chosen: dict[tuple[Filter, str | None], Chosen] = {}

    @property
    def tied(self) -> bool:
        """Whether events of one key share a moment."""
        return bool(((self.ts[1:] == self.ts[:-1]) & (self.key[1:] == self.key[:-1])).any())

    def unknown(self, asks: Asks, reach: int) -> list[tuple[Array, Array, Array]]:
        """Places of events, each with the span of asks that lie after it and did not know it yet, or knew better already. No
        window reaches further back than `reach`."""
        count = len(self.ts)
        ends = bisect(self.ts, self.begins[asks.key], self.begins[asks.key + 1], asks.ts)
        after = np.cumsum(np.bincount(ends, minlength=count + 1))[:count]
        over = np.searchsorted(asks.key, np.arange(self.high - self.low), "right")[self.key]
        place = np.flatnonzero(after < over)
        place = place[asks.ts[after[place]] < self.since[place]]
        low, high = after[place], over[place]
        spans = [(place, low, bisect(asks.ts, low, high, self.since[place]))]
        if self.versions and len(old := np.flatnonzero(self.until < FOREVER)):
            known = np.maximum(self.since[old], self.until[old])
            low = bisect(asks.ts, np.minimum(after[old], over[old]), over[old], known)
            spans.append((old, low, bisect(asks.ts, low, over[old], self.ts[old] + reach)))
        return spans

    def runs(self, asks: Asks, window: Window, ask: Array, place: Array) -> Runs:
        """What each ask sees through the window; the pairs of ask and place are what it does not know."""
        low, high = self.begins[asks.key], self.begins[asks.key + 1]
        ends = asks.ts - window.lag
        end = bisect(self.ts, low, high, ends)
        begin = low
        if not window.ever:
            far = ends - window.length
            begin = bisect(self.ts, low, end, far - far % window.grain)
        inside = (place >= begin[ask]) & (place < end[ask])
        return Runs.without(begin, end, ask[inside], place[inside])

    def chosen(self, where: Filter, field: str | None) -> Chosen:
        """The events that meet the filter and have the field."""
        if (where, field) not in self._chosen:
            self._chosen[where, field] = Chosen.of(self, where, field)
        return self._chosen[where, field]

    def met(self, where: Filter) -> Array | None:
        """Which events meet the filter; None: all do."""
        return self._table[self.reads.filters[where]].to_numpy() if where else None

    def values(self, field: str | None) -> pa.Array:
        """The values of a field; of none, whatever."""
        column = self._table[self.reads.fields[field] if field else "ts"]
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)


@dataclass(frozen=True)
class Chosen:
    """Some of the events: how many of them lie before each place (None: they are all), their keys, moments and values."""

    rank: Array | None
    key: Array
    ts: Array
    values: pa.Array

    @staticmethod
    def of(events: Events, where: Filter, field: str | None) -> Chosen:
        met, values = events.met(where), events.values(field)
        if field is not None and values.null_count:
            there = values.is_valid().to_numpy(zero_copy_only=False)
            met = there if met is None else met & there
        if met is None:
            return Chosen(None, events.key, events.ts, values)
        at = np.flatnonzero(met)
        rank = np.concatenate([[0], np.cumsum(met)])
        return Chosen(rank, events.key[at], events.ts[at], values.take(pa.array(at)) if field else values)

    @cached_property
    def whole(self) -> Array:
        """The values as numbers, truth values as 1 and 0."""
        return (self.values.cast(pa.int64()) if pa.types.is_boolean(self.values.type) else self.values).to_numpy()

    @cached_property
    def fractions(self) -> Array:
        return numbers(self.whole)

    @cached_property
    def squares(self) -> Array:
        return exact(self.whole, 2)

    @cached_property
    def sums(self) -> Array:
        return self.whole if self.whole.dtype.kind == "f" else exact(self.whole)

    @cached_property
    def labels(self) -> tuple[Array, Array]:
        """The values by number, and for each place the last before it of the same key and value."""
        label = self.values.dictionary_encode().indices.to_numpy().astype(np.int64)
        return label, previous(self.key * (label.max(initial=0) + 1) + label)


class Held:
    """What some asks' windows hold."""

    def __init__(self, events: Events, runs: Runs, where: Filter) -> None:
        self._events, self._runs, self._where = events, runs, where
        self._parts: dict[Part, Array] = {}

    def answer(self, feature: Counted, end: Array) -> Array:
        """A feature of each ask; `end`: the windows' near edges. Raises ShelflifeError where a set holds more than its cap."""
        got = [self._part(part) for part in feature.how.parts]
        for how in feature.how.halves or (feature.how,):
            if how.cap is not None and self._part(how.parts[0]).max(initial=0) > how.cap:
                raise ShelflifeError(f"feature {feature.name}: {over_cap(how)}")
        return ended(feature.how, got, end)

    def _part(self, part: Part) -> Array:
        if part not in self._parts:
            chosen = self._events.chosen(both(self._where, part.where), part.field)
            runs = self._runs if chosen.rank is None else self._runs.among(chosen.rank)
            self._parts[part] = PARTS[part.op](runs, chosen)
        return self._parts[part]


def _valued(values: pa.Array, place: Array) -> Array:
    """The values at places, null where the place is -1."""
    taken = values.take(pa.array(place, mask=place < 0))
    if pa.types.is_string(taken.type):
        return taken.to_numpy(zero_copy_only=False)
    return taken.cast(pa.float64()).fill_null(np.nan).to_numpy()


def _newest(runs: Runs, chosen: Chosen) -> Array:
    place = runs.last()
    found = np.full(len(place), -FOREVER)
    found[place >= 0] = chosen.ts[place[place >= 0]]
    return found


PARTS: dict[str, Callable[[Runs, Chosen], Array]] = {
    "n": lambda runs, _: runs.count(),
    "c": lambda runs, _: runs.count(),
    "s": lambda runs, chosen: runs.sum(chosen.sums),
    "q": lambda runs, chosen: runs.sum(chosen.squares),
    "lo": lambda runs, chosen: runs.extreme(np.fmin, chosen.fractions),
    "hi": lambda runs, chosen: runs.extreme(np.fmax, chosen.fractions),
    "newest": _newest,
    "first": lambda runs, chosen: _valued(chosen.values, runs.earliest()),
    "last": lambda runs, chosen: _valued(chosen.values, runs.last()),
    "bag": lambda runs, chosen: runs.different(*chosen.labels),
}
"""Each part, an array an ask."""


def _empty(feature: Counted, types: Types, rows: int) -> Array:
    """What a row gets whose key is null: the empty window's."""
    if feature.how.how in ("first", "last") and types[feature.how.field or ""] == "VARCHAR":
        return np.full(rows, None, dtype=object)
    return np.full(rows, np.nan if feature.how.empty is None else feature.how.empty)
