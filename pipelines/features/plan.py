"""What the online store keeps for a feature set: per kind and key of event its newest rows, and tiles with what features need.

Whatever the aggregation, a tile holds its *parts* (core.aggregation). Numbers lie side by side in one array of doubles, the
start of the tile before them; first, last and bag are objects in a list beside it. Two windows with the same events, filter and
tile length share their tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Any, NamedTuple

from pipelines.core.aggregation import Part
from pipelines.core.clock import DAY
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, FeatureSet, Filter
from pipelines.features.tiles import FOREVER, Window, by_window, columns_read

FORMAT = 4

OBJECTS = ("first", "last", "bag")
"""Parts that are no number."""

WIDTH = {"q": 2}
"""Doubles that a part takes, where that is not one: a sum of squares is kept in two, so that it stays an exact integer."""

NEWEST, SINCE, ROWS, FROM, SLOTS = range(5)
"""The places in a key's state: its newest row's ts, from when on all its rows are at hand, those rows, for each series from when
on it has its tiles, and the first slot."""


Shape = tuple[Filter, int, bool]
"""What windows that share their tiles have in common: filter, grain, and whether they are EVER."""


class Cell(NamedTuple):
    """Where a part lies in a key's state: in a column of the numbers in a slot or, in column 0, among the objects there."""

    op: str
    slot: int
    column: int


@dataclass(frozen=True)
class Series:
    """The tiles of one length of the events that meet a filter. `slot` is the place of the numbers in a key's state; the
    objects follow, one list each. No window that ends now begins before the `reach` (microseconds); older tiles may go."""

    where: Filter
    grain: int
    ever: bool
    numbers: tuple[Part, ...]
    objects: tuple[Part, ...]
    slot: int
    reach: int

    @cached_property
    def columns(self) -> dict[Part, int]:
        """Where each number lies in a tile; the tile's start is column 0."""
        at, found = 1, {}
        for part in self.numbers:
            found[part] = at
            at += WIDTH.get(part.op, 1)
        return found

    @cached_property
    def width(self) -> int:
        """Doubles in a tile."""
        return 1 + sum(WIDTH.get(part.op, 1) for part in self.numbers)

    @cached_property
    def lists(self) -> dict[Part, int]:
        """The slot of each object."""
        return {part: self.slot + 1 + n for n, part in enumerate(self.objects)}

    def cell(self, part: Part) -> Cell:
        """Where the part lies."""
        if part in self.columns:
            return Cell(part.op, self.slot, self.columns[part])
        return Cell(part.op, self.lists[part], 0)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Where everything lies, numbers first."""
        return tuple(map(self.cell, (*self.numbers, *self.objects)))


@dataclass(frozen=True)
class Group:
    """The events of one kind that are counted by the same fields: what one packed value holds, for each of their values."""

    number: int
    of: str
    by: tuple[str, ...]
    series: tuple[Series, ...]

    @cached_property
    def slots(self) -> int:
        """The length of a key's state."""
        return SLOTS + sum(1 + len(series.objects) for series in self.series)

    @cached_property
    def head(self) -> Struct:
        """What a packed value begins with: newest, since, and for each series its from and how long its array is."""
        return Struct(f"<{2 + 2 * len(self.series)}d")

    @cached_property
    def arrays(self) -> tuple[int, ...]:
        """The slots that hold numbers, in order."""
        return tuple(series.slot for series in self.series)

    @cached_property
    def lists(self) -> tuple[int, ...]:
        """The slots that hold objects, in order."""
        return tuple(slot for slot in range(SLOTS, self.slots) if slot not in self.arrays)


