"""The launcher and the DAGs with a real scheduler on loopback: a moment becomes a run, a person's yes becomes a promotion."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.steps import airflow
from pipelines.steps.airflow_settings import Settings

HERE = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings_for(project, **options):
    """Airflow with this project's own DAGs over the throw-away repository; no retries, so that a crash shows soon."""
    shutil.copytree(HERE / "dags", project.root / "dags", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Settings(
        project.root,
        project.home,
        port=free_port(),
        passwords=(("admin", "for tests"),),
        extra=(("SHELFLIFE_RETRIES", "0"),),
        **options,
    )


def listening() -> set[str]:
    """Addresses that this machine's processes listen on, as /proc/net/tcp writes them."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A"}


def gone(settings) -> bool:
    return not airflow.alive(settings)


def wait_until(look, timeout):
    deadline = time.monotonic() + timeout
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def test_passwords_are_random_kept_over_a_restart_and_for_our_eyes_only(tmp_path):
    settings = Settings(tmp_path, tmp_path / "home", users=(("admin", "admin"), ("ops", "op")))
    settings.folder.mkdir(parents=True)
    first, second = airflow.environment(settings), airflow.environment(settings)
    known = json.loads(settings.passwords_file.read_text())
    assert set(known) == {"admin", "ops"}
    assert min(len(password) for password in known.values()) >= 20
    assert first == second
    for name in ("passwords.json", "secrets.json"):
        assert stat.S_IMODE((settings.folder / name).stat().st_mode) == 0o600


def test_a_preset_password_is_used(tmp_path):
    settings = Settings(tmp_path, tmp_path / "home", passwords=(("admin", "shown in the demo"),))
    settings.folder.mkdir(parents=True)
    airflow.environment(settings)
    assert settings.password("admin") == "shown in the demo"


def test_everything_is_bound_to_loopback_and_nothing_is_sent_home(tmp_path):
    settings = Settings(tmp_path, tmp_path / "home", port=12345, database="postgresql+psycopg2://a:b@localhost/c")
    settings.folder.mkdir(parents=True)
    env = airflow.environment(settings)
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:12345/execution/"
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://a:b@localhost/c"
    assert env["AIRFLOW__API__EXPOSE_CONFIG"] == "False"
    assert env["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] == "False"
    assert Path(env["SHELFLIFE_PYTHON"]) == Path(sys.executable)


@pytest.mark.parametrize("users", ["admin", "admin:root", "a b:admin", ":admin", "admin:admin,"])
def test_users_that_make_no_sense_are_one_clear_sentence(tmp_path, users):
    with pytest.raises(ShelflifeError, match="wanted users"):
        Settings(tmp_path, tmp_path, users=tuple(airflow._pair(entry) for entry in users.split(",")))


def test_a_taken_port_is_said_before_anything_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(tmp_path, tmp_path / "home", port=taken.getsockname()[1])
        with pytest.raises(ShelflifeError, match="is taken"), airflow.started(settings):
            pass


def test_a_second_airflow_of_one_home_is_refused(tmp_path):
    settings = Settings(tmp_path, tmp_path / "home", port=free_port())
    settings.folder.mkdir(parents=True)
    with (
        airflow.locked(settings.folder / ".lock"),
        pytest.raises(ShelflifeError, match="another Airflow"),
        airflow.started(settings),
    ):
        pass


@pytest.mark.slow
def test_from_the_calendar_over_a_persons_word_to_promotions_and_crashes(throwaway):
    settings = settings_for(throwaway, active=("learn", "monitor", "calendar"))
    throwaway.ask("demand", verdict="fail")
    throwaway.ask("recommend", train="break")
    with airflow.started(settings):
        api = settings.api()
        ports = {f"{settings.port:04X}"}
        assert {entry.split(":")[0] for entry in listening() if entry.split(":")[1] in ports} == {"0100007F"}

        api.trigger("calendar", at="2025-05-19T03:00:00Z")
        runs = {
            case: api.wait_for_run("learn", f"{case}@2025-05-19T00:00:00Z", 90)
            for case in ("demand", "fraud", "recommend", "sentiment")
        }
        assert api.wait_for_approval("learn", runs["fraud"], 300) == "approve"
        assert throwaway.promoted() == [] or {p["case"] for p in throwaway.promoted()} == {"sentiment"}
        assert api.see_through("learn", runs["fraud"], 300, approve=True, comment="looks right") == "success"

        ended = {case: api.wait("learn", run, 300) for case, run in runs.items()}
        told = {case: api.tasks("learn", run) for case, run in runs.items()}
        assert ended == {"demand": "success", "fraud": "success", "recommend": "failed", "sentiment": "success"}, told
        assert {p["case"]: p["by"] for p in throwaway.promoted()} == {"fraud": "admin", "sentiment": "learn"}
        assert {p["cwd"] for p in throwaway.promoted()} == {str(throwaway.root)}
        assert told["recommend"]["crashed"] == "success"
        assert told["recommend"]["close"] == "upstream_failed"
        assert told["fraud"]["crashed"] == "skipped"
        home = throwaway.opened_home()
        last = {case: home.runs.journal(case)[-1]["name"] for case in runs}
        assert last == {"demand": "finished", "fraud": "promoted", "recommend": "crashed", "sentiment": "promoted"}
        closed = {run.case: run.closed for run in throwaway.runs.all()}
        assert closed == {"demand": "rejected", "fraud": "promoted", "recommend": "crashed", "sentiment": "promoted"}
        assert all(home.runs.holder(case, home.clock()()) is None for case in runs)
        opened = api.result("learn", runs["fraud"], "open")
        assert "dvc --wait-for-lock repro -s ingest@fraud" in api.log("learn", runs["fraud"], "ingest")
        assert throwaway.runs.ref(opened["ref"])

        throwaway.propose({"case": "fraud", "as_of": "2025-05-26T00:00:00Z", "run": "drift-20250526"})
        api.wait("monitor", api.trigger("monitor"), 120)
        drift = api.wait_for_run("learn", "fraud@2025-05-26T00:00:00Z@drift-20250526", 60)
        assert len(api.runs("learn")) == 5
        assert api.see_through("learn", drift, 300, approve=False) == "success"
        assert api.tasks("learn", drift)["promote"] == "skipped"
        assert home.runs.journal("fraud")[-1]["name"] == "rejected"
        assert throwaway.runs.get("fraud", "drift-20250526").closed == "declined"

        throwaway.propose()
        quiet = api.trigger("monitor")
        assert api.wait("monitor", quiet, 120) == "success"
        assert api.tasks("monitor", quiet)["propose"] == "skipped"
        assert len(api.runs("learn")) == 5

        hostile = api.trigger("learn", key="fraud; touch /tmp/pwned")
        assert api.wait("learn", hostile, 120) == "failed"
        assert "wanted a use case or a key" in api.log("learn", hostile, "open")
    assert gone(settings)


@pytest.mark.slow
def test_a_backfill_computes_past_days_and_promotes_nothing(throwaway):
    settings = settings_for(throwaway, active=("learn", "calendar"))
    with airflow.started(settings):
        api = settings.api()
        api.backfill("calendar", "2025-05-12T00:00:00Z", "2025-05-13T00:00:00Z")
        keys = [f"{case}@2025-05-12T00:00:00Z@backfill" for case in ("demand", "fraud", "recommend", "sentiment")]
        runs = [api.wait_for_run("learn", key, 120) for key in keys]
        assert [api.wait("learn", run, 300) for run in runs] == ["success"] * 4
    home = throwaway.opened_home()
    assert throwaway.promoted() == []
    assert {run.closed for run in throwaway.runs.all()} == {"backfilled"}
    assert [home.runs.journal(case) for case in ("demand", "fraud")] == [[], []]
    assert home.outbox.waiting() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_ended_it_leaves_no_process_behind(throwaway, number):
    settings = settings_for(throwaway)
    words = [sys.executable, "-m", "pipelines", "airflow", "--port", str(settings.port)]
    env = {**os.environ, "SHELFLIFE_HOME": str(throwaway.home), "PYTHONPATH": str(HERE)}
    with (throwaway.home.parent / "launcher.log").open("wb") as log:
        launcher = subprocess.Popen(words, cwd=throwaway.root, env=env, stdout=log, stderr=log, start_new_session=True)
    said = throwaway.home.parent / "launcher.log"
    wait_until(lambda: b"Airflow is up at" in said.read_bytes() or launcher.poll() is not None, 180)
    assert launcher.poll() is None, said.read_text()
    assert len(airflow.alive(settings)) >= len(airflow.SERVICES) + settings.parallelism
    os.kill(launcher.pid, number)
    launcher.wait(60)
    wait_until(lambda: gone(settings), 60)
    assert launcher.returncode == (-9 if number == signal.SIGKILL else 0), said.read_text()


@pytest.mark.slow
def test_postgresql_by_one_setting(throwaway, postgresql):
    settings = replace(settings_for(throwaway, active=("learn",)), database=postgresql)
    with airflow.started(settings):
        api = settings.api()
        run = api.trigger("learn", key="sentiment@2025-05-19T00:00:00Z")
        assert api.wait("learn", run, 240) == "success"
    assert [p["case"] for p in throwaway.promoted()] == ["sentiment"]
    assert not (settings.folder / "airflow.db").exists()
    assert gone(settings)
