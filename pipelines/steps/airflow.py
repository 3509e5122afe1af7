"""airflow: start Airflow on loopback, with its scheduler, web UI and mail, and stop it whole."""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.errors import ShelflifeError
from pipelines.steps.airflow_settings import LOOPBACK, POOL, Settings, environment
from pipelines.steps.learn import home_folder
from pipelines.steps.processes import end, end_leftovers, locked, start, tagged, working_in
from pipelines.steps.workspace import Workspace

SERVICES = {
    "api-server": ["api-server", "--host", LOOPBACK, "--port", "{port}"],
    "scheduler": ["scheduler", "--skip-serve-logs"],  # its log server would listen on every address
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
PATIENCE = 180.0
"""Seconds that all parts have to become healthy."""
TIDY = 25.0
"""Seconds that they have to end by themselves."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8080, help="the web UI's port on 127.0.0.1 (default 8080)")
    parser.add_argument(
        "--database", metavar="URL", help="such as postgresql+psycopg2://airflow@localhost/airflow; SQLite by default"
    )
    parser.add_argument("--parallelism", type=int, default=4, help="how many tasks run at once (default 4)")
    parser.add_argument("--users", default="admin:admin", help="name:role, with commas; roles are admin, op, user, viewer")
    parser.add_argument(
        "--active", default="learn,monitor,calendar,mail", help="DAGs that are switched on, with commas; the others stay paused"
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
        end_leftovers(lambda: alive(self.settings))


@contextmanager
def started(settings: Settings) -> Iterator[Services]:
    """A healthy Airflow for as long as the block lasts; then nothing of it is left, however the block ends.

    Should this process be killed, the kernel ends Airflow's parts too. Raises ShelflifeError when the port is taken, another
    one runs on the same home, or a part does not become healthy.
    """
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(settings.folder / ".lock", whose="another Airflow of this home"), ExitStack() as stack:
        end_leftovers(lambda: alive(settings))
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


def alive(settings: Settings) -> list[int]:
    """Ids of the processes of this home's Airflow, the tasks it runs among them."""
    return sorted({*tagged("AIRFLOW_HOME", str(settings.folder)), *working_in(settings.folder, "airflow")})


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
