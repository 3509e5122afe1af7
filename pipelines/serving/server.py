"""The process that listens: one socket, bounded headers and connections, and an end that loses no request."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ShelflifeError
from pipelines.serving.http import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

CONNECTIONS = 512
GRACE = 10
"""Seconds that requests under way have to end after SIGTERM."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ShelflifeError when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ShelflifeError(
            f"cannot listen on {host}:{port} ({error.strerror}); is a server running there? choose another --port"
        ) from None
    listening.listen(CONNECTIONS)
    return listening


def is_private(host: str) -> bool:
    """Whether only this machine can connect to the host."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def address(listening: socket.socket) -> str:
    """The address that a browser opens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: ASGIApp, listening: socket.socket, ready: Callable[[str], Any]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first. `ready` is told the address at the start.

    Raises ShelflifeError when the app does not start.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                ready(address(listening))

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn's, without raising the signal again at the end: a stop that was asked for is a good end."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        app, http="h11", ws="none", access_log=False, log_level="warning", server_header=False,
        h11_max_incomplete_event_size=HEADER, limit_concurrency=CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=GRACE, proxy_headers=False,
    )  # fmt: skip
    server = Server(config)
    server.run(sockets=[listening])
    if not server.started:
        raise ShelflifeError("the server did not start; the lines above say why")
