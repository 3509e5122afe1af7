"""A run is a commit: each learn run works in its own git worktree with the shared DVC cache, and keeps what it found in a ref."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pipelines.core.clock import instant, iso
from pipelines.core.errors import ShelflifeError
from pipelines.steps.processes import end_leftovers, locked, tagged
from pipelines.steps.reproduce import TAG, environment

KEY = re.compile(
    r"(?P<case>[a-z][a-z0-9]{1,30})(?:@(?P<as_of>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)(?:@(?P<run>[a-z0-9][a-z0-9-]{0,40}))?)?"
)
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
BACKFILL = "backfill"


@dataclass(frozen=True)
class Key:
    """What a run is about, as Airflow's partition keys write it: `case`, `case@as_of` or `case@as_of@run`.

    `run` is the run's id where whoever asked for it has given one (the monitor does, for its journal); the word backfill in
    its place means: compute what was known then, and touch nothing that lives.
    """

    case: str
    as_of: int | None = None
    run: str = ""

    @property
    def backfill(self) -> bool:
        return self.run == BACKFILL

    @staticmethod
    def parse(text: str) -> Key:
        """Raises ShelflifeError for anything but a key: keys come from people and from the network."""
        match = KEY.fullmatch(text)
        if not match:
            raise ShelflifeError(f"wanted a use case or a key such as fraud@2025-05-26T00:00:00Z, got {ascii(text)[:80]}")
        try:
            as_of = instant(match["as_of"]) if match["as_of"] else None
        except ValueError as error:
            raise ShelflifeError(str(error)) from None
        return Key(match["case"], as_of, match["run"] or "")


@dataclass(frozen=True)
class Run:
    """One learn run. `commit` is the deployed commit it started from; `closed` says how it ended, None while it is open.

    `lease` is the epoch of its hold on the use case, 0 for a backfill, which needs none.
    """

    case: str
    run: str
    as_of: int
    backfill: bool
    commit: str
    opened: int
    closed: str | None = None
    lease: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.run):
            raise ShelflifeError(f"wanted a run id of letters, digits, - and _, got {ascii(self.run)[:80]}")

    @property
    def ref(self) -> str:
        return f"refs/shelflife/{self.case}/{self.run}"


class Runs:
    """The worktrees of one home, made from one repository's deployed commit. Each worktree has a record of its run beside it."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home
        self.folder = home / "worktrees"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One at a time makes or removes worktrees: git's own list of them is one for all."""
        with locked(self.folder / ".lock", patience=120, whose="another learn run"):
            yield

    def worktree(self, case: str, run: str) -> Path:
        return self.folder / f"{case}-{run}"

    def find(self, case: str, run: str) -> Run | None:
        """The record of a run, None when there is none."""
        path = self._record(case, run)
        return Run(**json.loads(path.read_text())) if path.is_file() else None

    def get(self, case: str, run: str) -> Run:
        """The record of a run that is still there. Raises ShelflifeError when there is none."""
        found = self.find(case, run)
        if not found:
            raise ShelflifeError(f"{case} has no run {run!a} here; see shelflife learn list {case}")
        return found

    def all(self, case: str | None = None) -> list[Run]:
        """The records there are, oldest first."""
        records = [Run(**json.loads(path.read_text())) for path in self.folder.glob("*.json")]
        return sorted((r for r in records if case in (None, r.case)), key=lambda r: (r.opened, r.case, r.run))

    def deployed(self) -> str:
        """The commit that is deployed: the checked-out one. Raises ShelflifeError where there is no repository."""
        return git(self.root, "rev-parse", "--verify", "HEAD^{commit}")

    def add(self, run: Run) -> Path:
        """Make the run's worktree: of its own commit if it was recorded before (so that it is replayed), else of the deployed one."""
        path = self.worktree(run.case, run.run)
        start_at = self.ref(run.ref) or run.commit
        self._remove_folder(path)
        if not (self.root / ".dvc").is_dir():
            raise ShelflifeError(f"{self.root} has no DVC; run dvc init there and commit it")
        git(self.root, "worktree", "add", "--quiet", "--force", "--detach", str(path), start_at)
        _share_cache(self.root, path)
        return path

    def ref(self, name: str) -> str | None:
        """The commit that a ref names, None when there is no such ref."""
        try:
            return git(self.root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except ShelflifeError:
            return None

    def write(self, run: Run) -> None:
        """Keep the record of a run, whole or not at all."""
        path = self._record(run.case, run.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(run), sort_keys=True))
        draft.replace(path)

    def close(self, run: Run, status: str) -> Run:
        closed = replace(run, closed=status)
        self.write(closed)
        return closed

    def commit(self, run: Run, message: str, paths: Sequence[str]) -> str:
        """Commit these files of the run's worktree, ignored or not, and point the run's ref at it. No person's branch moves."""
        tree = self.worktree(run.case, run.run)
        git(tree, "add", "--force", "--", *paths)
        git(tree, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", message)
        sha = git(tree, "rev-parse", "HEAD")
        git(self.root, "update-ref", run.ref, sha)
        return sha

    def tag(self, run: Run, bundle: str) -> str:
        """Tag the run's commit as the release of this bundle (its digest). The first run that made these very bytes keeps the tag."""
        name = f"release/{run.case}/{bundle[:12]}"
        if not self.ref(f"refs/tags/{name}"):
            git(self.root, "tag", name, self.ref(run.ref) or run.commit)
        return name

    def push(self, run: Run) -> None:
        """Copy the run's data and models from the shared cache to the DVC remote. Raises ShelflifeError when it cannot."""
        tree = self.worktree(run.case, run.run)
        targets = [f"{stage}@{run.case}" for stage in stages(tree)]
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "push", "--quiet", *targets],
            cwd=tree, env=environment(self.home, tree), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ShelflifeError(
                f"dvc push of {run.case}-{run.run} failed: {_last(done.stderr)}; mend the remote (dvc remote list) and run it again"
            )

    def prune(self, keep: int) -> list[str]:
        """Remove closed worktrees, all but the newest `keep` of each use case. Their commits stay in their refs."""
        old: list[Run] = []
        for case in {run.case for run in self.all()}:
            closed = [run for run in self.all(case) if run.closed]
            old += closed[: max(0, len(closed) - keep)]
        for run in old:
            self._remove_folder(self.worktree(run.case, run.run))
            self._record(run.case, run.run).unlink(missing_ok=True)
        return [f"{run.case}-{run.run}" for run in old]

    def _record(self, case: str, run: str) -> Path:
        return self.folder / f"{case}-{run}.json"

    def _remove_folder(self, path: Path) -> None:
        if path.exists():
            end_leftovers(lambda: tagged(TAG, str(path)))
            shutil.rmtree(path)
        git(self.root, "worktree", "prune")


