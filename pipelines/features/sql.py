"""SQL text from the definitions: what the batch engines run, and what a person can read, run and compare by hand.

An event is inside a window at the moments `[enter, leave)`. Two plans follow, by what is accumulated (core/aggregation.py).
*Pairs*: each ask is joined with the events that are inside then; an event waits in a bucket of time as long as its window, so
an ask looks into two buckets only.
*Steps*: counts and sums of integers are running sums of a step up at `enter` and a step down at `leave`, which a moment looks up.
Both are exact for any lateness and for corrections. Spark runs them; DuckDB has a third (ordered.py), and runs pairs where that
does not hold.
"""
# ruff: noqa: S608  the text is made of quoted names and literals, and runs on a connection that reaches nothing else

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipelines.core.aggregation import ADDED, AGGREGATIONS, Aggregation, Part
from pipelines.core.clock import micros
from pipelines.core.feature import Counted, Filter, Label
from pipelines.features.dialect import DUCKDB, Dialect, quote
from pipelines.features.tiles import FOREVER, Window

INTEGERS = ("BIGINT", "BOOLEAN")
"""Types whose sums are exact; a sum of anything else is refused, a mean of DOUBLE goes by pairs."""

WANTED = {"integer": INTEGERS, "number": (*INTEGERS, "DOUBLE"), "value": (*INTEGERS, "DOUBLE", "VARCHAR")}
EXTREMES = {"lo": "min", "oldest": "min", "hi": "max", "newest": "max"}
ORDERED = {"first": "min", "last": "max"}
SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}

Types = Mapping[str, str]


def matches(where: Filter, dialect: Dialect = DUCKDB, prefix: str = "") -> str:
    """The filter as a condition that is true or false, never unknown. `prefix` stands before the names of fields."""
    if where.op in ("and", "or"):
        joined = f" {where.op.upper()} ".join(matches(arg, dialect, prefix) for arg in where.args)
        return f"({joined})" if joined else "TRUE" if where.op == "and" else "FALSE"
    if where.op == "not":
        return f"(NOT {matches(where.args[0], dialect, prefix)})"
    name, values = prefix + quote(where.args[0]), [dialect.literal(value) for value in where.args[1:]]
    if where.op in SIGNS:
        return f"({name} IS NOT NULL AND {name} {SIGNS[where.op]} {values[0]})"
    return "(" + " OR ".join(f"{name} IS NOT DISTINCT FROM {value}" for value in values) + ")"


def versions(kind: str, fields: Sequence[str], axis: str, dialect: Dialect = DUCKDB) -> str:
    """What `past <kind>` is made of: each version of each event with the span `[since, until)` of the axis (arrived, or offset) in
    which it was the newest that was known. The same content under the same id again is a duplicate and counts once."""
    content = ", ".join(["id", "ts", *map(quote, fields)])
    order = 'arrived, "offset" NULLS LAST, ordinal'
    return f"""SELECT * FROM (
SELECT {content}, {quote(axis)} AS since, coalesce(lead({quote(axis)}) OVER (PARTITION BY id ORDER BY {order}), {FOREVER}) AS until
FROM (SELECT *, row_number() OVER (PARTITION BY {content} ORDER BY {order}) AS again
FROM (SELECT *, {dialect.ordinal} AS ordinal FROM {quote("raw " + kind)}) u) v WHERE again = 1
) w WHERE since < until"""


def unique_versions(kind: str, fields: Sequence[str], axis: str, *, named: bool = True) -> str:
    """The same where every id occurs once: nothing was delivered twice, nothing corrected. `named`: with the ids."""
    content = ", ".join([*(["id"] if named else []), "ts", *map(quote, fields)])
    return f"SELECT {content}, {quote(axis)} AS since, {FOREVER} AS until FROM {quote('raw ' + kind)}"


