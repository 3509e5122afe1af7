"""What the store's tests put into a home: bundles, signed releases, promotions, events."""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiosmtpd.controller import Controller

from pipelines.core.clock import DAY, instant
from pipelines.core.digest import canonical, digest
from pipelines.core.event import Event
from pipelines.core.params import Mail
from pipelines.core.release import FILES, Bundle, Release
from pipelines.core.verdict import Finding, Verdict
from pipelines.store.failpoint import VARIABLE

NOW = instant("2025-05-26")


def bundle(folder: Path, seed: object = 0, case: str = "fraud", as_of: int = NOW) -> Path:
    """A bundle folder as train leaves it; the seed makes it different from the others."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: f"{name} {seed}".encode() for name in FILES}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = Bundle(case, {name: digest(data) for name, data in files.items()}, {"as_of": as_of, "seed": str(seed)})
    (folder / "manifest.json").write_text(json.dumps(manifest.to_dict(), indent=1))
    return folder


def release(home, name: str, case: str = "fraud", at: int = NOW, replaces: object = "champion") -> Release:
    """A release of that bundle, judged against the champion of now."""
    champion = home.releases.champion(case)
    against = (champion.bundle if champion else None) if replaces == "champion" else replaces
    return Release(case, name, digest(verdict(name, against)), digest(b"report"), against, at)


def verdict(name: str, against: str | None, status: str = "pass") -> dict:
    """The gate's word on that bundle against that champion, as evaluate writes it."""
    facts = {"bundle": name, "replaces": against}
    return Verdict("fraud", (Finding("floor", status, 0.5, "0.4"),), ("floor",), facts).to_dict()


def sign(home, envelope: Release) -> dict[str, str]:
    return home.keys.sign(canonical(envelope.to_dict()))


def promote(home, envelope: Release, **changes) -> int:
    """Promote as the verb does, with what is said differently."""
    words = {
        "expected_epoch": home.releases.epoch(),
        "at": envelope.at,
        "actor": "ops",
        "probe": {"ok": True, "bundle": envelope.bundle},
        "verdict": verdict(envelope.bundle, envelope.replaces),
    }
    signature = changes.pop("signature", None) or sign(home, envelope)
    return home.releases.promote(envelope, signature, **{**words, **changes})


def ship(home, folder: Path, seed: object, case: str = "fraud", at: int = NOW, as_of: int = NOW) -> str:
    """A new bundle, judged, signed and promoted; its digest."""
    name = home.releases.add(bundle(folder / f"{case}-{seed}", seed, case, as_of))
    promote(home, release(home, name, case, at))
    return name


def view(number: int, ts: int = NOW, **body) -> Event:
    return Event("view_item", f"v{number}", ts, {"item": f"i{number}", "customer": "c1", "session": "s1", **body})


def fill_up(most: int) -> None:
    """From now on this process may write files of so many bytes at most, as on a full disk; and no byte code, which Python would cut
    short for all who come after."""
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def killed_at(failpoint: str, act, mode: str = "kill") -> int:
    """Run `act` in a child that dies at the failpoint; how it ended: -9 killed, 0 it never came there, 7 it raised."""
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = f"{failpoint}={mode}"
        try:
            act()
        except BaseException:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def taking(taken: list[bytes]) -> Iterator[Mail]:
    """A mail server on loopback that takes everything into the list, and how it is reached."""

    class Server:
        async def handle_DATA(self, server, session, envelope):
            taken.append(envelope.content)
            return "250 OK"

    controller = Controller(Server(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield Mail("shelf@example.org", ("ops@example.org",), "127.0.0.1", controller.port)
    finally:
        controller.stop()


KILLED = -signal.SIGKILL
__all__ = [
    "DAY",
    "KILLED",
    "NOW",
    "bundle",
    "free_port",
    "killed_at",
    "promote",
    "release",
    "ship",
    "sign",
    "taking",
    "verdict",
    "view",
]
