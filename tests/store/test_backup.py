import io
import tarfile
import threading

import pytest
from goods import DAY, NOW, fill_up, killed_at, ship, view

from pipelines.core.errors import ShelflifeError
from pipelines.shop.contracts import CONTRACTS
from pipelines.store.backup import backup, restore

KINDS = {"view_item": CONTRACTS["view_item"]}


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
        fill_up(150_000)
        backup(full, tmp_path / "a.tar")

    assert killed_at("", act) == 7
    assert not (tmp_path / "a.tar").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp-")]
    backup(full, tmp_path / "a.tar")
