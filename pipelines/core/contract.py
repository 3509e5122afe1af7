"""What a well-formed event is: one contract checks a row in a stream and writes the schema half of the batch suite."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

from pipelines.core.clock import iso, micros, minutes
from pipelines.core.event import Event

TYPES: dict[str, Any] = {
    "string": str,
    "text": str,
    "integer": int,
    "cents": int,
    "number": float,
    "boolean": bool,
    "strings": list,
}
"""A field's type. `string` is an identifier or a category, `text` is prose, `cents` is money in integer minor units,
`strings` a list of identifiers."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
"""What an event id may be."""

FUTURE = minutes(5)
"""How far ahead of our clock an event's time may lie before it is refused: clocks differ, the future has not happened."""

SQL_KEYWORDS = frozenset(
    """all analyse analyze and any array as asc asymmetric both by case cast check collate column constraint create default
    deferrable desc describe distinct do else end except false fetch for foreign from group having in initially intersect
    into lambda lateral leading limit not null offset on only or order placing primary qualify references returning select
    show some summarize symmetric table then to trailing true union unique using variadic when where window with values
    user timestamp""".split()
)
ENVELOPE = ("id", "ts", "arrived", "offset")


@dataclass(frozen=True)
class Field:
    """One field of an event's body.

    `minimum` and `maximum` are inclusive, in `unit`; for `string`, `text` and `strings` they bound the length.
    `key` marks an entity that features may be counted by (customer, item, session).
    """

    name: str
    type: str
    doc: str = ""
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    required: bool = True
    key: bool = False

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"field {self.name}: wanted a type of {', '.join(TYPES)}, got {self.type!r}")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name in SQL_KEYWORDS or self.name in ENVELOPE:
            raise ValueError(f"field {self.name!r}: wanted lower_snake_case that is no SQL keyword and none of {ENVELOPE}")

    def problem(self, value: Any) -> str | None:
        """Why the value breaks this field, in one sentence, or None."""
        if value is None:
            return f"{self.name}: wanted {self.wanted()}, got nothing" if self.required else None
        kind = TYPES[self.type]
        if kind is float and type(value) is int:
            value = float(value) if abs(value) < 2**1023 else math.inf  # an integer without end is no number of ours
        if type(value) is not kind:
            return f"{self.name}: wanted {self.wanted()}, got {type(value).__name__} {_short(value)}"
        if kind is float and not math.isfinite(value):
            return f"{self.name}: wanted {self.wanted()}, got {value}"
        if kind is list and not all(type(v) is str for v in value):
            return f"{self.name}: wanted {self.wanted()}, got {_short(value)}"
        if kind is int and abs(value) >= 2**53:
            return f"{self.name}: wanted an integer below 2^53, got {_short(value)}"
        size = len(value) if kind in (str, list) else value
        if (self.minimum is not None and size < self.minimum) or (self.maximum is not None and size > self.maximum):
            return f"{self.name}: wanted {self.wanted()}, got {_short(value)}"
        if self.choices and value not in self.choices:
            return f"{self.name}: wanted {self.wanted()}, got {_short(value)}"
        return None

    def wanted(self) -> str:
        """The field's rule in words."""
        parts = [self.type]
        if self.minimum is not None or self.maximum is not None:
            low = "" if self.minimum is None else f"{self.minimum:g}"
            high = "" if self.maximum is None else f"{self.maximum:g}"
            parts.append(f"{'length ' if TYPES[self.type] in (str, list) else ''}{low}..{high}")
        if self.unit:
            parts.append(f"in {self.unit}")
        if self.choices:
            parts.append(f"of {', '.join(self.choices)}")
        return " ".join(parts)


@dataclass(frozen=True)
class Contract:
    """What a well-formed event of one kind is. `freshness`: how old the newest event may be before the feed is stale."""

    kind: str
    doc: str
    fields: tuple[Field, ...]
    freshness: timedelta

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"contract {self.kind}: a field is declared twice in {names}")

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.key)

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError, naming the fields there are."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.kind} has no field {name!r}; it has {', '.join(f.name for f in self.fields)}")

    def problems(self, event: Event, now: int) -> tuple[str, ...]:
        """Everything that is wrong with the event, a sentence each; empty when it is well formed.

        `now` is our clock (microseconds UTC): an event from further ahead than five minutes is refused.
        """
        found = []
        if event.kind != self.kind:
            found.append(f"kind: wanted {self.kind}, got {_short(event.kind)}")
        if type(event.id) is not str or not ID.fullmatch(event.id):
            found.append(f"id: wanted 1..128 of letters, digits and ._:@-, got {_short(event.id)}")
        if type(event.ts) is not int or event.ts < 0:
            found.append(f"ts: wanted microseconds since 1970 in UTC, got {_short(event.ts)}")
        elif event.ts > now + micros(FUTURE):
            found.append(f"ts: wanted a time that has happened, got {iso(event.ts)} when it is {iso(now)}")
        declared = {field.name for field in self.fields}
        found += [f"{_short(name)}: not a field of {self.kind}" for name in event.body if name not in declared]
        found += [p for field in self.fields if (p := field.problem(event.body.get(field.name)))]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The contract as plain JSON data, for the bundle."""
        kept = [{k: v for k, v in asdict(f).items() if v not in (None, "")} for f in self.fields]
        return {"kind": self.kind, "doc": self.doc, "freshness_us": micros(self.freshness), "fields": kept}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Contract:
        """The contract that `to_dict` wrote."""
        known = {f.name for f in fields(Field)}
        rows: list[dict[str, Any]] = [
            {k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k in known} for row in data["fields"]
        ]
        return Contract(
            data["kind"], data["doc"], tuple(Field(**row) for row in rows), timedelta(microseconds=data["freshness_us"])
        )


def _short(value: Any) -> str:
    """The value as quoted ASCII, cut at 60 characters: what came from outside is never echoed whole."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
