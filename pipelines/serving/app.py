"""The API: one typed route per use case made from its declaration, events and labels, health, description and console."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipelines.core.errors import ShelflifeError
from pipelines.serving import console, openapi
from pipelines.serving.http import Guard, body_of, refusal, reply
from pipelines.serving.openapi import Declared
from pipelines.serving.schema import Asks, Refused

if TYPE_CHECKING:
    from starlette.requests import Request

    from pipelines.core.protocols import Clock
    from pipelines.serving.events import Intake
    from pipelines.serving.loaded import Answered
    from pipelines.serving.predictions import Predictions
    from pipelines.serving.swap import Champions
    from pipelines.serving.tokens import Token

WAITING = 64
"""Requests that may wait for an answer, and as many for the log; one more is told to come again: a burst sheds, it does not
pile up."""

PATIENCE = 10.0
"""Seconds that a request waits for the log. What is then still written is acknowledged when the shop sends it again."""

RECENT = 300
"""Answers per use case that the console's picture shows."""

Endpoint = Callable[["Request"], Awaitable[Response]]


@dataclass
class Service:
    """All that the routes need, by argument.

    `private` says that only this machine can connect: asking and reading then need no token; writing always does.
    `story` tells the console why a use case's champion answers and what was decided last, `watch` whether the monitor has looked
    lately; they may raise while the state is away.
    """

    declared: Mapping[str, Declared]
    champions: Champions
    predictions: Predictions
    intake: Intake
    token: Token
    clock: Clock
    private: bool = True
    hosts: tuple[str, ...] = ()
    story: Callable[[str], Mapping[str, Any]] = lambda _: {}
    watch: Callable[[], Mapping[str, Any]] = dict
    new_request: Callable[[], str] = lambda: uuid.uuid4().hex
    recent: dict[str, collections.deque[console.Seen]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recent = {case: collections.deque(maxlen=RECENT) for case in self.declared}
        self._readers = {case: Asks(case, told.asks) for case, told in self.declared.items()}
        self._answers = Queue(ThreadPoolExecutor(1, thread_name_prefix="answers"), WAITING)
        self._writes = Queue(ThreadPoolExecutor(4, thread_name_prefix="writes"), WAITING)

    def app(self) -> Guard:
        """The ASGI application; its start loads what answers, its end moves the last predictions to the log."""
        return Guard(Starlette(routes=self.routes(), lifespan=self._lifespan, exception_handlers=_HANDLERS), self.hosts)

    def routes(self) -> list[Route]:
        """Every route with the scope that may use it: open, ask, read or write. There is no other way to add one."""
        cases = [self._route(f"/v1/{case}", "POST", "ask", self._asker(case)) for case in self.declared]
        return [
            *cases,
            self._route("/v1/events", "POST", "write", self.take_events),
            self._route("/healthz", "GET", "open", self.health),
            self._route("/readyz", "GET", "open", self.ready),
            self._route("/openapi.json", "GET", "read", self.describe),
            self._route("/console", "GET", "read", self.show),
        ]

    def _route(self, path: str, method: str, scope: str, endpoint: Endpoint) -> Route:
        async def guarded(request: Request) -> Response:
            if not self._may(scope, request):
                return refusal(401, "authorization: wanted a bearer token", headers={"WWW-Authenticate": "Bearer"})
            try:
                return await endpoint(request)
            except Refused as refused:
                return refusal(refused.status, *refused.problems)
            except ClientDisconnect:
                return refusal(400, "body: wanted all of it")

        guarded.scope = scope  # type: ignore[attr-defined]
        return Route(path, guarded, methods=[method])

    def _may(self, scope: str, request: Request) -> bool:
        if scope == "open" or (self.private and scope in ("ask", "read")):
            return True
        return self.token.allows(request.headers.get("authorization", "").encode("latin-1"))

    def _asker(self, case: str) -> Endpoint:
        async def ask(request: Request) -> Response:
            return await self._answers.run(self.answer, case, await body_of(request))

        return ask

    def answer(self, case: str, body: bytes) -> Response:
        """The response to the body of an ask; the whole of it by one release."""
        began, now = time.perf_counter(), self.clock()
        champion, loaded = self.champions.serving.get(case, (None, None))
        asks = (loaded.asks if loaded else self._readers[case]).decode(body, now)
        if champion is None or loaded is None:
            return busy(f"{case} has no release yet; promote one", 5)
        away = (*self.champions.troubles(case), *self.predictions.troubles)
        try:
            answered = loaded.answer(champion, asks, self.new_request(), now, away)
        except ShelflifeError as error:
            return busy(str(error), 5)
        self.champions.note(champion, answered.sample)
        traced = self.predictions.record(answered.predictions)
        self._remember(case, answered, time.perf_counter() - began)
        return reply(loaded.respond(answered, () if traced else ("spool",)))

    def _remember(self, case: str, answered: Answered, seconds: float) -> None:
        event = answered.predictions[-1]
        self.recent[case].append(console.Seen(event.ts, event.body["score"], 1000 * seconds, answered.champion.release))

    async def take_events(self, request: Request) -> Response:
        body = await body_of(request)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._writes.run(self._take, body)
        except TimeoutError:
            return busy("the log is busy; send the events again", 5)

    def _take(self, body: bytes) -> Response:
        try:
            receipt = self.intake.take(body, self.clock())
        except Refused:
            raise
        except Exception:  # the log or the quarantine is away: nothing was acknowledged, the shop sends it again
            return busy("the log is away; send the events again", 5)
        return reply(receipt, 200 if receipt.accepted or not receipt.quarantined else 422)

    async def health(self, _: Request) -> Response:
        """Alive, and whether anybody still watches the models: a dead scheduler cannot say so itself."""
        try:
            async with asyncio.timeout(1):
                found = await asyncio.to_thread(self.watched)
        except TimeoutError:
            found = {}
        return reply({"alive": True, "watch": found.get("watch", "unknown")})

    def watched(self) -> Mapping[str, Any]:
        """Whether anybody still looks at the models; a state that is away cannot say."""
        try:
            return self.watch()
        except Exception:
            return {}

    async def ready(self, _: Request) -> Response:
        """Ready while every use case that has a release answers; what is away is said, and does not make it unready."""
        serving = self.champions.serving
        rows = {
            case: {
                "release": champion.release,
                "bundle": champion.bundle,
                "epoch": champion.epoch,
                "away": self.champions.troubles(case),
            }
            for case, (champion, _) in sorted(serving.items())
        }
        ready = bool(serving) and not self.champions.unanswered
        return reply({"ready": ready, "cases": rows, "away": self.predictions.troubles}, 200 if ready else 503)

    async def describe(self, _: Request) -> Response:
        now = {case: self._described(case) for case in self.declared}
        return reply(openapi.describe(now))

    def _described(self, case: str) -> Declared:
        """The use case as the loaded bundle knows it, or as it is declared while there is none."""
        told, (_, loaded) = self.declared[case], self.champions.serving.get(case, (None, None))
        return Declared(told.question, loaded.contract, loaded.answers) if loaded else told

    async def show(self, _: Request) -> Response:
        page = await asyncio.to_thread(lambda: console.page(self.clock(), map(self._shown, self.declared), self.watched()))
        return HTMLResponse(page, headers={"Content-Security-Policy": console.POLICY})

    def _shown(self, case: str) -> console.Shown:
        champion, _ = self.champions.serving.get(case, (None, None))
        away = (*self.champions.troubles(case), *self.predictions.troubles)
        try:
            story = self.story(case)
        except Exception:  # the page must say so when the state is away, not fall with it
            story, away = {}, tuple(dict.fromkeys((*away, "state")))
        question, newer, recent = self.declared[case].question, self.champions.why(case), tuple(self.recent[case])
        return console.Shown(case, question, champion, away, newer, story, recent)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(self.champions.start)
        self.predictions.start()
        try:
            yield
        finally:
            self.champions.stop()
            self._answers.threads.shutdown()
            self._writes.threads.shutdown(wait=False)
            self.predictions.stop()


@dataclass
class Queue:
    """Work for threads, off the event loop, with a bound on how much may wait."""

    threads: ThreadPoolExecutor
    most: int
    waiting: int = 0

    async def run(self, work: Callable[..., Response], *arguments: Any) -> Response:
        """The work's response, or 503 when too much waits already."""
        if self.waiting >= self.most:
            return busy("too many requests wait; come again", 1)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)
        finally:
            self.waiting -= 1


def busy(problem: str, seconds: int) -> Response:
    """503: nothing is wrong with the request, and when to send it again."""
    return refusal(503, problem, headers={"Retry-After": str(seconds)})


async def _plain(_: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route, another method) as JSON."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    said = {404: "path: no such route; see /openapi.json", 405: "method: not one of this route"}
    return refusal(status, said.get(status, "something broke here; the server's log says what"), headers=headers)


_HANDLERS: Any = {HTTPException: _plain, Exception: _plain}
