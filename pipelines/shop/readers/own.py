"""A shop's own rows as events: columns are turned into what the contract asks for, or it is said which is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.core.clock import instant
from pipelines.core.contract import Contract, Field
from pipelines.core.errors import ShelflifeError
from pipelines.shop.readers.reading import Reading
from pipelines.shop.rows import FAR_FUTURE, Broken, split
from pipelines.shop.tables import in_arrived_order, schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def events(
    source: str, contract: Contract, rows: pa.Table, *, names: Mapping[str, str] | None = None, now: int = FAR_FUTURE
) -> Reading:
    """The rows of one kind as events. `names` says what a column is called there, where it is called otherwise.

    `id` and `ts` must be there; `arrived` is `ts` where it is missing. Times are ISO 8601 with a zone, zoned timestamps, or
    integer microseconds UTC; lists are lists, or texts with a space between. A row that does not fit is given apart in
    `broken`. Raises ShelflifeError for an empty table, missing or unknown columns, times without a zone, and ids that stand
    for two different events.
    """
    import numpy as np
    import pyarrow as pa

    rows = _named(source, contract, rows, names or {})
    if not rows.num_rows:
        raise ShelflifeError(f"{source}: wanted {contract.kind} events, got an empty table; check the export")
    columns, bad = _columns(source, contract, rows)
    kept = np.ones(rows.num_rows, bool)
    kept[list(bad)] = False
    good, more = split(contract, columns.filter(pa.array(kept)), now=now)
    raws = rows.filter(pa.array(~kept)).to_pylist()
    broken = [Broken(contract.kind, raw, tuple(problems)) for raw, problems in zip(raws, bad.values(), strict=True)]
    return Reading({contract.kind: _once(source, in_arrived_order(good).combine_chunks())}, (*broken, *more))


def _named(source: str, contract: Contract, rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """The contract's columns under their own names."""
    fields = {field.name: field for field in contract.fields}
    known = ["id", "ts", "arrived", *fields]
    if unknown := sorted(set(names) - set(known)):
        raise ShelflifeError(f"{source}: {contract.kind} has no field {', '.join(unknown)}; it has {', '.join(known)}")
    theirs = {name: names.get(name, name) for name in known}
    needed = {"id", "ts", *(name for name, field in fields.items() if field.required)}
    missing = [theirs[name] for name in known if theirs[name] not in rows.column_names and (name in needed or name in names)]
    if missing:
        raise ShelflifeError(
            f"{source}: wanted the column {', '.join(missing)} for {contract.kind}, got {_listed(rows.column_names)}"
        )
    extra = sorted(set(rows.column_names) - set(theirs.values()))
    if extra and not names:
        raise ShelflifeError(
            f"{source}: {contract.kind} has no field {_listed(extra)}; drop the column, or name the columns to take"
        )
    present = [name for name in known if theirs[name] in rows.column_names]
    return rows.select([theirs[name] for name in present]).rename_columns(present)


def _columns(source: str, contract: Contract, rows: pa.Table) -> tuple[pa.Table, dict[int, list[str]]]:
    """An event table, and for each row that could not be turned into it what is wrong."""
    import pyarrow as pa

    bad: dict[int, list[str]] = {}
    wanted = schema(contract)
    arrays = {"ts": _times(source, "ts", rows["ts"], bad)}
    arrays["arrived"] = _times(source, "arrived", rows["arrived"], bad) if "arrived" in rows.column_names else arrays["ts"]
    for field in contract.fields:
        if field.name in rows.column_names:
            arrays[field.name] = _typed(source, field, rows[field.name], wanted.field(field.name).type, bad)
    arrays["id"] = _typed(source, Field("id_", "string"), rows["id"], pa.string(), bad)
    whole = [arrays.get(name, pa.nulls(rows.num_rows, wanted.field(name).type)) for name in wanted.names]
    return pa.Table.from_arrays(whole, schema=wanted), dict(sorted(bad.items()))


