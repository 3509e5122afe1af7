"""The code that takes an event into the tiles, written out for one kind of event from the definitions and compiled once.

A loop that asks, for each event, which tiles there are and what they hold is three times slower than the same loop with the
answers written into it. The text is made of numbers and of names of our own; every value of a definition is a constant beside it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from pipelines.core.aggregation import Part
from pipelines.core.feature import Filter
from pipelines.features.plan import Group, Plan, Series
from pipelines.features.state import entry, place
from pipelines.features.tiles import FOREVER

EMPTY = {"lo": float("inf"), "hi": -float("inf"), "newest": -float("inf")}
"""What a number of a tile is before any event, where that is not 0."""

COMPARED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
HIGH = 40
"""A square is kept as a multiple of 2**HIGH and a rest: two doubles that hold its exact sum."""


@dataclass
class Source:
    """Lines of Python and the constants they name; filters that are `met` have been looked at already, under those names."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    met: dict[Filter, str] = field(default_factory=dict)

    def add(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]

    def constant(self, value: Any) -> str:
        name = f"C{len(self.names)}"
        self.names[name] = value
        return name

    def compile(self, name: str) -> Callable[..., None]:
        scope: dict[str, Any] = {"place": place, "entry": entry, **self.names}
        exec(compile("\n".join(self.lines), f"<{name}>", "exec"), scope)  # noqa: S102  text of our own, see above
        return scope["update"]


def update_of(plan: Plan, kind: str) -> Callable[..., None]:
    """`update(rows, packed, late, states…)`: each row into the state of its key, in every group of its kind. `packed` are the
    rows as they are kept, `states` are dicts of key to state, in the order of `plan.groups_of(kind)`, that hold every key. A row
    older than what its key has at hand is not put among the key's rows but into `late`, as (the group's place, key, packed row)."""
    source, groups = Source(), plan.groups_of(kind)
    source.add(0, f"def update(rows, packed, late, {', '.join(f'g{n}' for n in range(len(groups)))}):")
    source.add(1, "low = end = 0", "for row, kept in zip(rows, packed):", "    ts = row[0]")
    _starts(source, 2, [series.grain for group in groups for series in group.series])
    wheres = [series.where for group in groups for series in group.series]
    source.met = {where: f"c{n}" for n, where in enumerate(dict.fromkeys(w for w in wheres if wheres.count(w) > 1 and w))}
    source.add(2, *(f"{name} = {condition(where, plan.fields[kind], source)}" for where, name in source.met.items()))
    for n, group in enumerate(groups):
        at = plan.places(group)
        key = f"row[{at[0]}]" if len(at) == 1 else f"({', '.join(f'row[{i}]' for i in at)})"
        source.add(2, f"k = {key}", f"if {'k is not None' if len(at) == 1 else 'None not in k'}:", f"    s = g{n}[k]")
        source.add(3, "if ts > s[0]: s[0] = ts", "if ts >= s[1]: s[2].append(kept)", f"else: late.append(({n}, k, kept))")
        for series in group.series:
            _series(source, 3, series, plan.fields[kind], f"{series.grain}")
    return source.compile(f"update of {kind}")


def fill_of(
    plan: Plan, group: Group, series: Series, *, start: int | None = None
) -> Callable[[list[Any], Iterable[Any]], None]:
    """`fill(state, rows)`: the rows into the tiles of one series alone; all into the tile at `start`, where that is given."""
    source = Source()
    source.add(0, "def update(s, rows):", "    for row in rows:", "        ts = row[0]")
    source.add(2, f"t = {start if start is not None else f'ts - ts % {series.grain}'}", "f = float(t)")
    _series(source, 2, series, plan.fields[group.of], "")
    return source.compile(f"fill of {group.of}")


def oldest_of(plan: Plan, group: Group) -> list[Callable[[list[Any], Iterable[Any]], None]]:
    """For each EVER series, the function that takes rows into the tile of all that is older than any other."""
    return [fill_of(plan, group, series, start=-FOREVER) for series in group.series if series.ever]