def entries(
    window: Window, parts: Sequence[Part], types: Types, dialect: Dialect, *, known: bool = True, named: bool = True
) -> str:
    """The window's events, each with the moments `[enter, leave)` at which it lies inside. `known`: and is known by then.
    `named`: with its id, for what must be told apart or put in order."""
    enters, leaves = (
        f"ts + {window.lag + 1}",
        str(FOREVER) if window.ever else f"{_tile(window)} + {window.lag + window.length}",
    )
    if known:
        enters, leaves = f"greatest(since, {enters})", f"least(until, {leaves})"
    more = f", {enters} AS enter, {leaves} AS leave, {_bucket(window, 'ts')} AS bucket"
    return f"""{_owned(window.of, window.by, window.where, parts, types, dialect, more, named=named)}
AND {enters} < {leaves}"""


def _owned(
    kind: str,
    by: Sequence[str],
    where: Filter,
    parts: Sequence[Part],
    types: Types,
    dialect: Dialect,
    more: str,
    *,
    named: bool,
) -> str:
    """The events of somebody that meet the filter: keys k0, k1 …, and a column p0, p1 … for what each part accumulates."""
    keys = ", ".join(f"{quote(name)} AS k{n}" for n, name in enumerate(by))
    values = "".join(f", {_value(part, types, dialect)} AS p{n}" for n, part in enumerate(parts))
    owned = " AND ".join(f"{quote(name)} IS NOT NULL" for name in by)
    return f"""SELECT {keys}{", id" if named else ""}, ts, since, until{more}{values}
FROM {quote("past " + kind)} WHERE {owned} AND {matches(where, dialect)}"""


def steps(window: Window, features: Sequence[Counted], types: Types, dialect: Dialect = DUCKDB) -> str:
    """Counts and sums of integers, as running sums: row and a column per feature."""
    parts = parts_of(f.how for f in features)
    keys, names = _keys(window), [f"p{n}" for n in range(len(parts))]
    up, down = ", ".join(names), ", ".join(f"-{name} AS {name}" for name in names)
    running = ", ".join(f"sum({name}) OVER (PARTITION BY {keys} ORDER BY moment) AS {name}" for name in names)
    results = _results(_named(features), parts, f"a.ts - {window.lag}", dialect)
    changes = f"""WITH inside {dialect.kept} ({entries(window, parts, types, dialect, named=False)}),
changes AS (
SELECT {keys}, enter AS moment, {up} FROM inside
UNION ALL SELECT {keys}, leave AS moment, {down} FROM inside WHERE leave < {FOREVER})"""
    asked = ", ".join(f"{quote(name)} AS k{n}" for n, name in enumerate(window.key))
    nothing = ", ".join(f"0 AS {name}" for name in names)
    return f"""{changes},
both AS (SELECT *, CAST(NULL AS BIGINT) AS row FROM changes UNION ALL SELECT {asked}, ts AS moment, {nothing}, row FROM asks),
steps AS (SELECT row, moment AS ts, {running} FROM both)
SELECT s.row, {results.replace("a.ts", "s.ts")} FROM steps s WHERE s.row IS NOT NULL"""


def pairs(
    window: Window, features: Sequence[Counted], types: Types, dialect: Dialect = DUCKDB, *,
    by_offset: bool = False, own: bool = False,
) -> str:  # fmt: skip
    """Any aggregation, by joining the asks with what is inside; the most frequent value needs a query of its own. `own`: the asks
    are of this kind and may have been corrected, an ask never sees itself."""
    seen = " AND e.since <= a.sees AND a.sees < e.until" if by_offset else ""
    other = " AND e.id <> a.id" if own else ""
    parts = parts_of(f.how for f in features)
    named = own or any(part.op in ORDERED for part in parts)
    inside = entries(window, parts, types, dialect, known=not by_offset, named=named)
    on = f"{_same(window.key, 'e')} AND a.bucket = e.bucket AND e.enter <= a.ts AND a.ts < e.leave{seen}{other}"
    asks = _twice(window, [*window.key, *(["id"] if own else []), *(["sees"] if by_offset else [])])
    return _gathered(asks, inside, on, _named(features), f"s.ts - {window.lag}", dialect)


def _tile(window: Window) -> str:
    """The end of the tile that an event lies in."""
    return f"ts - ts % {window.grain} + {window.grain}"


