"""Feast's point-in-time join of precomputed rows (frames/precompute.py), local, on its DuckDB offline store."""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

STEP = 25
"""Every so manieth ask is joined."""


def prepare(folder):
    repo = Path(tempfile.mkdtemp())
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(repo / "registry.db"),
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(repo / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    views = [view(folder, by) for by in ("customer", "item")]
    store.apply([*[v for v, _ in views], *[e for _, e in views]])
    return folder, store, [f"{v.name}:{field.name}" for v, _ in views for field in v.schema if field.dtype == Float64]


def view(folder, by):
    path = folder / f"{by}_rows.parquet"
    entity = Entity(name=by, join_keys=[by], value_type=ValueType.INT64)
    names = [name for name in pq.read_schema(path).names if name not in (by, "event_timestamp")]
    source = FileSource(path=str(path.resolve()), timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=Float64) for name in names]
    return FeatureView(name=f"{by}_rows", entities=[entity], ttl=timedelta(days=90), schema=schema, source=source), entity


def run(ready):
    folder, store, names = ready
    asks = pd.read_parquet(folder / "ask.parquet", columns=["ts", "customer", "item"])
    asks["place"] = range(len(asks))
    asks = asks.iloc[::STEP]
    asks["event_timestamp"] = pd.to_datetime(asks.pop("ts"), unit="us", utc=True)
    return store.get_historical_features(entity_df=asks, features=names).to_arrow()


def facts(result):
    return {"rows": len(result)}


def keep(result, path):
    pq.write_table(result.sort_by("place"), path)