def _starts(source: Source, depth: int, grains: list[int]) -> None:
    """The start of each tile that the event lies in, as an integer and as the double that arrays hold: comparing the two kinds
    is slow. Worked out anew only where one of them may be another than the last event's."""
    common = gcd(*grains)
    source.add(depth, "if not low <= ts < end:", f"    low = ts - ts % {common}", f"    end = low + {common}")
    for grain in sorted(set(grains)):
        source.add(depth + 1, f"t{grain} = ts - ts % {grain}", f"f{grain} = float(t{grain})")


def _series(source: Source, depth: int, series: Series, fields: tuple[str, ...], tile: str) -> None:
    """One series; `t` and `f` with the name of the `tile` behind them are its start."""
    start = f"f{tile}"
    if series.where:
        source.add(depth, f"if {source.met.get(series.where) or condition(series.where, fields, source)}:")
        depth += 1
    if series.numbers:
        empty = array("d", [0.0, *(value for part in series.numbers for value in _empty(part))])
        source.add(depth, f"a = s[{series.slot}]", f"i = len(a) - {series.width}")
        blank = source.constant(empty)
        source.add(depth, f"if i < 0 or a[i] < {start}:", "    i = len(a)", f"    a.extend({blank})", f"    a[i] = {start}")
        source.add(depth, f"elif a[i] != {start}: i = place(a, {start}, {series.width}, {blank})")
    by_field: dict[str | None, list[Part]] = {}
    for part in (*series.numbers, *series.objects):
        by_field.setdefault(part.field, []).append(part)
    for name, parts in by_field.items():
        inner = depth
        if name is not None:
            source.add(depth, f"v = row[{2 + fields.index(name)}]", "if v is not None:")
            inner += 1
        for part in parts:
            _part(source, inner, series, part, fields, f"t{tile}")


def _part(source: Source, depth: int, series: Series, part: Part, fields: tuple[str, ...], start: str) -> None:
    if part in series.columns:
        cell = f"a[i+{series.columns[part]}]"
        kept = f"if {condition(part.where, fields, source)}: " if part.where else ""
        lines = {
            "n": f"{kept}{cell} += 1.0",
            "c": f"{cell} += 1.0",
            "s": f"{cell} += v",
            "lo": f"if v < {cell}: {cell} = v",
            "hi": f"if v > {cell}: {cell} = v",
            "newest": f"if ts > {cell}: {cell} = ts",
        }
        if part.op == "q":
            rest = f"a[i+{series.columns[part] + 1}]"
            source.add(depth, "w = v * v", f"{cell} += w >> {HIGH}", f"{rest} += w & {2**HIGH - 1}")
            source.add(depth, f"if {rest} >= {2**52}: {cell} += int({rest}) >> {HIGH}; {rest} = int({rest}) & {2**HIGH - 1}")
        else:
            source.add(depth, lines[part.op])
        return
    source.add(depth, f"e = entry(s[{series.lists[part]}], {start})")
    if part.op == "bag":
        source.add(depth, "if e[1] is None: e[1] = {}", "e[1][v] = e[1].get(v, 0) + 1")
    else:
        sign = "<" if part.op == "first" else ">"
        source.add(depth, f"if e[1] is None or (ts, row[1]) {sign} (e[1][0], e[1][1]): e[1] = [ts, row[1], v]")


def _empty(part: Part) -> list[float]:
    return [0.0, 0.0] if part.op == "q" else [EMPTY.get(part.op, 0.0)]


def condition(where: Filter, fields: tuple[str, ...], source: Source) -> str:
    """The filter as an expression over a row."""
    if where.op in ("and", "or"):
        joined = f" {where.op} ".join(f"({condition(arg, fields, source)})" for arg in where.args)
        return joined or str(where.op == "and")
    if where.op == "not":
        return f"not ({condition(where.args[0], fields, source)})"
    name, *values = where.args
    value = f"row[{2 + fields.index(name)}]"
    if where.op in ("is", "in"):
        return f"{value} in {source.constant(tuple(values))}"
    return f"{value} is not None and {value} {COMPARED[where.op]} {source.constant(values[0])}"
