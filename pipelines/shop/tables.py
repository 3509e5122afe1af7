"""The event table: how events of one kind look as Arrow columns, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.contract import Contract

if TYPE_CHECKING:
    import pyarrow as pa


def schema(contract: Contract) -> pa.Schema:
    """The columns of an event table: id, ts, arrived, offset, then the contract's fields in its order."""
    import pyarrow as pa

    types = {
        "string": pa.string(), "text": pa.string(), "integer": pa.int64(), "cents": pa.int64(),
        "number": pa.float64(), "boolean": pa.bool_(), "strings": pa.list_(pa.string()),
    }  # fmt: skip
    envelope = [("id", pa.string()), ("ts", pa.int64()), ("arrived", pa.int64()), ("offset", pa.int64())]
    return pa.schema(envelope + [(field.name, types[field.type]) for field in contract.fields])


def table(contract: Contract, ids: Any, ts: Any, arrived: Any, columns: Mapping[str, Any]) -> pa.Table:
    """An event table from its columns; a field that is not among `columns` is null, and so is `offset`.

    Times are microseconds UTC. Raises pyarrow.ArrowInvalid where a column is not of its field's type.
    """
    import pyarrow as pa

    wanted = schema(contract)
    known = {"id": ids, "ts": ts, "arrived": arrived, **columns}
    rows = len(ids)
    arrays = [_array(known.get(field.name), field.type, rows) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def empty(contract: Contract) -> pa.Table:
    """An event table without rows."""
    return schema(contract).empty_table()


def in_arrived_order(events: pa.Table) -> pa.Table:
    """The events sorted by (arrived, ts, id): the order in which a log sees them."""
    return events.sort_by([("arrived", "ascending"), ("ts", "ascending"), ("id", "ascending")])


def _array(values: Any, kind: pa.DataType, rows: int) -> Any:
    import pyarrow as pa

    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, type=kind)
