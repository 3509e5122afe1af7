import os
import shutil
import sqlite3
import sys

import pytest
import sqlalchemy as sa
from goods import DAY, KILLED, NOW, bundle, fill_up, killed_at, promote, release, ship, sign, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.release import Release
from pipelines.store import ledger
from pipelines.store.releases import Mailing
from pipelines.store.state import CHAMPIONS, put


def signature_of(home):
    """What a promotion may change, as one value."""
    champion = home.releases.champion("fraud")
    return champion, home.releases.epoch(), len(home.outbox.waiting()), len(home.releases.history())


@pytest.fixture
def added(home, tmp_path):
    return home.releases.add(bundle(tmp_path / "new"))


# Bundles


def test_a_bundle_that_was_added_reads_back_byte_for_byte(home, tmp_path, added):
    found = home.releases.read(added)
    assert found.manifest.digest == added
    assert {name: (tmp_path / "new" / name).read_bytes() for name in found.files} == dict(found.files)
    assert home.releases.add(tmp_path / "new") == added


def test_the_copy_does_not_change_with_the_folder_it_came_from(home, tmp_path, added):
    (tmp_path / "new" / "model.onnx").write_bytes(b"newer")
    assert home.releases.read(added).files["model.onnx"] == b"model.onnx 0"


def corrupt(folder, how):  # noqa: C901, PLR0912  # a list of what may happen
    """Do to the bundle what somebody might."""
    file = folder / "model.onnx"
    data = file.read_bytes()
    match how:
        case "changed":
            file.chmod(0o644)
            file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        case "truncated":
            os.truncate(file, len(data) - 1)
        case "empty":
            os.truncate(file, 0)
        case "extra":
            (folder / "extra.json").write_bytes(b"{}")
        case "hidden":
            (folder / ".hidden").write_bytes(b"")
        case "missing":
            file.unlink()
        case "renamed":
            file.rename(folder / "model2.onnx")
        case "swapped":
            file.rename(folder / "aside")
            (folder / "encoder.json").rename(file)
            (folder / "aside").rename(folder / "encoder.json")
        case "symlinked":
            shutil.move(file, folder.parent / "elsewhere")
            file.symlink_to(folder.parent / "elsewhere")
        case "hardlinked":
            os.link(file, folder.parent / "elsewhere")
        case "folder":
            file.unlink()
            file.mkdir()
        case "pipe":
            file.unlink()
            os.mkfifo(file)
        case "manifest":
            text = (folder / "manifest.json").read_bytes()
            (folder / "manifest.json").unlink()
            (folder / "manifest.json").write_bytes(text + b" ")
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "outside":
            folder.rename(folder.parent / "moved")
            folder.symlink_to(folder.parent / "moved")


HOWS = [
    "changed", "truncated", "empty", "extra", "hidden", "missing", "renamed", "swapped", "symlinked", "hardlinked", "folder", "pipe", "manifest",
    "no manifest", "outside",
]  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_a_bundle_that_is_not_exactly_what_was_judged_is_refused_everywhere(home, tmp_path, how):
    ship(home, tmp_path, 1)
    before = ship(home, tmp_path, 2)
    judged = home.releases.add(bundle(tmp_path / "new"))
    corrupt(home.path / "releases" / judged, how)
    with pytest.raises(ShelflifeError):
        home.releases.read(judged)
    with pytest.raises(ShelflifeError):
        promote(home, release(home, judged))
    assert home.releases.champion("fraud").bundle == before


@pytest.mark.parametrize("how", ["changed", "extra", "missing", "symlinked", "hardlinked", "no manifest"])
def test_a_bundle_that_train_left_half_done_is_not_added(home, tmp_path, how):
    corrupt(bundle(tmp_path / "new"), how)
    with pytest.raises(ShelflifeError):
        home.releases.add(tmp_path / "new")
    assert not list((home.path / "releases").iterdir())


def test_no_parser_sees_a_byte_of_a_bundle_whose_manifest_was_swapped(home, tmp_path, added, monkeypatch):
    other = home.releases.add(bundle(tmp_path / "other", 5))
    shutil.copy(home.path / "releases" / other / "manifest.json", tmp_path / "m")
    (tmp_path / "m").replace(home.path / "releases" / added / "manifest.json")
    monkeypatch.setattr("json.loads", lambda *_: pytest.fail("parsed before it was verified"))
    with pytest.raises(ShelflifeError, match="not the one that was judged"):
        home.releases.read(added)


