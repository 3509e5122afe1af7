"""A checkout of this project with a small simulated shop: the real stages and real models, small enough for a test."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.steps import evaluate, featurize, ingest, learn, promote, train, validate
from pipelines.steps.runs import Runs
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

HERE = Path(__file__).resolve().parents[2]
IGNORED = "/data/\n/models/\n/reports/\n.shelflife/\n__pycache__/\n"
NOBODY_LISTENS = 1
FRAUD = {
    "label": {"within": "5d"},
    "split": {"train": "16d", "valid": "8d", "holdout": "12d"},
    "train": {
        "seed": 1,
        "use": ["dummy", "baseline", "linear", "lightgbm"],
        "settings": {"lightgbm": {"trees": 40, "leaves": 7}},
    },
    "gate": {"min_rows": 200, "min_positives": 5, "latency_ms": 1000, "calibration": 0.1, "floor": 0.01, "slice_harm": 2.0},
}
"""Fraud on a few weeks: fewer models, and a gate that so few rows can pass."""


def params(simulate, blocks):
    """The project's own parameters with a smaller shop; each use case's block with some sections (or values of theirs) replaced."""
    known = yaml.safe_load((HERE / "params.yaml").read_text())
    known["shop"]["simulate"] |= simulate
    known["shop"]["mail"]["port"] = NOBODY_LISTENS  # mail waits in the outbox
    for case, sections in blocks.items():
        for name, values in sections.items():
            known[case][name] = {**known[case][name], **values} if name == "gate" else values
    return known


def checkout(root, known, *, extra=()):
    """The project as a git repository at `root` with these parameters, and its home with keys; nothing has happened yet."""
    for name in ("pipelines", "great_expectations", ".dvc", "moments", *extra):
        if (HERE / name).is_dir():
            shutil.copytree(
                HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
            )
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(HERE / name, root)
    (root / "params.yaml").write_text(yaml.safe_dump(known))
    (root / ".gitignore").write_text(IGNORED)
    for words in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "t"],
        ["config", "user.email", "t@localhost"],
        ["add", "-A"],
        ["commit", "-qm", "shop"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    workspace = Workspace(root)
    home = open_home(workspace, create=True)
    home.keys.make()
    return workspace, home


def learnt(workspace, home, case, run="one"):
    """A learn run judged on its opened holdout, all stages in this process: its worktree and its verdict."""
    tree = Workspace(Path(learn.open_run(workspace, home, Runs(workspace.root, home.path), case, run)["worktree"]))
    ingest.snapshot(tree, home, case)
    assert validate.look(tree, case).status == "pass"
    featurize.featurize(tree, case)
    train.train(tree, case)
    verdict = evaluate.evaluate(tree, home, case)
    (tree.root / "dvc.lock").write_text("schema: '2.0'\n")
    return tree, verdict


def released(workspace, home, case, run="one"):
    """A learn run that passed, was recorded, promoted by ada and closed."""
    runs = Runs(workspace.root, home.path)
    _, verdict = learnt(workspace, home, case, run)
    assert verdict.status == "pass", verdict.why()
    learn.record(workspace, home, runs, case, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runs, "push", lambda self, run: None)  # dvc did not run here, so it has nothing to push
        promote.promote(workspace, home, case, run, "ada")
    learn.close(workspace, home, runs, learn.Key.parse(case), run, "promoted")
    return verdict
