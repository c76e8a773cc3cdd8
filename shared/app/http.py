"""The door of a service: an HTTP server that leaves without slamming it.

At SIGTERM readiness fails at once, but for a while the door stays open and every answer says ``Connection: close``, so
that a client's next request comes on another connection, to another instance. Then nobody is let in any more, and what
is under way is answered.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime.settings import HttpSettings

_KEEP_SECONDS = 90
"""How long a silent connection is kept: longer than a proxy keeps it (60 s is usual), so that the proxy is the one who
closes it; a server that closes first may do so while a request is on its way."""


async def serve(app: ASGIApp, http: HttpSettings, answer_seconds: float, stopping: asyncio.Event) -> None:
    """Serves until told to stop, lingers, and then answers what is under way for at most so many seconds."""
    config = uvicorn.Config(
        _connection_close_when_stopping(app, stopping),
        host=http.host,
        port=http.port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_SECONDS,
        timeout_graceful_shutdown=int(answer_seconds),
        lifespan="off",
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve())
        told = group.create_task(stopping.wait())
        await asyncio.wait((serving, told), return_when=asyncio.FIRST_COMPLETED)
        if told.cancel():
            return
        await asyncio.sleep(http.linger_seconds)  # no load balancer tells us when it has heard
        server.should_exit = True


def _connection_close_when_stopping(app: ASGIApp, stopping: asyncio.Event) -> ASGIApp:
    async def serve_one(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if stopping.is_set() and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await app(scope, receive, send_on)

    return serve_one


class _Server(uvicorn.Server):
    """Leaves the signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the service's own handler drains everything, the server included."""
        yield
