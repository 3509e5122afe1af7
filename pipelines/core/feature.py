"""One number or category known at a moment: given by the asking event, counted over the past, or derived from others.

A definition is data. It names itself, says itself as a sentence, has a digest that enters the release, and is run by
engines that must agree to the last cell (features/batch.py, features/stream.py and the naive oracle in the tests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from pipelines.core.clock import EVER, days, hours, micros, minutes, spell
from pipelines.core.contract import SQL_KEYWORDS
from pipelines.core.digest import digest
from pipelines.core.expression import Expression, trace

TILES = (
    (minutes(30), minutes(1)),
    (hours(2), minutes(5)),
    (hours(6), minutes(15)),
    (hours(12), minutes(30)),
    (days(2), hours(1)),
    (days(4), hours(4)),
    (days(10), hours(6)),
    (timedelta.max, days(1)),
)
"""For windows up to the first, the far edge is rounded down to a multiple of the second: about a 24th of the window."""


def tile(over: timedelta) -> timedelta:
    """How coarsely the far edge of a window of this length is rounded; EVER has one cumulative tile (its far edge is -infinity)."""
    return next(grain for longest, grain in TILES if over <= longest)


@dataclass(frozen=True)
class Aggregation:
    """How the events in a window become one value. `field` is the body's field it reads, where it reads one."""

    how: str
    field: str | None = None

    def __str__(self) -> str:
        return self.how if self.field is None else f"{self.how} of {self.field}"


def Count() -> Aggregation:
    """How many events; 0 in an empty window."""
    return Aggregation("count")


def Sum(field: str) -> Aggregation:
    """The sum of an integer field, nulls left out; 0 in an empty window."""
    return Aggregation("sum", field)


def Mean(field: str) -> Aggregation:
    """The sum over the count of values; null in a window without values."""
    return Aggregation("mean", field)


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


def Distinct(field: str) -> Aggregation:
    """How many different values; 0 in an empty window."""
    return Aggregation("distinct", field)


AGGREGATIONS = {
    "count": False,
    "sum": True,
    "mean": True,
    "min": True,
    "max": True,
    "first": True,
    "last": True,
    "distinct": True,
}
"""Every aggregation and whether it reads a field."""


@dataclass(frozen=True)
class Counted:
    """An aggregation over the past of an entity.

    At the moment `ts`, and with `end = ts - delay`: over the events of kind `of` that carry the asking event's own value of
    `by`, whose time lies in `[floor(end - over, tile(over)), end)` and that were visible by then (arrived at or before ts).
    `where` keeps the events whose fields equal these values. `key` names the row's column that is looked up, where it is not
    called `by` (a ranking looks up the `candidate` among the events' `item`). A null key has no past: an empty window.
    """

    name: str
    of: str
    by: str
    how: Aggregation
    over: timedelta
    delay: timedelta = timedelta(0)
    where: tuple[tuple[str, Any], ...] = ()
    key: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.how.how not in AGGREGATIONS or AGGREGATIONS[self.how.how] != (self.how.field is not None):
            raise ValueError(f"{self.name}: no such aggregation: {self.how}")
        if self.over <= timedelta(0) or self.delay < timedelta(0):
            raise ValueError(f"{self.name}: wanted a window longer than zero and a delay of zero or more")
        if self.over != EVER and self.over < tile(self.over):
            raise ValueError(
                f"{self.name}: a window of {spell(self.over)} is smaller than its tile of {spell(tile(self.over))}"
            )

    def sentence(self) -> str:
        """The definition as a shopkeeper reads it."""
        past = "ever" if self.over == EVER else f"in the last {spell(self.over)}"
        late = f", as known {spell(self.delay)} earlier" if self.delay else ""
        only = "".join(f" with {name} {value}" for name, value in self.where)
        return f"{self.how} over the {self.of} events{only} of the same {self.by} {past}{late}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "of": self.of, "by": self.by, "how": [self.how.how, self.how.field],
            "over_us": None if self.over == EVER else micros(self.over), "delay_us": micros(self.delay),
            "where": [list(pair) for pair in self.where], "key": self.key,
        }  # fmt: skip

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Counted:
        over = EVER if data["over_us"] is None else timedelta(microseconds=data["over_us"])
        where = tuple((name, value) for name, value in data["where"])
        return Counted(
            data["name"],
            data["of"],
            data["by"],
            Aggregation(*data["how"]),
            over,
            timedelta(microseconds=data["delay_us"]),
            where,
            data["key"],
        )


