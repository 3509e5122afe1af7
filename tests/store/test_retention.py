"""Retention never removes what may answer, or what an answer of late came from."""

import os
from datetime import timedelta

import pytest
from goods import DAY, NOW, bundle, ship

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.store.retention import prune

MONTH = timedelta(days=30)


def test_pruning_keeps_what_answers_or_may_have_to_answer_again(home, tmp_path):
    names = [ship(home, tmp_path, n, at=NOW + n * DAY, as_of=NOW) for n in range(6)]
    later = NOW + 100 * DAY
    gone = prune(home, later, MONTH)
    assert set(gone.bundles) == set(names[:3])
    assert {p.name for p in (home.path / "releases").iterdir()} == set(names[3:])
    home.releases.rollback("fraud", at=later, actor="ops", reason="worse")
    home.releases.rollback("fraud", at=later, actor="ops", reason="worse")
    assert home.releases.champion("fraud").bundle == names[3]
    assert home.releases.verify() == 8


def test_pruning_keeps_every_bundle_that_a_prediction_within_retention_names(home, tmp_path):
    names = [ship(home, tmp_path, n, at=NOW + n * DAY, as_of=NOW) for n in range(6)]
    later = NOW + 100 * DAY
    home.log.append([Event("prediction", "p0", NOW, {"bundle": names[0]})], arrived=NOW)
    home.log.append([Event("prediction", "p1", NOW, {"bundle": names[1]})], arrived=later - DAY)
    assert set(prune(home, later, MONTH).bundles) == {names[0], names[2]}
    home.releases.read(names[1])


def test_pruning_keeps_what_is_young_and_what_still_waits_for_its_verdict(home, tmp_path):
    waiting = home.releases.add(bundle(tmp_path / "w", "w", as_of=NOW + 90 * DAY))
    rejected = home.releases.add(bundle(tmp_path / "r", "r", as_of=NOW))
    assert prune(home, NOW + 100 * DAY, MONTH).bundles == (rejected,)
    home.releases.read(waiting)


def test_pruning_never_drops_an_unsent_mail_a_waiting_row_or_an_event(full):
    before = full.log.read(), full.outbox.waiting(), full.quarantine.list()
    prune(full, NOW + 1000 * DAY, MONTH)
    assert (full.log.read(), full.outbox.waiting(), full.quarantine.list()) == before


def test_pruned_evidence_leaves_the_decision_and_its_chain(home):
    old = home.decisions.record("gate", "fraud", NOW, {"bundle": "f" * 64}, {"report.html": b"<p>"})
    assert prune(home, NOW + 100 * DAY, MONTH).evidence == (old,)
    assert home.decisions.verify_chain() == 1
    assert home.decisions.get(old).body == {"bundle": "f" * 64}
    with pytest.raises(ShelflifeError):
        home.decisions.files(old)


def test_the_evidence_for_a_bundle_that_is_still_here_stays(home, tmp_path):
    name = ship(home, tmp_path, 1)
    home.decisions.record("gate", "fraud", NOW, {"bundle": name}, {"report.html": b"<p>"})
    assert prune(home, NOW + 100 * DAY, MONTH).evidence == ()


def test_what_the_dead_left_unfinished_is_swept_and_what_the_living_write_is_not(home):
    dead, living = home.path / "releases" / ".tmp-999999999-x", home.path / "releases" / f".tmp-{os.getpid()}-x"
    for folder in (dead, living):
        folder.mkdir()
    assert prune(home, NOW, MONTH).unfinished == 1
    assert (dead.exists(), living.exists()) == (False, True)