def test_a_damaged_copy_is_replaced_when_the_bundle_is_added_again(home, tmp_path, added):
    corrupt(home.path / "releases" / added, "changed")
    assert home.releases.add(tmp_path / "new") == added
    home.releases.read(added)


NAMES = [
    "..", "../../etc/passwd", "%2e%2e", "%252e%252e%252f", "a#b", "a?b", "a\\b", "..\\..", "\0", "a\0b", "\n", "/etc/passwd", "C:\\x", "\\\\host\\x", "~",
    "~root", "\u2024\u2024", "\u2215etc", "x" * 5000, "-rf", ".git", "", " ", ".",
    "A" * 64, "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "0" * 64 + "/", "./" + "0" * 64,
]  # fmt: skip


def test_a_name_that_is_no_digest_opens_nothing(home):
    releases, decisions = home.releases, home.decisions
    opened, watching = [], True
    sys.addaudithook(lambda event, args: opened.append(args[0]) if watching and event == "open" else None)
    try:
        for name in NAMES:
            with pytest.raises(ShelflifeError):
                releases.read(name)
            with pytest.raises(ShelflifeError):
                decisions.get(name)
    finally:
        watching = False
    assert opened == []


@settings(deadline=None, max_examples=300)
@given(name=st.text(max_size=80))
def test_any_text_that_is_no_digest_is_refused(name):
    from pathlib import Path

    from pipelines.store.releases import Releases

    with pytest.raises(ShelflifeError):
        Releases(Path("/nowhere"), None, None, None).read(name)


# Promotion


def test_a_promotion_makes_the_bundle_champion_with_ledger_and_mail(home, added):
    envelope = release(home, added)
    assert promote(home, envelope, mail=Mailing("It is better.", "<b>better</b>")) == 1
    champion = home.releases.champion("fraud")
    assert (champion.bundle, champion.release, champion.epoch, champion.since, champion.previous) == (
        added,
        envelope.digest,
        1,
        NOW,
        None,
    )
    (change,) = home.releases.history("fraud")
    assert (change.action, change.actor, change.bundle, change.probe["ok"]) == ("promote", "ops", added, True)
    (mail,) = home.outbox.waiting()
    assert (mail.subject, mail.text) == (f"[shelflife] fraud: promoted {added[:12]}", "It is better.")
    assert home.releases.answering("fraud")[1] == envelope
    assert home.releases.verify() == 1


def test_each_use_case_has_its_own_champion_and_all_share_one_epoch(home, tmp_path):
    one, two = ship(home, tmp_path, 1), ship(home, tmp_path, 2, "demand")
    assert {case: (c.bundle, c.epoch) for case, c in home.releases.champions().items()} == {
        "fraud": (one, 1),
        "demand": (two, 2),
    }
    assert home.releases.champion("recommend") is None
    assert home.releases.answering("recommend") is None


def test_refusals_of_a_promotion_change_nothing(home, tmp_path):
    first = ship(home, tmp_path, 1)
    new = home.releases.add(bundle(tmp_path / "new", 2))
    demand = home.releases.add(bundle(tmp_path / "demand", 2, "demand"))
    good = release(home, new)
    other = Release("fraud", new, digest(b"another verdict"), good.report, first, NOW)
    before = signature_of(home)
    refused = {
        "epoch is 1, not 0": (good, {"expected_epoch": 0}),
        "epoch is 1, not 2": (good, {"expected_epoch": 2}),
        "was judged against champion none": (release(home, new, replaces=None), {}),
        "was judged against champion 000000": (release(home, new, replaces="0" * 64), {}),
        "answers already": (release(home, first), {}),
        "made for another use case": (release(home, demand), {}),
        "there is no bundle": (release(home, "f" * 64), {}),
        "changed after it was signed": (good, {"signature": sign(home, other)}),
        "unknown key": (good, {"signature": {"key_id": "0" * 16, "signature": "00"}}),
        "wanted a probe record": (good, {"probe": {}}),
        "wanted a probe record .*": (good, {"probe": {"ok": True}}),
        "wanted a probe record .* got": (good, {"probe": {"ok": "true", "bundle": new}}),
        "wanted a probe record .* got .*": (good, {"probe": {"ok": True, "bundle": first}}),
        "lower-case letters and digits": (release(home, new, case="../x", replaces=None), {}),
        "wanted the passing verdict": (good, {"verdict": verdict(new, first, "fail")}),
        "wanted the passing verdict that": (good, {"verdict": verdict(new, None)}),
        "got one that is fail": judged(new, first, verdict(new, first, "fail")),
        "about another bundle": judged(new, first, verdict(first, first)),
        "or another champion": judged(new, first, verdict(new, demand)),
    }
    for says, (envelope, changes) in refused.items():
        with pytest.raises(ShelflifeError, match=says):
            promote(home, envelope, **changes)
        assert signature_of(home) == before, says


