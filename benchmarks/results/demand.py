"""Demand on a British web shop's year: weekly units of its 500 best-selling items, four weeks ahead, rolling origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.results import data
from pipelines.core.clock import DAY, EVER, days
from pipelines.core.clock import instant as at
from pipelines.core.expression import maximum, minimum
from pipelines.core.feature import Count, Counted, Distinct, Label, Max, Mean, Sum, features
from pipelines.core.usecase import UseCase
from pipelines.features import batch
from pipelines.shop.contracts import CONTRACTS
from pipelines.usecases import get

DATASET = "online_retail"
SEED = 12
WEEK = 7 * DAY
START = at("2010-12-06")
"""The first Monday; week 0 begins here. The set ends within week 52, so week 51 is the last whole one."""
ORIGINS = (32, 36, 40, 44, 48)
"""Weeks at whose beginning the next four are forecast: five times four weeks that do not overlap, to the end of the set."""
EARLIER = (20, 24, 28)
"""The origins on which choices were made; every week they forecast lies before the first of ORIGINS."""
AHEAD = 4
ITEMS = 500


def units(name: str, weeks: int, ago: int = 0) -> Counted:
    return Counted(name, of="purchase", by="item", how=Sum("quantity"), over=days(7 * weeks), delay=days(7 * ago))


COUNTED = (
    *(units(f"units_week_{n}", 1, n - 1) for n in (1, 2, 3, 4, 5, 6, 8, 13)),
    *(units(f"units_{n}w", n) for n in (4, 8, 13)),
    *(Counted(f"orders_{n}w", of="purchase", by="item", how=Count(), over=days(7 * n)) for n in (1, 4, 13)),
    Counted("largest_4w", of="purchase", by="item", how=Max("quantity"), over=days(28)),
    Counted("largest_13w", of="purchase", by="item", how=Max("quantity"), over=days(91)),
    Counted("customers_4w", of="purchase", by="item", how=Distinct("customer"), over=days(28)),
    Counted("price_paid_1w", of="purchase", by="item", how=Mean("price_cents"), over=days(7)),
    Counted("price_paid_13w", of="purchase", by="item", how=Mean("price_cents"), over=days(91)),
    Counted("refunded_13w", of="refund", by="item", how=Sum("quantity"), over=days(91)),
)


def case(ahead: int) -> UseCase:
    """Our demand use case asked for the week that begins `ahead - 1` weeks after the Monday of the ask."""
    label = Label(of="purchase", by="item", how=Sum("quantity"), within=days(7), ahead=days(7 * (ahead - 1)))
    return replace(get("demand"), features=features(given=("price_cents",), counted=COUNTED), label=label)


def best_selling(purchases: Any) -> list[str]:
    """The items with the most units before the first origin; equal ones in item order."""
    import pyarrow.compute as pc

    before = purchases.filter(pc.less(purchases["ts"], START + ORIGINS[0] * WEEK))
    sold = before.group_by("item").aggregate([("quantity", "sum")])
    ranked = sold.sort_by([("quantity_sum", "descending"), ("item", "ascending")])
    return ranked["item"].slice(0, ITEMS).to_pylist()


def asks(items: list[str], listings: Any) -> Any:
    """Every item on every Monday, at its last known price: an item that had not sold for long is asked for too."""
    import pandas as pd

    from pipelines.shop.tables import table

    mondays = START + np.arange(53) * WEEK
    known = listings.to_pandas()[["item", "ts", "price_cents"]]
    price = known[known["item"].isin(items)].pivot_table(index="ts", columns="item", values="price_cents")
    price = price.reindex(index=mondays, columns=items).ffill().fillna(0).astype("int64").stack()
    rows = price.rename("price").reset_index()
    rows.columns = ["ts", "item", "price"]
    ids = [f"{item}-{ts // DAY}" for item, ts in zip(rows["item"], rows["ts"], strict=True)]
    ts = rows["ts"].to_numpy()
    columns = {"item": rows["item"].tolist(), "category": ["all"] * len(rows), "price_cents": rows["price"].to_numpy(), "promoted": [0] * len(rows)}
    return table(CONTRACTS["listing"], ids, ts, ts, columns)
