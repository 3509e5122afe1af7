"""pandas merge_asof on precomputed rows (precompute.py): the newest row of the customer and of the item at or before the ask."""

import pandas as pd


def run(folder):
    asks = pd.read_parquet(folder / "ask.parquet", columns=["ts", "customer", "item"])
    asks["event_timestamp"] = pd.to_datetime(asks.pop("ts"), unit="us", utc=True)
    asks["place"] = range(len(asks))
    asks = asks.sort_values("event_timestamp", kind="stable")
    for by in ("customer", "item"):
        rows = pd.read_parquet(folder / f"{by}_rows.parquet")
        asks["event_timestamp"] = asks["event_timestamp"].astype(rows["event_timestamp"].dtype)
        asks = pd.merge_asof(asks, rows, on="event_timestamp", by=by)
    import pyarrow as pa

    return pa.Table.from_pandas(asks.sort_values("place").drop(columns=["place", "event_timestamp"]), preserve_index=False)


def keep(result, path):
    import pyarrow.parquet as pq

    pq.write_table(result, path)
