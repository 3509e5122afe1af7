from datetime import timedelta

import pytest
from goods import NOW

from pipelines.core.clock import SECOND
from pipelines.core.errors import ShelflifeError

HOUR = timedelta(hours=1)
LATER = NOW + 3600 * SECOND


def test_one_run_at_a_time_for_each_use_case(home):
    home.runs.lease("fraud", "r1", NOW, HOUR)
    home.runs.lease("demand", "r1", NOW, HOUR)
    with pytest.raises(ShelflifeError, match="r1 is under way"):
        home.runs.lease("fraud", "r2", NOW, HOUR)
    assert home.runs.holder("fraud", NOW).run == "r1"


def test_the_same_run_again_keeps_its_epoch(home):
    assert home.runs.lease("fraud", "r1", NOW, HOUR) == home.runs.lease("fraud", "r1", NOW + 1, HOUR) == 1


def test_after_its_lease_ran_out_another_run_may_begin_and_the_zombie_is_fenced(home):
    old = home.runs.lease("fraud", "r1", NOW, HOUR)
    new = home.runs.lease("fraud", "r2", LATER, HOUR)
    assert new > old
    for act in (lambda: home.runs.renew("fraud", "r1", old, LATER, HOUR), lambda: home.runs.check("fraud", "r1", old, LATER)):
        with pytest.raises(ShelflifeError, match="no longer holds the lease"):
            act()
    assert home.runs.free("fraud", "r1") is False
    home.runs.check("fraud", "r2", new, LATER)


def test_a_run_that_begins_again_after_its_lease_ran_out_gets_a_higher_epoch(home):
    old = home.runs.lease("fraud", "r1", NOW, HOUR)
    assert home.runs.lease("fraud", "r1", LATER, HOUR) == old + 1
    with pytest.raises(ShelflifeError):
        home.runs.check("fraud", "r1", old, LATER)


def test_a_renewed_lease_lives_longer_and_a_freed_one_is_free(home):
    epoch = home.runs.lease("fraud", "r1", NOW, HOUR)
    home.runs.renew("fraud", "r1", epoch, LATER - 1, HOUR)
    home.runs.check("fraud", "r1", epoch, LATER)
    assert home.runs.free("fraud", "r1") is True
    assert home.runs.holder("fraud", LATER) is None
    assert home.runs.lease("fraud", "r2", LATER, HOUR) == epoch + 1


def test_the_journal_keeps_events_in_order_with_their_moment(home):
    home.runs.append("fraud", {"kind": "alarm", "n": 1}, NOW)
    home.runs.append("demand", {"kind": "alarm", "n": 2}, NOW)
    home.runs.append("fraud", {"kind": "retrained"}, NOW - 5)
    assert home.runs.journal("fraud") == [{"kind": "alarm", "n": 1, "at": NOW}, {"kind": "retrained", "at": NOW - 5}]


def test_a_trigger_that_is_delivered_a_thousand_times_is_one(home):
    assert sum(home.runs.append("fraud", {"kind": "drift"}, NOW + n, key="drift-1") for n in range(200)) == 1
    assert home.runs.append("demand", {"kind": "drift"}, NOW, key="drift-1")
    assert len(home.runs.journal("fraud")) == 1


def test_who_decides_from_the_journal_decides_alone(home):
    """Eight at once write only what the journal does not hold yet: one of them does."""
    from concurrent.futures import ThreadPoolExecutor

    def follow(journal):
        return [] if journal else [{"name": "started", "at": NOW}]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: home.runs.extend("fraud", follow), range(8)))
    assert home.runs.journal("fraud") == [{"name": "started", "at": NOW}]
