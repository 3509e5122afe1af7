"""The home: one folder that holds all living state, with a version of its own."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.clock import iso
from pipelines.core.errors import ShelflifeError
from pipelines.core.protocols import Clock
from pipelines.store.durable import make_folder, write
from pipelines.store.failpoint import failpoint

if TYPE_CHECKING:
    from pipelines.store.decisions import Decisions
    from pipelines.store.keys import Keys
    from pipelines.store.landing import Landing
    from pipelines.store.log import SqliteLog
    from pipelines.store.outbox import Outbox
    from pipelines.store.quarantine import Quarantine
    from pipelines.store.releases import Releases
    from pipelines.store.runs import Runs
    from pipelines.store.state import State

VERSION = 2
"""Of the folder. A newer home is refused, an older one is brought up to date when it is opened."""

FOLDERS = ("landing", "releases", "keys", "worktrees", "airflow", "online", "decisions")
VARIABLE = "SHELFLIFE_HOME"


class Home:
    """One shop's living state. Its parts are opened when they are first asked for.

    `log.db` events; `state.db` operational tables; `landing/` Parquet; `releases/<digest>/` bundles; `keys/`; `decisions/<id>/`
    evidence; `worktrees/`, `airflow/` and `online/` belong to learning, Airflow and the stream.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def open(path: Path | None = None, *, create: bool = False) -> Home:
        """The home at `path`, else at SHELFLIFE_HOME, else .shelflife in the checkout of the current folder.

        An older one is brought up to date. Raises ShelflifeError where there is none (unless `create`), or a newer one.
        """
        home = Home(where() if path is None else Path(path).absolute())
        found = home.version()
        if found is None:
            with home._alone(create):
                if home.version() is None:
                    home._create(create)
        elif found > VERSION:
            raise ShelflifeError(
                f"{home.path}: wanted a home of version {VERSION} or older, got {found}; use the newer Shelflife that wrote it"
            )
        elif found < VERSION:
            home._upgrade(found)
        return home

    @cached_property
    def log(self) -> SqliteLog:
        from pipelines.store.log import SqliteLog

        return SqliteLog(self.path / "log.db")

    @cached_property
    def landing(self) -> Landing:
        from pipelines.store.landing import Landing

        return Landing(self.path / "landing")

    @cached_property
    def state(self) -> State:
        from pipelines.store.state import State

        return State(os.environ.get("SHELFLIFE_STATE") or f"sqlite:///{self.path / 'state.db'}")

    @cached_property
    def keys(self) -> Keys:
        from pipelines.store.keys import Keys

        return Keys(self.path / "keys")

    @cached_property
    def outbox(self) -> Outbox:
        from pipelines.store.outbox import Outbox

        return Outbox(self.state)

    @cached_property
    def releases(self) -> Releases:
        from pipelines.store.releases import Releases

        return Releases(self.path / "releases", self.state, self.keys, self.outbox)

    @cached_property
    def decisions(self) -> Decisions:
        from pipelines.store.decisions import Decisions

        return Decisions(self.path / "decisions", self.state)

    @cached_property
    def quarantine(self) -> Quarantine:
        from pipelines.store.quarantine import Quarantine

        return Quarantine(self.state)

    @cached_property
    def runs(self) -> Runs:
        from pipelines.store.runs import Runs

        return Runs(self.state)

    def clock(self) -> Clock:
        """The world time of this home: the wall, or the simulated shop's."""
        return SimulatedClock(self.state) if self.state.get("clock") == "simulated" else WallClock()

    def simulated(self, now: int) -> None:
        """Set the simulated shop's time (microseconds UTC). Raises ShelflifeError where it would go back."""
        from pipelines.store.state import META, put

        before = int(self.state.get("simulated_now") or 0)
        if now < max(before, self.log.last_arrived()):
            last = max(before, self.log.last_arrived())
            raise ShelflifeError(
                f"the simulated time is {iso(last)} already, it cannot go back to {iso(now)}; use another home for another shop"
            )
        with self.state.begin() as connection:
            put(connection, META, {"name": "clock"}, {"value": "simulated"})
            put(connection, META, {"name": "simulated_now"}, {"value": str(now)})

    def close(self) -> None:
        """Close what was opened."""
        for name in ("log", "landing", "state"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def version(self) -> int | None:
        """The folder's version; None where there is no home (yet)."""
        try:
            text = (self.path / "version").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not text.strip().isdigit():
            raise ShelflifeError(f"{self.path / 'version'}: wanted a number, got {ascii(text)[:20]}; restore a backup")
        return int(text)

    @contextmanager
    def _alone(self, create: bool) -> Iterator[None]:
        """One process at a time makes a home; the lock lies beside it and goes with the process that holds it."""
        if not create:
            yield
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self, create: bool) -> None:
        """A new home; a creation that was interrupted is continued."""
        strange = [p.name for p in self.path.iterdir() if not _ours(p.name)] if self.path.is_dir() else []
        if strange:
            raise ShelflifeError(
                f"{self.path}: wanted an empty folder for a new home, got {strange[0]!a} in it; choose another folder"
            )
        if not create:
            raise ShelflifeError(
                f"there is no state at {self.path}; make it with shelflife simulate or shelflife keys make, or set {VARIABLE}"
            )
        make_folder(self.path).chmod(0o700)
        for name in FOLDERS:
            make_folder(self.path / name)
        _ = self.state, self.log, self.landing
        failpoint("home.before_version")
        write(self.path / "version", f"{VERSION}\n".encode())

    def _upgrade(self, found: int) -> None:
        """Bring an older home up to date; its tables as they were stay beside them in state.db.v<n>."""
        from pipelines.store import sqlite

        if (self.path / "state.db").exists():
            sqlite.copy(self.path / "state.db", self.path / f"state.db.v{found}")
        for name in FOLDERS:
            make_folder(self.path / name)
        _ = self.state
        failpoint("home.upgraded")
        write(self.path / "version", f"{VERSION}\n".encode())


class WallClock:
    """Now by this machine; a step back of its clock is not passed on."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        self._last = max(self._last, time.time_ns() // 1000)
        return self._last


class SimulatedClock:
    """Now in the simulated shop, as the state says."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self) -> int:
        return int(self._state.get("simulated_now") or 0)


def where() -> Path:
    """SHELFLIFE_HOME; else the home that the current folder lies in (a run's worktree does); else .shelflife in the checkout."""
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    here = (Path.cwd(), *Path.cwd().parents)
    inside = [folder for folder in here if (folder / "version").is_file() and (folder / "state.db").is_file()]
    checkouts = [folder for folder in here if (folder / "params.yaml").is_file()]
    return inside[0] if inside else (checkouts or [Path.cwd()])[0] / ".shelflife"


def _ours(name: str) -> bool:
    return name in FOLDERS or name.startswith(("state.db", "log.db", ".tmp-"))
