"""From rows of the log to Parquet: bodies are parsed by Arrow's JSON reader, all of a partition at once."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.core.contract import ENVELOPE, TYPES, Contract
from pipelines.shop.tables import schema
from pipelines.store.log import Stored

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(rows: Sequence[Stored], contract: Contract) -> tuple[pa.Table, int]:
    """The event table of the rows, and how many values were not of their field's type (those land as null)."""
    import pyarrow as pa

    wanted = schema(contract)
    if not rows:
        return wanted.empty_table(), 0
    fields = pa.schema([field for field in wanted if field.name not in ENVELOPE])
    try:
        body, broken = _parsed([row[6] for row in rows], fields), 0
    except pa.ArrowInvalid:
        body, broken = _one_by_one([row[6] for row in rows], contract, fields)
    offsets, _, ids, times, arrived, *_ = zip(*rows, strict=True)
    envelope = {"id": pa.array(ids, pa.string())} | {
        name: pa.array(values, pa.int64()) for name, values in (("ts", times), ("arrived", arrived), ("offset", offsets))
    }
    return pa.Table.from_arrays(
        [envelope[name] if name in envelope else body[name] for name in wanted.names], schema=wanted
    ), broken


def to_parquet(table: pa.Table) -> bytes:
    """The table as the bytes of a Parquet file whose pages carry checksums; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return file.getvalue()


def _parsed(bodies: list[bytes], fields: pa.Schema) -> pa.Table:
    """The bodies' fields, all at once. Raises ArrowInvalid when a value is not of its field's type."""
    import pyarrow as pa
    from pyarrow import json

    if not fields.names:
        return pa.table({})
    data = b"\n".join(bodies)
    block = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    table = json.read_json(
        io.BytesIO(data), block, json.ParseOptions(explicit_schema=fields, unexpected_field_behavior="ignore")
    )
    if table.num_rows != len(bodies):
        raise pa.ArrowInvalid(f"{len(bodies)} bodies gave {table.num_rows} rows")
    return table.cast(fields)


def _one_by_one(bodies: list[bytes], contract: Contract, fields: pa.Schema) -> tuple[pa.Table, int]:
    """The slow path, when a body holds what the contract does not allow: that value becomes null and is counted."""
    import pyarrow as pa
    from msgspec.json import decode

    rows: list[dict[str, Any]] = [decode(body) for body in bodies]
    columns, broken = {}, 0
    for field in contract.fields:
        seen = [row.get(field.name) for row in rows]
        kept = [value if _fits(value, field.type) else None for value in seen]
        broken += sum(a is not None and b is None for a, b in zip(seen, kept, strict=True))
        columns[field.name] = pa.array(kept, fields.field(field.name).type)
    return pa.table(columns, schema=fields), broken


def _fits(value: Any, kind: str) -> bool:
    wanted = TYPES[kind]
    if wanted is float:
        return type(value) in (int, float)
    if wanted is list:
        return type(value) is list and all(type(item) is str for item in value)
    if wanted is int:
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) is wanted