def _bucket(window: Window, moment: str) -> str:
    """Where an event waits to be joined: a stretch of time at least as long as any window that it can be in."""
    if window.ever:
        return "0"
    width = window.length + window.grain
    return f"{moment} - ({moment}) % {width}"


def _twice(window: Window, columns: Sequence[str]) -> str:
    """The asks, each with the bucket its window ends in and the one before."""
    if window.ever:
        return "(SELECT *, 0 AS bucket FROM asks)"
    named = ", ".join(["row", "ts", *(quote(name) for name in dict.fromkeys(columns))])
    ends, width = _bucket(window, f"ts - {window.lag}"), window.length + window.grain
    return f"(SELECT {named}, {ends} AS bucket FROM asks UNION ALL SELECT {named}, {ends} - {width} FROM asks)"


def label(label: Label, asks: str, types: Types, dialect: Dialect = DUCKDB) -> str:
    """The label of each ask: row and `label`. Asks without any such event are left out."""
    start, within = micros(label.ahead), micros(label.within)
    own = " AND e.id <> a.id AND (e.ts > a.ts OR e.id > a.id)" if label.of == asks else ""
    inside = _owned(
        label.of, label.keys, label.filter, label.how.parts, types, dialect, f", ts - ts % {within} AS bucket", named=True
    )
    inside += f" AND until = {FOREVER}"
    opens = f"ts + {start}"
    twice = f"(SELECT *, {opens} - ({opens}) % {within} AS bucket FROM asks UNION ALL SELECT *, {opens} - ({opens}) % {within} + {within} FROM asks)"
    ahead = f"a.bucket = e.bucket AND e.ts >= a.{opens} AND e.ts < a.ts + {start + within}"
    return _gathered(twice, inside, f"{_same(label.keys, 'e')} AND {ahead}{own}", {"label": label.how}, f"s.{opens}", dialect)


def _gathered(asks: str, inside: str, on: str, wanted: Mapping[str, Aggregation], end: str, dialect: Dialect) -> str:
    """The asks joined with what is inside for each. The most frequent value, alone in its query, is counted value by value."""
    parts = parts_of(wanted.values())
    if [how.how for how in wanted.values()] == ["top"]:
        return f"""WITH inside AS ({inside}),
counts AS (SELECT a.row, e.p0, count(*) AS times FROM {asks} a JOIN inside e ON {on} WHERE e.p0 IS NOT NULL GROUP BY a.row, e.p0)
SELECT row, min_by(p0, (-times, p0)) AS {quote(next(iter(wanted)))}, count(*) AS {quote(different(next(iter(wanted)), parts[0].field))}
FROM counts GROUP BY row"""
    gathered = ", ".join(f"{_accumulated(part, f'e.p{n}')} AS p{n}" for n, part in enumerate(parts))
    return f"""WITH inside AS ({inside}),
found AS (SELECT a.row, max(a.ts) AS ts, {gathered} FROM {asks} a JOIN inside e ON {on} GROUP BY a.row)
SELECT s.row, {_results(wanted, parts, end, dialect)} FROM found s"""


def parts_of(wanted: Iterable[Aggregation]) -> list[Part]:
    """What they accumulate, each part once; its place is the number of its column."""
    return list(dict.fromkeys(part for how in wanted for part in how.parts))


def by_pairs(features: Sequence[Counted], *, every: bool) -> list[list[Counted]]:
    """Those of a window that are answered by pairs, as they can be together: the most frequent values, and `every` other."""
    rest = [f for f in features if f.how.how != "top"]
    return [*([f] for f in features if f.how.how == "top"), *([rest] if every and rest else [])]


def _named(features: Sequence[Counted]) -> dict[str, Aggregation]:
    return {feature.name: feature.how for feature in features}


def additive(feature: Counted, types: Types) -> bool:
    """Whether running sums give it exactly."""
    return all(part.op in ADDED and (part.field is None or types[part.field] in INTEGERS) for part in feature.how.parts)


