"""What all tests share: property-based tests without a deadline (machines are slow and shared) and with fixed seeds; a real
PostgreSQL and a real browser where they are installed."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shop", deadline=None, derandomize=True)
settings.load_profile("shop")


@pytest.fixture(scope="session")
def _server():
    """A PostgreSQL of our own on loopback; its programs and port."""
    program = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))), None)
    if program is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="shelflife-pg-"))
    server = Postgres(program.parent, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql(_server):
    """The URL of an empty database."""
    return _server.database()


@pytest.fixture
def postgresql_databases(_server):
    """A function that gives the URL of another empty database."""
    return _server.database


@pytest.fixture
def page():
    """An empty page of a real browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as web:
        browser = web.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.getuid() == 0 else [])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


class Postgres:
    """A cluster in a folder; it listens on loopback only, and trusts whoever connects from there."""

    def __init__(self, programs, folder):
        self.programs, self.data = programs, folder / "data"
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        self._count = itertools.count()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self):
        self.data.mkdir()
        if self.user:
            self.data.parent.chmod(0o755)
            shutil.chown(self.data, "postgres")
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "shop")
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.data / "log"), "-o", options, "start")

    def stop(self):
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    def database(self):
        name = f"shop{next(self._count)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop", name)
        return f"postgresql+psycopg2://shop@127.0.0.1:{self.port}/{name}"

    def _run(self, program, *words):
        quiet = subprocess.DEVNULL
        subprocess.run([*self.user, str(self.programs / program), *words], check=True, cwd="/", stdout=quiet, stderr=quiet)
