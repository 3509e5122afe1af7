"""Where a window begins and ends: the arithmetic that every engine shares, in integer microseconds.

The window of a moment `t` is `[floor(t - delay - over, grain), t - delay)`: the near edge is exact, the far edge lies on a tile.
Seen from an event it is an interval of moments, `[enter, leave)`: from `ts + delay + 1` (or from its arrival, if that is later)
until the far edge has passed its tile. So a windowed count is a sum of steps up at `enter` and down at `leave`, however late
an event arrives; that is what the batch engine runs, and what the naive oracle in the tests checks from the other side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from pipelines.core.aggregation import AGGREGATIONS
from pipelines.core.clock import EVER, micros
from pipelines.core.feature import Counted, Filter, tile

FOREVER = 2**62
"""Later than any moment; its negative is the far edge of EVER."""

EMPTY = {how: way.empty for how, way in AGGREGATIONS.items() if way.empty is not None}
"""What an empty window (or a null key) gives, where that is not null."""


@dataclass(frozen=True)
class Window:
    """Which events: what counted features have in common that can be looked up together."""

    of: str
    by: tuple[str, ...]
    key: tuple[str, ...]
    where: Filter
    over: timedelta
    delay: timedelta

    @staticmethod
    def of_feature(feature: Counted) -> Window:
        """The window of a feature."""
        return Window(feature.of, feature.keys, feature.asked, feature.filter, feature.over, feature.delay)

    @cached_property
    def grain(self) -> int:
        """The tile's length."""
        return micros(tile(self.over))

    @property
    def ever(self) -> bool:
        return self.over == EVER

    @cached_property
    def lag(self) -> int:
        """How far before the ask the window ends."""
        return micros(self.delay)

    @cached_property
    def length(self) -> int:
        """The window's length."""
        return micros(self.over)

    def edges(self, ts: int) -> tuple[int, int]:
        """The far edge (inclusive) and the near edge (exclusive) at the moment ts."""
        end = ts - self.lag
        return (-FOREVER if self.ever else floor(end - self.length, self.grain)), end


def floor(ts: int, grain: int) -> int:
    """The last multiple of grain at or before ts."""
    return ts - ts % grain


def by_window(features: Iterable[Counted]) -> dict[Window, list[Counted]]:
    """The features by the window they look through, in order of first appearance."""
    windows: dict[Window, list[Counted]] = {}
    for feature in features:
        windows.setdefault(Window.of_feature(feature), []).append(feature)
    return windows


def columns_read(features: Iterable[Counted]) -> dict[str, tuple[str, ...]]:
    """Per kind of event, the fields that the features read: keys, filters and values, sorted."""
    read: dict[str, set[str]] = {}
    for feature in features:
        read.setdefault(feature.of, set()).update(feature.fields)
    return {kind: tuple(sorted(fields)) for kind, fields in read.items()}
