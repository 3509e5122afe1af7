"""Eight learn runs at once, with the real stages and models, through a real Airflow; a laptop that repeats one gets the same hashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_shop

from demo.shop import free_port
from pipelines.core.clock import DAY, iso
from pipelines.steps import airflow, simulate
from pipelines.steps.airflow_settings import Settings
from pipelines.steps.runs import Runs, git

pytestmark = pytest.mark.slow

CASES = ("demand", "fraud", "recommend", "sentiment")
WEEKS = {"train": "21d", "valid": "7d", "holdout": "7d"}
LIGHT = {"trees": 30, "leaves": 7}


def block(use, **sections):
    return {"split": WEEKS, "train": {"seed": 1, "use": use, "settings": {"lightgbm": LIGHT}}, **sections}


BLOCKS = {
    "demand": block(["dummy", "baseline", "lightgbm"]),
    "fraud": block(["dummy", "baseline", "linear", "lightgbm", "keras", "blend"]) | {"label": {"within": "5d"}},
    "recommend": block(["dummy", "baseline", "lightgbm"]) | {"split": {**WEEKS, "sample": 0.3}},
    "sentiment": block(["dummy", "baseline", "linear"]),
}
BLOCKS["fraud"]["train"]["settings"]["keras"] = {"units": [8], "epochs": 2, "batch": 256}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Two moments of each use case, learnt at the same time: the workspace, its home, and for each use case the ref of its last run."""
    shop = {"days": 63, "customers": 800, "items": 60, "sessions_per_day": 60}
    workspace, home = small_shop.checkout(tmp_path_factory.mktemp("shop"), small_shop.params(shop, BLOCKS), extra=("dags",))
    simulate.live(workspace, home, shop["days"])
    now = home.clock()()
    settings = Settings(
        workspace.root, home.path, port=free_port(), parallelism=8, active=("learn",), extra=(("SHELFLIFE_RETRIES", "0"),)
    )
    with airflow.started(settings):
        api = settings.api()
        started = [
            api.trigger("learn", key=f"{case}@{iso(moment)}@backfill") for moment in (now - 7 * DAY, now) for case in CASES
        ]
        ended = [api.wait("learn", run, 1200) for run in started]
        logs = {(run, task): api.log("learn", run, task) for run in started for task in ran(api, run)}
        refs = {case: api.result("learn", run, "open")["ref"] for case, run in zip(CASES * 2, started, strict=True)}
    return workspace, home, refs, ended, logs


def ran(api, run):
    """The tasks of a run that began."""
    return [task for task, state in api.tasks("learn", run).items() if state in ("success", "failed")]


def test_eight_worktrees_at_once_meet_no_lock(learnt):
    workspace, home, _, ended, logs = learnt
    said = "\n".join(text[-1500:] for text in logs.values() if "Task failed" in text)
    assert ended == ["success"] * 8, said
    assert not [where for where, text in logs.items() if "Unable to acquire lock" in text]
    runs = Runs(workspace.root, home.path).all()
    assert sorted((run.case, run.closed) for run in runs) == sorted((case, "backfilled") for case in CASES * 2)


@pytest.mark.parametrize("case", CASES)
def test_a_laptop_that_repeats_a_recorded_moment_gets_airflows_hashes(learnt, tmp_path, case):
    workspace, home, refs, *_ = learnt
    laptop = tmp_path / "laptop"
    git(tmp_path, "clone", "--quiet", "--no-checkout", str(workspace.root), str(laptop))
    git(laptop, "fetch", "--quiet", "origin", refs[case])
    git(laptop, "checkout", "--quiet", "FETCH_HEAD")
    shutil.rmtree(laptop / "reports")  # git keeps the run's small results: here they must be made again
    recorded = (laptop / "dvc.lock").read_text()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "TF_"))}
    env = {**plain, "SHELFLIFE_HOME": str(home.path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", f"evaluate@{case}"],
        cwd=laptop,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for stage in ("ingest", "validate", "featurize", "train", "evaluate"):
        assert f"Running stage '{stage}@{case}'" in done.stdout, "a laptop has no cache to copy from: everything ran here"
    assert (laptop / "dvc.lock").read_text() == recorded
    assert git(laptop, "status", "--porcelain") == ""
