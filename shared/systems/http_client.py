"""One HTTP client for every adapter that speaks it, one bound for all answers, and one reading of what can go wrong.

Calls continue the trace of the requests that they are made for (W3C Trace Context). What a system says about a failure
may hold personal data: only its status is passed on. An answer may come packed in the two ways that we ask for, and is
unpacked no further than it may be long.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Collection, Iterable, Mapping
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar, cast

import httpx
import orjson
from opentelemetry.propagate import inject

from shared.domain.errors import AnswerMalformed, AnswerUnreadable, Refused, SignInRefused, Unavailable
from shared.systems.settings import AnswerLimits

SIGN_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_UNPACKED = frozenset({"", "identity"})
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER_HEADER = 32 + zlib.MAX_WBITS
_IDLE_SECONDS = 1.0
"""After which a connection is used no more: servers close one that stands still (gunicorn after 2), just as we ask."""
Done = TypeVar("Done")


def connect(*, headers: Mapping[str, str] = {}, abreast: int = 100, **options: Any) -> httpx.AsyncClient:
    """An httpx client, with options of its own, whose calls continue the current trace; it keeps no cookies.

    ``abreast``: how many connections it may have.
    """
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=abreast, keepalive_expiry=_IDLE_SECONDS),
        headers={**headers, "Accept-Encoding": "gzip, deflate"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        event_hooks={"request": [_continue_trace]},
        **options,
    )


class HttpClient:
    """One system's HTTP interface; ``sign_in`` tells the operator what to check where it does not let us in."""

    def __init__(
        self,
        system: str,
        client: httpx.AsyncClient,
        *,
        sign_in: str,
        limits: AnswerLimits,
        refused: type[Refused] = Refused,
    ) -> None:
        self._system = system
        self._client = client
        self._sign_in = sign_in
        self._limits = limits
        self._refused = refused

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def send(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """The whole answer, whatever its status.

        Raises:
            Unavailable: the system could not be reached, or took too long over its answer.
            AnswerUnreadable: it broke off its answer, or what it says is no HTTP.
            AnswerMalformed: it is larger than an answer may be, unpacked too, or packed in another way than we ask for.
        """
        # Not by `asyncio.timeout`, which can let its own cancellation out where the task has met another one before.
        reading = asyncio.create_task(self._read(method, url, **options))
        try:
            await asyncio.wait({reading}, timeout=self._limits.answer_seconds)
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
        if reading.cancelled():
            raise Unavailable(f"{self._system} took longer than answer_seconds = {self._limits.answer_seconds:g}")
        return reading.result()

    async def _read(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        begun = False
        try:
            async with self._client.stream(method, url, **options) as answer:
                begun = True
                content = await self._content(answer)
        except (httpx.TransportError, zlib.error) as error:
            told = f"{self._system} could not be reached: {type(error).__name__}"
            if isinstance(error, zlib.error) or (
                isinstance(error, httpx.RemoteProtocolError) and _said(error, begun=begun)
            ):
                raise AnswerUnreadable(told) from None
            raise Unavailable(told) from None
        headers = [(name, value) for name, value in answer.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=content, request=answer.request)

    async def _content(self, answer: httpx.Response) -> bytes:
        """The body, unpacked part by part, and never further than one byte beyond the limit."""
        coding, limit = answer.headers.get("content-encoding", "").strip().lower(), self._limits.answer_bytes
        if coding not in _UNPACKED | _PACKED:
            raise AnswerMalformed(f"{self._system} packs its answers in a way that it was not asked for")
        unpacking = zlib.decompressobj(_EITHER_HEADER) if coding in _PACKED else None
        content = bytearray()
        async for part in cast("httpx.AsyncByteStream", answer.stream):
            content += unpacking.decompress(part, limit + 1 - len(content)) if unpacking else part
            if len(content) > limit:
                raise AnswerMalformed(f"{self._system} answered with more than answer_bytes = {limit}")
        if unpacking and not unpacking.eof:
            raise zlib.error
        return bytes(content)

    def expect(self, answer: httpx.Response, to: str, wanted: Collection[int] = ()) -> httpx.Response:
        """The answer, if its status is one of ``wanted``, or a success where none is named; ``to`` says what was asked.

        Raises:
            Unavailable: the system is busy or has failed: later it may answer.
            SignInRefused: it does not let us in.
            Refused: it will never answer this as it was asked.
        """
        status = answer.status_code
        if status in wanted or (not wanted and answer.is_success):
            return answer
        told = f"{self._system} answered {status} {to}"
        if status in _BUSY or answer.is_server_error:
            raise Unavailable(told)
        if status in SIGN_IN:
            raise SignInRefused(f"{told}: {self._sign_in}")
        raise self._refused(told)

    def json(self, answer: httpx.Response) -> Any:
        """What the answer says, in UTF-8 without NaN, Infinity and halves of characters.

        Raises:
            AnswerUnreadable: it is no JSON, as where somebody answers in the place of the system.
            AnswerMalformed: it has more objects than one answer may have, or nests them deeper.
        """
        content, limits = answer.content, self._limits
        opened = content.count(b"[") + content.count(
            b"{"
        )  # before anything is made of them: an empty list costs 2 bytes
        if opened > limits.answer_items:
            raise AnswerMalformed(f"{self._system} answered with more than answer_items = {limits.answer_items}")
        try:
            said = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise AnswerUnreadable(f"{self._system} answered with something that is not JSON") from None
        if opened > limits.answer_depth and is_deeper(said, limits.answer_depth):
            raise AnswerMalformed(f"{self._system} nests its answer deeper than answer_depth = {limits.answer_depth}")
        return said


def _said(error: httpx.RemoteProtocolError, *, begun: bool) -> bool:
    """Whether the system has said something: who hangs up before the first word is away."""
    return begun or "without sending a response" not in str(error)


def is_deeper(said: object, depth: int) -> bool:
    """Whether objects and lists lie within one another more than so many deep."""
    level: list[Any] = [said]
    for _ in range(depth):
        level = [inner for outer in level for inner in _within(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _within(outer: Any) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()


async def together(*calls: Awaitable[Done]) -> list[Done]:
    """What the calls return, made side by side; the first failure is raised when all have ended."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    return [one for one in ended if not isinstance(one, BaseException)]


async def _continue_trace(request: httpx.Request) -> None:
    inject(request.headers)
