"""A throw-away project of the same shape as this one, whose stages are trivial: the mechanism of runs must not depend on our models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipelines.core.clock import instant
from pipelines.core.event import Event
from pipelines.shop.contracts import CONTRACTS
from pipelines.steps.runs import Runs, git
from pipelines.steps.workspace import Workspace
from pipelines.store.home import Home

HERE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # the small shop lies beside its tests
START = instant("2025-05-10")
NOW = instant("2025-05-26")

DVC = """
stages:
  ingest:
    matrix: {case: "${cases}"}
    cmd: python -m pipelines ingest ${item.case}
    deps: ["moments/${item.case}.yaml"]
    outs: ["data/${item.case}/events"]
  train:
    matrix: {case: "${cases}"}
    cmd: python -m pipelines train ${item.case}
    deps: ["data/${item.case}/events"]
    outs: ["models/${item.case}"]
    metrics: ["reports/${item.case}/training.json": {cache: false}]
  evaluate:
    matrix: {case: "${cases}"}
    cmd: python -m pipelines evaluate ${item.case}
    deps: ["models/${item.case}", "moments/${item.case}.yaml"]
    metrics: ["reports/${item.case}/verdict.json": {cache: false}]
vars: [params.yaml]
"""

USECASES = '''
"""Use cases that are names only."""
from dataclasses import dataclass, replace
from datetime import timedelta


@dataclass(frozen=True)
class Label:
    matures: timedelta = timedelta(days=2)


@dataclass(frozen=True)
class Case:
    name: str
    risk: str
    kinds: tuple = ("payment",)
    snapshot: tuple = ("payment",)
    label: Label = Label()

    def known_within(self, within, hidden_by):
        return self


def get(name):
    return Case(name, "high" if name == "fraud" else "low")
'''

STEP = '''
"""{verb}: a stage that only writes down which code made it, or fails, as stage.json in the home asks."""
import json, os, time
from pathlib import Path

import pipelines

OUTS = {outs}


def arguments(parser):
    parser.add_argument("case")


def run(args):
    home = Path(os.environ["SHELFLIFE_HOME"])
    asked = home.parent / "asked.json"
    asked = json.loads(asked.read_text()).get(args.case, {{}}) if asked.is_file() else {{}}
    told = asked.get("{verb}", "work")
    moment = Path("moments", args.case + ".yaml").read_text()
    made = json.dumps({{"code": pipelines.__file__, "cwd": os.getcwd(), "moment": moment, "secret": os.environ.get("AIRFLOW__CORE__FERNET_KEY")}})
    for name in OUTS:
        path = Path(name.format(case=args.case))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made)
    if told == "break":
        raise SystemExit(7)
    if told == "hang":
        (home.parent / "hanging").write_text(str(os.getpid()))
        time.sleep(600)
    if "{verb}" == "evaluate":
        finding = dict(name="better", status=asked.get("verdict", "pass"), observed=0.5, wanted="above 0", low=None, high=None, sure=None, advice="")
        verdict = dict(subject=args.case, status=finding["status"], required=["better"], findings=[finding], facts={{"code": pipelines.__file__}})
        Path("reports", args.case, "verdict.json").write_text(json.dumps(verdict))
    return {{"text": "{verb} " + args.case}}
'''

PROMOTE = '''
"""promote: writes down that it was called."""
import json, os
from pathlib import Path

from pipelines.steps.runs import Runs


def arguments(parser):
    parser.add_argument("case")
    parser.add_argument("--run", required=True)
    parser.add_argument("--by", required=True)
    parser.add_argument("--because", default="")


def run(args):
    home = Path(os.environ["SHELFLIFE_HOME"])
    runs = Runs(Path.cwd(), home)
    tag = runs.tag(runs.get(args.case, args.run), "0123456789abcdef" * 4)
    runs.push(runs.get(args.case, args.run))
    with (home.parent / "promoted.jsonl").open("a") as file:
        file.write(json.dumps({"case": args.case, "run": args.run, "by": args.by, "because": args.because, "cwd": os.getcwd(), "tag": tag}) + "\\n")
    return {"text": "promoted", "bundle": "0123456789abcdef"}
'''

MONITOR = '''
"""monitor: proposes what proposals.json beside the home says."""
import json, os
from pathlib import Path


def arguments(parser):
    pass


def run(args):
    path = Path(os.environ["SHELFLIFE_HOME"]).parent / "proposals.json"
    return {"text": "looked", "proposals": json.loads(path.read_text()) if path.is_file() else []}
'''


@dataclass(frozen=True)
class Throwaway:
    """A throw-away repository with its home."""

    root: Path
    home: Path

    @property
    def runs(self) -> Runs:
        return Runs(self.root, self.home)

    def ask(self, case: str, **told: str) -> None:
        """Have a stage of a use case `break` or `hang`, or its verdict be fail or unsure."""
        path = self.home.parent / "asked.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**known, case: told}))

    def promoted(self) -> list[dict[str, str]]:
        path = self.home.parent / "promoted.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def propose(self, *proposals: dict[str, str]) -> None:
        (self.home.parent / "proposals.json").write_text(json.dumps(proposals))

    def workspace(self) -> Workspace:
        return Workspace(self.root)

    def opened_home(self) -> Home:
        return Home.open(self.home)


def make(folder: Path) -> Throwaway:
    """Make the repository, commit it, and make a home whose days up to NOW are closed."""
    root, home = folder / "project", folder / "state" / "home"
    _copy(root)
    _write(root, "dvc.yaml", DVC)
    _write(root, ".gitignore", "/data/\n/models/\n/reports/\n__pycache__/\n")
    _write(root, "pipelines/usecases/__init__.py", USECASES)
    outs = {
        "ingest": ["data/{case}/events"],
        "train": ["models/{case}", "reports/{case}/training.json"],
        "evaluate": ["reports/{case}/verdict.json"],
    }
    for verb, paths in outs.items():
        _write(root, f"pipelines/steps/{verb}.py", STEP.format(verb=verb, outs=paths))
    _write(root, "pipelines/steps/promote.py", PROMOTE)
    _write(root, "pipelines/steps/monitor.py", MONITOR)
    _write(root, "moments/.keep", "")
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(root)], check=True)
    for words in (["init", "--quiet"], ["remote", "add", "--quiet", "-d", "store", "../remote"]):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "The project")
    home.parent.mkdir()
    _world(home)
    return Throwaway(root, home)


def _copy(root: Path) -> None:
    shutil.copytree(HERE / "pipelines", root / "pipelines", ignore=shutil.ignore_patterns("__pycache__", "usecases"))
    params = yaml.safe_load((HERE / "params.yaml").read_text())
    params["shop"]["mail"]["port"] = 9  # nobody listens: mail waits in the outbox
    _write(root, "params.yaml", yaml.safe_dump(params))


def _world(home: Path) -> None:
    opened = Home.open(home, create=True)
    opened.simulated(START)
    opened.log.append([Event("payment", "p1", START, {"payment_id": "p1"})], arrived=START)
    opened.simulated(NOW)
    opened.landing.land(opened.log, CONTRACTS, until=NOW)
    opened.close()


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Throwaway:
    return make(tmp_path_factory.mktemp("template"))


@pytest.fixture
def throwaway(_template: Throwaway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Throwaway:
    """A fresh copy of the throw-away project; SHELFLIFE_HOME names its home."""
    shutil.copytree(_template.root.parent, tmp_path / "t", symlinks=True)
    copy = Throwaway(tmp_path / "t" / "project", tmp_path / "t" / "state" / "home")
    monkeypatch.setenv("SHELFLIFE_HOME", str(copy.home))
    return copy
