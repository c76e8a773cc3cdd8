"""A closed loop of HTTP/1.1 requests over raw sockets, too cheap to affect the measurement.

``python -m tests.bench.load PORT KEY CONNECTIONS SECONDS FIRST`` posts distinct submissions, one at a time over each
kept connection. It prints as JSON the number answered with 201, within the time and overall.
"""

import asyncio
import json
import sys
import time
from typing import cast

import orjson
import uvloop

from deploy.local.ports import HOST
from tests.fixtures.stores import Subject

_CREATED = b"HTTP/1.1 201"


class Line(asyncio.Protocol):
    """One kept connection: sends the next request when the answer to the last is there."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._loop.answered(head)
        self._answer = b""
        if self._loop.over():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.ended(exc)

    def _send(self) -> None:
        self._transport.write(self._loop.next_request())


class Loop:
    """All connections together."""

    def __init__(self, key: str, connections: int, seconds: float, first: int) -> None:
        self._head = (
            f"POST /v1/requests HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._number = first
        self._open = connections
        self._started = time.monotonic()
        self._ends = self._started + seconds
        self.created = self.other = 0
        self.seconds = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        """Returns a new submission."""
        self._number += 1
        body = orjson.dumps(Subject(self._number).submission())
        return f"{self._head}Idempotency-Key: n{self._number}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def answered(self, head: bytes) -> None:
        """Counts an answer."""
        created = head.startswith(_CREATED)
        self.created += created
        self.other += not created

    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends

    def ended(self, error: Exception | None) -> None:
        """A connection was closed; the last one ends the loop."""
        self._open -= 1
        if error is not None and not self.done.done():
            self.done.set_exception(error)
        elif not self._open and not self.done.done():
            self.seconds = time.monotonic() - self._started
            self.done.set_result(None)


async def main(port: int, key: str, connections: int, seconds: float, first: int) -> None:
    """Runs the loop and prints what it counted."""
    running = asyncio.get_running_loop()
    loop = Loop(key, connections, seconds, first)
    await asyncio.gather(*(running.create_connection(lambda: Line(loop), HOST, port) for _ in range(connections)))
    await loop.done
    sys.stdout.write(json.dumps({"created": loop.created, "other": loop.other, "seconds": loop.seconds}))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