@dataclass(frozen=True)
class Question:
    """The features that look through one window, and the series whose tiles it is made of."""

    window: Window
    features: tuple[Counted, ...]
    group: Group
    series: Series

    @cached_property
    def number(self) -> int:
        """The place of the series in its group."""
        return self.group.series.index(self.series)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Where what they accumulate lies, each part once."""
        return tuple(map(self.series.cell, self._parts))

    @cached_property
    def takes(self) -> tuple[tuple[int, ...], ...]:
        """For each feature, which of the cells it is made of."""
        return tuple(tuple(map(self._parts.index, feature.how.parts)) for feature in self.features)

    @cached_property
    def _parts(self) -> list[Part]:
        return list(dict.fromkeys(part for feature in self.features for part in feature.how.parts))


@dataclass(frozen=True)
class Plan:
    """Everything the store keeps for a feature set."""

    features: FeatureSet
    groups: tuple[Group, ...]
    questions: tuple[Question, ...]

    @cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """Per kind, what a row keeps of an event after its ts and id."""
        return columns_read(self.features.counted)

    @cached_property
    def digest(self) -> str:
        """Of the definitions that the store's state depends on."""
        return digest({"format": FORMAT, "counted": [c.to_dict() for c in self.features.counted]})

    def groups_of(self, kind: str) -> list[Group]:
        return [group for group in self.groups if group.of == kind]

    def places(self, group: Group) -> tuple[int, ...]:
        """Where the group's key lies in a row."""
        return tuple(2 + self.fields[group.of].index(name) for name in group.by)

    def reach(self, kind: str, keep: int) -> int:
        """How far back (microseconds) an ask may look at events of a kind; over EVER, how late a correction may come."""
        windows = [question.window for question in self.questions if question.window.of == kind]
        return max(w.lag + (keep if w.ever else w.length) for w in windows)


def plan(features: FeatureSet) -> Plan:
    """The store's shape for a feature set."""
    windows = by_window(features.counted)
    needed: dict[tuple[str, tuple[str, ...]], dict[Shape, list[Part]]] = {}
    reach: dict[tuple[Any, ...], int] = {}
    for window, counted in windows.items():
        parts = needed.setdefault((window.of, window.by), {}).setdefault(_shape(window), [])
        parts += [part for feature in counted for part in feature.how.parts]
        back = FOREVER if window.ever else window.lag + window.length + 2 * window.grain
        reach[window.of, window.by, _shape(window)] = max(back, reach.get((window.of, window.by, _shape(window)), 0))
    groups = {key: _group(n, *key, shapes, reach) for n, (key, shapes) in enumerate(needed.items())}
    questions = []
    for window, counted in windows.items():
        group = groups[window.of, window.by]
        series = next(s for s in group.series if (s.where, s.grain, s.ever) == _shape(window))
        questions.append(Question(window, tuple(counted), group, series))
    return Plan(features, tuple(groups.values()), tuple(questions))


def store_name(features: FeatureSet) -> str:
    """What the online store of these definitions is called: other definitions have another."""
    return plan(features).digest[:16]


def refusal(feature: Counted) -> str | None:
    """Why the online store cannot keep this feature, in words; None, for it keeps all that the language says."""
    looks_ahead = [part.op for part in feature.how.parts if part.op == "oldest"]
    return "the online store looks back, not ahead" if looks_ahead else None


def _group(
    number: int, of: str, by: tuple[str, ...], shapes: dict[Shape, list[Part]], reach: dict[tuple[Any, ...], int]
) -> Group:
    made, slot = [], SLOTS
    for shape, parts in shapes.items():
        once = dict.fromkeys(parts)
        numbers = tuple(part for part in once if part.op not in OBJECTS)
        objects = tuple(part for part in once if part.op in OBJECTS)
        series = Series(*shape, numbers, objects, slot, reach[of, by, shape])
        made.append(series)
        slot += 1 + len(series.objects)
    return Group(number, of, by, tuple(made))


def _shape(window: Window) -> Shape:
    return (window.where, window.grain, window.ever)


def plain(value: Any) -> Any:
    """A field's value as rows and keys hold it. Raises ShelflifeError for a list: no aggregation reads one."""
    if isinstance(value, list | tuple | dict):
        raise ShelflifeError(
            f"wanted one value in a field that features read, got a {type(value).__name__}; count another field"
        )
    return int(value) if isinstance(value, bool) else value


def plain_key(values: Iterable[Any]) -> Any:
    """The values of a key's fields as one key; None where one of them is null: that has no past."""
    key = tuple(map(plain, values))
    if None in key:
        return None
    return key[0] if len(key) == 1 else key


def align(ts: int) -> int:
    """The midnight (UTC) at or before ts; every grain divides a day, so no tile straddles it."""
    return ts - ts % DAY
