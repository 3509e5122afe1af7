"""Killed at any failpoint, what a new process sees is exactly the old or the new; and doing it again gives the new."""

import re
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from goods import DAY, KILLED, NOW, bundle, killed_at, promote, release, ship, taking, view

import pipelines.store
from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS
from pipelines.store.backup import backup, restore
from pipelines.store.failpoint import VARIABLE, failpoint
from pipelines.store.home import Home
from pipelines.store.retention import prune

KINDS = {kind: CONTRACTS[kind] for kind in ("view_item", "add_to_cart")}
SOURCES = Path(pipelines.store.__file__).parent.glob("*.py")
NAMES = sorted({name for path in SOURCES for name in re.findall(r'failpoint\("([a-z_.]+)"\)', path.read_text())})


def facts(home):
    """Everything that the home says of itself, without how it says it."""
    read = home.releases
    return {
        "champion": read.champion("fraud"), "answers": read.answering("fraud"), "epoch": (read.epoch(), read.verify()), "held": read.held("fraud"),
        "mails": [(mail.key, mail.sent is not None) for mail in (*home.outbox.waiting(), *home.outbox.sent())],
        "events": [replace(event, arrived=None) for event in home.log.read(limit=99)], "whole": home.log.verify(),
        "landed": (home.landing.closed_until(), home.landing.verify()), "waiting": home.quarantine.list(state=None),
        "decisions": [(d.id, len(home.decisions.files(d.id))) for d in home.decisions.list()], "chain": home.decisions.verify_chain(),
        "lease": home.runs.holder("fraud", NOW), "journal": home.runs.journal("fraud"), "signs": home.keys.verify(b"x", home.keys.sign(b"x")),
        "bundles": {path.name for path in (home.path / "releases").iterdir() if not path.name.startswith(".tmp-") and home.releases.read(path.name)},
    }  # fmt: skip


def _again(home, broken):
    home.quarantine.replay(lambda event: replace(event, body={"item": "i7"}), lambda event: (), home.log, NOW)
    assert broken


def _promote(home, tmp_path):
    new = home.releases.add(bundle(tmp_path / "new", 9))
    promote(home, release(home, new, replaces=home.releases.history("fraud")[1].bundle), expected_epoch=2)


def _table(home):
    import pyarrow as pa

    home.log.append_table(
        "view_item",
        pa.table({"id": ["t1", "t2"], "ts": [NOW, NOW], "arrived": [NOW + 2 * DAY, NOW + 2 * DAY], "item": ["a", "b"]}),
    )


def _old_bundle(home, tmp_path):
    prune(home, NOW + 400 * DAY, timedelta(days=30))


ACTS = {
    "log.inserted": lambda home, tmp: home.log.append([view(5), view(6)], arrived=NOW),
    "log.bulk_inserted": lambda home, tmp: _table(home),
    "landing.files": lambda home, tmp: home.landing.land(home.log, KINDS, until=NOW + 3 * DAY),
    "quarantine.written": lambda home, tmp: home.quarantine.put_all([(view(8), ["odd"]), (b"junk", ["no JSON"])], NOW),
    "quarantine.appended": lambda home, tmp: _again(home, broken=True),
    "decision.kept": lambda home, tmp: home.decisions.record("gate", "fraud", NOW, {"status": "pass"}, {"report.json": b"{}"}),
    "lease.written": lambda home, tmp: home.runs.lease("fraud", "r1", NOW, timedelta(hours=1)),
    "journal.written": lambda home, tmp: home.runs.append("fraud", {"kind": "alarm"}, NOW, key="a1"),
    "journal.extended": lambda home, tmp: home.runs.extend(
        "fraud", lambda journal: [{"kind": "alarm", "at": NOW + len(journal)}]
    ),
    "hold.written": lambda home, tmp: home.releases.hold("fraud", at=NOW, actor="ops", reason="x"),
    "promote.begun": _promote,
    "rollback.begun": lambda home, tmp: home.releases.rollback("fraud", at=NOW, actor="ops", reason="x", expected_epoch=2),
    "fallback.written": lambda home, tmp: home.releases.fall_back(
        "fraud", home.releases.history("fraud")[1].bundle, at=NOW, actor="serve", reason="x"
    ),
    "folder.before_rename": lambda home, tmp: home.releases.add(bundle(tmp / "new", 9)),
    "discard.renamed": _old_bundle,
    "prune.bundle": _old_bundle,
}
"""What is done when the failpoint is met; one that is not named here shares the act of the nearest one before it."""

