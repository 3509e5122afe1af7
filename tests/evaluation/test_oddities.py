import numpy as np
import pytest

from pipelines.core.clock import DAY, SECOND
from pipelines.evaluation.oddities import oddities
from pipelines.evaluation.quality import quality
from pipelines.evaluation.windows import windows

NOW = 100 * DAY
KINDS = {"customer": "category", "order": "category", "country": "category", "amount": "number"}


def feed(seed=1, rows=12_000):
    """Payments of 1,500 customers who nearly always pay from their own country, in cents."""
    random = np.random.default_rng(seed)
    ts = np.sort(random.integers(NOW - 77 * DAY, NOW, rows))
    who = random.integers(0, 1500, rows)
    home = random.choice(np.array(["DE", "FR", "US"], object), 1500)[who]
    country = np.where(random.random(rows) < 0.03, "IT", home).astype(object)
    return ts, {
        "order": np.array([f"o{n}" for n in range(rows)], object), "customer": np.array([f"c{n}" for n in who], object),
        "country": country, "amount": np.floor(random.lognormal(8, 0.8, rows)),
    }  # fmt: skip


def odd(ts, columns, arrived=None):
    return oddities(columns, KINDS, ("order", "customer"), ts, ts + 5 * SECOND if arrived is None else arrived)


def failing(ts, columns, monitor, arrived=None):
    seen = windows(ts, monitor, NOW)
    fields = {name: columns[name] for name in ("country", "amount")}
    found = quality(fields, KINDS, ts, seen, monitor, now=NOW, odd=odd(ts, columns, arrived))
    return {f.name.removeprefix("quality: "): f.advice for f in found if f.status == "fail"}


@pytest.mark.parametrize("seed", range(5))
def test_a_sound_feed_has_odd_rows_and_no_fault(seed, monitor):
    ts, columns = feed(seed)
    assert failing(ts, columns, monitor) == {}
    assert 0 < odd(ts, columns)["country unlike its customer"].mean() < 0.15


def test_what_is_odd_is_named(monitor):
    ts, columns = feed()
    late = ts >= NOW - 7 * DAY
    random = np.random.default_rng(1)
    shuffled = columns["country"].copy()
    shuffled[late] = random.permutation(shuffled[late])
    cases = {
        "country unlike its customer": ({"country": shuffled}, None),
        "amount rounded": ({"amount": np.where(late, columns["amount"] // 100 * 100, columns["amount"])}, None),
        "amount below zero": ({"amount": np.where(late, -columns["amount"], columns["amount"])}, None),
        "late": ({}, np.where(late, ts + 2 * 3600 * SECOND, ts)),
    }
    for name, (change, arrived) in cases.items():
        assert failing(ts, columns | change, monitor, arrived)["odd rows"].startswith(f"{name}: "), name


def test_a_week_that_is_sent_twice_is_odd(monitor):
    ts, columns = feed()
    rows = np.sort(np.r_[np.arange(len(ts)), np.flatnonzero(ts >= NOW - 7 * DAY)])
    assert "repeated: 50%" in failing(ts[rows], {n: c[rows] for n, c in columns.items()}, monitor)["odd rows"]


def test_what_cannot_be_looked_at_is_left_out():
    ts, columns = feed(rows=100)
    del columns["customer"]
    assert set(odd(ts, columns)) == {"late", "amount below zero", "amount rounded"}
    empty = odd(np.zeros(0, np.int64), {n: c[:0] for n, c in feed()[1].items()})
    assert all(len(mask) == 0 for mask in empty.values())


def test_fractions_are_rounded_when_they_are_whole():
    values = np.array([1.5, 2.0, np.nan, 0.0, -3.0])
    mask = oddities({"x": values}, {}, (), np.zeros(5, np.int64), np.zeros(5, np.int64))["x rounded"]
    assert mask.tolist() == [False, True, False, False, True]
