"""A feed of payments with a weekly season, whose newest days can be spoilt."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.clock import DAY, instant
from pipelines.shop.contracts import CONTRACTS

START = instant("2025-03-03")
SUITES = Path(__file__).parents[2] / "great_expectations"


def payments(days=42, a_day=60, seed=0):
    """Payments of so many whole days; more at weekends."""
    random = np.random.default_rng(seed)
    counts = [random.poisson(a_day * (1.6 if day % 7 >= 5 else 1.0)) for day in range(days)]
    day = np.repeat(np.arange(days), counts)
    rows = len(day)
    ts = np.sort(START + day * DAY + random.integers(0, DAY - 1, rows))
    names = [f"p{i}" for i in range(rows)]
    strings = {
        name: pa.array([f"{name[0]}{i}" for i in random.integers(0, 50, rows)]) for name in ("card", "customer", "terminal")
    }
    return pa.table(
        {
            "id": names, "ts": ts, "arrived": ts, "offset": np.arange(rows), "payment_id": names,
            "order_id": pa.nulls(rows, pa.string()), **strings, "amount_cents": random.integers(500, 9000, rows),
            "country": pa.array(random.choice(["DE", "FR"], rows)), "device": pa.array(random.choice(["mobile", "desktop"], rows)),
        }
    )  # fmt: skip


def as_of(table_days=42):
    return START + table_days * DAY


def put(table, column, values):
    """The table with another column in the same place."""
    return table.set_column(table.column_names.index(column), column, pa.array(values))


@pytest.fixture
def table():
    return payments()


@pytest.fixture
def contract():
    return CONTRACTS["payment"]


@pytest.fixture
def feed():
    """The makers, for tests that spoil a feed."""
    return type(
        "Feed",
        (),
        {
            "payments": staticmethod(payments),
            "as_of": staticmethod(as_of),
            "put": staticmethod(put),
            "START": START,
            "SUITES": SUITES,
        },
    )


@pytest.fixture
def newest(table):
    """True for the rows of the last closed day."""
    return table["arrived"].to_numpy() >= START + 41 * DAY
