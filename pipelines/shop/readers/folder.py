"""A shop's own files as events: CSV, Parquet or JSON lines, one file or a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.contract import Contract
from pipelines.core.errors import ShelflifeError
from pipelines.shop.readers.own import events
from pipelines.shop.readers.reading import Reading
from pipelines.shop.rows import FAR_FUTURE

if TYPE_CHECKING:
    import pyarrow as pa


def read(path: Path, contract: Contract, *, names: Mapping[str, str] | None = None, now: int = FAR_FUTURE) -> Reading:
    """The events of one kind in a file, or in all files of a folder (by name; other kinds of files are refused).

    `names` maps the contract's names to the file's columns; without it they must be the same. An event from beyond `now`
    (microseconds UTC) goes to `broken`. Raises ShelflifeError, in one sentence, for whatever cannot be read; see `own.events`.
    """
    import pyarrow as pa

    path = Path(path)
    files = _files(path)
    parts = [_load(file) for file in files]
    try:
        rows = pa.concat_tables(parts, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise ShelflifeError(f"{path}: its files have columns of different types; convert them in the export") from None
    return events(str(path), contract, rows, names=names, now=now)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise ShelflifeError(f"{path}: there is no such file or folder; check the path")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    if not files:
        raise ShelflifeError(f"{path}: the folder is empty; wanted .csv, .parquet or .jsonl files")
    return files


def _load(file: Path) -> pa.Table:
    import pyarrow as pa

    suffix = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
    loader = LOADERS.get(suffix.lower().removesuffix(".gz"))
    if loader is None or not file.is_file():
        raise ShelflifeError(f"{file}: wanted a .csv, .parquet or .jsonl file (or .gz of the text ones), got {suffix!a}")
    try:
        return loader(file)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:160]
        raise ShelflifeError(f"{file}: cannot be read as {suffix.lstrip('.')}: {reason}; export it again") from None


def _csv(file: Path) -> pa.Table:
    """Every column as text; empty means null."""
    import pyarrow as pa
    from pyarrow import csv

    with csv.open_csv(file) as opened:
        names = opened.schema.names
    texts = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True)
    return csv.read_csv(file, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=texts)


def _parquet(file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file, page_checksum_verification=True).read()


def _json_lines(file: Path) -> pa.Table:
    import gzip

    import pyarrow as pa

    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    lines = [(number, line) for number, line in enumerate(data.decode("utf-8").splitlines(), 1) if line.strip()]
    rows = [_object(file, number, line) for number, line in lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column(file, name, [row.get(name) for row in rows]) for name in names})


def _column(file: Path, name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise ShelflifeError(f"{file}: {name!a} has values of different types; give each field one type") from None


def _object(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise ShelflifeError(f"{file}: line {number} is no JSON object; the file may be cut off, export it again")
    return row


LOADERS: dict[str, Callable[[Path], Any]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
