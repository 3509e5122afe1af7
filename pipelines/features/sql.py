"""SQL text from the definitions: what the batch engine runs, and what a person can read, run and compare by hand.

Two plans, by what is counted. *Steps*: count, sum and mean of integers are running sums of a step up where an event enters the
window and a step down where it leaves it; a moment looks its value up (ASOF). *Pairs*: everything else joins each moment with
the events that are inside, or, where there are far more moments than events, joins the moments at which anything changes and
looks those up. Both are exact for any lateness and for corrections: an event's interval of moments says all.
"""
# ruff: noqa: S608  the text is made of quoted names and literals, and runs on a connection that reaches nothing else

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.core.clock import micros
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, Label
from pipelines.features.tiles import ADDITIVE, FOREVER, Window

NUMERIC = ("BIGINT", "BOOLEAN")
"""Types whose sums are exact; a sum of anything else is refused, a mean of DOUBLE goes by pairs."""


def quote(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A constant of a filter. Raises ShelflifeError for what is no plain value."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise ShelflifeError(
        f"wanted a number, a text or a truth value in a filter, got {type(value).__name__}; write where with plain values"
    )


def matches(where: Sequence[tuple[str, Any]]) -> str:
    """The filter: fields equal to these values, null equal to None alone."""
    return " AND ".join(f"{quote(name)} IS NOT DISTINCT FROM {literal(value)}" for name, value in where) or "TRUE"


def versions(kind: str, fields: Sequence[str], axis: str) -> str:
    """A table `past <kind>`: each version of each event with the span `[since, until)` of the axis (arrived, or offset) in
    which it was the newest that was known. The same content under the same id again is a duplicate and counts once."""
    content = ", ".join(["id", "ts", *map(quote, fields)])
    order = 'arrived, "offset" NULLS LAST, ordinal'
    return f"""CREATE TABLE {quote("past " + kind)} AS
SELECT {content}, {quote(axis)} AS since, coalesce(lead({quote(axis)}) OVER (PARTITION BY id ORDER BY {order}), {FOREVER}) AS until
FROM (SELECT * FROM {quote("raw " + kind)} QUALIFY row_number() OVER (PARTITION BY {content} ORDER BY {order}) = 1)
QUALIFY since < until"""


def unique_versions(kind: str, fields: Sequence[str], axis: str) -> str:
    """The same table where every id occurs once: nothing was delivered twice, nothing corrected."""
    content = ", ".join(["id", "ts", *map(quote, fields)])
    return f"""CREATE TABLE {quote("past " + kind)} AS
SELECT {content}, {quote(axis)} AS since, {FOREVER} AS until FROM {quote("raw " + kind)}"""


def entries(window: Window, values: Mapping[str, str], *, known: bool) -> str:
    """The window's events, each with the moments `[enter, leave)` at which it lies inside. `known`: and is known by then."""
    enters = f"ts + {window.lag + 1}"
    leaves = str(FOREVER) if window.ever else f"ts - ts % {window.grain} + {window.grain + window.lag + window.length}"
    span = (
        f"greatest(since, {enters}) AS enter, least(until, {leaves}) AS leave"
        if known
        else f"{enters} AS enter, {leaves} AS leave"
    )
    fields = "".join(f", {expression} AS {name}" for name, expression in values.items())
    return f"""SELECT {quote(window.by)} AS key, id, ts, since, until, {span}{fields}
FROM {quote("past " + window.of)} WHERE {quote(window.by)} IS NOT NULL AND {matches(window.where)} AND enter < leave"""


def steps(window: Window, features: Sequence[Counted], types: Mapping[str, str]) -> str:
    """Count, sum and mean of integers: row and a column per feature, for the moments that have any event before them."""
    parts: dict[str, str] = {"n": "1"}
    for f in features:
        if f.how.field:
            parts[_total(f)] = f"coalesce({_number(f.how.field, types)}, 0)"
            parts[_values(f)] = f"({quote(f.how.field)} IS NOT NULL)::BIGINT"
    up, down = ", ".join(parts), ", ".join(f"-{name} AS {name}" for name in parts)
    running = ", ".join(f"sum({name}) OVER moments AS {name}" for name in parts)
    results = ", ".join(f"{_additive(f)} AS {quote(f.name)}" for f in features)
    return f"""WITH inside AS MATERIALIZED ({entries(window, parts, known=True)}),
changes AS (
SELECT key, enter AS moment, {up} FROM inside
UNION ALL SELECT key, leave AS moment, {down} FROM inside WHERE leave < {FOREVER}),
steps AS (SELECT key, moment, {running} FROM changes WINDOW moments AS (PARTITION BY key ORDER BY moment))
SELECT a.row, {results} FROM asks a ASOF JOIN steps s ON a.{quote(window.key)} = s.key AND a.ts >= s.moment"""


def _total(feature: Counted) -> str:
    return quote(f"sum {feature.how.field}")


def _values(feature: Counted) -> str:
    return quote(f"values {feature.how.field}")


