"""The demo's own copy of the project with a home of its own: what it does leaves the checkout as it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from pipelines.steps.processes import end, start

REPOSITORY = Path(__file__).resolve().parents[1]


class Broken(Exception):
    """The story did not happen as told."""


@dataclass(frozen=True)
class Shop:
    """Where the demo lives: a clone of the commit, and its living state."""

    root: Path
    home: Path

    @staticmethod
    def fresh(folder: Path) -> Shop:
        """A new clone of the checkout's commit under the folder; what an earlier demo left there is removed."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        root = folder / "shop"
        done = subprocess.run(
            ["git", "clone", "--quiet", str(REPOSITORY), str(root)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Broken(f"the demo works on a clone of this checkout, and git said: {done.stderr.strip()}")
        for name, value in (("user.name", "shelflife demo"), ("user.email", "demo@localhost")):
            subprocess.run(["git", "-C", str(root), "config", name, value], check=True)
        return Shop(root, folder / "home")

    @property
    def env(self) -> dict[str, str]:
        """The environment of everything the demo starts."""
        return {
            **os.environ,
            "SHELFLIFE_HOME": str(self.home),
            "SHELFLIFE_ROOT": str(self.root),
            "SHELFLIFE_PYTHON": sys.executable,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def say(self, *words: str, cwd: Path | None = None) -> dict[str, Any]:
        """Run one verb as a person would and return its JSON. Raises Broken, with the verb's own sentence, when it fails."""
        command = [sys.executable, "-m", "pipelines", *words, "--json"]
        done = subprocess.run(command, cwd=cwd or self.root, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken(f"shelflife {' '.join(words)} ended with status {done.returncode}: {done.stderr.strip()[-600:]}")
        return dict(json.loads(done.stdout))

    def run(self, *command: str, cwd: Path, log: Path) -> None:
        """Run a command with its output in a log. Raises Broken with the log's end when it fails."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            done = subprocess.run(command, cwd=cwd, env=self.env, stdout=file, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise Broken(f"{' '.join(command)} ended with status {done.returncode}: {log.read_text(errors='replace')[-800:]}")

    @contextmanager
    def service(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A verb that runs for as long as the block lasts; then it and all it started are ended."""
        log = self.home / f"{words[0]}.log"
        with log.open("ab") as file:
            process = start([sys.executable, "-m", "pipelines", *words], cwd=self.root, env=self.env, output=file)
        try:
            yield process
        finally:
            end(process, patience=20)


@dataclass(frozen=True)
class Api:
    """The shop's own services, calling the serving API."""

    address: str

    def ask(self, case: str, asks: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The answers to a batch of asks."""
        body = json.dumps({"asks": asks}).encode()
        request = Request(f"{self.address}/v1/{case}", body, {"Content-Type": "application/json"})  # noqa: S310  our own loopback address
        with urlopen(request, timeout=10) as response:  # noqa: S310
            return dict(json.load(response))

    def ready(self, process: subprocess.Popen[bytes], patience: float = 60) -> None:
        """Wait until it answers. Raises Broken when it ends or does not answer."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if process.poll() is not None:
                raise Broken(f"shelflife serve ended with status {process.returncode}; see serve.log in the demo's home")
            try:
                with urlopen(f"{self.address}/readyz", timeout=2) as response:  # noqa: S310
                    if response.status == 200:
                        return
            except (URLError, OSError):
                time.sleep(0.2)
        raise Broken(f"the API did not answer within {patience:.0f} seconds")


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
