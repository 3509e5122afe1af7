"""The state of one key, in memory and packed: a list of its newest rows and tiles, and the same as bytes.

Packed, everything that is a number comes first, as doubles: the head (newest ts, since, from when on each series has its tiles,
how long its array is), then the arrays.
So a reader of many keys takes the tiles of all of them apart at once. Rows, first, last and bags follow as MessagePack.

A row is packed once, when its event comes, and stays packed: its ts in eight bytes that sort as it does, then the rest.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from pipelines.core.clock import DAY
from pipelines.features.plan import FROM, NEWEST, ROWS, SINCE, SLOTS, Group, Series
from pipelines.features.tiles import FOREVER

Row = tuple[Any, ...]
"""ts, id, and the fields that the plan names."""

Packed = bytes
"""A row as `pack_row` packs it. Packed rows sort by their ts."""

State = list[Any]
"""See plan.NEWEST and the names beside it."""

SIMPLE = {str, int}
"""Classes of most keys, which are what they are."""

WORD = 8
CHUNKS = (DAY // 24, DAY, 32 * DAY)
"""How long the chunks of a key's older rows are."""

OBSOLETE = 16
"""Tiles that may lie about before they are taken away."""

LENGTHS = [bytes([short]) for short in range(WORD)]
PADDINGS = [b"\xc1" * short for short in range(WORD)]
"""What fills the last word, and the byte before the MessagePack that says how much; 0xc1 is never used there."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], list[Any]]).decode
_decode_rows = msgspec.msgpack.Decoder(list[bytes]).decode
_decode_rest = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


def blank(group: Group) -> State:
    """The state of a key that nothing has happened to."""
    state: State = [-FOREVER, -FOREVER, [], [-FOREVER] * len(group.series)]
    for series in group.series:
        state.append(array("d"))
        state += [[] for _ in series.objects]
    return state


def pack(state: State, group: Group) -> bytes:
    """The state as bytes, a whole number of words."""
    arrays = [state[slot] for slot in group.arrays]
    head = group.head.pack(state[NEWEST], state[SINCE], *state[FROM], *map(len, arrays))
    rest = _encode((state[ROWS], [state[slot] for slot in group.lists]))
    short = -(len(rest) + 1) % WORD
    return b"".join((head, *arrays, LENGTHS[short], rest, PADDINGS[short]))


def unpack(data: bytes, group: Group) -> State:
    """The state that `pack` wrote."""
    many = len(group.series)
    at, head = group.head.size, group.head.unpack_from(data)
    state: State = [int(head[0]), int(head[1]), [], list(map(int, head[2 : 2 + many]))] + [None] * (group.slots - SLOTS)
    for slot, length in zip(group.arrays, head[2 + many :], strict=True):
        end = at + WORD * int(length)
        state[slot] = array("d", data[at:end])
        at = end
    state[ROWS], lists = _decode(data[at + 1 : len(data) - data[at]])
    for slot, values in zip(group.lists, lists, strict=True):
        state[slot] = values
    return state


def pack_row(row: Row) -> Packed:
    return pack_ts(row[0]) + _encode(row[1:])


def unpack_row(data: Packed) -> Row:
    return (ts_of(data), *_decode_rest(data[WORD:]))


def pack_ts(ts: int) -> bytes:
    """How the packed rows of a ts begin: no row before it sorts behind it."""
    return (ts + 2**63).to_bytes(WORD, "big")


def ts_of(data: Packed) -> int:
    """The ts of a packed row."""
    return int.from_bytes(data[:WORD], "big") - 2**63


def between(rows: Iterable[Packed], low: int, end: int) -> list[Packed]:
    """The rows with `low <= ts < end`."""
    first, last = pack_ts(low), pack_ts(end)
    return [row for row in rows if first <= row < last]


def pack_rows(rows: Iterable[Packed]) -> bytes:
    """Rows as bytes that others of the kind may follow: their length, then they."""
    packed = _encode(list(rows))
    return len(packed).to_bytes(4, "big") + packed


def unpack_rows(data: bytes) -> list[Packed]:
    """The rows of everything that `pack_rows` wrote one behind the other."""
    rows: list[Packed] = []
    at = 0
    while at < len(data):
        begin, at = at + 4, at + 4 + int.from_bytes(data[at : at + 4], "big")
        rows += _decode_rows(data[begin:at])
    return rows


def drop(state: State, series: Series, start: int) -> None:
    """Takes a tile away, numbers and objects."""
    numbers, width = state[series.slot], series.width
    at = bisect_left(numbers[::width], start) * width
    if at < len(numbers) and numbers[at] == start:
        del numbers[at : at + width]
    for slot in series.lists.values():
        state[slot] = [entry for entry in state[slot] if entry[0] != start]


def trim(state: State, group: Group) -> None:
    """Takes tiles away that no window which ends now reaches; a window of the past is made from rows instead."""
    for n, series in enumerate(group.series):
        numbers, width = state[series.slot], series.width
        if len(numbers) <= OBSOLETE * width:
            continue
        reached = state[NEWEST] - series.reach
        reached -= reached % series.grain
        if numbers[OBSOLETE * width] < reached:
            state[FROM][n] = reached
            del numbers[: bisect_left(numbers[::width], reached) * width]
            for list_ in series.lists.values():
                state[list_] = [entry for entry in state[list_] if entry[0] >= reached]


def place(numbers: array[float], start: int, width: int, empty: array[float]) -> int:
    """Where the tile's numbers begin; an empty one is put in where there is none. Tiles lie in order of time."""
    at = len(numbers) - width
    while at >= 0 and numbers[at] > start:
        at -= width
    if at >= 0 and numbers[at] == start:
        return at
    at += width
    numbers[at:at] = empty
    numbers[at] = start
    return at