def judged(name, against, word):
    """A release that names this verdict, and the verdict."""
    return Release("fraud", name, digest(word), digest(b"report"), against, NOW), {"verdict": word}


def test_a_release_signed_with_a_key_revoked_since_is_refused(home, added):
    envelope = release(home, added)
    word = sign(home, envelope)
    home.keys.revoke(word["key_id"])
    with pytest.raises(ShelflifeError, match="revoked key"):
        promote(home, envelope, signature=word)


def test_an_old_release_cannot_be_played_again_after_a_rollback(home, tmp_path):
    ship(home, tmp_path, 1)
    new = home.releases.add(bundle(tmp_path / "new", 2))
    envelope = release(home, new)
    word = sign(home, envelope)
    promote(home, envelope, signature=word)
    home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    with pytest.raises(ShelflifeError, match="was promoted before"):
        promote(home, envelope, signature=word)


def test_a_hold_blocks_promotion_until_it_is_cleared_but_not_rollback(home, tmp_path, added):
    ship(home, tmp_path, 1)
    ship(home, tmp_path, 2)
    home.releases.hold("fraud", at=NOW, actor="ops", reason="holidays")
    assert home.releases.held("fraud").reason == "holidays"
    with pytest.raises(ShelflifeError, match=r"held by ops \(holidays\)"):
        promote(home, release(home, added))
    home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    home.releases.unhold("fraud", at=NOW, actor="ops")
    promote(home, release(home, added))
    assert [change.action for change in home.releases.history("fraud")][2:] == ["hold", "rollback", "unhold", "promote"]
    with pytest.raises(ShelflifeError, match="not held"):
        home.releases.unhold("fraud", at=NOW, actor="ops")


# Rollback


def test_rollback_goes_back_one_champion_at_a_time_and_never_to_the_bad_one(home, tmp_path):
    names = [ship(home, tmp_path, n) for n in range(3)]
    for expected in (names[1], names[0]):
        home.releases.rollback("fraud", at=NOW + DAY, actor="ops", reason="worse", expected_epoch=home.releases.epoch())
        assert home.releases.champion("fraud").bundle == expected
        assert home.releases.answering("fraud")[1].bundle == expected
    with pytest.raises(ShelflifeError, match="no champion before"):
        home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    new = ship(home, tmp_path, 3)
    home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    assert home.releases.champion("fraud").bundle == names[0] != new
    assert home.releases.champion("fraud").previous is None


def test_the_releases_before_are_those_that_rollbacks_lead_to(home, tmp_path):
    assert home.releases.formers("fraud") == []
    names = [ship(home, tmp_path, n) for n in range(3)]
    assert home.releases.formers("fraud") == [names[1], names[0]]
    home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    assert home.releases.formers("fraud") == [names[0]]
    ship(home, tmp_path, 3)
    way = home.releases.formers("fraud")
    assert way == [names[1], names[0]]
    for name in way:
        home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
        assert home.releases.champion("fraud").bundle == name


def test_the_way_back_ends_where_a_release_was_removed(home, tmp_path):
    names = [ship(home, tmp_path, n) for n in range(4)]
    (home.releases.bundles.folder / names[1]).rename(tmp_path / "gone")
    assert home.releases.formers("fraud") == [names[2]]


