"""The operational state in a real PostgreSQL: the same laws as in SQLite."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from goods import NOW, ship, taking
from machine import run
from test_race import CROWD, promoted_at_once

from benchmarks.fire import kills, race
from pipelines.core.errors import ShelflifeError
from pipelines.store.backup import backup
from pipelines.store.home import Home
from pipelines.store.state import ADVISORY, State

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(home, postgresql, monkeypatch):
    """A home whose state is in PostgreSQL."""
    home.close()
    monkeypatch.setenv("SHELFLIFE_STATE", postgresql)
    opened = Home.open(home.path)
    yield opened
    opened.close()


def test_a_promotion_a_rollback_and_a_hold_are_kept_there(shop, tmp_path):
    first, second = ship(shop, tmp_path, 1), ship(shop, tmp_path, 2)
    shop.releases.fall_back("fraud", second, at=NOW, actor="serve", reason="bad")
    again = Home.open(shop.path)
    assert again.state.engine.dialect.name == "postgresql"
    assert (again.releases.champion("fraud").bundle, again.releases.held("fraud").actor) == (first, "serve")
    assert again.releases.verify() == again.releases.epoch() == len(again.outbox.waiting()) == 3
    again.close()


def test_of_eight_promotions_against_the_same_champion_one_wins(shop, tmp_path):
    _, ended = promoted_at_once(shop, tmp_path)
    assert sorted(ended) == [0] + [1] * (CROWD - 1)
    assert shop.releases.verify() == shop.releases.epoch() == len(shop.outbox.waiting()) == 2


def test_processes_at_once_leave_one_chain_in_which_nothing_is_lost(postgresql, monkeypatch, tmp_path):
    monkeypatch.setenv("SHELFLIFE_STATE", postgresql)
    told = race.race(tmp_path, turns=20)
    assert (told.lost, told.unlinked, told.broken) == (0, 0, 0)
    assert told.done > CROWD


def test_kills_leave_the_old_or_the_new(postgresql, monkeypatch, tmp_path):
    monkeypatch.setenv("SHELFLIFE_STATE", postgresql)
    told = kills.kills(tmp_path, 2 * len(kills.ACTS))
    assert (told.torn, told.unreadable, told.none, told.ungated) == (0, 0, 0, 0)


def test_the_invariants_of_releases_hold_in_any_order(empty_home, postgresql_databases, monkeypatch):
    monkeypatch.setenv("SHELFLIFE_STATE", "set by the machine")
    taken = []
    with taking(taken) as post:
        run(empty_home, post, taken, 6, 12, postgresql_databases)


def test_a_writer_that_is_killed_leaves_no_lock_behind(shop, postgresql):
    """The lock goes with the connection: the next writer need not wait for anybody."""
    code = "import sys, time; from pipelines.store.state import State; s = State(sys.argv[1])\nwith s.begin(): print('in', flush=True); time.sleep(600)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, postgresql], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout.readline() == "in\n"
    with shop.state.read() as connection:
        assert (
            connection.execute(
                sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key"), {"key": ADVISORY}
            ).scalar()
            == 1
        )
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    shop.state.put("after", "the kill")
    assert shop.state.get("after") == "the kill"


def test_a_state_of_the_version_before_is_brought_up_to_date(postgresql):
    state = State(postgresql)
    with state.begin() as connection:
        for statement in (
            "DROP TABLE held_partitions", "ALTER TABLE quarantine DROP COLUMN times", "DROP INDEX journal_key", "ALTER TABLE journal DROP COLUMN key",
            "UPDATE meta SET value = '1' WHERE name = 'version'",
        ):  # fmt: skip
            connection.execute(sa.text(statement))
    state.close()
    newer = State(postgresql)
    assert newer.get("version") == "2"
    with newer.read() as connection:
        columns = {table: {c["name"] for c in sa.inspect(connection).get_columns(table)} for table in ("quarantine", "journal")}
        assert sa.inspect(connection).has_table("held_partitions")
    assert "times" in columns["quarantine"]
    assert "key" in columns["journal"]
    newer.close()


def test_a_backup_says_that_postgresql_has_its_own(shop, tmp_path):
    with pytest.raises(ShelflifeError, match="pg_dump"):
        backup(shop, tmp_path / "a.tar")
    assert os.listdir(tmp_path) == ["home"]  # noqa: PTH208
