"""airflow: start Airflow on loopback, with its scheduler, web UI and mail, and stop it whole."""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.steps.airflow_api import AirflowApi
from pipelines.steps.learn import home_folder
from pipelines.steps.processes import end, end_leftovers, locked, start
from pipelines.steps.workspace import Workspace

LOOPBACK = "127.0.0.1"
SERVICES = {
    "api-server": ["api-server", "--host", LOOPBACK, "--port", "{port}"],
    "scheduler": ["scheduler", "--skip-serve-logs"],  # its log server would listen on every address
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
ROLES = ("admin", "op", "user", "viewer")
POOL = "train"
"""The pool of one slot in which models are trained."""
PATIENCE = 180.0
"""Seconds that all parts have to become healthy."""
TIDY = 25.0
"""Seconds that they have to end by themselves."""


@dataclass(frozen=True)
class Settings:
    """How this Airflow runs. `database` is one SQLAlchemy address; None is SQLite under the home. `users` maps a name to a role.

    `passwords` may preset some users' passwords; all others are random. DAGs in `active` are switched on when it is up.
    """

    root: Path
    home: Path
    port: int = 8080
    database: str | None = None
    parallelism: int = 4
    users: tuple[tuple[str, str], ...] = (("admin", "admin"),)
    passwords: tuple[tuple[str, str], ...] = ()
    active: tuple[str, ...] = ("learn", "monitor", "calendar")
    extra: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        for name, role in self.users:
            if not re.fullmatch(r"[a-z][a-z0-9_.-]{0,31}", name) or role not in ROLES:
                raise ShelflifeError(f"wanted users such as ops:op with a role of {', '.join(ROLES)}, got {f'{name}:{role}'!a}")

    @property
    def folder(self) -> Path:
        return self.home / "airflow"

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def passwords_file(self) -> Path:
        return self.folder / "passwords.json"

    def password(self, user: str) -> str:
        """The password of a user. Raises ShelflifeError where there is no such user."""
        known = _read_json(self.passwords_file)
        if user not in known:
            raise ShelflifeError(f"this Airflow has no user {user!a}; it has {', '.join(sorted(known)) or 'none yet'}")
        return str(known[user])

    def api(self, user: str | None = None) -> AirflowApi:
        """A client for one of the users, the first one by default."""
        name = user or self.users[0][0]
        return AirflowApi(self.address, name, self.password(name))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080, help="the web UI's port on 127.0.0.1 (default 8080)")
    parser.add_argument(
        "--database", metavar="URL", help="such as postgresql+psycopg2://airflow@localhost/airflow; SQLite by default"
    )
    parser.add_argument("--parallelism", type=int, default=4, help="how many tasks run at once (default 4)")
    parser.add_argument("--users", default="admin:admin", help="name:role, with commas; roles are admin, op, user, viewer")
    parser.add_argument(
        "--active", default="learn,monitor,calendar", help="DAGs that are switched on, with commas; the others stay paused"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    workspace = Workspace.here()
    settings = Settings(
        workspace.root, home_folder(workspace), args.port, args.database, args.parallelism,
        users=tuple(_pair(entry) for entry in args.users.split(",")), active=tuple(name for name in args.active.split(",") if name),
    )  # fmt: skip
    with _interrupted_by_sigterm(), started(settings) as services:
        names = ", ".join(name for name, _ in settings.users)
        print(
            f"Airflow is up at {settings.address} (users {names}; passwords in {settings.passwords_file}). Ctrl-C stops it.",
            flush=True,
        )
        try:
            services.watch()
        except KeyboardInterrupt:
            print("stopping Airflow", flush=True)
    return {"text": "Airflow has stopped", "address": settings.address}


@dataclass
class Services:
    """The running parts of an Airflow."""

    settings: Settings
    processes: dict[str, subprocess.Popen[bytes]]

    def watch(self, pause: float = 0.5) -> None:
        """Wait for ever. Raises ShelflifeError when a part has ended by itself."""
        while True:
            self.check()
            time.sleep(pause)

    def check(self) -> None:
        """Raises ShelflifeError when a part has ended, with the last line it wrote."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = self.settings.folder / "logs" / f"{name}.log"
                raise ShelflifeError(f"airflow {name} ended with status {process.returncode}: {_tail(log)}; see {log}")

    def stop(self) -> None:
        """End every part and everything they started. The web server goes last: tasks that end report to it."""
        order = ["triggerer", "dag-processor", "scheduler", "api-server"]
        running = [self.processes[name] for name in order if name in self.processes]
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            end(process, TIDY)
        end_leftovers("AIRFLOW_HOME", str(self.settings.folder))


@contextmanager
def started(settings: Settings) -> Iterator[Services]:
    """A healthy Airflow for as long as the block lasts; then nothing of it is left, however the block ends.

    Should this process be killed, the kernel ends Airflow's parts too. Raises ShelflifeError when the port is taken, another
    one runs on the same home, or a part does not become healthy.
    """
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(settings.folder / ".lock", whose="another Airflow of this home"), ExitStack() as stack:
        end_leftovers("AIRFLOW_HOME", str(settings.folder))
        _check_port(settings.port)
        env = environment(settings)
        _migrate(settings, env)
        services = Services(settings, {})
        stack.callback(services.stop)
        for name, words in SERVICES.items():
            services.processes[name] = _start(settings, name, words, env)
        _wait(services)
        _switch_on(settings)
        yield services


def environment(settings: Settings) -> dict[str, str]:
    """What every part of Airflow is started with. Secrets are made once per home and kept in files of mode 0600."""
    _make_passwords(settings)
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
    }
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // settings.parallelism))
    secret = _secrets(settings.folder / "secrets.json")
    database = settings.database or f"sqlite:///{settings.folder / 'airflow.db'}"
    airflow = {
        "CORE__DAGS_FOLDER": settings.root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__PARALLELISM": settings.parallelism,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": secret["fernet"],
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.address}/execution/",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in settings.users),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": settings.passwords_file,
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": False,
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__HOST": LOOPBACK,
        "API__PORT": settings.port,
        "API__BASE_URL": settings.address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secret["api"],
        "API__EXPOSE_CONFIG": False,
        "API_AUTH__JWT_SECRET": secret["jwt"],
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "LOGGING__BASE_LOG_FOLDER": settings.folder / "logs" / "tasks",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **keep,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{keep.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(settings.folder),
        **{f"AIRFLOW__{name}": str(value) for name, value in airflow.items()},
        "SHELFLIFE_ROOT": str(settings.root), "SHELFLIFE_HOME": str(settings.home),
        "SHELFLIFE_PYTHON": sys.executable, "SHELFLIFE_TRAIN_POOL": POOL,
        "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive",
        "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads, "DO_NOT_TRACK": "1",
        **dict(settings.extra),
    }  # fmt: skip


def _program() -> list[str]:
    """The airflow command of this environment. Raises ShelflifeError where it is not installed."""
    found = shutil.which("airflow", path=str(Path(sys.executable).parent)) or shutil.which("airflow")
    if not found:
        raise ShelflifeError("Airflow is not installed here; uv sync --extra airflow brings it")
    return [found]


def _migrate(settings: Settings, env: dict[str, str]) -> None:
    """Make or upgrade Airflow's own tables."""
    logs = settings.folder / "logs"
    logs.mkdir(exist_ok=True, mode=0o700)
    with (logs / "migrate.log").open("wb") as log:
        status = end_or_wait([*_program(), "db", "migrate"], settings.folder, env, log)
    if status:
        raise ShelflifeError(
            f"airflow db migrate failed: {_tail(logs / 'migrate.log')}; see {logs / 'migrate.log'}, or give another --database"
        )


def end_or_wait(command: Sequence[str], cwd: Path, env: dict[str, str], log: Any) -> int:
    """Run a command to its end; if we must leave before, it is ended too."""
    process = start(command, cwd=cwd, env=env, output=log)
    try:
        return process.wait()
    finally:
        end(process, patience=5)


def _start(settings: Settings, name: str, words: Sequence[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [*_program(), *(word.format(port=settings.port) for word in words)]
    with (settings.folder / "logs" / f"{name}.log").open("wb") as log:
        return start(command, cwd=settings.folder, env=env, output=log, on_death=signal.SIGTERM)


def _wait(services: Services) -> None:
    deadline = time.monotonic() + PATIENCE
    api = services.settings.api()
    while not api.healthy():
        services.check()
        if time.monotonic() > deadline:
            raise ShelflifeError(f"Airflow was not healthy within {PATIENCE:g} s; see {services.settings.folder / 'logs'}")
        time.sleep(0.5)


def _switch_on(settings: Settings) -> None:
    """Make the pool for training and switch the wanted DAGs on, once the DAG processor has read them."""
    api = settings.api()
    pools = {pool["name"] for pool in api.call("GET", "/pools")["pools"]}
    if POOL not in pools:
        api.call("POST", "/pools", {"name": POOL, "slots": 1, "description": "models are trained one at a time"})
    api.until(
        lambda: set(settings.active) <= set(api.dags()) or api.import_errors(),
        PATIENCE,
        lambda: f"the DAGs {settings.active} were read",
    )
    if errors := api.import_errors():
        raise ShelflifeError(f"a DAG cannot be read: {errors[0].strip().splitlines()[-1]}")
    for dag, paused in api.dags().items():
        if paused == (dag in settings.active):
            api.pause(dag, paused=dag not in settings.active)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise ShelflifeError(f"port {port} is taken; end what listens there, or choose another with --port") from None


def _make_passwords(settings: Settings) -> None:
    """Every user has a password: the preset one, the one there was, or a random one."""
    known = _read_json(settings.passwords_file)
    wanted = {name: known.get(name) or secrets.token_urlsafe(18) for name, _ in settings.users} | dict(settings.passwords)
    _write_secret(settings.passwords_file, wanted)


def _secrets(path: Path) -> dict[str, str]:
    """The keys of this Airflow: made once, so that a restart keeps sessions and stored connections readable."""
    known = _read_json(path)
    if not known:
        known = {
            "api": secrets.token_hex(32),
            "jwt": secrets.token_hex(32),
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        _write_secret(path, known)
    return known


def _write_secret(path: Path, value: dict[str, str]) -> None:
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file)
    draft.replace(path)


def _read_json(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _pair(text: str) -> tuple[str, str]:
    name, _, role = text.partition(":")
    return name, role


def _tail(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it wrote nothing"


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM stops us the way Ctrl-C does; so does Ctrl-C where a script started us in the background and had it ignored."""

    def interrupt(_number: int, _frame: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # a second one must not break off the stopping
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
