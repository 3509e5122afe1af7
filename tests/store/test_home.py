import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from goods import DAY, KILLED, NOW, killed_at, ship, view

from pipelines.core.errors import ShelflifeError
from pipelines.store.home import VARIABLE, VERSION, Home, WallClock, where
from pipelines.store.state import State

V1 = Path(__file__).parent / "v1"


@pytest.fixture
def old(tmp_path):
    """A home as version 1 left it: two champions, a decision, a journal, a row in quarantine, two events."""
    path = tmp_path / "old"
    files = json.loads((V1 / "files.json").read_text())
    for folder, kept in (("releases", files["releases"]), ("keys", {"trusted": files["trusted"]})):
        for name, contents in kept.items():
            (path / folder / name).mkdir(parents=True)
            for file, text in contents.items():
                (path / folder / name / file).write_text(text)
    for name in ("state", "log"):
        with sqlite3.connect(path / f"{name}.db") as database:
            database.executescript((V1 / f"{name}.sql").read_text())
    (path / "version").write_text("1\n")
    return path


def test_a_home_is_private_to_its_owner(home):
    assert Home.open(home.path.parent / "new", create=True).path.stat().st_mode & 0o777 == 0o700


def test_a_home_that_there_is_not_is_not_made_by_looking(tmp_path):
    with pytest.raises(ShelflifeError, match="there is no state"):
        Home.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_with_other_things_in_it_does_not_become_a_home(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ShelflifeError, match=r"thesis\.doc"):
        Home.open(tmp_path, create=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]


def test_opening_again_finds_what_was_kept(home, tmp_path):
    name = ship(home, tmp_path, 1)
    home.log.append([view(1)], arrived=NOW)
    home.close()
    again = Home.open(home.path, create=True)
    assert (again.releases.champion("fraud").bundle, again.log.last_offset()) == (name, 1)
    again.close()


@pytest.mark.parametrize(
    ("version", "says"), [(str(VERSION + 1), "use the newer Shelflife"), ("", "wanted a number"), ("two", "wanted a number")]
)
def test_a_newer_or_broken_version_is_refused(home, version, says):
    (home.path / "version").write_text(version)
    with pytest.raises(ShelflifeError, match=says):
        Home.open(home.path)


def test_a_state_newer_than_the_program_is_refused(home):
    home.state.put("version", "99")
    home.close()
    with pytest.raises(ShelflifeError, match="use the newer Shelflife"):
        State(f"sqlite:///{home.path / 'state.db'}")


def check_upgraded(path):
    home = Home.open(path)
    assert (path / "version").read_text() == f"{VERSION}\n"
    assert home.releases.verify() == 2
    champion, _, files = home.releases.answering("fraud")
    assert (champion.epoch, files.manifest.made_from["seed"]) == (2, "two")
    assert home.decisions.verify_chain() == 1
    assert [(row.event.id, row.times) for row in home.quarantine.list()] == [("v7", 1)]
    assert home.runs.journal("fraud") == [{"kind": "alarm", "at": NOW}]
    assert home.releases.looks("fraud", "h1") == 1
    assert [event.id for event in home.log.read()] == ["v1", "v2"]
    assert home.runs.append("fraud", {"kind": "drift"}, NOW, key="k") != home.runs.append(
        "fraud", {"kind": "drift"}, NOW, key="k"
    )
    home.quarantine.hold_partition("view_item", "2025-05-26", "late", NOW)
    home.releases.rollback("fraud", at=NOW, actor="ops", reason="worse")
    assert home.releases.verify() == 3
    home.close()


def test_a_home_of_version_1_is_brought_up_to_date_with_everything_in_it(old):
    check_upgraded(old)
    with sqlite3.connect(old / "state.db.v1") as kept:
        assert kept.execute("SELECT value FROM meta WHERE name = 'version'").fetchone() == ("1",)


@pytest.mark.parametrize("failpoint", ["home.upgraded", "durable.before_rename"])
def test_a_kill_while_upgrading_is_mended_by_opening_again(old, failpoint):
    assert killed_at(failpoint, lambda: Home.open(old)) == KILLED
    check_upgraded(old)


def test_an_upgraded_home_has_the_same_tables_as_a_new_one(old, home):
    def columns(path):
        with sqlite3.connect(path / "state.db") as database:
            tables = [
                name
                for (name,) in database.execute(
                    "SELECT name FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
                )
            ]
            return {name: sorted(row[1:4] for row in database.execute(f"PRAGMA table_info({name})")) for name in tables}

    Home.open(old).close()
    assert columns(old) == columns(home.path)


def test_where_the_home_is(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    checkout = tmp_path / "checkout"
    (checkout / "deep" / "down").mkdir(parents=True)
    (checkout / "params.yaml").write_text("")
    monkeypatch.chdir(checkout / "deep" / "down")
    assert where() == checkout / ".shelflife"
    worktree = Home.open(tmp_path / "real", create=True).path / "worktrees" / "fraud-r1"
    worktree.mkdir()
    (worktree / "params.yaml").write_text("")
    monkeypatch.chdir(worktree)
    assert where() == tmp_path / "real"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    assert where() == tmp_path / "named"


def test_the_clock_of_a_simulated_shop_moves_when_it_is_told_to_and_never_back(home):
    home.simulated(NOW)
    clock = home.clock()
    assert clock() == NOW
    home.simulated(NOW + DAY)
    assert (clock(), Home.open(home.path).clock()()) == (NOW + DAY, NOW + DAY)
    with pytest.raises(ShelflifeError, match="cannot go back"):
        home.simulated(NOW)


def test_a_home_with_real_events_does_not_become_a_simulated_shop_of_the_past(home):
    home.log.append([view(1)], arrived=NOW)
    with pytest.raises(ShelflifeError, match="use another home"):
        home.simulated(NOW - DAY)


def test_the_walls_clock_never_steps_back(monkeypatch):
    times = iter([5_000_000, 3_000_000, 7_000_000])
    monkeypatch.setattr("time.time_ns", lambda: next(times))
    clock = WallClock()
    assert [clock(), clock(), clock()] == [5_000, 5_000, 7_000]


def test_nothing_in_a_home_can_be_written_by_others(home, tmp_path):
    ship(home, tmp_path, 1)
    home.decisions.record("gate", "fraud", NOW, {}, {"r": b""})
    home.log.append([view(1)], arrived=NOW)
    loose = [p for p in home.path.rglob("*") if p.stat().st_mode & 0o022]
    assert loose == []
    shutil.rmtree(home.path / "online")
    assert Home.open(home.path).path == home.path