def test_two_people_who_roll_back_at_once_go_back_once(home, tmp_path):
    names = [ship(home, tmp_path, n) for n in range(3)]
    seen = home.releases.epoch()
    home.releases.rollback("fraud", at=NOW, actor="one", reason="worse", expected_epoch=seen)
    with pytest.raises(ShelflifeError, match="look again"):
        home.releases.rollback("fraud", at=NOW, actor="two", reason="worse", expected_epoch=seen)
    assert home.releases.champion("fraud").bundle == names[1]


def test_rollback_refuses_a_damaged_bundle_and_a_revoked_signature(home, tmp_path):
    old = ship(home, tmp_path, 1)
    key = home.keys.current()
    home.keys.rotate()
    new = ship(home, tmp_path, 2)
    corrupt(home.path / "releases" / old, "changed")
    with pytest.raises(ShelflifeError, match="not the file that was judged"):
        home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    home.releases.add(tmp_path / "fraud-1")
    home.keys.revoke(key)
    with pytest.raises(ShelflifeError, match="revoked key"):
        home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    assert home.releases.champion("fraud").bundle == new


# Crash and tampering

PROMOTING = ["promote.begun", "promote.checked", "promote.written", "promote.mailed", "promote.committed"]


@pytest.mark.parametrize("mode", ["kill", "raise", "enospc"])
@pytest.mark.parametrize("failpoint", PROMOTING)
def test_a_crash_while_promoting_leaves_the_old_or_the_new_champion_and_its_mail(home, tmp_path, failpoint, mode):
    old = ship(home, tmp_path, 1)
    new = home.releases.add(bundle(tmp_path / "new", 2))
    envelope = release(home, new)
    before = signature_of(home)
    assert killed_at(failpoint, lambda: promote(home, envelope), mode) == (KILLED if mode == "kill" else 7)
    done = failpoint == "promote.committed"
    assert home.releases.champion("fraud").bundle == (new if done else old)
    assert (signature_of(home) == before) is not done
    assert len(home.outbox.waiting()) == home.releases.epoch() == home.releases.verify() == 1 + done
    if not done:
        promote(home, envelope)
    assert home.releases.champion("fraud").bundle == new


@pytest.mark.parametrize("limit", [4_000, 16_000, 40_000, 64_000, 100_000, 140_000])
def test_on_a_full_disk_the_old_champion_stays_and_the_promotion_succeeds_later(home, tmp_path, limit):
    old = ship(home, tmp_path, 1)
    folder = bundle(tmp_path / "new", 2)

    def act():
        fill_up(limit)
        promote(home, release(home, home.releases.add(folder)))

    ended = killed_at("", act)
    champion = home.releases.champion("fraud")
    assert (champion.bundle == old) is (ended != 0)
    assert len(home.outbox.waiting()) == home.releases.epoch() == home.releases.verify()
    assert home.releases.answering("fraud")[2].manifest.digest == champion.bundle
    new = home.releases.add(folder)
    if champion.bundle != new:
        promote(home, release(home, new))
    assert home.releases.champion("fraud").bundle == new


