import pytest
from goods import KILLED, killed_at

from pipelines.core.errors import ShelflifeError
from pipelines.store.keys import Keys


@pytest.fixture
def keys(tmp_path):
    made = Keys(tmp_path / "keys")
    made.make()
    return made


def test_the_private_key_is_its_owners_alone(keys):
    assert (keys.folder / "private.key").stat().st_mode & 0o777 == 0o600
    assert keys.folder.stat().st_mode & 0o777 == 0o700


def test_making_keys_again_keeps_the_key(keys):
    assert keys.make() == keys.current()
    assert [key.standing for key in keys.list()] == ["signing"]


def test_what_was_signed_is_believed(keys):
    keys.verify(b"word", keys.sign(b"word"))


def test_a_signature_of_other_bytes_is_refused(keys):
    with pytest.raises(ShelflifeError, match="changed after it was signed"):
        keys.verify(b"other", keys.sign(b"word"))


@pytest.mark.parametrize(
    "change", [{"signature": ""}, {"signature": "zz"}, {"signature": "00" * 64}, {"key_id": "0" * 16}, {"key_id": None}]
)
def test_a_signature_that_was_tampered_with_is_refused(keys, change):
    with pytest.raises(ShelflifeError):
        keys.verify(b"word", keys.sign(b"word") | change)


@pytest.mark.parametrize("changed", [str.upper, lambda text: f" {text}", lambda text: f"{text[:8]} {text[8:]}"])
def test_a_signature_that_reads_alike_is_refused_for_not_being_as_it_was_written(keys, changed):
    signed = keys.sign(b"word")
    with pytest.raises(ShelflifeError, match="changed after it was signed"):
        keys.verify(b"word", signed | {"signature": changed(signed["signature"])})


def test_the_key_of_another_home_is_unknown(keys, tmp_path):
    other = Keys(tmp_path / "other")
    other.make()
    with pytest.raises(ShelflifeError, match="unknown key"):
        keys.verify(b"word", other.sign(b"word"))


def test_after_rotation_old_signatures_are_still_believed(keys):
    old = keys.sign(b"word")
    assert keys.rotate() != old["key_id"]
    keys.verify(b"word", old)
    assert sorted(key.standing for key in keys.list()) == ["signing", "trusted"]


def test_a_revoked_key_is_believed_no_more_and_the_signing_key_is_replaced(keys):
    old = keys.sign(b"word")
    keys.revoke(old["key_id"])
    with pytest.raises(ShelflifeError, match="revoked key"):
        keys.verify(b"word", old)
    assert keys.current() != old["key_id"]
    keys.verify(b"word", keys.sign(b"word"))


@pytest.mark.parametrize("name", ["0" * 16, "../private", "", "zz"])
def test_a_key_that_there_is_not_cannot_be_revoked(keys, name):
    with pytest.raises(ShelflifeError, match="there is no key"):
        keys.revoke(name)


def test_a_trusted_file_that_is_not_its_names_key_is_not_trusted(keys):
    (keys.folder / "trusted" / f"{'a' * 16}.pub").write_text("00" * 32)
    assert list(keys.trusted()) == [keys.current()]


def test_a_private_key_that_others_can_read_does_not_sign(keys):
    (keys.folder / "private.key").chmod(0o644)
    with pytest.raises(ShelflifeError, match="can be read by others"):
        keys.sign(b"word")


def test_without_a_key_nothing_is_signed(tmp_path):
    with pytest.raises(ShelflifeError, match="keys make"):
        Keys(tmp_path).sign(b"word")


@pytest.mark.parametrize("failpoint", ["keys.trusted", "keys.rotated"])
def test_a_kill_while_rotating_leaves_a_key_that_signs_and_is_believed(keys, failpoint):
    old = keys.sign(b"word")
    assert killed_at(failpoint, keys.rotate) == KILLED
    keys.verify(b"word", keys.sign(b"word"))
    keys.verify(b"word", old)


def test_a_kill_while_revoking_leaves_the_key_revoked(keys):
    old = keys.sign(b"word")
    assert killed_at("keys.revoked", lambda: keys.revoke(old["key_id"])) == KILLED
    with pytest.raises(ShelflifeError, match="revoked key"):
        keys.verify(b"word", old)
    keys.revoke(old["key_id"])
