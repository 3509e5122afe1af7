"""How the events of a window become one value: each aggregation says what it accumulates and how that ends in a value.

What is accumulated are a few *parts*, each of which two halves of a window can be merged from. So every engine, the running sums
of batch, the tiles of the stream, a plain join, need only know the parts; `finish` says the rest, once (features/sql.py
says the same as SQL text, and the oracle in the tests says it a second time, naively).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.core.filter import EVERY, Filter

CAP = 10_000
"""How many different values an exact set holds where its definition does not say; one more is refused."""

SECOND = 1_000_000


class Part(NamedTuple):
    """Something that is accumulated over the events that meet `where`.

    `n` how many events; of `field`: `c` how many values, `s` their sum, `q` the sum of their squares, `lo` and `hi` the smallest
    and the largest, `first` and `last` the value at the least and the greatest (ts, id), `bag` how often each value came; and
    `newest` and `oldest`, the greatest and the least ts. Nulls are left out of what reads a field. s and q are exact integers (s and c of fractions
    serve a mean, to 1e-9). Two halves merge by adding (n, c, s, q, and bag value by value) or by taking the lesser or the greater.
    """

    op: str
    field: str | None = None
    where: Filter = EVERY


ADDED = ("n", "c", "s", "q")
"""Parts that merge by plain addition, and so can also be taken away again."""


@dataclass(frozen=True)
class Way:
    """What one aggregation is: `says` it to a shopkeeper, `parts` of its field, what an empty window gives, what field it wants."""

    says: str
    parts: tuple[str, ...] = ()
    empty: float | None = None
    wants: str = "nothing"


AGGREGATIONS = {
    "count": Way("number of events", ("n",), 0.0),
    "sum": Way("sum of {field}", ("s",), 0.0, "integer"),
    "mean": Way("mean of {field}", ("s", "c"), None, "number"),
    "std": Way("standard deviation of {field}", ("s", "c", "q"), None, "integer"),
    "min": Way("smallest {field}", ("lo",), None, "number"),
    "max": Way("largest {field}", ("hi",), None, "number"),
    "first": Way("first {field}", ("first",), None, "value"),
    "last": Way("last {field}", ("last",), None, "value"),
    "distinct": Way("number of different {field}", ("bag",), 0.0, "value"),
    "top": Way("most frequent {field}", ("bag",), None, "value"),
    "since": Way("seconds since the last event", ("newest",)),
    "until": Way("seconds until the first event", ("oldest",)),
    "rate": Way("share of events with {where}", ("n",)),
    "ratio": Way("{above} divided by {below}"),
}
"""Every aggregation. `wants` says what its field must be: an integer (whose sums are exact), a number, any single value."""

CAPPED = ("distinct", "top")
TEXTS = ("first", "last", "top")
"""Aggregations whose value is of their field's own type; all others are numbers."""


@dataclass(frozen=True)
class Aggregation:
    """One of AGGREGATIONS: the `field` it reads, the `cap` of an exact set, the `where` of a rate, the two halves of a ratio."""

    how: str
    field: str | None = None
    cap: int | None = None
    where: Filter = EVERY
    halves: tuple[Aggregation, ...] = ()

    def problem(self) -> str | None:
        """Why this is no aggregation of the language, in words; or None."""
        if self.how not in AGGREGATIONS:
            return f"no such aggregation: {self.how}; there are {', '.join(AGGREGATIONS)}"
        if (AGGREGATIONS[self.how].wants != "nothing") != (self.field is not None):
            return f"{self.how} {'reads a field: wanted its name' if self.field is None else 'reads no field'}"
        if (self.cap is not None) != (self.how in CAPPED) or (self.cap is not None and not 1 <= self.cap <= 1_000_000):
            return f"{self.how}: wanted a cap of 1 to 1,000,000 different values for {' and '.join(CAPPED)} and for no other"
        if (self.how == "rate") != bool(self.where):
            return "a rate, and nothing else, has a filter of its own; use where of the feature"
        if self.how != "ratio":
            return "only a ratio has halves" if self.halves else None
        if len(self.halves) != 2 or any(half.how in (*TEXTS, "ratio") for half in self.halves):
            return f"a ratio is one number over another: wanted two aggregations, none of them {', '.join(TEXTS)} or a ratio"
        return next((problem for half in self.halves if (problem := half.problem())), None)

    @property
    def looks(self) -> frozenset[str]:
        """Its own name and those of its halves."""
        return frozenset({self.how, *(half.how for half in self.halves)})

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the events that it reads."""
        own = {self.field} if self.field else set()
        return frozenset().union(own, self.where.fields, *(half.fields for half in self.halves))

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it accumulates."""
        if self.how == "ratio":
            return tuple(dict.fromkeys(part for half in self.halves for part in half.parts))
        own = tuple(Part(op, self.field) for op in AGGREGATIONS[self.how].parts)
        return (*own, Part("n", None, self.where)) if self.how == "rate" else own

    @property
    def empty(self) -> float | None:
        """What it says of a window without events."""
        return AGGREGATIONS[self.how].empty

    def finish(self, parts: Mapping[Part, Any], end: int) -> Any:
        """The value (float, text or None) out of what was accumulated up to `end` (microseconds). None or 0 stand for a part that
        is empty; the sums are plain Python integers, for exactness. Raises OverCap where a set holds more than its cap."""
        return self.ended([parts.get(part) for part in self.parts], end)

    def ended(self, got: Sequence[Any], end: int) -> Any:
        """The same out of its parts in their order."""
        if self.how == "ratio":
            mine = self.parts
            above, below = (half.ended([got[mine.index(part)] for part in half.parts], end) for half in self.halves)
            return _divided(above, below)
        if self.cap is not None and len(got[0] or ()) > self.cap:
            raise OverCap(over_cap(self))
        if self.how in ("since", "until"):
            return None if got[0] is None else abs(end - got[0]) / SECOND
        return _FINISH[self.how](*got)

    @property
    def name(self) -> str:
        """It in a feature's name: sum_cents, last_country, rate_gift_true, sum_cents_per_count."""
        if self.how == "ratio":
            return "_per_".join(half.name for half in self.halves)
        return "_".join(str(part) for part in (self.how, self.field or self.where) if part)

    def to_list(self) -> list[Any]:
        """The aggregation as JSON: how and field, and what else it has."""
        more: dict[str, Any] = {}
        if self.cap not in (None, CAP):
            more["cap"] = self.cap
        if self.where:
            more["where"] = self.where.to_list()
        if self.halves:
            more["halves"] = [half.to_list() for half in self.halves]
        return [self.how, self.field, more] if more else [self.how, self.field]

    @staticmethod
    def from_list(data: list[Any]) -> Aggregation:
        """The aggregation that `to_list` wrote."""
        how, name, more = (*data, {})[:3]
        cap = more.get("cap", CAP if how in CAPPED else None)
        halves = tuple(Aggregation.from_list(half) for half in more.get("halves", ()))
        return Aggregation(how, name, cap, Filter.from_list(more.get("where", [])), halves)

    def __str__(self) -> str:
        above, below = self.halves or (None, None)
        return AGGREGATIONS[self.how].says.format(field=self.field, where=self.where, above=above, below=below)