@pytest.mark.parametrize("failpoint", ["rollback.begun", "rollback.checked", "rollback.written", "rollback.committed"])
def test_a_kill_while_rolling_back_leaves_the_old_or_the_new_champion(home, tmp_path, failpoint):
    old, new = ship(home, tmp_path, 1), ship(home, tmp_path, 2)
    assert killed_at(failpoint, lambda: home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")) == KILLED
    assert home.releases.champion("fraud").bundle == (old if failpoint == "rollback.committed" else new)
    assert len(home.outbox.waiting()) == home.releases.verify()


@pytest.mark.parametrize("failpoint", ["durable.before_rename", "hold.written"])
def test_a_kill_while_holding_or_writing_leaves_nothing_half(home, failpoint):
    act = {
        "hold.written": lambda: home.releases.hold("fraud", at=NOW, actor="ops", reason="x"),
        "durable.before_rename": home.keys.rotate,
    }[failpoint]
    key = home.keys.current()
    assert killed_at(failpoint, act) == KILLED
    assert home.releases.held("fraud") is None
    assert home.releases.epoch() == 0
    assert home.keys.current() == key


@pytest.mark.parametrize("failpoint", ["folder.before_rename", "folder.renamed"])
def test_a_kill_while_adding_a_bundle_leaves_it_whole_or_absent(home, tmp_path, failpoint):
    folder = bundle(tmp_path / "new")
    assert killed_at(failpoint, lambda: home.releases.add(folder)) == KILLED
    whole = [p for p in (home.path / "releases").iterdir() if not p.name.startswith(".tmp-")]
    assert len(whole) == (failpoint == "folder.renamed")
    home.releases.read(home.releases.add(folder))


def test_a_kill_while_replacing_a_damaged_bundle_can_be_repeated(home, tmp_path, added):
    corrupt(home.path / "releases" / added, "changed")
    assert killed_at("discard.renamed", lambda: home.releases.add(tmp_path / "new")) == KILLED
    home.releases.add(tmp_path / "new")
    home.releases.read(added)


TAMPERINGS = {
    "a changed line": "UPDATE ledger SET body = replace(body, 'ops', 'eve') WHERE seq = 2",
    "a changed moment": "UPDATE ledger SET at = at + 1 WHERE seq = 2",
    "a removed line": "DELETE FROM ledger WHERE seq = 2",
    "a removed end": "DELETE FROM ledger WHERE seq = 3",
    "an added line": "INSERT INTO ledger SELECT chain, 4, at, body, digest, digest FROM ledger WHERE seq = 3",
    "swapped lines": "UPDATE ledger SET seq = CASE seq WHEN 1 THEN -2 WHEN 2 THEN -1 ELSE seq END",
    "another head": "UPDATE heads SET seq = 2",
    "another champion": "UPDATE champions SET bundle = (SELECT bundle FROM envelopes WHERE epoch = 1)",
    "a champion of another line": "UPDATE champions SET epoch = 2",
    "no champion": "DELETE FROM champions",
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_changed_behind_our_back_is_found(home, tmp_path, what):
    for number in range(3):
        ship(home, tmp_path, number)
    home.close()
    with sqlite3.connect(home.path / "state.db") as other:
        other.execute(TAMPERINGS[what])
    with pytest.raises(ShelflifeError):
        home.releases.verify()


def test_a_pointer_moved_by_hand_is_not_served(home, tmp_path):
    ship(home, tmp_path, 1)
    ship(home, tmp_path, 2)
    with home.state.begin() as connection:
        connection.execute(sa.text(TAMPERINGS["another champion"]))
    with pytest.raises(ShelflifeError, match="not the one of the ledger"):
        home.releases.champion("fraud")


def test_the_release_of_another_use_case_does_not_let_a_bundle_answer(home, tmp_path):
    """Whoever can write the database can forge the ledger, but not a signature."""
    ship(home, tmp_path, 1)
    other = ship(home, tmp_path, 2, "demand")
    stolen = home.releases.champion("demand").release
    with home.state.begin() as connection:
        words = {
            "case": "fraud",
            "action": "promote",
            "actor": "eve",
            "reason": "",
            "bundle": other,
            "release": stolen,
            "previous": None,
            "probe": None,
        }
        epoch = ledger.append(connection, "releases", words, NOW)
        put(
            connection,
            CHAMPIONS,
            {"usecase": "fraud"},
            {"bundle": other, "release": stolen, "epoch": epoch, "since": NOW, "previous": None},
        )
    with pytest.raises(ShelflifeError, match="another bundle's"):
        home.releases.answering("fraud")


# Holdouts


def test_looks_at_a_holdout_are_counted_and_a_repeated_run_is_the_same_look(home):
    look = home.releases.open_holdout
    assert [look("fraud", "h1", run, NOW) for run in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert home.releases.looks("fraud", "h1") == 3
    assert home.releases.looks("fraud", "h2") == home.releases.looks("demand", "h1") == 0


def test_a_holdout_that_moves_on_by_a_day_is_not_a_new_one(home):
    def week(first):
        return f"2025-05-{first:02}T00:00:00Z/2025-05-{first + 7:02}T00:00:00Z"

    before = [home.releases.open_holdout("fraud", week(first), f"r{first}", at=first) for first in range(1, 9)]
    assert before == [0, 1, 2, 3, 3, 3, 3, 3], (
        "each look shares 6/7, 5/7, ... of the next holdout: 3 of 7 days' worth in the end"
    )
    assert home.releases.looks("fraud", week(15)) == 0
    assert home.releases.looks("fraud", week(8)) == 4