SAME = {
    "log.committed": "log.inserted", "log.bulk_committed": "log.bulk_inserted", "landing.listed": "landing.files", "landing.committed": "landing.files",
    "decision.written": "decision.kept", "promote.checked": "promote.begun", "promote.written": "promote.begun", "promote.mailed": "promote.begun",
    "promote.committed": "promote.begun", "rollback.checked": "rollback.begun", "rollback.written": "rollback.begun", "rollback.committed": "rollback.begun",
    "folder.renamed": "folder.before_rename",
}  # fmt: skip
ELSEWHERE = {
    "durable.before_rename", "keys.trusted", "keys.rotated", "keys.revoked", "outbox.sent", "outbox.marked", "home.before_version", "home.upgraded",
    "backup.copied", "backup.verified", "restore.checked",
    "log.erased", "log.erased_committed", "landing.rewritten", "landing.replaced", "erasure.online", "erasure.ledger", "erasure.log_compacted",
}  # fmt: skip
"""Swept by the tests below, in test_keys and in test_erasure, for what they change is not in `facts`."""


@pytest.fixture
def busy(home, tmp_path):
    """A home with two champions before, an old bundle, events, and something in quarantine."""
    ship(home, tmp_path, 1, as_of=NOW)
    ship(home, tmp_path, 2, as_of=NOW)
    home.releases.add(bundle(tmp_path / "stale", "stale", as_of=NOW - 90 * DAY))
    home.log.append([view(1), view(2)], arrived=NOW)
    home.log.append([view(3)], arrived=NOW + DAY)
    home.quarantine.put(view(7, item=None), ["item: wanted string, got nothing"], NOW)
    return home


@pytest.mark.parametrize("name", sorted({*ACTS, *SAME}))
def test_a_kill_leaves_the_old_or_the_new_and_again_gives_the_new(busy, tmp_path, name):
    act = ACTS[SAME.get(name, name)]
    before = facts(busy)
    busy.close()
    shutil.copytree(busy.path, tmp_path / "twin")
    twin = Home.open(tmp_path / "twin")
    act(twin, tmp_path / "there")
    after = facts(twin)
    twin.close()
    assert after != before

    assert killed_at(name, lambda: act(Home.open(busy.path), tmp_path / "here")) == KILLED
    seen = facts(Home.open(busy.path))
    halves = {key for key in seen if seen[key] not in (before[key], after[key])}
    assert not halves
    if name not in ("prune.bundle", "discard.renamed", "quarantine.appended"):  # steps of their own, each whole
        assert {**seen, "bundles": 0} in [{**whole, "bundles": 0} for whole in (before, after)]
    with suppress(ShelflifeError):
        act(Home.open(busy.path), tmp_path / "here")
    assert facts(Home.open(busy.path)) == after


@pytest.mark.parametrize("name", ["home.before_version", "durable.before_rename"])
def test_a_kill_while_a_home_is_made_is_mended_by_making_it_again(tmp_path, name):
    assert killed_at(name, lambda: Home.open(tmp_path / "new", create=True)) == KILLED
    with pytest.raises(ShelflifeError, match="there is no state"):
        Home.open(tmp_path / "new")
    home = Home.open(tmp_path / "new", create=True)
    assert home.log.last_offset() == 0
    home.close()


@pytest.mark.parametrize("name", ["backup.copied", "backup.verified"])
def test_a_kill_while_backing_up_leaves_no_archive_and_the_home_as_it_was(busy, tmp_path, name):
    before = facts(busy)
    assert killed_at(name, lambda: backup(busy, tmp_path / "a.tar")) == KILLED
    assert not (tmp_path / "a.tar").exists()
    backup(busy, tmp_path / "a.tar")
    assert facts(busy) == before


def test_a_kill_while_restoring_leaves_no_home(busy, tmp_path):
    backup(busy, tmp_path / "a.tar")
    assert killed_at("restore.checked", lambda: restore(tmp_path / "a.tar", tmp_path / "back")) == KILLED
    assert not (tmp_path / "back").exists()
    assert facts(restore(tmp_path / "a.tar", tmp_path / "back")) == facts(busy)


@pytest.mark.parametrize(("name", "sent"), [("outbox.sent", 0), ("outbox.marked", 1)])
def test_a_kill_while_sending_sends_each_mail_at_least_once(busy, name, sent):
    taken = []
    with taking(taken) as mail:
        assert killed_at(name, lambda: busy.outbox.deliver(mail, NOW)) == KILLED
        assert len(busy.outbox.sent()) == sent
        assert busy.outbox.deliver(mail, NOW).sent == 0  # the dead sender has them for a minute yet
        assert busy.outbox.deliver(mail, NOW + 61_000_000).waiting == 0
    assert len(taken) == (3 if name == "outbox.sent" else 2)


def test_every_failpoint_in_the_product_is_swept():
    assert set(NAMES) == {*ACTS, *SAME, *ELSEWHERE}


def test_failpoints_do_nothing_unless_they_are_asked_for(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    failpoint("promote.begun")
    monkeypatch.setenv(VARIABLE, "promote.written=kill")
    failpoint("promote.begun")
    monkeypatch.setenv(VARIABLE, "promote.begun=raise")
    with pytest.raises(RuntimeError, match=r"promote\.begun"):
        failpoint("promote.begun")
    monkeypatch.setenv(VARIABLE, "promote.begun=enospc")
    with pytest.raises(OSError, match="No space left"):
        failpoint("promote.begun")
