import sqlite3

import pyarrow.parquet as pq
import pytest
from goods import DAY, NOW, view

from pipelines.core.clock import days
from pipelines.core.contract import Contract, Field
from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.shop.tables import schema

KINDS = {kind: CONTRACTS[kind] for kind in ("view_item", "add_to_cart")}
NEW = Contract("note", "A note.", (Field("word", "text", required=False), Field("share", "number", required=False)), days(1))


@pytest.fixture
def landed(home):
    """Two events on day 0, one on day 2, one on day 3; landed while day 3 goes on."""
    home.log.append([view(1), view(2)], arrived=NOW + 1)
    home.log.append([view(3)], arrived=NOW + 2 * DAY + 5)
    home.log.append([view(4)], arrived=NOW + 3 * DAY)
    home.landing.land(home.log, KINDS, until=NOW + 3 * DAY + 7)
    return home.landing


def test_only_days_that_are_over_land_and_a_day_without_events_is_recorded(landed):
    assert landed.closed_until() == NOW + 3 * DAY
    assert [(p.day, p.rows) for p in landed.partitions(["view_item"], NOW + 3 * DAY)] == [
        ("2025-05-26", 2),
        ("2025-05-27", 0),
        ("2025-05-28", 1),
    ]
    assert [p.rows for p in landed.partitions(["add_to_cart"], NOW + 3 * DAY)] == [0, 0, 0]


def test_landed_rows_are_the_events_of_the_log_in_the_contracts_columns(home, landed):
    table = landed.table("view_item", NOW + 3 * DAY)
    assert table.schema.names == schema(CONTRACTS["view_item"]).names
    rows = table.to_pylist()
    events = home.log.read()[:3]
    assert [(r["id"], r["ts"], r["arrived"], r["offset"]) for r in rows] == [(e.id, e.ts, e.arrived, e.offset) for e in events]
    assert [r["item"] for r in rows] == ["i1", "i2", "i3"]
    assert landed.table("add_to_cart", NOW + DAY).num_rows == 0


def test_nothing_can_arrive_in_a_day_that_has_closed(home, landed):
    home.log.append([view(9)], arrived=NOW + 1)
    assert home.log.last_arrived() >= landed.closed_until()


def test_a_clock_that_went_back_does_not_reopen_a_quiet_day(home):
    home.log.append([view(1)], arrived=NOW)
    home.landing.land(home.log, KINDS, until=NOW + 3 * DAY)
    home.log.append([view(2)], arrived=NOW + DAY)
    assert home.log.last_arrived() == home.landing.closed_until() == NOW + 3 * DAY


def test_landing_again_writes_nothing_and_changes_no_digest(home, landed):
    before = landed.digest(KINDS, NOW + 3 * DAY)
    assert landed.land(home.log, KINDS, until=NOW + 3 * DAY + 8) == []
    landed.land(home.log, KINDS, until=NOW + 5 * DAY)
    assert landed.digest(KINDS, NOW + 3 * DAY) == before
    assert landed.digest(KINDS, NOW + 5 * DAY) != before


def test_a_moment_that_is_not_closed_yet_is_refused(landed):
    with pytest.raises(ShelflifeError, match=r"closed up to 2025-05-29T00:00:00Z, wanted 2025-05-29T00:00:00\.000001Z"):
        landed.partitions(["view_item"], NOW + 3 * DAY + 1)
    with pytest.raises(ShelflifeError, match="'purchase' is not landed"):
        landed.digest(["purchase"], NOW)


def test_a_contract_that_is_new_gets_its_past_days(home, landed):
    home.log.append([Event("purchase", "p1", NOW, {"item": "i1"})], arrived=NOW + 3 * DAY + 9)
    landed.land(home.log, {**KINDS, "purchase": CONTRACTS["purchase"]}, until=NOW + 4 * DAY)
    assert [p.rows for p in landed.partitions(["purchase"], NOW + 4 * DAY)] == [0, 0, 0, 1]
    assert [p.rows for p in landed.partitions(["view_item"], NOW + 4 * DAY)] == [2, 0, 1, 1]


def test_a_held_partition_stays_out_of_the_snapshot(landed):
    held = {("view_item", "2025-05-26")}
    assert landed.table("view_item", NOW + 3 * DAY, held).num_rows == 1
    assert landed.digest(KINDS, NOW + 3 * DAY, held) != landed.digest(KINDS, NOW + 3 * DAY)
    assert landed.table("view_item", NOW + DAY, held).num_rows == 0


def test_a_changed_byte_is_found_before_anything_is_parsed(landed):
    part = landed.partitions(["view_item"], NOW + DAY)[0]
    data = bytearray(part.path.read_bytes())
    data[len(data) // 2] ^= 1
    part.path.write_bytes(data)
    for look in (part.verify, landed.verify, lambda: landed.table("view_item", NOW + DAY)):
        with pytest.raises(ShelflifeError, match="has changed on disk"):
            look()
    part.path.unlink()
    with pytest.raises(ShelflifeError, match="has changed on disk"):
        landed.table("view_item", NOW + DAY)


def test_pages_carry_checksums(landed):
    part = landed.partitions(["view_item"], NOW + DAY)[0]
    data = bytearray(part.path.read_bytes())
    data[30] ^= 1
    part.path.write_bytes(data)
    with pytest.raises(OSError, match=r"CRC|checksum"):
        pq.read_table(part.path, page_checksum_verification=True)


def test_a_value_of_the_wrong_type_lands_as_null_and_is_counted(home):
    bodies = [{"word": "fine", "share": 1}, {"word": 5, "share": "much"}, {"word": "a\nb", "share": 0.5, "extra": [1]}, {}]
    home.log.append([Event("note", f"n{n}", NOW, body) for n, body in enumerate(bodies)], arrived=NOW)
    (part,) = home.landing.land(home.log, {"note": NEW}, until=NOW + DAY)
    assert (part.rows, part.broken) == (4, 2)
    rows = home.landing.table("note", NOW + DAY).to_pylist()
    assert [(r["word"], r["share"]) for r in rows] == [("fine", 1.0), (None, None), ("a\nb", 0.5), (None, None)]


def test_the_log_of_an_empty_shop_lands_nothing(home):
    assert home.landing.land(home.log, KINDS, until=NOW) == []
    assert home.landing.closed_until() == 0


def test_a_record_that_changed_in_the_log_does_not_land(home):
    home.log.append([view(1)], arrived=NOW)
    with sqlite3.connect(home.log.path) as other:
        other.execute("UPDATE events SET ts = ts + 1")
    with pytest.raises(ShelflifeError, match="record 1"):
        home.landing.land(home.log, KINDS, until=NOW + DAY)
    assert home.landing.closed_until() == 0


def test_many_days_land_in_several_commits_and_equal_one_landing(home, tmp_path):
    from pipelines.store.landing import Landing

    for day in range(70):
        home.log.append([view(day)], arrived=NOW + day * DAY)
    step = Landing(tmp_path / "step")
    for day in (1, 3, 40, 70):
        step.land(home.log, KINDS, until=NOW + day * DAY)
    home.landing.land(home.log, KINDS, until=NOW + 70 * DAY)
    assert step.digest(KINDS, NOW + 70 * DAY) == home.landing.digest(KINDS, NOW + 70 * DAY)
    assert home.landing.table("view_item", NOW + 70 * DAY).num_rows == 70
    step.close()
