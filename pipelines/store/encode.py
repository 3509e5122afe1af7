"""From event tables to the rows of the log: canonical JSON of each body and its digest, fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipelines.core.contract import ENVELOPE
from pipelines.core.digest import canonical
from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    import pyarrow as pa

Row = tuple[str, str, int, int, bytes, bytes]
"""kind, id, ts, arrived, digest, body: the body as canonical JSON without nulls."""


def merged(tables: Iterable[tuple[str, pa.Table]]) -> list[Row]:
    """The rows of all tables by rising `arrived`; at the same moment a table given earlier comes first."""
    rows = [row for kind, table in tables for row in _rows(kind, table)]
    arrived = [row[3] for row in rows]
    if any(a > b for a, b in pairwise(arrived)):
        rows.sort(key=lambda row: row[3])
    return rows


def _rows(kind: str, table: pa.Table) -> list[Row]:
    ids, times, arrived = (_whole(kind, table, name) for name in ("id", "ts", "arrived"))
    before = b'"kind":' + canonical(kind) + b',"ts":'
    bodies = _bodies(kind, table)
    return [
        (kind, id_, ts, at, sha256(b'{"body":%b,"id":%b,%b%d}' % (body, _quoted(id_), before, ts)).digest(), body)
        for id_, ts, at, body in zip(ids, times, arrived, bodies, strict=True)
    ]


def _quoted(text: str) -> bytes:
    """The text as canonical JSON; an id of plain characters needs no escape."""
    return (
        b'"%b"' % text.encode()
        if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text
        else canonical(text)
    )


def _whole(kind: str, table: pa.Table, name: str) -> list[Any]:
    """The envelope's column, in which nothing may be null."""
    import pyarrow as pa

    wanted = pa.string() if name == "id" else pa.int64()
    if name not in table.column_names or table[name].null_count:
        raise ShelflifeError(f"{kind}: wanted a column {name} without nulls, got {_seen(table, name)}")
    column = table[name] if table[name].type == wanted else _cast(kind, table, name, wanted)
    values: list[Any] = column.to_pylist()
    return values


def _cast(kind: str, table: pa.Table, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if (pa.types.is_integer(wanted)) != pa.types.is_integer(table[name].type):
        raise ShelflifeError(f"{kind}: wanted {name} as {wanted}, got {_seen(table, name)}")
    return table[name].cast(wanted)


def _seen(table: pa.Table, name: str) -> str:
    if name not in table.column_names:
        return "none"
    return f"{table[name].type} with {table[name].null_count} nulls"


def _bodies(kind: str, table: pa.Table) -> Iterable[bytes]:
    """The canonical JSON of each row's fields that are not null: sorted names, no spaces."""
    import msgspec

    names = sorted(set(table.column_names) - set(ENVELOPE))
    columns = [_values(kind, table, name) for name in names]
    if not columns:
        return [b"{}"] * table.num_rows
    fields: list[Any] = [(f"f{i}", Any, msgspec.field(default=None, name=name)) for i, name in enumerate(names)]
    shape: Callable[..., Any] = msgspec.defstruct("Body", fields, omit_defaults=True, gc=False)
    encode = msgspec.json.Encoder().encode
    quick = [encode(shape(*values)) for values in zip(*columns, strict=True)]
    for row in _spelled_otherwise(table, names):
        quick[row] = canonical(
            {name: values[row] for name, values in zip(names, columns, strict=True) if values[row] is not None}
        )
    return quick


def _values(kind: str, table: pa.Table, name: str) -> list[Any]:
    """A column as Python values; NaN counts as null, an infinity is refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column, types = table[name], pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_floating(column.type):
        if pc.any(pc.is_inf(column)).as_py():
            raise ShelflifeError(f"{kind}.{name}: wanted finite numbers, got an infinity; put such rows into quarantine")
        column = pc.if_else(pc.is_nan(column), None, column).cast(pa.float64())
    kinds = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    strings = types.is_list(column.type) and (types.is_string(column.type.value_type) or types.is_null(column.type.value_type))
    if not strings and not any(of(column.type) for of in kinds):
        raise ShelflifeError(f"{kind}.{name}: wanted text, integers, numbers, booleans or lists of text, got {column.type}")
    values: list[Any] = column.to_pylist()
    return values


def _spelled_otherwise(table: pa.Table, names: Iterable[str]) -> set[int]:
    """Rows with a float that the standard library writes with an exponent: there msgspec's spelling differs from core's."""
    import numpy as np
    import pyarrow as pa

    rows: set[int] = set()
    for name in names:
        if pa.types.is_floating(table[name].type):
            size = np.abs(table[name].to_numpy().astype(np.float64))
            rows |= set(np.flatnonzero((size > 0) & ((size < 1e-3) | (size >= 1e15))).tolist())
    return rows