def git(folder: Path, *words: str) -> str:
    """What git says. Nobody's hooks, signing key or name play a part. Raises ShelflifeError with git's last line."""
    settings = (
        "user.name=Shelflife",
        "user.email=shelflife@localhost",
        "commit.gpgsign=false",
        "tag.gpgsign=false",
        "core.hooksPath=/dev/null",
        "gc.auto=0",
    )
    options = [word for setting in settings for word in ("-c", setting)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(["git", *options, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ShelflifeError("git is missing; install it, learn runs are kept as commits") from None
    if done.returncode:
        raise ShelflifeError(f"git {words[0]} failed in {folder}: {_last(done.stderr) or 'no such commit'}")
    return done.stdout.strip()


def stages(root: Path) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml by name."""
    return dict(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])


def small_outputs(root: Path, case: str) -> list[str]:
    """What git keeps of a run: the lock file, the moment, and the outputs that dvc.yaml does not put into the cache."""
    found = ["dvc.lock", f"moments/{case}.yaml"]
    for stage in stages(root).values():
        entries = [entry for kind in ("outs", "metrics", "plots") for entry in stage.get(kind) or [] if isinstance(entry, dict)]
        found += [
            path.replace("${item.case}", case)
            for entry in entries
            for path, options in entry.items()
            if options.get("cache") is False
        ]
    return [path for path in found if (root / path).exists()]


def _share_cache(root: Path, tree: Path) -> None:
    """Let the worktree's DVC use the repository's cache and remotes, and keep its own scratch inside the worktree.

    Paths in DVC's configuration are relative to its folder, so a worktree needs them spelled out.
    """
    from dvc.config import Config

    found = Config(dvc_dir=str(root / ".dvc"))
    local = configparser.ConfigParser(interpolation=None)
    local.read(root / ".dvc" / "config.local")
    for name, remote in found["remote"].items():
        if "://" not in str(remote["url"]):
            _put(local, f"'remote \"{name}\"'", "url", str(remote["url"]))
    _put(local, "cache", "dir", str(found["cache"].get("dir") or root / ".dvc" / "cache"))
    _put(local, "core", "site_cache_dir", str(tree / ".dvc" / "tmp" / "site"))
    with os.fdopen(os.open(tree / ".dvc" / "config.local", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        local.write(file)


def _put(parser: configparser.ConfigParser, section: str, name: str, value: str) -> None:
    if not parser.has_section(section):
        parser.add_section(section)
    parser.set(section, name, value)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def key_of(run: Run) -> str:
    """The run's key, as it can be asked for again."""
    return f"{run.case}@{iso(run.as_of)}" + (f"@{BACKFILL}" if run.backfill else "")
