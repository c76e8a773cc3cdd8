"""Shared parts of the slow fakes: every answer takes time, and every call is counted."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SECONDS = 0.005

Answer = Callable[[Request], Awaitable[tuple[int, Any]]]


class SlowApplication:
    """An ASGI application that gives these answers, never sooner than after so many seconds.

    ``GET /counts`` answers immediately with the number of calls and the result of ``left``.
    """

    def __init__(self, answer: Answer, left: Callable[[], int], seconds: float = SECONDS) -> None:
        self._answer = answer
        self._left = left
        self._seconds = seconds
        self._calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path == "/counts":
            status, content = 200, {"calls": self._calls, "left": self._left()}
        else:
            self._calls += 1
            started = time.monotonic()
            status, content = await self._answer(request)
            await asyncio.sleep(max(0.0, started + self._seconds - time.monotonic()))  # the slowness is the point
        await Response(orjson.dumps(content), status, media_type="application/json")(scope, receive, send)


def serve(make: Callable[[int], SlowApplication]) -> None:
    """Serves the application for so many subjects: ``python -m … PORT SUBJECTS``."""
    port, subjects = int(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(make(subjects), port=port, log_config=None, access_log=False, lifespan="off")
    uvloop.run(uvicorn.Server(config).serve())
