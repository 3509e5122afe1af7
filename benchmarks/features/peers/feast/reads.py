"""Feast's online store: the same numbers, written beforehand and read by key. It merges no windows; they were true when written."""

import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

ONES, HUNDREDS, WARM = 2000, 200, 50


def prepare(folder, values, address=""):
    """`values`: the stem of the Parquet files of numbers per customer and item; `address`: host:port of a Redis, or SQLite."""
    repo = Path(tempfile.mkdtemp())
    online = {"type": "redis", "connection_string": address} if address else {"type": "sqlite", "path": str(repo / "online.db")}
    config = RepoConfig(
        project="shop", provider="local", registry=str(repo / "registry.db"), online_store=online, entity_key_serialization_version=3
    )
    store = FeatureStore(config=config)
    tables = {by: pd.read_parquet(f"{values}-{by}.parquet") for by in ("customer", "item")}
    for by, table in tables.items():
        table["event_timestamp"] = pd.Timestamp("2026-01-01", tz="UTC")
        table.to_parquet(repo / f"{by}.parquet")
        entity = Entity(name=by, join_keys=[by], value_type=ValueType.INT64)
        schema = [Field(name=name, dtype=Float64) for name in features(table, by)]
        source = FileSource(path=str(repo / f"{by}.parquet"), timestamp_field="event_timestamp")
        store.apply([entity, FeatureView(name=f"{by}_now", entities=[entity], ttl=timedelta(0), schema=schema, source=source)])
        store.write_to_online_store(f"{by}_now", table)
    return store, tables


def features(table, by):
    return [name for name in table.columns if name not in (by, "event_timestamp")]


def run(ready):
    store, tables = ready
    keys = {by: np.random.default_rng(5).choice(table[by].to_numpy(), 100 * max(ONES, HUNDREDS)).tolist() for by, table in tables.items()}
    names = {by: [f"{by}_now:{name}" for name in features(table, by)] for by, table in tables.items()}

    def read(by, count):
        def one(n):
            rows = [{by: key} for key in keys[by][n * count : n * count + count]]
            return store.get_online_features(features=names[by], entity_rows=rows).to_dict()

        return one

    return ready, timed(read("customer", 1), ONES), timed(read("item", 100), HUNDREDS), read


def timed(work, count):
    took = []
    for n in range(count):
        begun = time.perf_counter_ns()
        work(n)
        took.append(time.perf_counter_ns() - begun)
    return np.array(took[WARM:]) / 1000


def facts(result):
    (_, tables), singles, rows, read = result
    wrong = cells = 0
    for by, count in (("customer", 1), ("item", 100)):
        for n in range(20):
            told = read(by, count)(n)
            wanted = tables[by].set_index(by).loc[told[by]]
            for name in features(tables[by], by):
                got, want = np.array(told[name], dtype=float), wanted[name].to_numpy(dtype=float)
                wrong += int((~((got == want) | (np.isnan(got) & np.isnan(want)))).sum())
                cells += len(got)
    figures = {f"{what}_p{q}_us": float(np.percentile(took, q)) for what, took in (("one", singles), ("hundred", rows)) for q in (50, 99)}
    return {**figures, "cells": cells, "wrong": wrong}
