"""One number or category known at a moment: given by the asking event, counted over the past, or derived from others.

A definition is data. It names itself, says itself as a sentence, has a digest that enters the release, and is run by
engines that must agree to the last cell (features/batch.py, features/stream.py and the naive oracle in the tests).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from pipelines.core.aggregation import (
    TEXTS,
    Aggregation,
    Count,
    Distinct,
    First,
    Last,
    Max,
    Mean,
    Min,
    Rate,
    Ratio,
    Since,
    Std,
    Sum,
    Top,
    Until,
)
from pipelines.core.clock import EVER, days, hours, micros, minutes, spell, words
from pipelines.core.contract import SQL_KEYWORDS
from pipelines.core.digest import digest
from pipelines.core.expression import Expression, trace
from pipelines.core.filter import EVERY, Filter, equal, field

__all__ = [
    "EVERY", "TEXTS", "TILES", "Aggregation", "Count", "Counted", "Derived", "Distinct", "FeatureSet", "Filter", "First", "Label",
    "Last", "Max", "Mean", "Min", "Rate", "Ratio", "Since", "Std", "Sum", "Top", "Until", "features", "field", "tile",
]  # fmt: skip

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


COUNT = Count()


@dataclass(frozen=True)
class Counted:
    """An aggregation over the past of an entity.

    At the moment `ts`, and with `end = ts - delay`: over the events of kind `of` that carry the asking event's own values of
    `by` (one field or several), whose time lies in `[floor(end - over, tile(over)), end)` and that were visible by then (arrived
    at or before ts). `where` keeps the events that meet a condition: a Filter, or pairs of fields and the values they equal.
    `key` names the row's columns that are looked up, where they are not called `by` (a ranking looks up the `candidate` among
    the events' `item`). A key with a null in it has no past: an empty window. Without a name it derives one.
    """

    name: str = ""
    of: str = ""
    by: str | tuple[str, ...] = ()
    how: Aggregation = COUNT
    over: timedelta = EVER
    delay: timedelta = timedelta(0)
    where: Filter | tuple[tuple[str, Any], ...] = EVERY
    key: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.where, Filter):
            object.__setattr__(self, "where", equal(self.where))
        if not self.of or not self.keys:
            raise ValueError(
                f"feature {self.name or self.how}: wanted the kind of event (of) and the field (by) that it is counted by"
            )
        if not self.name:
            object.__setattr__(self, "name", self.derived_name())
        _check_name(self.name)
        if problem := self.how.problem() or ("until looks ahead; a feature asks Since" if "until" in self.how.looks else None):
            raise ValueError(f"{self.name}: {problem}")
        if len(set(self.keys)) != len(self.keys) or len(self.asked) != len(self.keys):
            raise ValueError(
                f"{self.name}: wanted different fields in by, and as many in key, got {self.keys} and {self.asked}"
            )
        if self.over <= timedelta(0) or self.delay < timedelta(0):
            raise ValueError(f"{self.name}: wanted a window longer than zero and a delay of zero or more")
        if self.over != EVER and self.over < tile(self.over):
            raise ValueError(
                f"{self.name}: a window of {spell(self.over)} is smaller than its tile of {spell(tile(self.over))}"
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields of the counted events that say whose they are."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    @property
    def asked(self) -> tuple[str, ...]:
        """The columns of the asking row that are looked up, in the order of `keys`."""
        key = self.by if self.key is None else self.key
        return (key,) if isinstance(key, str) else tuple(key)

    @property
    def filter(self) -> Filter:
        """`where`, as a Filter."""
        return self.where if isinstance(self.where, Filter) else equal(self.where)

    @property
    def fields(self) -> frozenset[str]:
        """Every field of the counted events that it reads."""
        return frozenset(self.keys) | self.filter.fields | self.how.fields

    def derived_name(self) -> str:
        """What a definition without a name is called: whose, what, over which window, how long ago."""
        what = f"{self.of}s" if self.how.how == "count" else f"{self.of} {self.how.name}"
        only = f" {self.filter}" if self.filter else ""
        ago = f" {spell(self.delay)} ago" if self.delay else ""
        said = f"{' '.join(self.keys)} {what}{only} {spell(self.over)}{ago}"
        return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")

    def sentence(self) -> str:
        """The definition as a shopkeeper reads it."""
        past = "ever" if self.over == EVER else f"in the last {words(self.over).removeprefix('1 ')}"
        late = f", as known {words(self.delay)} earlier" if self.delay else ""
        only = f" with {self.filter}" if self.filter else ""
        return f"{_said(self.how, self.of)}{only} of the same {' and '.join(self.keys)} {past}{late}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "of": self.of, "by": _plain(self.by), "how": self.how.to_list(),
            "over_us": None if self.over == EVER else micros(self.over), "delay_us": micros(self.delay),
            "where": self.filter.to_list(), "key": _plain(self.key),
        }  # fmt: skip

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Counted:
        over = EVER if data["over_us"] is None else timedelta(microseconds=data["over_us"])
        by, key = (tuple(x) if isinstance(x, list) else x for x in (data["by"], data["key"]))
        how, where = Aggregation.from_list(data["how"]), Filter.from_list(data["where"])
        return Counted(data["name"], data["of"], by, how, over, timedelta(microseconds=data["delay_us"]), where, key)


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
        """number, category or text. Counted and derived features are numbers, but for the first, last and top of a category."""
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

    @staticmethod
    def from_json(data: bytes) -> FeatureSet:
        """The definitions that a bundle holds as features.json. Raises ValueError or KeyError for anything else."""
        return FeatureSet.from_dict(json.loads(data))


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

    `where` keeps the events that meet a condition. `at_least` turns the value into 1 or 0. Where the aggregation of an empty
    window is null, an ask without such an event has no label. A label is mature `settles` after its window closed: only then may it train or judge.
    """

    of: str
    by: str | tuple[str, ...]
    how: Aggregation
    within: timedelta
    ahead: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)
    at_least: float | None = None
    where: Filter | tuple[tuple[str, Any], ...] = EVERY

    def __post_init__(self) -> None:
        if not isinstance(self.where, Filter):
            object.__setattr__(self, "where", equal(self.where))
        if problem := self.how.problem() or ("since looks back; a label asks Until" if "since" in self.how.looks else None):
            raise ValueError(f"the label of {self.of}: {problem}")
        if self.within <= timedelta(0) or self.within == EVER or min(self.ahead, self.settles) < timedelta(0):
            raise ValueError(f"the label of {self.of}: wanted a window longer than zero that ends, and no delay below zero")

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that an ask and its label's events have in common."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    @property
    def filter(self) -> Filter:
        """`where`, as a Filter."""
        return self.where if isinstance(self.where, Filter) else equal(self.where)

    @property
    def fields(self) -> frozenset[str]:
        """Every field of its events that it reads."""
        return frozenset(self.keys) | self.filter.fields | self.how.fields

    @property
    def matures(self) -> timedelta:
        """From the ask to the moment its label is final."""
        return self.ahead + self.within + self.settles

    def sentence(self) -> str:
        test = "" if self.at_least is None else f", at least {self.at_least:g}"
        later = f" starting {words(self.ahead)} later" if self.ahead else ""
        only = f" with {self.filter}" if self.filter else ""
        ahead = f"in the next {words(self.within).removeprefix('1 ')}{later}"
        return f"{_said(self.how, self.of)}{only} of the same {' and '.join(self.keys)} {ahead}{test}"


def _check_name(name: str) -> None:
    if not name.isidentifier() or name != name.lower() or name in SQL_KEYWORDS:
        raise ValueError(f"feature {name!r}: wanted lower_snake_case that is no SQL keyword")


def _said(how: Aggregation, of: str) -> str:
    return f"number of {of} events" if how.how == "count" else f"{how} over the {of} events"


def _plain(names: str | tuple[str, ...] | None) -> Any:
    return list(names) if isinstance(names, tuple) else names