def _times(source: str, name: str, values: pa.ChunkedArray, bad: dict[int, list[str]]) -> pa.Array:
    """Instants in microseconds UTC; a row whose time is missing or cannot be read is bad."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise ShelflifeError(f"{source}: {name} has times without a zone; store them with one, such as UTC")
        values = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(kind):
        read = [_time(source, name, row, value, bad) for row, value in enumerate(values.to_pylist())]
        values = pa.chunked_array([pa.array(read, pa.int64())])
    times = values.cast(pa.int64()).combine_chunks()
    for row in _where(times.is_null()):
        if not bad.get(row):
            bad[row] = [f"{name}: wanted a time, got nothing"]
    return times


def _time(source: str, name: str, row: int, value: Any, bad: dict[int, list[str]]) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    try:
        return instant(value) if isinstance(value, str | datetime) else _refuse(value)
    except ValueError as error:
        if "zone" in str(error):
            raise ShelflifeError(f"{source}: row {row + 1}: {name}: {error}") from None
        bad.setdefault(row, []).append(f"{name}: {error}")
        return None


def _refuse(value: Any) -> int:
    raise ValueError(f"wanted a time, got {type(value).__name__}")


def _typed(source: str, field: Field, values: pa.ChunkedArray, kind: pa.DataType, bad: dict[int, list[str]]) -> pa.Array:
    """The column in the field's type; texts are read, and a row whose text cannot be read is bad."""
    import pyarrow as pa

    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if values.type == kind or pa.types.is_null(values.type):
        return values.cast(kind)
    if _is_text(values.type):
        return _read(field, values.cast(pa.string()), kind, bad)
    name = field.name.rstrip("_")
    try:
        if pa.types.is_boolean(values.type) or (
            _is_text(kind) and not _is_text(values.type) and not pa.types.is_integer(values.type)
        ):
            raise pa.ArrowInvalid("another type")
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ShelflifeError(
            f"{source}: {name}: wanted {field.type}, got a column of {values.type}; convert it in the export"
        ) from None


def _read(field: Field, texts: pa.Array, kind: pa.DataType, bad: dict[int, list[str]]) -> pa.Array:
    """Texts (of a CSV file) as values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole, number = r"^[+-]?\d{1,18}$", r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
    patterns = {"integer": whole, "cents": whole, "number": number, "boolean": "^(true|false)$"}
    if field.type in ("string", "text"):
        return texts.cast(kind)
    if field.type == "strings":
        return pc.utf8_split_whitespace(pc.utf8_trim_whitespace(texts)).cast(kind)
    readable = pc.match_substring_regex(texts, patterns[field.type])
    for row in _where(pc.invert(pc.fill_null(readable, True))):
        bad.setdefault(row, []).append(f"{field.name}: wanted {field.wanted()}, got {ascii(texts[row].as_py())[:60]}")
    return pc.if_else(readable, texts, pa.scalar(None, pa.string())).cast(kind)


def _once(source: str, table: pa.Table) -> pa.Table:
    """The table with repeated rows kept once. Raises ShelflifeError where one id stands for two different events."""
    ids = table["id"].to_pylist()
    if len(set(ids)) == len(ids):
        return table
    seen: dict[str, Any] = {}
    kept = []
    body = [name for name in table.column_names if name not in ("arrived", "offset")]
    for row, content in enumerate(table.select(body).to_pylist()):
        if content["id"] not in seen:
            seen[content["id"]] = content
            kept.append(row)
        elif seen[content["id"]] != content:
            raise ShelflifeError(
                f"{source}: the id {content['id']!a} stands for two different events; give every event its own id"
            )
    return table.take(kept)


def _where(mask: Any) -> list[int]:
    import numpy as np

    flags: np.ndarray = np.asarray(mask)
    return np.flatnonzero(flags).tolist()


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(ascii(str(name))[1:-1][:40] for name in names[:20]) or "no columns"
