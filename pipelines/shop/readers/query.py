"""A shop's own database as events: one SQL query, whose columns are the contract's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines.core.contract import Contract
from pipelines.core.errors import ShelflifeError
from pipelines.shop.readers.own import events
from pipelines.shop.readers.reading import Reading
from pipelines.shop.rows import FAR_FUTURE


def read(url: str, sql: str, contract: Contract, *, names: Mapping[str, str] | None = None, now: int = FAR_FUTURE) -> Reading:
    """The events of one kind that a query gives. `url` is SQLAlchemy's, such as postgresql://user@host/shop; nothing is written.

    Raises ShelflifeError, in one sentence and without the password, where the database or the query fails; see `own.events`.
    """
    import pyarrow as pa
    import sqlalchemy as sa

    if not re.match(r"\s*(select|with)\b", sql, re.IGNORECASE):
        raise ShelflifeError(f"wanted a query that starts with SELECT or WITH, got {ascii(sql.strip())[:60]}; nothing was run")
    try:
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise ShelflifeError(f"wanted a database address such as postgresql://user@host/shop: {_first_line(error)}") from None
    source = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            result = connection.execute(sa.text(sql))
            columns, rows = list(result.keys()), result.fetchall()
            connection.rollback()
    except sa.exc.ResourceClosedError:
        raise ShelflifeError(
            f"{source}: wanted a query that gives rows, got a statement that gives none; nothing was changed"
        ) from None
    except sa.exc.SQLAlchemyError as error:
        reason = _first_line(getattr(error, "orig", None) or error)
        raise ShelflifeError(f"{source}: the query failed: {reason}; check it in the database") from None
    finally:
        engine.dispose()
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ShelflifeError(f"{source}: the query gives the column {', '.join(twice)} twice; name each once")
    if not rows:
        raise ShelflifeError(f"{source}: wanted {contract.kind} events, the query gives no rows; check its dates")
    arrays = [_column(source, name, values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)]
    return events(source, contract, pa.table(dict(zip(columns, arrays, strict=True))), names=names, now=now)


def _column(source: str, name: str, values: tuple[Any, ...]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        raise ShelflifeError(f"{source}: {name} has values of different types; cast the column in the query") from None


def _first_line(error: BaseException | object) -> str:
    return str(error).splitlines()[0][:160]
