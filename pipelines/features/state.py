"""The state of one key, in memory and packed: a list of its newest rows and tiles, and the same as bytes.

Packed, everything that is a number comes first, as doubles: the head (newest ts, since, from when on each series has its tiles,
how long its array is), then the arrays.
So a reader of many keys takes the tiles of all of them apart at once. Rows, first, last and bags follow as MessagePack.
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

State = list[Any]
"""See plan.NEWEST and the names beside it."""

WORD = 8
CHUNKS = (DAY // 24, DAY, 32 * DAY)
"""How long the chunks of a key's older rows are."""

OBSOLETE = 16
"""Tiles that may lie about before they are taken away."""

LENGTHS = [bytes([short]) for short in range(WORD)]
PADDINGS = [b"\xc1" * short for short in range(WORD)]
"""What fills the last word, and the byte before the MessagePack that says how much; 0xc1 is never used there."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[tuple[Any, ...]], list[Any]]).decode
_decode_rows = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
_decode_row = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


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
    head = array("d", (state[NEWEST], state[SINCE], *state[FROM], *map(len, arrays)))
    rest = _encode((state[ROWS], [state[slot] for slot in group.lists]))
    short = -(len(rest) + 1) % WORD
    return b"".join((head, *arrays, LENGTHS[short], rest, PADDINGS[short]))


def unpack(data: bytes, group: Group) -> State:
    """The state that `pack` wrote."""
    many = len(group.series)
    at = WORD * (2 + 2 * many)
    head = array("d", data[:at])
    state: State = [int(head[0]), int(head[1]), [], list(map(int, head[2 : 2 + many]))] + [None] * (group.slots - SLOTS)
    for slot, length in zip(group.arrays, head[2 + many :], strict=True):
        end = at + WORD * int(length)
        state[slot] = array("d", data[at:end])
        at = end
    state[ROWS], lists = _decode(data[at + 1 : len(data) - data[at]])
    for slot, values in zip(group.lists, lists, strict=True):
        state[slot] = values
    return state


def pack_row(row: Row) -> bytes:
    return _encode(row)


def unpack_row(data: bytes) -> Row:
    return _decode_row(data)


def pack_rows(rows: Iterable[Row]) -> bytes:
    """Rows as bytes that others of the kind may follow: their length, then they."""
    packed = _encode(list(rows))
    return len(packed).to_bytes(4, "big") + packed


def unpack_rows(data: bytes) -> list[Row]:
    """The rows of everything that `pack_rows` wrote one behind the other."""
    rows, at = [], 0
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
    for n, slot in enumerate(group.arrays):
        numbers = state[slot]
        if len(numbers) <= OBSOLETE:  # no tile is narrower than a double
            continue
        series, width = group.series[n], group.series[n].width
        reached = state[NEWEST] - series.reach
        reached -= reached % series.grain
        if len(numbers) > OBSOLETE * width and numbers[OBSOLETE * width] < reached:
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
    begin, pack_key = b"v%c" % group.number, _pack_key
    return [begin + (pack_key(key) if key.__class__ in (str, int) else _key(key)) for key in keys]


def chunks_for(group: Group, key: Any, rows: list[Row]) -> Iterable[tuple[bytes, list[Row]]]:
    """Where older rows of a key (in order) are to be put away: the shortest chunks that are as long as the rows reach, so few of
    them are touched; and a busy key's, which fill up soon, are short."""
    span = rows[-1][0] - rows[0][0]
    level = next((n for n, length in enumerate(CHUNKS) if span <= length), len(CHUNKS) - 1)
    begin = chunk_prefix(group, key)
    for number, some in groupby(rows, key=lambda row: row[0] // CHUNKS[level]):
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
    if key.__class__ in (str, int):
        return _pack_key(key)
    return _pack_key(tuple(map(_whole, key)) if isinstance(key, tuple) else _whole(key))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, bool | float) and value == int(value) else value


_pack_key = msgspec.msgpack.Encoder().encode
