"""The HTTP server of a service, and its probes and metrics.

``/healthz``: its loops run; a process that is too busy fails by not answering.
``/readyz``: its dependencies answer, and it is not stopping. An API needs the database alone, since messages wait in
the outbox. Other services need the broker too, and that every loop runs.
``/metrics``: for any Prometheus, requests in steps of five; ``/metrics/privacy``: for the privacy team's, exactly.

At SIGTERM readiness fails immediately. For a while connections are still accepted, and every answer says
``Connection: close``, so that a client's next request goes to another instance. Then no connection is accepted, and
requests under way are answered.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import Server

from shared.app.connection import BoundedProtocol
from shared.domain.errors import Misconfigured
from shared.runtime.disclosure import exact_text, public_text
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import HttpSettings

_KEEP_SECONDS = 90
"""Seconds for which a silent connection is kept: longer than a proxy keeps it (60 s is usual), so that the proxy
closes it. A server that closes first may do so while a request is on its way."""

_PROBE_SECONDS = 0.8
"""Readiness answers within it: Kubernetes waits one second by default."""


def bound(http: HttpSettings) -> socket.socket:
    """Binds the port of the service before anything else starts.

    Raises:
        Misconfigured: this machine has no such address, or another process listens there.
    """
    try:
        ((family, *_, address), *_) = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM)
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        place = f"DSR_HTTP_HOST and DSR_HTTP_PORT hold {http.host} and {http.port}"
        raise Misconfigured(f"{place}, where we cannot listen ({why}): set them to a free one") from None
    return listener


async def serve(
    app: ASGIApp, listener: socket.socket, http: HttpSettings, answer_seconds: float, stopping: asyncio.Event
) -> None:
    """Serves until ``stopping`` is set, lingers, and then answers what is under way for so many seconds."""
    config = Config(
        _connection_close_when_stopping(app, stopping),
        http=partial(BoundedProtocol, limits=http, idle={}),  # type: ignore[arg-type]  # it makes a protocol
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_SECONDS,
        timeout_graceful_shutdown=int(answer_seconds),
        lifespan="off",
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:  # noqa: TID251  # the process ends with it
        serving = group.create_task(server.serve([listener]))
        stop = group.create_task(stopping.wait())
        await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
        if stop.cancel():
            return
        await asyncio.sleep(http.linger_seconds)  # no load balancer tells us when it has noticed
        server.should_exit = True


def probes(
    heartbeats: Heartbeats,
    stopping: asyncio.Event,
    needed: Mapping[str, Callable[[], Awaitable[bool]]],
    privacy_token: SecretStr | None,
) -> list[Route]:
    """The routes of every service; it is ready when each thing that it needs, by name, is there."""

    async def alive(_: Request) -> JSONResponse:
        stalled = heartbeats.stalled()
        return JSONResponse({"loops_standing_still": stalled}, status_code=503 if stalled else 200)

    async def ready(_: Request) -> JSONResponse:
        if stopping.is_set():
            return JSONResponse({"leaving": True}, status_code=503)
        checks = {name: asyncio.ensure_future(reachable()) for name, reachable in needed.items()}
        await asyncio.wait(checks.values(), timeout=_PROBE_SECONDS)  # cancelled, a check would leak its connection
        reached = {name: check.done() and check.result() for name, check in checks.items()}
        return JSONResponse(reached, status_code=200 if all(reached.values()) else 503)

    async def metrics(_: Request) -> Response:
        return Response(public_text(), media_type=CONTENT_TYPE_LATEST)

    routes = [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]
    if privacy_token:
        wanted = f"Bearer {privacy_token.get_secret_value()}".encode()

        async def exact_metrics(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, wanted):
                return Response(status_code=401)
            return Response(exact_text(), media_type=CONTENT_TYPE_LATEST)

        routes.append(Route("/metrics/privacy", exact_metrics))
    return routes


def _connection_close_when_stopping(app: ASGIApp, stopping: asyncio.Event) -> ASGIApp:
    async def serve_one(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if stopping.is_set() and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_on)

    return serve_one


class _Server(Server):
    """Leaves the signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the service's own handler stops everything, the server included."""
        yield