def entry(entries: list[list[Any]], start: int) -> list[Any]:
    """The tile's entry in a list of objects; a new one, [start, None], where there is none."""
    at = len(entries)
    while at and entries[at - 1][0] > start:
        at -= 1
    if at and entries[at - 1][0] == start:
        return entries[at - 1]
    entries.insert(at, [start, None])
    return entries[at]


def value_key(group: Group, key: Any) -> bytes:
    """Where a key's state is kept."""
    return b"v%c" % group.number + _key(key)


def value_keys(group: Group, keys: Iterable[Any]) -> list[bytes]:
    """The same of many."""
    begin = b"v%c" % group.number
    keys = list(keys)
    pack = _pack_key if SIMPLE.issuperset(map(type, keys)) else _key
    return [begin + pack(key) for key in keys]


def chunks_for(group: Group, key: Any, rows: list[Packed]) -> Iterable[tuple[bytes, list[Packed]]]:
    """Where older rows of a key (in order) are to be put away: the shortest chunks that are as long as the rows reach, so few of
    them are touched; and a busy key's, which fill up soon, are short."""
    span = ts_of(rows[-1]) - ts_of(rows[0])
    level = next((n for n, length in enumerate(CHUNKS) if span <= length), len(CHUNKS) - 1)
    begin = chunk_prefix(group, key)
    for number, some in groupby(rows, key=lambda row: ts_of(row) // CHUNKS[level]):
        yield begin + _chunk_name(level, number), list(some)


def chunk_keys(group: Group, key: Any, low: int, end: int) -> list[bytes]:
    """Where a key's older rows with `low <= ts < end` may be kept."""
    begin = chunk_prefix(group, key)
    return [
        begin + _chunk_name(level, number)
        for level, length in enumerate(CHUNKS)
        for number in range(low // length, (end - 1) // length + 1)
    ]


def chunk_end(key: bytes) -> int:
    """Before when everything in a chunk happened."""
    return (int.from_bytes(key[-4:], "big", signed=True) + 1) * CHUNKS[key[-5]]


def chunk_prefix(group: Group, key: Any) -> bytes:
    """How the names of a key's chunks begin, and no others."""
    return b"c%c" % group.number + _key(key)


_chunk_name = struct.Struct(">Bi").pack


def _key(key: Any) -> bytes:
    """A key's bytes: equal for what is equal, so True is 1 and 1.0 is 1."""
    if key.__class__ in SIMPLE:
        return _pack_key(key)
    return _pack_key(tuple(map(_whole, key)) if isinstance(key, tuple) else _whole(key))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, bool | float) and value == int(value) else value


_pack_key = msgspec.msgpack.Encoder().encode