def problems(of: str, how: Aggregation, types: Types) -> str | None:
    """Why the aggregation cannot read its fields, in one sentence, or None."""
    if missing := sorted(name for name in how.fields if name not in types):
        return f"{of} has no field {missing[0]}; it has {', '.join(sorted(types))}"
    if how.halves:
        return next((problem for half in how.halves if (problem := problems(of, half, types))), None)
    wanted = AGGREGATIONS[how.how].wants
    if how.field is None or types[how.field] in WANTED[wanted]:
        return None
    kind = types[how.field]
    if kind.endswith("[]"):
        return f"{how.how} of {of}.{how.field}: wanted one value an event, got a list"
    if wanted == "integer":
        return f"{how.how} of {of}.{how.field}: wanted an integer (money in cents), got {kind}; sums of fractions depend on their order"
    return f"{how.how} of {of}.{how.field}: wanted a {wanted}, got {kind}"


def _results(wanted: Mapping[str, Aggregation], parts: Sequence[Part], end: str, dialect: Dialect) -> str:
    columns = {part: f"s.p{n}" for n, part in enumerate(parts)}
    results = [f"{_finish(how, columns, end, dialect)} AS {quote(name)}" for name, how in wanted.items()]
    sets = [(name, part) for name, how in wanted.items() for part in how.parts if part.op == "bag"]
    return ", ".join(results + [f"{columns[part]} AS {quote(different(name, part.field))}" for name, part in sets])


def different(name: str, field: str | None) -> str:
    """The column beside a feature that says how many different values of a field its exact set held."""
    return f"different {field} {name}"


def _finish(how: Aggregation, columns: Mapping[Part, str], end: str, dialect: Dialect) -> str:
    """core's Aggregation.finish as SQL: numbers come out as DOUBLE, first and last as their field is."""
    if how.how == "ratio":
        above, below = (_finish(half, columns, end, dialect) for half in how.halves)
        return f"{above} / nullif({below}, 0)"
    got = [columns[part] for part in how.parts]
    if how.how == "mean":
        return f"{_double(got[0])} / nullif({_double(got[1])}, 0)"
    if how.how == "rate":
        return f"{_double(got[1])} / nullif({_double(got[0])}, 0)"
    if how.how == "std":
        s, c, q = (f"CAST({name} AS {dialect.wide})" for name in got)
        return f"sqrt({_double(f'{c} * {q} - {s} * {s}')}) / nullif({_double(got[1])}, 0)"
    if how.how in ("since", "until"):
        return f"{_double(f'{end} - {got[0]}' if how.how == 'since' else f'{got[0]} - ({end})')} / 1000000"
    if how.how in ("first", "last"):
        return got[0]
    return f"coalesce({_double(got[0])}, {how.empty})" if how.empty is not None else _double(got[0])


def _value(part: Part, types: Types, dialect: Dialect) -> str:
    """What one event gives to a part."""
    if part.op == "n":
        return f"CASE WHEN {matches(part.where, dialect)} THEN 1 ELSE 0 END" if part.where else "1"
    if part.field is None:
        return "ts"
    name = quote(part.field)
    if part.op == "c":
        return f"CASE WHEN {name} IS NULL THEN 0 ELSE 1 END"
    number = f"CAST({name} AS BIGINT)" if types[part.field] == "BOOLEAN" else name
    if part.op == "q":
        return f"coalesce(CAST({number} AS {dialect.wide}) * {number}, 0)"
    if part.op == "s":
        return f"coalesce({number}, 0)"
    return number if part.op in ("lo", "hi") else name


def _accumulated(part: Part, value: str) -> str:
    """A part over joined events `e`."""
    if part.op in ORDERED:
        return f"{ORDERED[part.op]}_by({value}, (e.ts, e.id)) FILTER (WHERE {value} IS NOT NULL)"
    if part.op == "bag":
        return f"count(DISTINCT {value})"
    return f"{EXTREMES.get(part.op, 'sum')}({value})"


def _keys(window: Window) -> str:
    return ", ".join(f"k{n}" for n in range(len(window.by)))


def _same(key: Sequence[str], table: str) -> str:
    return " AND ".join(f"a.{quote(name)} = {table}.k{n}" for n, name in enumerate(key))


def _double(value: str) -> str:
    return f"CAST({value} AS DOUBLE)"
