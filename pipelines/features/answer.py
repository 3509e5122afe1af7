"""The code that reads the features of one key at a moment, written out from the definitions and compiled once, as update.py's is.

It stands for the common case of an ask of now: the key has no row at or after any near edge, so every window is whole tiles, and
nothing but the tiles is taken out of the packed value. Where that does not hold, moment.py answers, window by window. The tiles
are there: state.trim leaves those that a window reaches which ends after the newest row.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipelines.core.aggregation import TEXTS, OverCap
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted
from pipelines.features.merge import FINAL, objects
from pipelines.features.plan import OBJECTS, Cell, Group, Question
from pipelines.features.state import WORD
from pipelines.features.update import EMPTY, HIGH, Source

Answer = Callable[[bytes, int], "tuple[Any, ...] | None"]
"""Of a packed value and a moment the features in the order of the questions: floats, NaN as null, or of first, last and top their
values, None as null. None where tiles alone cannot tell."""

_lists = msgspec.msgpack.Decoder(tuple[msgspec.Raw, list[Any]]).decode
"""The objects of a packed value; its rows are stepped over."""


def answer_of(group: Group, questions: Sequence[Question]) -> Answer:
    """The function for questions about one key of the group."""
    source, many = Source(), len(group.series)
    source.add(0, "def update(data, ts):", "    w = memoryview(data).cast('d')", "    newest = w[0]")
    source.add(1, f"e = {2 + 2 * many}")
    for n in range(many):
        source.add(1, f"b{n} = e", f"e{n} = e = e + int(w[{2 + many + n}])")
    if any(cell.op in OBJECTS for question in questions for cell in question.cells):
        source.add(1, f"e *= {WORD}", f"o = {source.constant(_lists)}(data[e + 1 : len(data) - data[e]])[1]")
    values: list[str] = []
    for at, question in enumerate(questions):
        _window(source, group, question, f"q{at}_")
        values += _values(source, question, f"q{at}_")
    source.add(1, f"return ({', '.join(values)},)")
    return source.compile(f"answer of {group.of}")


def _window(source: Source, group: Group, question: Question, name: str) -> None:
    """The question's edges, and what its cells add up to in between, as name0, name1 and so on."""
    window, n, width = question.window, question.number, question.series.width
    source.add(1, f"end = ts - {window.lag}", "if newest >= end: return None")
    if window.ever:
        source.add(1, f"low, i = {source.constant(-math.inf)}, b{n}")
    else:
        source.add(1, f"low = end - {window.length}", f"low -= low % {window.grain}")
        source.add(1, f"i = b{n} + {width} * {source.constant(bisect_left)}(w[b{n}:e{n}:{width}], low)")
    counted_out = any(feature.how.how == "top" for feature in question.features)
    for at, cell in enumerate(question.cells):
        if cell.column:
            source.add(1, f"{name}{at} = {_sum(source, cell, n, width)}")
        else:
            how = "top" if cell.op == "bag" and counted_out else cell.op
            source.add(1, f"{name}{at} = {source.constant(FOUND[how])}(o[{group.lists.index(cell.slot)}], low)")


def _sum(source: Source, cell: Cell, n: int, width: int) -> str:
    """A number over the window's tiles, as an expression."""
    tiles = [f"w[i+{cell.column + more}:e{n}:{width}]" for more in range(2)]
    if cell.op == "q":
        return f"(int(sum({tiles[0]})) << {HIGH}) + int(sum({tiles[1]}))"
    if cell.op in EMPTY:
        return f"{'min' if cell.op == 'lo' else 'max'}({tiles[0]}, default={source.constant(EMPTY[cell.op])})"
    return f"sum({tiles[0]})"


FOUND: dict[str, Callable[[list[list[Any]], float], Any]] = {
    "first": lambda tiles, low: next((tile[1] for tile in tiles if tile[0] >= low), None),
    "last": lambda tiles, low: tiles[-1][1] if tiles and tiles[-1][0] >= low else None,
    "bag": lambda tiles, low: set().union(*[tile[1] for tile in tiles if tile[0] >= low]),
    "top": lambda tiles, low: objects("bag", [tile[1] for tile in tiles if tile[0] >= low]),
}
"""Objects over the tiles from `low` on, which are in the order of time; of a bag only what it holds, but for the most frequent."""


def _values(source: Source, question: Question, name: str) -> list[str]:
    """The features out of the cells, as expressions: core's Aggregation.ended, the frequent ones written out."""
    return [
        _value(source, feature, question, [(question.cells[at], f"{name}{at}") for at in takes])
        for feature, takes in zip(question.features, question.takes, strict=True)
    ]


def _value(source: Source, feature: Counted, question: Question, cells: Sequence[tuple[Cell, str]]) -> str:
    how, nan, (cell, first) = feature.how.how, source.constant(math.nan), cells[0]
    if how in ("count", "sum"):
        return f"float({first})"
    if how == "mean":
        return f"{first} / {cells[1][1]} if {cells[1][1]} else {nan}"
    if how in ("min", "max"):
        return f"{first} if {first} != {source.constant(EMPTY[cell.op])} else {nan}"
    if how == "distinct":
        over = source.constant(ending(feature))
        return f"float(len({first})) if len({first}) <= {feature.how.cap} else {over}([{first}], 0)"
    got = ", ".join(f"{source.constant(FINAL[cell.op])}({value})" for cell, value in cells)
    return f"{source.constant(ending(feature))}([{got}], ts - {question.window.lag})"


def ending(feature: Counted) -> Callable[[list[Any], int], Any]:
    """The feature's Aggregation.ended, which names the feature where it refuses, and with NaN for null where it is a number."""
    null = None if feature.how.how in TEXTS else math.nan

    def end(got: list[Any], at: int) -> Any:
        try:
            value = feature.how.ended(got, at)
        except OverCap as error:
            raise ShelflifeError(f"feature {feature.name}: {error}") from None
        return null if value is None else value

    return end
