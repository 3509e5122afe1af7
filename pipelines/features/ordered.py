"""SQL text for asks and events in the order of key and time: what DuckDB does of a window, before runs.py takes over."""
# ruff: noqa: S608  the text is made of quoted names and literals, and runs on a connection that reaches nothing else

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.core.feature import Counted, Filter
from pipelines.features.dialect import quote
from pipelines.features.sql import INTEGERS, Types, matches
from pipelines.features.tiles import Window

KEYS = "keys"
"""The table of keys that are asked about, each with its number."""


def numbered(window: Window) -> str:
    """Makes the table of the keys that are asked about, busy ones and others mixed."""
    asked = ", ".join(f"{quote(name)} AS k{n}" for n, name in enumerate(window.key))
    plain = ", ".join(f"k{n}" for n in range(len(window.key)))
    some = " AND ".join(f"{quote(name)} IS NOT NULL" for name in window.key)
    return f"""CREATE OR REPLACE TEMP TABLE {KEYS} AS
SELECT *, row_number() OVER (ORDER BY hash({plain}), {plain}) - 1 AS key FROM (SELECT DISTINCT {asked} FROM asks WHERE {some})"""


def asked(window: Window) -> str:
    """The asks that have a key: row, ts and the key's number."""
    return f"SELECT a.row, a.ts, k.key FROM asks a JOIN {KEYS} k ON {_same('a', window.key)} ORDER BY k.key, a.ts"


@dataclass(frozen=True)
class Ordered:
    """The events of one kind by the number of their key: the columns of the fields and of the filters that are read. `ranked`:
    the order of events of one moment matters, and is that of their ids."""

    of: str
    by: tuple[str, ...]
    fields: Mapping[str, str]
    filters: Mapping[Filter, str]
    ranked: bool

    @staticmethod
    def read_by(windows: Mapping[Window, Sequence[Counted]], types: Types) -> Ordered:
        """What those features read, of one kind of events by one key."""
        parts = {(w.where, part) for w, group in windows.items() for f in group for part in f.how.parts}
        window = next(iter(windows))
        fields = sorted({part.field for _, part in parts if part.field})
        filters = dict.fromkeys(both(where, part.where) for where, part in parts)
        fractions = any(part.op == "s" and types[part.field or ""] not in INTEGERS for _, part in parts)
        return Ordered(
            window.of,
            window.by,
            {name: f"v{n}" for n, name in enumerate(fields)},
            {where: f"f{n}" for n, where in enumerate(filters) if where},
            fractions or any(part.op in ("first", "last") for _, part in parts),
        )

    def text(self, low: int, high: int, *, named: bool) -> str:
        """The query of the events of the keys `[low, high)`. `named`: their ids are at hand."""
        columns = [f"e.{quote(name)} AS {column}" for name, column in self.fields.items()]
        columns += [f"{matches(where, prefix='e.')} AS {column}" for where, column in self.filters.items()]
        order = "k.key, e.ts, e.id" if self.ranked and named else "k.key, e.ts"
        return f"""SELECT {", ".join(["k.key", "e.ts", "e.since", "e.until", *columns])}
FROM {quote("past " + self.of)} e JOIN {KEYS} k ON {_same("e", self.by)} WHERE k.key >= {low} AND k.key < {high} ORDER BY {order}"""


def both(one: Filter, other: Filter) -> Filter:
    """Events that meet the two."""
    return one & other if one and other else one or other


def _same(table: str, names: Iterable[str]) -> str:
    return " AND ".join(f"{table}.{quote(name)} = k.k{n}" for n, name in enumerate(names))
