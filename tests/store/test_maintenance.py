import io
import os
import resource
import tarfile
import threading
from datetime import timedelta

import pytest
from goods import DAY, NOW, bundle, killed_at, ship, view

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.store.maintenance import backup, prune, restore

KINDS = {"view_item": CONTRACTS["view_item"]}
MONTH = timedelta(days=30)


@pytest.fixture
def full(home, tmp_path):
    """A home with something of everything."""
    for number in range(2):
        ship(home, tmp_path, number)
    home.log.append([view(1), view(2)], arrived=NOW)
    home.log.append([view(3)], arrived=NOW + DAY)
    home.landing.land(home.log, KINDS, until=NOW + DAY)
    home.quarantine.put(view(9, item=None), ["item"], NOW)
    home.decisions.record("gate", "fraud", NOW, {"status": "pass"}, {"report.json": b"{}"})
    home.runs.lease("fraud", "r1", NOW, timedelta(hours=1))
    return home


def test_what_is_restored_is_what_was_backed_up(full, tmp_path):
    archive = backup(full, tmp_path / "a.tar")
    assert archive.path.stat().st_mode & 0o777 == 0o600
    back = restore(archive.path, tmp_path / "back")
    assert back.releases.answering("fraud") == full.releases.answering("fraud")
    assert back.log.read() == full.log.read()
    assert back.landing.digest(KINDS, NOW + DAY) == full.landing.digest(KINDS, NOW + DAY)
    assert (back.landing.verify(), back.decisions.verify_chain(), back.releases.verify()) == (1, 1, 2)
    assert back.quarantine.list() == full.quarantine.list()
    assert back.keys.sign(b"x") == full.keys.sign(b"x")
    assert back.runs.holder("fraud", NOW) == full.runs.holder("fraud", NOW)
    assert (back.path / "keys" / "private.key").stat().st_mode & 0o777 == 0o600
    back.releases.rollback("fraud", at=NOW, actor="ops", reason="drill")
    ship(back, tmp_path / "more", 7)


def test_a_backup_while_others_write_is_consistent(full, tmp_path):
    stop = threading.Event()

    def write():
        for number in range(100, 100_000):
            if stop.is_set():
                return
            full.log.append([view(number)], arrived=NOW + DAY)
            ship(full, tmp_path / "busy", number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        archives = [backup(full, tmp_path / f"{n}.tar").path for n in range(3)]
    finally:
        stop.set()
        writer.join()
    for number, archive in enumerate(archives):
        back = restore(archive, tmp_path / f"back{number}")
        assert back.releases.verify() >= 2
        assert back.log.verify() >= 3
        assert back.releases.answering("fraud") is not None


def test_an_archive_is_never_written_over(full, tmp_path):
    (tmp_path / "a.tar").write_text("precious")
    with pytest.raises(ShelflifeError, match="there already"):
        backup(full, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "precious"


def test_a_home_is_never_restored_over(full, tmp_path):
    archive = backup(full, tmp_path / "a.tar")
    with pytest.raises(ShelflifeError, match="move it away"):
        restore(archive.path, full.path)
    (tmp_path / "empty").mkdir()
    restore(archive.path, tmp_path / "empty")


def test_every_flipped_byte_and_every_truncation_is_refused_or_harmless(full, tmp_path):
    archive = backup(full, tmp_path / "a.tar").path
    data = archive.read_bytes()
    (tmp_path / "bad.tar").touch()
    refused = 0
    for at in range(7, len(data), len(data) // 60):
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]):
            (tmp_path / "bad.tar").write_bytes(bad)
            try:
                back = restore(tmp_path / "bad.tar", tmp_path / "back")
            except ShelflifeError:
                refused += 1
                assert not (tmp_path / "back").exists()
                continue
            assert (back.log.read(), back.releases.answering("fraud")) == (full.log.read(), full.releases.answering("fraud"))
            back.close()
            (tmp_path / "back").rename(tmp_path / f"fine{at}-{len(bad)}")  # padding between files, for example
    assert refused > 60


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "releases/../../evil", "evil", "worktrees/x", "..\\evil", ""])
def test_an_archive_that_names_a_file_outside_a_home_is_refused(tmp_path, name):
    from pipelines.core.digest import canonical, digest

    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for file, data in (("contents.json", canonical({"version": 2, "files": {name: digest(b"x")}})), (name, b"x")):
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with pytest.raises(ShelflifeError):
        restore(tmp_path / "evil.tar", tmp_path / "home")
    assert {p.name for p in tmp_path.iterdir()} == {"evil.tar"}


def test_a_link_in_an_archive_is_refused(tmp_path):
    from pipelines.core.digest import canonical, digest

    listing = canonical({"version": 2, "files": {"keys/private.key": digest(b"")}})
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("contents.json")
        member.size = len(listing)
        tar.addfile(member, io.BytesIO(listing))
        link = tarfile.TarInfo("keys/private.key")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ShelflifeError, match="no plain file"):
        restore(tmp_path / "evil.tar", tmp_path / "home")


@pytest.mark.parametrize("data", [b"", b"junk" * 500])
def test_what_is_no_archive_is_one_clear_sentence(tmp_path, data):
    (tmp_path / "junk.tar").write_bytes(data)
    for archive in (tmp_path / "junk.tar", tmp_path / "none.tar"):
        with pytest.raises(ShelflifeError, match="written by shelflife backup"):
            restore(archive, tmp_path / "home")


def test_a_full_disk_while_backing_up_leaves_no_archive_and_a_later_one_succeeds(full, tmp_path):
    def act():
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        backup(full, tmp_path / "a.tar")

    assert killed_at("", act) == 7
    assert not (tmp_path / "a.tar").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp-")]
    backup(full, tmp_path / "a.tar")


# Retention


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
