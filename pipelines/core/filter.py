"""Which events count: a condition on an event's own fields, as data that every engine reads and that says itself.

A condition is true or false, never unknown: a comparison with a missing value is false, so `~` makes it true. A missing value
is itself a value that one can ask for: `field("device") == None`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Plain = str | int | float | bool | None

COMPARED = {"lt": "under", "le": "at most", "gt": "over", "ge": "at least"}
"""Comparisons with a number, and how a shopkeeper says them."""

JOINED = ("and", "or", "not")
FAMILIES = {
    "string": "text",
    "text": "text",
    "integer": "number",
    "cents": "number",
    "number": "number",
    "boolean": "truth value",
}
"""What a constant must be to be compared with a field of a type; a list is compared with nothing."""


@dataclass(frozen=True)
class Filter:
    """A condition: `is` or `in` over (field, values…), a comparison over (field, number), `and`, `or`, `not` over conditions.

    Raises ValueError for an operator or an argument that is not in the language.
    """

    op: str
    args: tuple[Any, ...]

    def __post_init__(self) -> None:
        if self.op in JOINED:
            sound = all(isinstance(arg, Filter) for arg in self.args) and (self.op != "not" or len(self.args) == 1)
        else:
            sound = self.op in ("is", "in", *COMPARED) and len(self.args) >= 2 and (self.op == "in" or len(self.args) == 2)
            sound = sound and all(isinstance(arg, Plain) for arg in self.args) and isinstance(self.args[0], str)
        if not sound:
            raise ValueError(f"wanted a filter of plain values such as field('country') == 'DE', got {self.op} {self.args!r}")

    def __and__(self, other: Filter) -> Filter:
        return Filter("and", (*_parts("and", self), *_parts("and", other)))

    def __or__(self, other: Filter) -> Filter:
        return Filter("or", (self, other))

    def __invert__(self) -> Filter:
        return Filter("not", (self,))

    def __bool__(self) -> bool:
        """Whether it leaves anything out at all; only the empty `and` does not."""
        return self != EVERY

    @property
    def fields(self) -> frozenset[str]:
        """The fields it reads."""
        if self.op in JOINED:
            return frozenset().union(*(arg.fields for arg in self.args))
        return frozenset({self.args[0]})

    def tests(self) -> Iterator[Filter]:
        """The comparisons it is made of."""
        if self.op not in JOINED:
            yield self
        for arg in self.args if self.op in JOINED else ():
            yield from arg.tests()

    def test(self) -> Callable[[Mapping[str, Any]], bool]:
        """The condition as a function of an event's body, for engines that look at one event at a time."""
        if self.op in JOINED:
            tests = [arg.test() for arg in self.args]
            return {
                "and": lambda body: all(test(body) for test in tests),
                "or": lambda body: any(test(body) for test in tests),
                "not": lambda body: not tests[0](body),
            }[self.op]
        name, *values = self.args
        if self.op in ("is", "in"):
            return lambda body: body.get(name) in values
        compare, limit = _COMPARE[self.op], values[0]
        return lambda body: (value := body.get(name)) is not None and bool(compare(value, limit))

    def problem(self, types: Mapping[str, str]) -> str | None:
        """Why it cannot be asked of events with fields of these contract types, in words; or None."""
        for test in self.tests():
            name, *values = test.args
            if name not in types:
                return f"no field {name}; there are {', '.join(sorted(types))}"
            family = FAMILIES.get(types[name])
            if family is None or (test.op in COMPARED and family != "number"):
                return f"{name} is a {types[name]}: it can {'not be filtered by' if family is None else 'be equal, not over or under'}"
            if odd := [value for value in values if value is not None and _family(value) != family]:
                return f"{name} is a {types[name]}, and is compared with {odd[0]!r}: wanted a {family}"
        return None

    def to_list(self) -> list[Any]:
        """The condition as JSON; a conjunction of equalities as its pairs of field and value."""
        if self.op == "and" and all(arg.op == "is" for arg in self.args):
            return [list(arg.args) for arg in self.args]
        return [self.op, *(arg.to_list() if isinstance(arg, Filter) else arg for arg in self.args)]

    @staticmethod
    def from_list(data: list[Any]) -> Filter:
        """The condition that `to_list` wrote."""
        if not data or isinstance(data[0], list | tuple):
            return equal(tuple((name, value) for name, value in data))
        op, *args = data
        return Filter(op, tuple(map(Filter.from_list, args)) if op in JOINED else tuple(args))

    def __str__(self) -> str:
        if self.op == "not":
            return f"not ({self.args[0]})"
        if self.op in JOINED:
            return f" {self.op} ".join(f"({arg})" if arg.op in JOINED else str(arg) for arg in self.args)
        name, *values = self.args
        if self.op in COMPARED:
            return f"{name} {COMPARED[self.op]} {values[0]}"
        said = ["missing" if value is None else str(value) for value in values]
        return f"{name} {' or '.join(said)}"


EVERY = Filter("and", ())
"""The condition that every event meets."""


class field:  # noqa: N801  reads as a word of the language: where=field("country") == "DE"
    """A field of the events that are counted, to be compared: `field("amount_cents") > 1000`."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return Filter("is", (self.name, value))

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return ~Filter("is", (self.name, value))

    def __lt__(self, number: float) -> Filter:
        return Filter("lt", (self.name, number))

    def __le__(self, number: float) -> Filter:
        return Filter("le", (self.name, number))

    def __gt__(self, number: float) -> Filter:
        return Filter("gt", (self.name, number))

    def __ge__(self, number: float) -> Filter:
        return Filter("ge", (self.name, number))

    def among(self, *values: Plain) -> Filter:
        """One of these values."""
        return Filter("in", (self.name, *values))


def equal(pairs: tuple[tuple[str, Plain], ...]) -> Filter:
    """Fields equal to these values: the short way to write a filter, `where=(("country", "DE"),)`."""
    return Filter("and", tuple(Filter("is", pair) for pair in pairs))


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b
}  # fmt: skip


def _parts(op: str, filter_: Filter) -> tuple[Filter, ...]:
    return filter_.args if filter_.op == op else (filter_,)


def _family(value: Plain) -> str:
    if isinstance(value, bool):
        return "truth value"
    return "text" if isinstance(value, str) else "number"