def _additive(feature: Counted) -> str:
    """The aggregation out of running sums."""
    if feature.how.how == "count":
        return "s.n::DOUBLE"
    if feature.how.how == "sum":
        return f"s.{_total(feature)}::DOUBLE"
    return f"s.{_total(feature)}::DOUBLE / nullif(s.{_values(feature)}, 0)::DOUBLE"


def pairs(window: Window, features: Sequence[Counted], types: Mapping[str, str], *, by_offset: bool, own: bool) -> str:
    """Any aggregation, by joining the asks with the events inside. `own`: the asks are of this kind, an ask never sees itself."""
    seen = "AND e.since <= a.sees AND a.sees < e.until" if by_offset else ""
    other = "AND e.id <> a.id" if own else ""
    results = ", ".join(f"{aggregate(f.how.how, f.how.field, types)} AS {quote(f.name)}" for f in features)
    return f"""WITH inside AS MATERIALIZED ({entries(window, _plain(features), known=not by_offset)})
SELECT a.row, {results} FROM asks a JOIN inside e
ON a.{quote(window.key)} = e.key AND e.enter <= a.ts AND a.ts < e.leave {seen} {other} GROUP BY a.row"""


def changes(window: Window, features: Sequence[Counted], types: Mapping[str, str]) -> str:
    """Any aggregation, at the moments when something enters or leaves, looked up by the asks: for many more asks than events."""
    results = ", ".join(f"{aggregate(f.how.how, f.how.field, types)} AS {quote(f.name)}" for f in features)
    names = ", ".join(f"s.{quote(f.name)}" for f in features)
    return f"""WITH inside AS MATERIALIZED ({entries(window, _plain(features), known=True)}),
moments AS (SELECT key, enter AS moment FROM inside UNION SELECT key, leave FROM inside WHERE leave < {FOREVER}),
steps AS (SELECT m.key, m.moment, {results} FROM moments m LEFT JOIN inside e
ON e.key = m.key AND e.enter <= m.moment AND m.moment < e.leave GROUP BY m.key, m.moment)
SELECT a.row, {names} FROM asks a ASOF JOIN steps s ON a.{quote(window.key)} = s.key AND a.ts >= s.moment"""


def label(label: Label, asks: str, types: Mapping[str, str]) -> str:
    """The label of each ask: row and `label`. Asks without any such event are left out."""
    start = micros(label.ahead)
    own = "AND e.id <> a.id AND (e.ts > a.ts OR e.id > a.id)" if label.of == asks else ""
    value = aggregate(label.how.how, label.how.field, types)
    return f"""SELECT a.row, {value} AS label FROM asks a JOIN {quote("past " + label.of)} e
ON a.{quote(label.by)} = e.{quote(label.by)} AND e.ts >= a.ts + {start} AND e.ts < a.ts + {start + micros(label.within)} {own}
WHERE e.until = {FOREVER} GROUP BY a.row"""


def aggregate(how: str, field: str | None, types: Mapping[str, str]) -> str:
    """The aggregation over joined events `e`; numbers come out as DOUBLE, first and last as their field is."""
    if field is None:
        return "count(e.id)::DOUBLE"
    value = f"e.{quote(field)}"
    if how in ("first", "last"):
        return f"arg_{'min' if how == 'first' else 'max'}({value}, (e.ts, e.id)) FILTER (WHERE {value} IS NOT NULL)"
    if how == "distinct":
        return f"count(DISTINCT {value})::DOUBLE"
    number = f"e.{_number(field, types)}"
    if how == "mean":
        return f"sum({number})::DOUBLE / nullif(count({value}), 0)::DOUBLE"
    return f"coalesce(sum({number}), 0)::DOUBLE" if how == "sum" else f"{how}({number})::DOUBLE"


def additive(feature: Counted, types: Mapping[str, str]) -> bool:
    """Whether running sums give it exactly."""
    return feature.how.how in ADDITIVE and (feature.how.field is None or types[feature.how.field] in NUMERIC)


def problems(of: str, how: str, field: str | None, types: Mapping[str, str]) -> str | None:
    """Why the aggregation cannot read this field, in one sentence, or None."""
    if field is None:
        return None
    if field not in types:
        return f"{of} has no field {field}; it has {', '.join(sorted(types))}"
    kind = types[field]
    if kind.endswith("[]"):
        return f"{how} of {of}.{field}: wanted one value an event, got a list"
    if how == "sum" and kind not in NUMERIC:
        return f"sum of {of}.{field}: wanted an integer (money in cents), got {kind}; sums of fractions depend on their order"
    if how in ("mean", "min", "max") and kind not in (*NUMERIC, "DOUBLE"):
        return f"{how} of {of}.{field}: wanted a number, got {kind}"
    return None


def _number(field: str, types: Mapping[str, str]) -> str:
    return f"{quote(field)}::BIGINT" if types[field] == "BOOLEAN" else quote(field)


def _plain(features: Sequence[Counted]) -> dict[str, str]:
    return {quote(f.how.field): quote(f.how.field) for f in features if f.how.field}
