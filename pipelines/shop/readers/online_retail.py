"""A year of a British web shop for gifts (Chen; UCI 352): purchases, refunds, and weekly listings made from them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.core.clock import DAY
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.readers.reading import Reading, checked
from pipelines.shop.tables import table

MONDAY = 4 * DAY
"""1970-01-05, the first Monday that an instant knows."""
REMEMBERED = 12
"""Weeks after its last sale for which an item stays listed."""
SHELF = "all"
"""The set knows no categories."""


def reading(files: Mapping[str, bytes], delay: timedelta) -> Reading:
    """Purchases (a line each), refunds (the invoices that start with C, units turned positive) and listings.

    Times are the shop's own clock, read as UTC; `arrived` is `ts`. A line without a customer keeps a null one. Stock
    adjustments (no units, or fewer, without a C) and bad debts break the contract and are given apart. A listing says on each
    Monday what an item that sold in the last twelve weeks cost when it was last sold; nothing in it comes from later.
    """
    rows = _rows(files["online_retail.parquet"])
    rows["line"] = rows.groupby("InvoiceNo").cumcount()
    rows["id"] = rows["InvoiceNo"] + "-" + rows["line"].astype(str)
    rows["ts"] = rows["InvoiceDate"].to_numpy().astype("datetime64[us]").astype("int64")
    rows["cents"] = (rows["UnitPrice"] * 100).round().astype("int64")
    rows["customer"] = (
        ("c" + rows["CustomerID"].astype("Int64").astype("string")).astype(object).where(rows["CustomerID"].notna(), None)
    )
    back = rows["InvoiceNo"].str.startswith("C")
    purchases = _lines("purchase", rows[~back], 1, country=True)
    refunds = _lines("refund", rows[back], -1, country=False)
    return checked({"purchase": purchases, "refund": refunds, "listing": _listings(rows[~back & (rows["Quantity"] > 0)])})


def _rows(data: bytes) -> Any:
    """The invoice lines, from Parquet or from CSV."""
    import pandas as pd

    if data[:4] == b"PAR1":
        return pd.read_parquet(io.BytesIO(data))
    kinds = {"InvoiceNo": str, "StockCode": str, "Description": str, "Country": str, "CustomerID": "Float64"}
    rows = pd.read_csv(io.BytesIO(data), dtype=kinds, parse_dates=["InvoiceDate"])
    return rows.astype({"CustomerID": "Int64"})


def _lines(kind: str, rows: Any, sign: int, *, country: bool) -> Any:
    columns = {
        "order_id": rows["InvoiceNo"].tolist(), "customer": rows["customer"].tolist(), "item": rows["StockCode"].tolist(),
        "quantity": (sign * rows["Quantity"]).to_numpy(), "price_cents": rows["cents"].to_numpy(),
    }  # fmt: skip
    if country:
        columns["country"] = rows["Country"].tolist()
    ts = rows["ts"].to_numpy()
    return table(CONTRACTS[kind], rows["id"].tolist(), ts, ts, columns)


def _listings(sales: Any) -> Any:
    """Every Monday, each item that was sold in the weeks before, at its last price."""
    import pandas as pd

    known = sales.loc[sales["cents"].between(1, 1_000_000), ["StockCode", "ts", "cents"]].sort_values("ts", kind="stable")
    known["week"] = (known["ts"] - MONDAY) // (7 * DAY) + 1
    last = known.groupby(["StockCode", "week"], as_index=False)["cents"].last()
    grid = pd.concat([last.assign(week=last["week"] + later, age=later) for later in range(REMEMBERED)])
    grid = grid.sort_values(["week", "StockCode", "age"]).drop_duplicates(["week", "StockCode"])
    grid = grid[grid["week"] <= known["week"].max()]
    ts = (grid["week"] * 7 * DAY + MONDAY).to_numpy()
    ids = [f"{item.strip().replace(' ', '-')}-{moment // DAY}" for item, moment in zip(grid["StockCode"], ts, strict=True)]
    columns = {
        "item": grid["StockCode"].tolist(), "category": [SHELF] * len(grid), "price_cents": grid["cents"].to_numpy(),
        "promoted": [0] * len(grid),
    }  # fmt: skip
    return table(CONTRACTS["listing"], ids, ts, ts, columns)