class OverCap(ValueError):
    """A set holds more different values than its definition allows: the answer is refused, in every engine."""


def over_cap(how: Aggregation) -> str:
    """What an engine says then; it puts the feature's name before it."""
    return (
        f"a window holds more than {how.cap:,} different {how.field}; raise its cap, shorten its window, or count another field"
    )


def Count() -> Aggregation:
    """How many events; 0 in an empty window."""
    return Aggregation("count")


def Sum(field: str) -> Aggregation:
    """The sum of an integer field, nulls left out; 0 in an empty window."""
    return Aggregation("sum", field)


def Mean(field: str) -> Aggregation:
    """The sum over the count of values; null in a window without values."""
    return Aggregation("mean", field)


def Std(field: str) -> Aggregation:
    """The standard deviation of the values of an integer field, of the whole window (0 for one value); null without values."""
    return Aggregation("std", field)


def Min(field: str) -> Aggregation:
    """The smallest value; null in a window without values."""
    return Aggregation("min", field)


def Max(field: str) -> Aggregation:
    """The largest value; null in a window without values."""
    return Aggregation("max", field)


def First(field: str) -> Aggregation:
    """The earliest non-null value, by (ts, id); null in a window without values."""
    return Aggregation("first", field)


def Last(field: str) -> Aggregation:
    """The latest non-null value, by (ts, id); null in a window without values."""
    return Aggregation("last", field)


def Distinct(field: str, cap: int = CAP) -> Aggregation:
    """How many different values, exactly; 0 in an empty window. A window that holds more than `cap` is refused."""
    return Aggregation("distinct", field, cap)


def Top(field: str, cap: int = CAP) -> Aggregation:
    """The value that came most often, the least of them where several did (texts by code point); null in a window without
    values. A window that holds more than `cap` different values is refused."""
    return Aggregation("top", field, cap)


def Since() -> Aggregation:
    """Seconds from the newest event to the window's near edge; null in an empty window. Looks back; a label asks Until."""
    return Aggregation("since")


def Until() -> Aggregation:
    """Seconds from the window's near edge to the first event in it; null in an empty window. For labels, which look ahead."""
    return Aggregation("until")


def Rate(where: Filter) -> Aggregation:
    """The share of the window's events that meet the condition; null in an empty window."""
    return Aggregation("rate", where=where)


def Ratio(above: Aggregation, below: Aggregation) -> Aggregation:
    """One aggregation of the window over another; null where either is null or the second is 0."""
    return Aggregation("ratio", halves=(above, below))


def _divided(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _std(s: int | None, c: int | None, q: int | None) -> float | None:
    return math.sqrt(c * (q or 0) - (s or 0) ** 2) / c if c else None


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value


def _top(bag: Mapping[Any, int] | None) -> Any:
    return _plain(min(bag, key=lambda value: (-bag[value], value))) if bag else None


_FINISH: dict[str, Any] = {
    "count": lambda n: float(n or 0),
    "sum": lambda s: float(s or 0),
    "mean": _divided,
    "std": _std,
    "distinct": lambda bag: float(len(bag or ())),
    "top": _top,
    "rate": lambda n, met: _divided(met or 0, n),
} | dict.fromkeys(("min", "max", "first", "last"), _plain)
"""The value out of the parts of an aggregation, in their order."""
