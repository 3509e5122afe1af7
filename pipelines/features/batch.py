"""The batch engine: rows of features and labels for the asks of a time, as they were known at each ask's own moment.

An ask is the first version of its event; corrections that came later change what others saw, not what was asked. Visible is an
event that had arrived at or before the ask's `ts` (or, where an answer logged the offset it had seen, that offset), in its
newest version then. The ask itself is never among its own past: neither by time (the near edge excludes its `ts`) nor by id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.core.decision import Ranking
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, FeatureSet
from pipelines.core.usecase import UseCase
from pipelines.features import candidates
from pipelines.features.database import Database, Tables, fields_needed
from pipelines.features.derive import evaluate

if TYPE_CHECKING:
    from pipelines.features.candidates import Index


def rows(
    case: UseCase,
    tables: Tables,
    asks: tuple[int, int] | Collection[str],
    *,
    as_of: int,
    index: Index | Sequence[Index] | None = None,
    seen: Mapping[str, int] | None = None,
    keep: Any = None,
    threads: int = 1,
    engine: str = "duckdb",
) -> pa.Table:
    """One row per ask (per ask and candidate, for a ranking): ask, ts, [candidate], carried fields, features, label, [wanted].

    `asks` is a span `[from, to)` of microseconds or the ids of the asks; `keep`, given the table of asks, may thin them out (a
    mask of bool). Labels are from events that had arrived by `as_of`; an ask whose label is null has NaN. A ranking needs an
    `index`, or several fitted at rising moments: each ask is expanded by the newest one that was fitted before it. `seen` maps
    asks to the offset of the log that their features had seen, and then decides what is visible. `engine` says who computes,
    "duckdb" or "spark": the answer is the same.
    """
    needed = fields_needed(case.features.counted, case.label)
    needed.setdefault(case.asks.kind, set()).update(f.name for f in case.asks.fields)
    with opened(engine, tables, needed, as_of=as_of, by_offset=seen is not None, threads=threads) as database:
        asked = _chosen(database.first_versions(case.asks.kind), asks, keep)
        labels = database.label(case.label, case.asks.kind, _probes(asked, set(case.label.keys), None))
        asked = asked if seen is None else _with_seen(asked, seen)
        if isinstance(case.answers, Ranking):
            return _ranking_rows(case, case.answers, database, asked, labels, index)
        columns = features_of(case.features, database, case.asks.kind, asked)
    return _table(case, asked, columns, {"label": _label(case, labels)})


def opened(engine: str, tables: Tables, fields: Mapping[str, Any], *, as_of: int, by_offset: bool, threads: int) -> Any:
    """The events in the engine of that name. Raises ShelflifeError for one that there is not."""
    if engine == "spark":
        from pipelines.features.spark import SparkDatabase

        return SparkDatabase(tables, fields, as_of=as_of, by_offset=by_offset, threads=threads)
    if engine != "duckdb":
        raise ShelflifeError(f"wanted the engine duckdb or spark, got {engine!a}; set shop.engine in params.yaml")
    return Database(tables, fields, as_of=as_of, by_offset=by_offset, threads=threads)


def features_of(features: FeatureSet, database: Database, kind: str, asked: pa.Table) -> dict[str, Any]:
    """A column per feature name (Arrow or numpy), a row per ask."""
    known = {name: given(asked[name], features.kind(name)) for name in features.given}
    known |= database.counted(features.counted, kind, _probes(asked, _keys(features.counted), None))
    return known | _derived(features, known, asked["ts"])


def expanded_features(
    features: FeatureSet, database: Database, kind: str, asked: pa.Table, pairs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """The same for a ranking: a row per candidate; `pairs` are the columns of candidates.expand, `ask` the row among the asks."""
    at = pairs["ask"]
    per_ask = [c for c in features.counted if "candidate" not in c.asked]
    per_pair = [c for c in features.counted if "candidate" in c.asked]
    known = {name: given(asked[name], features.kind(name)).take(pa.array(at)) for name in features.given}
    known |= {
        name: values[at] for name, values in database.counted(per_ask, kind, _probes(asked, _keys(per_ask), None)).items()
    }
    if per_pair:
        known |= database.counted(per_pair, kind, _probes(asked, _keys(per_pair), pairs))
    known |= _derived(features, known, asked["ts"].combine_chunks().take(pa.array(at)))
    return {name: known[name] for name in features.names}


def given(column: pa.ChunkedArray | pa.Array, kind: str) -> pa.Array:
    """A field of the asking event as a feature: numbers and truth values as float64, texts as they are."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.float64()) if kind == "number" else array.cast(pa.string())


def plain(values: Any) -> np.ndarray:
    """A feature as the models see it: float64 with NaN as null, or objects with None as null."""
    if isinstance(values, np.ndarray):
        return values
    return (
        values.to_numpy(zero_copy_only=False)
        if values.type == pa.string()
        else values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    )


