"""The watch over a released use case: quiet weeks stay quiet, a broken feed is held and never trained on."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.core.clock import iso
from pipelines.shop.incidents import Incident
from pipelines.steps import alarms, evaluate, featurize, ingest, learn, monitor, promote, simulate, train, validate
from pipelines.steps.runs import Runs
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

HERE = Path(__file__).resolve().parents[2]
CASE = "fraud"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A small shop whose fraud model answers; three weeks have gone by, the last of which had a day with amounts in the wrong unit."""
    root = tmp_path_factory.mktemp("watched")
    for name in ("pipelines", "great_expectations", ".dvc"):
        shutil.copytree(HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local"))
    shutil.copy(HERE / "dvc.yaml", root)
    params = yaml.safe_load((HERE / "params.yaml").read_text())
    params["shop"]["simulate"] = {"start": "2025-01-06", "days": 70, "customers": 1500, "items": 60, "sessions_per_day": 40}
    params["shop"]["mail"]["port"] = 1  # nobody listens: mail waits in the outbox
    params[CASE]["split"] = {"train": "16d", "valid": "8d", "holdout": "12d"}
    params[CASE]["train"] = {
        "seed": 1,
        "use": ["dummy", "baseline", "linear", "lightgbm"],
        "settings": {"lightgbm": {"trees": 40}},
    }
    params[CASE]["gate"] |= {
        "min_rows": 200,
        "min_positives": 5,
        "latency_ms": 1000,
        "calibration": 0.1,
        "floor": 0.01,
        "slice_harm": 2.0,
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "shop"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    workspace = Workspace(root)
    home = open_home(workspace, create=True)
    home.keys.make()
    simulate.live(workspace, home, 63)
    release(workspace, home)
    return workspace, home


def release(workspace, home):
    runs = Runs(workspace.root, home.path)
    tree = Workspace(Path(learn.open_run(workspace, home, runs, CASE, "one")["worktree"]))
    ingest.snapshot(tree, home, CASE)
    validate.look(tree, CASE)
    featurize.featurize(tree, CASE)
    train.train(tree, CASE)
    assert evaluate.evaluate(tree, home, CASE).status == "pass"
    (tree.root / "dvc.lock").write_text("schema: '2.0'\n")
    learn.record(workspace, home, runs, CASE, "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runs, "push", lambda self, run: None)  # dvc did not run here, so it has nothing to push
        promote.promote(workspace, home, CASE, "one", "ada")
    learn.close(workspace, home, runs, learn.Key.parse(CASE), "one", "promoted")


def test_a_quiet_week_then_a_broken_feed(watched):
    workspace, home = watched
    simulate.live(workspace, home, 7)
    waiting = len(home.outbox.waiting())
    found = monitor.monitor(workspace, home, [CASE])
    assert found["proposals"] == []
    assert found["looks"][0]["kind"] in ("quiet", "harmless shift", "cannot decide")
    assert len(home.outbox.waiting()) == waiting
    day = simulate.day_now(workspace, home) + 4
    simulate.live(workspace, home, 7, [Incident.from_dict({"name": "unit_bug", "first_day": day, "days": 1})])
    champion = home.releases.champion(CASE)
    found = monitor.monitor(workspace, home, [CASE])
    look = found["looks"][0]
    assert look["kind"] == "broken data", look
    assert found["proposals"] == []
    assert home.releases.champion(CASE) == champion
    held = {kind for kind, _ in home.quarantine.held()}
    assert held == {"payment"}
    subjects = [letter.subject for letter in home.outbox.waiting()]
    assert sum("fraud: data broken" in subject for subject in subjects) == 1
    monitor.monitor(workspace, home, [CASE])
    assert sum("data broken" in letter.subject for letter in home.outbox.waiting()) == 1, "one cause is one alarm"


def test_a_use_case_that_nothing_answers_yet_cannot_be_decided_and_does_not_stop_the_others(watched):
    workspace, home = watched
    found = monitor.monitor(workspace, home, ["demand"])
    assert found["looks"][0]["kind"] == "cannot decide"
    assert found["proposals"] == []


def test_a_look_that_breaks_is_never_drift(watched, monkeypatch):
    workspace, home = watched
    from pipelines.core.errors import NotDecidable

    def crash(*_):
        raise NotDecidable("the scorer is away")

    monkeypatch.setattr(monitor.looking, "see", crash)
    found = monitor.monitor(workspace, home, [CASE])
    assert found["looks"][0]["kind"] == "cannot decide"
    assert found["looks"][0]["retrain"] is False


def test_every_alarm_names_what_to_do():
    assert set(alarms.CALLS) <= set(alarms.SUBJECTS)
    assert iso(0) == "1970-01-01T00:00:00Z"
