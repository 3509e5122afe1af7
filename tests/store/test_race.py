"""Many processes at once: one champion at a time, one chain of epochs, every event once."""

import os
from datetime import timedelta
from itertools import pairwise

import pytest
from goods import NOW, bundle, promote, release, ship, view

from pipelines.core.errors import ShelflifeError
from pipelines.store.home import Home

CROWD = 8


def crowd(path, act):
    """Run act(home, number) in that many processes at once; their exit statuses."""
    children = []
    for number in range(CROWD):
        child = os.fork()
        if child == 0:
            try:
                os._exit(act(Home.open(path), number))
            except BaseException:
                os._exit(99)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def promoted_at_once(home, tmp_path):
    """Eight bundles that are promoted at once against the same champion: their names, and each process's exit status."""
    ship(home, tmp_path, "first")
    names = [home.releases.add(bundle(tmp_path / str(n), n)) for n in range(CROWD)]
    releases = [release(home, name) for name in names]
    seen = home.releases.epoch()
    home.close()

    def act(own, number):
        try:
            promote(own, releases[number], expected_epoch=seen)
        except ShelflifeError:
            return 1
        return 0

    return names, crowd(home.path, act)


def test_of_eight_promotions_against_the_same_champion_one_wins(home, tmp_path):
    names, ended = promoted_at_once(home, tmp_path)
    assert sorted(ended) == [0] + [1] * (CROWD - 1)
    assert home.releases.champion("fraud").bundle == names[ended.index(0)]
    assert home.releases.verify() == home.releases.epoch() == len(home.outbox.waiting()) == 2


def test_eight_processes_that_promote_and_roll_back_leave_a_single_chain(home, tmp_path):
    ship(home, tmp_path, "first")
    names = [home.releases.add(bundle(tmp_path / str(n), n)) for n in range(CROWD)]
    home.close()

    def act(own, number):
        won = 0
        for turn in range(12):
            try:
                if turn % 3 == 2:
                    own.releases.rollback("fraud", at=NOW, actor=f"p{number}", reason="x", expected_epoch=own.releases.epoch())
                else:
                    promote(own, release(own, names[number], at=NOW + number * 100 + turn), actor=f"p{number}")
                won += 1
            except ShelflifeError:
                continue
        return won

    won = crowd(home.path, act)
    assert 99 not in won
    changes = home.releases.history("fraud")
    assert [change.epoch for change in changes] == list(range(1, 2 + sum(won)))
    assert home.releases.verify() == home.releases.epoch() == len(home.outbox.waiting())
    for before, after in pairwise(changes):
        if after.action == "promote":
            assert after.previous == before.bundle != after.bundle


def test_eight_processes_that_append_the_same_events_count_each_once(home):
    home.close()

    def act(own, number):
        for start in range(0, 100, 10):
            own.log.append([view(n) for n in range(start, start + 20)], arrived=NOW + number)
        return 0

    assert crowd(home.path, act) == [0] * CROWD
    events = home.log.read(limit=1000)
    assert len(events) == len({event.id for event in events}) == 110
    assert [event.offset for event in events] == list(range(1, 111))
    assert [event.arrived for event in events] == sorted(event.arrived for event in events)


def test_of_eight_runs_one_gets_the_lease(home):
    home.close()

    def act(own, number):
        try:
            own.runs.lease("fraud", f"r{number}", NOW, timedelta(hours=1))
        except ShelflifeError:
            return 1
        return 0

    assert sorted(crowd(home.path, act)) == [0] + [1] * (CROWD - 1)


def test_eight_processes_may_make_a_home_add_a_bundle_and_land_at_once(tmp_path):
    folder = bundle(tmp_path / "new")
    path = tmp_path / "home"

    def act(_, number):
        from pipelines.shop.contracts import CONTRACTS

        own = Home.open(path, create=True)
        own.releases.add(folder)
        own.decisions.record("gate", "fraud", NOW, {}, {"r": b"r"})
        own.log.append([view(1)], arrived=NOW)
        own.landing.land(own.log, {"view_item": CONTRACTS["view_item"]}, until=NOW + 86_400_000_000)
        return 0

    Home.open(tmp_path / "other", create=True).close()
    assert crowd(tmp_path / "other", act) == [0] * CROWD
    home = Home.open(path)
    assert (home.decisions.verify_chain(), home.landing.verify(), home.log.last_offset()) == (1, 1, 1)


def test_a_forked_child_uses_connections_of_its_own(home):
    home.log.append([view(1)], arrived=NOW)
    assert home.releases.epoch() == 0
    child = os.fork()
    if child == 0:
        home.log.append([view(2)], arrived=NOW)
        home.state.put("child", "was here")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert home.state.get("child") == "was here"
    assert home.log.last_offset() == 2


@pytest.mark.slow
def test_promotions_that_are_killed_at_random_never_leave_a_torn_champion(home, tmp_path):
    """1,000 kills, a fifth of a millisecond apart, while another process reads."""
    import random
    import signal
    import time

    dice = random.Random(7)
    names = [ship(home, tmp_path, n) for n in range(2)]
    home.close()
    for _ in range(1000):
        child = os.fork()
        if child == 0:
            own = Home.open(home.path)
            while True:
                now = own.releases.champion("fraud").bundle
                other = names[now == names[0]]
                promote(own, release(own, other, at=NOW + own.releases.epoch()))
        time.sleep(0.02 + dice.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert home.releases.answering("fraud")[0].bundle in names
    assert home.releases.verify() == home.releases.epoch() == len(home.outbox.waiting())
