"""The drills of benchmarks/fire, reduced; the full ones run with make test-fire, and the page says what they showed."""

import json

import pytest

from benchmarks.fire import damage, kills, live, page, race
from benchmarks.fire.page import Row, bound
from pipelines.core.errors import ShelflifeError


def test_kills_leave_the_old_or_the_new_and_readers_see_nothing_else(tmp_path):
    told = kills.kills(tmp_path, len(kills.ACTS))
    assert (told.torn, told.unreadable, told.none, told.ungated) == (0, 0, 0, 0)
    assert told.reads > 10


def test_a_promotion_in_two_halves_is_seen_by_the_drill(tmp_path, monkeypatch):
    from pipelines.store.releases import Releases

    keep = Releases._enthrone

    def committed(self, connection, change):
        keep(self, connection, change)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    monkeypatch.setattr(Releases, "_enthrone", committed)
    monkeypatch.setattr(kills, "ACTS", [("promote", "promote.written")])
    with pytest.raises(ShelflifeError, match="there is no release"):  # the next process finds half of it
        kills.kills(tmp_path, 1)


def test_processes_at_once_leave_one_chain_in_which_nothing_is_lost(tmp_path):
    told = race.race(tmp_path, crowd=4, turns=12)
    assert (told.lost, told.unlinked, told.broken) == (0, 0, 0)
    assert told.done > 4


def test_damaged_bytes_of_every_format_are_refused_before_any_parser_sees_them(tmp_path):
    told = damage.damage(tmp_path, truncations=4, flips=8, zeroed=2)
    assert (told.accepted, told.parsed) == (0, 0)
    assert told.cases > 200
    assert told.formats == 11


def test_a_loader_that_does_not_verify_is_seen_by_the_drill(tmp_path, monkeypatch):
    from pipelines.store import bundles

    monkeypatch.setattr(bundles, "_matched", bundles.BundleFiles)
    with pytest.raises(Exception):  # noqa: B017  # a parser's own
        damage.damage(tmp_path, truncations=2, flips=2, zeroed=1)


def test_what_was_verified_is_what_is_parsed(tmp_path):
    whole, swapped, other = damage.swapped_after_it_was_verified(tmp_path)
    assert swapped == whole != other


def test_a_rollback_under_load_fails_and_mixes_nothing(tmp_path):
    told = live.warm(tmp_path, 3)
    assert (told.failed, told.mixed) == (0, 0)
    assert len(told.seconds) == 3


@pytest.mark.parametrize("conduct", ["no number"])
def test_a_release_that_is_bad_live_falls_is_held_and_mailed_about(tmp_path, conduct):
    told = live.bad(tmp_path, conduct)
    assert (told.fell, told.failed, told.held, told.mails) == (True, 0, True, 1)


@pytest.mark.slow
@pytest.mark.parametrize("conduct", ["raises", "one score", "another scale", "slow"])
def test_every_bad_conduct_falls(tmp_path, conduct):
    told = live.bad(tmp_path, conduct)
    assert (told.fell, told.failed, told.held, told.mails) == (True, 0, True, 1)


@pytest.mark.slow
def test_a_good_release_stays(tmp_path):
    told = live.bad(tmp_path, "good", answers=300)
    assert (told.fell, told.failed, told.held, told.mails) == (False, 0, False, 0)


def test_the_page_is_what_the_figures_say():
    text = page.PAGE.read_text()
    assert text.partition(page.BEGIN)[2].partition(page.END)[0] == page.table(page.read()), "run make test-fire"


def test_every_promise_on_the_page_was_kept():
    rows = [Row(**row) for rows in page.read().values() for row in rows]
    assert [row.what for row in rows if not row.kept] == []


def test_the_bound_is_the_rule_of_three_without_failures():
    assert bound(1000, 0) == pytest.approx(0.003, rel=0.01)
    assert bound(10, 10) == 1.0
    assert not Row("never tried", 0, 0).kept
    assert not Row("too slow", 10, 0, 1.5, 1.0, "s").kept
    assert json.dumps(page.read())