def _derived(features: FeatureSet, known: Mapping[str, Any], ts: Any) -> dict[str, np.ndarray]:
    read = set().union(*(d.expression.columns for d in features.derived)) & set(known)
    columns = {name: plain(known[name]) for name in read}
    return evaluate(features.derived, {"ts": np.asarray(ts).astype(np.float64), **columns})


def _keys(counted: Sequence[Counted]) -> set[str]:
    return {name for c in counted for name in c.asked}


def _probes(asked: pa.Table, keys: set[str], pairs: Mapping[str, np.ndarray] | None) -> dict[str, pa.Array]:
    """What the SQL joins from: id, ts, the keys and, where there is one, the offset seen."""
    names = ["id", "ts", *sorted(keys - {"candidate", "id", "ts"}), *(["sees"] if "sees" in asked.column_names else [])]
    columns = {name: asked[name].combine_chunks() for name in names}
    if pairs is None:
        return columns
    at = pa.array(pairs["ask"])
    return {name: column.take(at) for name, column in columns.items()} | {
        "candidate": pa.array(pairs["candidate"], pa.string())
    }


def _chosen(table: pa.Table, asks: tuple[int, int] | Collection[str], keep: Any) -> pa.Table:
    import pyarrow.compute as pc

    if isinstance(asks, tuple) and len(asks) == 2 and not isinstance(asks[0], str):
        mask = pc.and_(pc.greater_equal(table["ts"], asks[0]), pc.less(table["ts"], asks[1]))
    else:
        mask = pc.is_in(table["id"], pa.array(sorted(set(map(str, asks))), pa.string()))
    chosen = table.filter(mask)
    return chosen if keep is None else chosen.filter(pa.array(keep(chosen)))


def _with_seen(asked: pa.Table, seen: Mapping[str, int]) -> pa.Table:
    ids = asked["id"].to_pylist()
    if missing := [name for name in ids if name not in seen]:
        raise ShelflifeError(
            f"wanted the offset that each ask had seen, got none for {missing[0]}; leave seen out to go by arrival"
        )
    return asked.append_column("sees", pa.array([seen[name] for name in ids], pa.int64()))


def _label(case: UseCase, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "O":
        raise ShelflifeError(
            f"{case.name}: wanted a label that is a number, got {case.label.how}; give it at_least or count it"
        )
    if case.label.at_least is None:
        return values
    return np.where(np.isnan(values), np.nan, values >= case.label.at_least)


def _ranking_rows(
    case: UseCase,
    answers: Ranking,
    database: Database,
    asked: pa.Table,
    wanted: np.ndarray,
    index: Index | Sequence[Index] | None,
) -> pa.Table:
    """Rows per candidate: label 1 for the item that came next, 0 for the others, NaN where nothing came."""
    if index is None:
        raise ShelflifeError(
            f"{case.name} ranks candidates: wanted an index to find them, got none; fit one with features.candidates"
        )
    if wanted.dtype.kind != "O":
        raise ShelflifeError(
            f"{case.name}: wanted the label of a ranking to be an item, got {case.label.how}; use First of a string field"
        )
    pairs = candidates.expand(index, candidates.asks_of(asked, answers), answers)
    at = pairs["ask"]
    names, columns = pairs["candidate"], expanded_features(case.features, database, case.asks.kind, asked, pairs)
    columns |= {name: pairs[name] for name in candidates.FEATURES}
    came = np.array([item is not None for item in wanted], dtype=bool)[at]
    label = np.where(came, (names == wanted[at]).astype(np.float64), np.nan)
    wide = asked.take(pa.array(at)).drop_columns([answers.trail])
    wide = wide.append_column("candidate", pa.array(names, pa.string()))
    return _table(case, wide, columns, {"label": label, "wanted": pa.array(wanted, pa.string()).take(pa.array(at))})


def _table(case: UseCase, asked: pa.Table, columns: Mapping[str, Any], labels: Mapping[str, Any]) -> pa.Table:
    """Rows in the order (ts, ask, candidate), which is the order of the asks and of the candidates within."""
    carried = [name for name in case.carried if name in asked.column_names]
    first = {"ask": asked["id"], "ts": asked["ts"]}
    first |= {"candidate": asked["candidate"]} if "candidate" in asked.column_names else {}
    cells = {**first, **{name: asked[name] for name in carried}, **columns, **labels}
    return pa.table({name: _nullable(values) for name, values in cells.items()})


def _nullable(values: Any) -> Any:
    """On disk a null is a null; read back as numpy it is NaN again."""
    return pa.array(values, from_pandas=True) if isinstance(values, np.ndarray) else values
