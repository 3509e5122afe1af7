import numpy as np
import pyarrow as pa

from pipelines.checks.rows import check, split
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.rows import event


def test_rows_that_break_the_contract_are_set_apart_with_their_reasons_and_none_is_lost(feed, table, contract):
    amounts = table["amount_cents"].to_numpy().copy()
    amounts[[3, 7]] = -1
    good, bad = split(feed.put(table, "amount_cents", amounts), contract, feed.as_of())
    assert good.num_rows + len(bad) == table.num_rows
    assert [event.id for event, _ in bad] == ["p3", "p7"]
    assert "amount_cents" in bad[0][1][0]


def test_a_row_without_a_usable_id_or_time_is_kept_as_it_came(feed, table, contract):
    one = feed.put(table.slice(0, 1), "ts", pa.array([None], pa.int64()))
    good, ((raw, problems),) = split(one, contract, feed.as_of())
    assert good.num_rows == 0
    assert raw["kind"] == "payment"
    assert raw["payment_id"] == "p0"
    assert problems[0].startswith("ts:")


def test_a_table_and_its_events_one_by_one_are_judged_alike(feed, table, contract):
    random = np.random.default_rng(0)
    spoilt = feed.put(table, "amount_cents", random.integers(-5000, 600_000, table.num_rows))
    good, bad = split(spoilt, contract, feed.as_of())
    events = [event("payment", row) for row in spoilt.to_pylist()]
    kept, refused = check(events, CONTRACTS, feed.as_of())
    assert [event.id for event in kept] == good["id"].to_pylist()
    assert [(e.id, p) for e, p in refused] == [(e.id, p) for e, p in bad]


def test_an_event_of_a_kind_that_nobody_declared_is_refused(feed):
    _, ((_, problems),) = check([Event("<script>", "1", feed.START, {})], CONTRACTS, feed.as_of())
    assert "'<script>'" in problems[0]
