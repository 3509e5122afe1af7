"""The batch engine on Spark: the same definitions, the same generator's SQL in Spark's dialect, for tables that outgrow one machine.

`pip install shelflife[spark]`, a Java runtime, and `shop.engine: spark` in params.yaml. Where Spark runs is Spark's own setting
(`SPARK_MASTER`, spark-defaults.conf, spark-submit); with none of them it runs in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.core.contract import ENVELOPE
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import Counted, Label
from pipelines.features import sql
from pipelines.features.database import Source, Tables, check, column
from pipelines.features.dialect import SPARK, quote
from pipelines.features.tiles import Window, by_window

TYPES = {"bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "string": "VARCHAR", "array<string>": "VARCHAR[]"}


def session(threads: int = 1) -> Any:
    """Spark's session, made at the first call and kept: a start takes seconds.

    Raises ShelflifeError where pyspark or Java is missing.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise ShelflifeError(
            "shop.engine is spark, and pyspark is not installed; install the extra spark, or set shop.engine to duckdb"
        ) from None
    builder = SparkSession.builder.appName("shelflife")
    for name, value in _settings(threads).items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise ShelflifeError(f"Spark did not start: {str(error)[:200]}; install a Java runtime and set JAVA_HOME") from error


def _settings(threads: int) -> dict[str, str]:
    """What the generated SQL counts on: double quotes name columns, a sum that overflows is an error, no interface is opened."""
    import os

    master = (
        {}
        if "SPARK_MASTER" in os.environ
        else {"spark.master": f"local[{threads}]", "spark.sql.shuffle.partitions": str(2 * threads)}
    )
    return {
        **master,
        "spark.sql.ansi.enabled": "true",
        "spark.sql.ansi.doubleQuotedIdentifiers": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.log.level": "ERROR",
    }


class SparkDatabase:
    """What features.database.Database is, on Spark: the events of some kinds as known at `as_of`."""

    def __init__(
        self, tables: Tables, fields: Mapping[str, Iterable[str]], *, as_of: int, by_offset: bool = False, threads: int = 1
    ) -> None:
        self._spark = session(threads)
        self._by_offset = by_offset
        self._repeated: set[str] = set()
        self._frames: list[Any] = []
        self.types: dict[str, dict[str, str]] = {}
        for kind, wanted in fields.items():
            self._load(kind, Source.of(tables, kind, wanted), wanted, as_of)

    def __enter__(self) -> SparkDatabase:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The session stays for the next; what was loaded goes."""
        for frame in self._frames:
            frame.unpersist()

    def _load(self, kind: str, source: Source, wanted: Iterable[str], as_of: int) -> None:
        frame = self._frame(source, [*ENVELOPE, *sorted(set(wanted))], as_of)
        if frame.select("id").distinct().count() < frame.count():
            self._repeated.add(kind)
            frame = self._frame(source, source.names, as_of)
        self.types[kind] = {name: TYPES.get(kind, kind) for name, kind in frame.dtypes if name not in (*ENVELOPE, "place")}
        self._view(f"raw {kind}", frame)
        axis, names = "offset" if self._by_offset else "arrived", list(self.types[kind])
        past = sql.versions(kind, names, axis, SPARK) if kind in self._repeated else sql.unique_versions(kind, names, axis)
        self._view(f"past {kind}", self._spark.sql(past))

    def _frame(self, source: Source, names: Sequence[str], as_of: int) -> Any:
        """The columns of what had arrived, and each row's place in its table."""
        from pyspark.sql.functions import monotonically_increasing_id

        if source.table is not None:
            frame = self._spark.createDataFrame(source.read(names))
        else:
            source.read(names)
            frame = self._spark.read.option("mergeSchema", "true").parquet(*map(str, source.files)).select(*names)
        return frame.withColumn("place", monotonically_increasing_id()).where(f"arrived <= {as_of}")

    def _view(self, name: str, frame: Any) -> None:
        self._frames.append(frame.cache())
        frame.createOrReplaceTempView(f"`{name}`")

    def first_versions(self, kind: str) -> pa.Table:
        """One row an event, as it was when it was first known, by (ts, id)."""
        order = 'PARTITION BY id ORDER BY arrived, "offset" NULLS LAST, place'
        query = f"SELECT *, row_number() OVER ({order}) AS turn FROM {quote(f'raw {kind}')}"  # noqa: S608  quoted names
        table = self._answer(f"SELECT * FROM ({query}) WHERE turn = 1 ORDER BY ts, id")  # noqa: S608
        return table.drop_columns(["turn", "place"])

    def counted(self, features: Sequence[Counted], kind: str, asks: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """A column per feature, a row per ask: see Database.counted."""
        rows = len(asks["ts"])
        self._asks(asks, rows)
        found: dict[str, np.ndarray] = {}
        for window, group in by_window(features).items():
            check(group, self.types[window.of], asks)
            for some in self._plans(window, group, kind):
                answer = self._answer(some.pop("query"))
                found |= {name: column(answer, name, how, rows) for name, how in some.items()}
        return {feature.name: found[feature.name] for feature in features}

    def label(self, label: Label, kind: str, asks: Mapping[str, Any]) -> np.ndarray:
        """The label of each ask as it is known now, not yet turned into 1 or 0; null as in the definition."""
        if problem := sql.problems(label.of, label.how, self.types[label.of]):
            raise ShelflifeError(problem)
        self._asks(asks, len(asks["ts"]))
        answer = self._answer(sql.label(label, kind, self.types[label.of], SPARK))
        return column(answer, "label", label.how, len(asks["ts"]))

    def _plans(self, window: Window, group: Sequence[Counted], kind: str) -> list[dict[str, Any]]:
        """Sums as running sums, everything else by pairs, each with the aggregations that its query answers."""
        types, own = self.types[window.of], window.of == kind and window.of in self._repeated
        tops = [[f] for f in group if f.how.how == "top"]
        by_pairs = self._by_offset or own
        sums = [f for f in group if not by_pairs and sql.additive(f, types)]
        rest = [f for f in group if f.how.how != "top" and f not in sums]
        plans = [{"query": sql.steps(window, sums, types, SPARK), **{f.name: f.how for f in sums}}] if sums else []
        for some in [*tops, *([rest] if rest else [])]:
            query = sql.pairs(window, some, types, SPARK, by_offset=self._by_offset, own=own)
            plans.append({"query": query, **{f.name: f.how for f in some}})
        return plans

    def _asks(self, asks: Mapping[str, Any], rows: int) -> None:
        table = pa.table({"row": np.arange(rows), **asks})
        self._spark.createDataFrame(table).createOrReplaceTempView("asks")

    def _answer(self, query: str) -> pa.Table:
        return self._spark.sql(query).toArrow()
