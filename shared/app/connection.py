"""Limits each connection of the HTTP server in size and time.

uvicorn limits neither the size of a request head nor the time to send it, and never closes a connection that sends
nothing. ``HttpSettings`` has the limits:

==========================================  ===========================================================
a head that is too long                     431, and the connection is closed
a head or a body that does not come         408 (or nothing, to who never spoke), and it is closed
a body that goes on after its answer        closed, once more has come than any body may have
an answer that is not taken                 closed
more connections than there may be          the one that we have waited for longest, for a head or for the rest of
                                            a body whose answer is given, is closed; if there is none, 503
==========================================  ===========================================================
"""

import asyncio
from typing import Any

import httptools
import orjson
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from shared.runtime.settings import HttpSettings

PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/metrics/privacy"})
"""Paths that are answered despite too many connections, so that the process is not restarted."""
_FOR_PROBES = 16
"""Connections beyond the bound that are let in, to be asked for a probe."""
_TITLES = {
    400: "This is no HTTP request.",
    408: "The request did not come in time.",
    431: "The head of the request is too long.",
    503: "There are too many connections.",
}


def problem(status: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Returns headers and body of a problem (RFC 9457) that is sent before routing."""
    title = _TITLES[status]
    body = {"type": "urn:dsr:problem:http", "title": title, "status": status, "detail": title, "errors": []}
    content = orjson.dumps(body)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    return [*headers, (b"retry-after", b"1")] if status == 503 else headers, content  # noqa: PLR2004  # the status


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, bounded.

    ``silent``: the connections of the server to which no answer is due: no head of theirs is whole, or the answer was
    given and the body still comes. Where there are too many connections they make room, the oldest first.
    """

    def __init__(  # uvicorn gives the first four
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: HttpSettings,
        idle: dict["BoundedProtocol", None],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._idle = idle
        self._over_limit = False
        self._head = self._body = False  # which of them is on its way
        self._head_bytes = self._read_bytes = self._after_answer = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Closes the oldest idle connection if there are too many, or allows this one only probes."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            if self._idle:
                oldest = next(iter(self._idle))
                del self._idle[oldest]  # it closes later than others may connect
                oldest.transport.abort()
            else:
                self._over_limit = True
                if len(self.connections) > self._limits.connections + _FOR_PROBES:
                    self._refuse(503)
        self._idle[self] = None
        self._set_deadline(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes the connection and its timers."""
        self._idle.pop(self, None)
        for timer in (self._deadline, self._write_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses data, and sets the deadline of an incomplete head or body."""
        self._unset_keepalive_if_required()
        self._read_bytes = len(data)
        head, body = self._head, self._body
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # answered as if it had not been asked for, and nothing is read after it
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self._head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(431)
            elif not head or self._deadline is None:
                self._set_deadline(self._limits.head_seconds)
        elif self._body:
            if not body or self._deadline is None:
                self._set_deadline(self._limits.body_seconds)
        elif self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def on_message_begin(self) -> None:
        """Starts the head of a request."""
        super().on_message_begin()
        self._head, self._body = True, False
        self._head_bytes = self._after_answer = 0

    def on_headers_complete(self) -> None:
        """Passes a complete head to the application, or refuses one that is too long."""
        self._head, self._body = False, True
        self._idle.pop(self, None)
        app = self.app
        if self._head_bytes + self._read_bytes > self._limits.head_bytes and self._is_long():
            self.app = _refusal(431)
        elif self._over_limit and self.url.partition(b"?")[0].decode("latin-1") not in PROBES:
            self.app = _refusal(503)
        super().on_headers_complete()
        self.app = app

    def on_body(self, body: bytes) -> None:
        """Takes a part of a body; after the answer it reads on for a while, so that the client reads the answer."""
        if self.cycle.response_complete:
            self._after_answer += len(body)
            if self._after_answer > self._limits.unread_bytes:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request."""
        self._body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Marks the connection as idle if the body of an answered request still arrives."""
        super().on_response_complete()
        if self._body:
            self._idle[self] = None

    def pause_writing(self) -> None:
        """Starts the timer of an answer that the client does not read."""
        super().pause_writing()
        self._watch_write_buffer(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Cancels that timer."""
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_write_buffer(self, unsent: int) -> None:
        if self._write_timer:
            self._write_timer.cancel()
        self._write_timer = self.loop.call_later(self._limits.answer_seconds, self._check_progress, unsent)

    def _check_progress(self, before: int) -> None:
        """Waits on for a client that reads slowly; drops one that reads nothing."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < before:
            self._watch_write_buffer(unsent)
        else:
            self.transport.abort()

    def _is_long(self) -> bool:
        names = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return len(self.url) + names > self._limits.head_bytes

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._body and self.flow.read_paused and not self.cycle.response_complete:
            self._set_deadline(self._limits.body_seconds)  # it is we who do not read on
        elif self._head or self._body:
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Sends a problem unless the application has begun to answer, and closes."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            headers, content = problem(status)
            lines = [name + b": " + value + b"\r\n" for name, value in headers]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", content]))
        self.transport.close()


def _refusal(status: int) -> Any:
    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers, content = problem(status)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return refuse
