"""The few words that SQL engines say differently; everything else of the generated text is the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.core.errors import ShelflifeError


@dataclass(frozen=True)
class Dialect:
    """`wide`: the widest exact integer. `kept`: how a shared subquery is worked out once. `ordinal`: a row's
    place in its table. `escape`: what stands before a backslash in a text."""

    name: str
    wide: str
    kept: str
    ordinal: str
    escape: str

    def literal(self, value: Any) -> str:
        """A constant of a filter. Raises ShelflifeError for what is no plain value."""
        if value is None:
            return "NULL"
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, int | float):
            return repr(value)
        if isinstance(value, str):
            return "'" + value.replace("\\", self.escape + "\\").replace("'", self.escape + "'" if self.escape else "''") + "'"
        raise ShelflifeError(
            f"wanted a number, a text or a truth value in a filter, got {type(value).__name__}; write where with plain values"
        )


DUCKDB = Dialect("duckdb", wide="HUGEINT", kept="AS MATERIALIZED", ordinal="rowid", escape="")
SPARK = Dialect("spark", wide="DECIMAL(38, 0)", kept="AS", ordinal="place", escape="\\")


def quote(name: str) -> str:
    """An identifier. Spark is told to read double quotes so too."""
    return '"' + name.replace('"', '""') + '"'
