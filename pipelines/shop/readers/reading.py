"""What a reader gives: event tables, the rows that break a contract, and the split that a set comes with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.rows import Broken, split

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Reading:
    """Event tables by kind, each by (arrived, ts, id); iterating gives (kind, table).

    `broken` holds the rows that break their contract, for the quarantine. `splits` says for data without times which part
    each unit belongs to (name of the part by id of the unit: a session, a review); it is empty where time splits the data.
    """

    tables: Mapping[str, pa.Table]
    broken: tuple[Broken, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, pa.Table]]:
        return iter(self.tables.items())


def checked(tables: Mapping[str, pa.Table], splits: Mapping[str, str] | None = None) -> Reading:
    """A reading of these tables, the rows that break a contract taken out of them."""
    from pipelines.shop.tables import in_arrived_order

    good, broken = {}, []
    for kind, table in tables.items():
        kept, bad = split(CONTRACTS[kind], table)
        good[kind] = in_arrived_order(kept).combine_chunks()
        broken += bad
    return Reading(good, tuple(broken), splits or {})
