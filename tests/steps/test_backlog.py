"""A feed that was silent and then sends everything at once: the silence is broken data, what comes late is noted and trained on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.checks import history, suite
from pipelines.core.clock import DAY, day_of
from pipelines.core.params import Simulate
from pipelines.shop import incidents
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.simulator import simulate
from pipelines.shop.simulator.world import World
from pipelines.steps import looking
from pipelines.steps.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
SIZE = Simulate("2025-01-06", 84, 1200, 40, 20)
SILENT, LATE = range(66, 73), 78
"""Days without chargebacks, all of which come on the day after; the day whose payments come three days later."""


@pytest.fixture(scope="module")
def feeds():
    happen = (
        incidents.label_outage(SILENT[0], len(SILENT)),
        incidents.late_partition(LATE, kind="payment"),
        incidents.timezone_shift(LATE + 5),
    )
    parts = {"chargeback": [], "payment": []}
    for kind, table in simulate(SIZE, 1, first_day=0, last_day=84, incidents=happen):
        if kind in parts:
            parts[kind].append(table)
    return World(SIZE, 1), {kind: pa.concat_tables(tables) for kind, tables in parts.items()}


def looked(feeds, kind, day):
    """What the watch, the morning after a day, and the validation say of a feed: words that failed, days held, notes."""
    world, tables = feeds
    workspace, end = Workspace(ROOT), world.midnight(day + 1)
    known = tables[kind].filter(pa.array(tables[kind]["arrived"].to_numpy() < end))
    # The days that gave nothing were held on their own mornings.
    empty = {day_of(world.midnight(d)) for d in (*SILENT, LATE) if d <= day and d != day}
    case, block = workspace.case("fraud"), workspace.params.block("fraud")
    found, broken = looking.feeds(case, block, {kind: known}, end, since=end - DAY, held={(kind, d) for d in empty})
    expected = suite.read(ROOT / "great_expectations", CONTRACTS[kind]).history
    for held in ((), empty):
        found = [*found, *history.compare(kind, known, expected, as_of=end, held=held)]
    failed = [f.sentence() for f in found if f.status == "fail"]
    return failed, broken, [f.advice for f in found if "backlog" in f.name]


def test_labels_that_all_come_after_an_outage_are_late_and_not_broken(feeds):
    _, broken, _ = looked(feeds, "chargeback", SILENT[-1])
    assert broken, "a silent feed is broken data while it is silent"
    failed, broken, notes = looked(feeds, "chargeback", SILENT[-1] + 1)
    assert (failed, broken) == ([], {})
    assert "rows came after the feed had been silent" in notes[0]
    for later in (2, 4, 7):
        assert looked(feeds, "chargeback", SILENT[-1] + later)[:2] == ([], {}), "nor is the week after it empty"


def test_a_day_of_payments_that_comes_late_is_let_in(feeds):
    failed, broken, notes = looked(feeds, "payment", LATE + 3)
    world, tables = feeds
    rows = int((tables["payment"]["ts"].to_numpy() // DAY == world.midnight(LATE) // DAY).sum())
    assert (failed, broken) == ([], {})
    assert int(notes[0].split(" rows")[0].replace(",", "")) > 0.95 * rows


def test_a_clock_in_another_time_zone_is_still_broken_data(feeds):
    failed, broken, _ = looked(feeds, "payment", LATE + 5)
    assert broken
    assert any("late: " in sentence for sentence in failed)


def test_what_is_older_than_a_look_reads_costs_and_says_nothing(feeds, monkeypatch):
    world, tables = feeds
    payments, day = tables["payment"], 77
    old = payments
    for name in ("ts", "arrived"):
        earlier = pa.array(payments[name].to_numpy() - 400 * DAY)
        old = old.set_column(old.schema.get_field_index(name), name, earlier)
    seen = looked(feeds, "payment", day)
    rows, read = [], looking.from_arrow
    monkeypatch.setattr(looking, "from_arrow", lambda table: rows.append(table.num_rows) or read(table))
    looked(feeds, "payment", day)
    case, block, end = Workspace(ROOT).case("fraud"), Workspace(ROOT).params.block("fraud"), world.midnight(day + 1)
    known = payments.filter(pa.array(payments["arrived"].to_numpy() < end))
    found, broken = looking.feeds(case, block, {"payment": pa.concat_tables([old, known])}, end, since=end - DAY)
    assert ([f.sentence() for f in found if f.status == "fail"], broken) == (seen[0], seen[1])
    assert rows[0] == rows[1]


def test_late_rows_are_looked_at_like_any_others(feeds):
    """A unit bug does not hide in a backlog: values are judged on the day on which they came."""
    world, tables = feeds
    payments = tables["payment"]
    wrong = payments["ts"].to_numpy() // DAY == world.midnight(LATE) // DAY
    cents = np.where(wrong, np.minimum(payments["amount_cents"].to_numpy() * 100, 500_000), payments["amount_cents"].to_numpy())
    at = payments.schema.get_field_index("amount_cents")
    spoilt = {**tables, "payment": payments.set_column(at, "amount_cents", pa.array(cents))}
    failed, broken, _ = looked((world, spoilt), "payment", LATE + 3)
    assert broken == {"payment": (day_of(world.midnight(LATE + 3)),)}
    assert any("unit change" in sentence for sentence in failed)