@dataclass(frozen=True)
class Derived:
    """A value computed from other features of the same moment (and `ts`, always known) by a traced expression."""

    name: str
    expression: Expression
    doc: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True)
class FeatureSet:
    """What a model looks at: `given` names fields of the asking event, `counted` and `derived` are defined here.

    `kinds` says of each given field whether it is a `number`, a `category` or a `text`; it is filled from the contract of the
    asking event when the use case is declared. The order of `names` is the order of the model's raw columns.
    """

    given: tuple[str, ...]
    counted: tuple[Counted, ...]
    derived: tuple[Derived, ...]
    kinds: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"two features have the name {', '.join(sorted(twice))}")
        known = {"ts", *self.given, *(c.name for c in self.counted)}
        for feature in self.derived:
            if missing := feature.expression.columns - known:
                raise ValueError(f"{feature.name} reads {', '.join(sorted(missing))}, which is no feature declared before it")
            known.add(feature.name)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.given, *(c.name for c in self.counted), *(d.name for d in self.derived))

    def kind(self, name: str) -> str:
        """number, category or text. Counted and derived features are numbers, but for `last` and `first` of a category."""
        return dict(self.kinds).get(name, "number")

    @property
    def sources(self) -> tuple[str, ...]:
        """The kinds of events that the counted features read."""
        return tuple(sorted({c.of for c in self.counted}))

    @cached_property
    def digest(self) -> str:
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The definitions as plain JSON data, for the bundle."""
        return {
            "given": list(self.given),
            "kinds": dict(self.kinds),
            "counted": [c.to_dict() for c in self.counted],
            "derived": [{"name": d.name, "expression": d.expression.to_list(), "doc": d.doc} for d in self.derived],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> FeatureSet:
        """The definitions that `to_dict` wrote."""
        return FeatureSet(
            tuple(data["given"]),
            tuple(Counted.from_dict(row) for row in data["counted"]),
            tuple(Derived(row["name"], Expression.from_list(row["expression"]), row["doc"]) for row in data["derived"]),
            tuple(data["kinds"].items()),
        )


def features(
    *, given: tuple[str, ...] = (), counted: tuple[Counted, ...] = (), derived: tuple[Callable[..., Any], ...] = ()
) -> FeatureSet:
    """A feature set from its parts; the derived functions are traced here and are named after themselves."""
    traced = tuple(Derived(f.__name__, trace(f), (f.__doc__ or "").strip()) for f in derived)
    return FeatureSet(given, counted, traced)


@dataclass(frozen=True)
class Label:
    """A feature pointed at the future: the aggregation over the events of kind `of` with the asking event's own value of
    `by`, whose time lies in `[ts + ahead, ts + ahead + within)` (for the asking event's own kind: after it, by (ts, id)).

    `at_least` turns the value into 1 or 0. Where the aggregation of an empty window is null, an ask without such an event
    has no label. A label is mature `settles` after its window closed: only then may it train or judge.
    """

    of: str
    by: str
    how: Aggregation
    within: timedelta
    ahead: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)
    at_least: float | None = None

    @property
    def matures(self) -> timedelta:
        """From the ask to the moment its label is final."""
        return self.ahead + self.within + self.settles

    def sentence(self) -> str:
        test = "" if self.at_least is None else f", at least {self.at_least:g}"
        later = f" starting {spell(self.ahead)} later" if self.ahead else ""
        return f"{self.how}{test} over the {self.of} events of the same {self.by} in the next {spell(self.within)}{later}"


def _check_name(name: str) -> None:
    if not name.isidentifier() or name != name.lower() or name in SQL_KEYWORDS:
        raise ValueError(f"feature {name!r}: wanted lower_snake_case that is no SQL keyword")
