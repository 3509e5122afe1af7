from dataclasses import replace

import pytest
from goods import DAY, NOW, view

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS


def check(event):
    return CONTRACTS["view_item"].problems(event, NOW)


@pytest.fixture
def broken(home):
    """Three rows that miss their item, and one that is no event at all."""
    rows = [view(n, item=None, trail=[]) for n in range(3)]
    home.quarantine.put_all([(row, check(row)) for row in rows], NOW)
    home.quarantine.put(b'{"half": ', ["no JSON"], NOW)
    return home.quarantine


def test_what_broke_its_contract_waits_with_the_reasons(broken):
    found = broken.list("view_item")
    assert {row.event.id for row in found} == {"v0", "v1", "v2"}
    assert all("item: wanted" in row.problems[0] for row in found)
    assert broken.counts() == {("view_item", "waiting"): 3, ("", "waiting"): 1}
    assert [row.raw for row in broken.list("")] == [b'{"half": ']


def test_the_same_row_again_is_kept_once_and_counted(broken):
    broken.put(view(0, item=None, trail=[]), ["item"], NOW + 1)
    assert sorted(row.times for row in broken.list("view_item")) == [1, 1, 2]


def test_after_a_fix_the_rows_go_into_the_log_and_what_is_still_broken_stays(home, broken):
    fixed = broken.replay(lambda e: replace(e, body={**e.body, "item": "i1"}) if e.id != "v2" else e, check, home.log, NOW + 5)
    assert (fixed.accepted, fixed.broken) == (2, 2)
    assert {(e.id, e.body["item"], e.arrived) for e in home.log.read()} == {("v0", "i1", NOW + 5), ("v1", "i1", NOW + 5)}
    assert [row.event.id for row in broken.list("view_item")] == ["v2"]
    assert len(broken.list("view_item", state="replayed")) == 2
    assert len(broken.list("")) == 1


def test_replaying_without_a_fix_takes_what_a_mended_contract_now_allows(home, broken):
    done = broken.replay(None, lambda event: (), home.log, NOW)
    assert (done.accepted, done.broken) == (3, 1)


def test_a_fix_that_fails_leaves_the_row_with_that_reason(home, broken):
    def fix(event):
        raise ValueError("not a whole number")

    assert broken.replay(fix, check, home.log, NOW).accepted == 0
    assert broken.list("view_item")[0].problems == ("the fix failed: ValueError not a whole number",)
    assert home.log.last_offset() == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\x00",
        "half a line \ud800",
        {"kind": "x"},
        {"kind": "x", "id": 1, "ts": None, "body": [1]},
        Event("x", "", -1, {"a": float("nan"), "b": object()}),
        Event("x", "y", 1, {"when": NOW, "n": {"deep": {1: 2}}}),
    ],
)
def test_anything_at_all_can_be_kept(home, raw):
    id_ = home.quarantine.put(raw, ["odd"], NOW)
    assert [row.id for row in home.quarantine.list()] == [id_]
    home.quarantine.replay(None, lambda event: ("still odd",), home.log, NOW)
    assert len(home.quarantine.list()) == 1


def test_a_partition_is_held_with_a_reason_and_freed(home):
    home.quarantine.hold_partition("view_item", "2025-05-26", "unit bug", NOW)
    home.quarantine.hold_partition("view_item", "2025-05-26", "unit bug, confirmed", NOW + DAY)
    home.quarantine.hold_partition("purchase", "2025-05-26", "late", NOW)
    assert home.quarantine.held(["view_item"]) == {("view_item", "2025-05-26")}
    assert home.quarantine.reasons(["view_item"]) == [("view_item", "2025-05-26", "unit bug, confirmed")]
    assert len(home.quarantine.held()) == 2
    home.quarantine.free_partition("view_item", "2025-05-26")
    assert home.quarantine.held(["view_item"]) == set()
    with pytest.raises(ShelflifeError, match="not held"):
        home.quarantine.free_partition("view_item", "2025-05-26")


def test_arrivals_are_counted_a_day_without_reading_the_rows(home):
    from pipelines.core.clock import DAY

    for number, at in enumerate([DAY, DAY + 1, 2 * DAY, 2 * DAY + 5]):
        home.quarantine.put(Event("payment", f"p{number}", 1, {"amount_cents": -1}), ["amount_cents: below 0"], at)
    found = home.quarantine.arrivals(["payment", "refund"], 0)
    assert found["payment"].tolist() == [DAY, 2 * DAY, 2 * DAY, 3 * DAY]
    assert found["refund"].tolist() == []
    assert home.quarantine.arrivals(["payment"], 2 * DAY)["payment"].tolist() == [3 * DAY]
