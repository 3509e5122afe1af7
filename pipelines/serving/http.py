"""The door: which hosts are answered to, how much is read, and what every response carries."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from pipelines.serving.schema import Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = 1 << 20
"""Bytes of a request's body, counted while they come in."""

HEADER = 16 << 10
"""Bytes of a request's headers."""

SLOW = 5.0
"""Seconds in which a body must have come."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")

JSON = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Guard:
    """The outermost layer: a request for another host is refused (a web page must not reach a local server by a name that it
    rebinds), every response carries the security headers, and what breaks inside is a plain 500 without its cause.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in (*LOCAL, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER:
            await refusal(431, f"headers: wanted at most {HEADER} bytes")(scope, receive, _secured(send))
        elif not self._known(scope):
            await refusal(421, "host: wanted a name that this server answers to")(scope, receive, _secured(send))
        else:
            await self._app(scope, receive, _secured(send))

    def _known(self, scope: Scope) -> bool:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and re.sub(r":\d{1,5}\Z", "", hosts[0]).lower() in self._hosts


def _secured(send: Send) -> Send:
    """Adds the headers that the response does not set itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in given)]
        await send(message)

    return sending


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The value as JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def refusal(status: int, *problems: str, headers: dict[str, str] | None = None) -> Response:
    """What was wrong, a sentence each; never what came."""
    return reply({"problems": problems}, status, headers)


async def body_of(request: Request) -> bytes:
    """The body of a JSON request, at most `BODY` bytes. Raises Refused: 415 for another type, 413 too large, 408 too slow."""
    headers = request.headers
    if len(headers.getlist("content-type")) != 1 or not JSON.fullmatch(headers["content-type"].strip()):
        raise Refused(415, "content-type: wanted application/json in UTF-8")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "content-encoding: wanted none")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > BODY:
        raise Refused(413, f"body: wanted at most {BODY} bytes")
    try:
        async with asyncio.timeout(SLOW):
            return await _read(request)
    except TimeoutError:
        raise Refused(408, f"body: wanted all of it within {SLOW:g} seconds") from None


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY:
            raise Refused(413, f"body: wanted at most {BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
