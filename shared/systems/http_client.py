"""Provides one HTTP client for all adapters, with limits on answers and one mapping of failures.

Calls continue the trace of their request (W3C Trace Context). Error messages contain only the status, since answers may
hold personal data. Compressed answers are unpacked up to the limit.
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
"""Idle time after which a connection is closed; some servers close one after 2 seconds."""
CallResult = TypeVar("CallResult")


def connect_http(*, headers: Mapping[str, str] = {}, concurrency: int = 100, **options: Any) -> httpx.AsyncClient:
    """Returns an httpx client that continues the current trace and keeps no cookies.

    ``concurrency``: most connections.
    """
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=concurrency, keepalive_expiry=_IDLE_SECONDS),
        headers={**headers, "Accept-Encoding": "gzip, deflate"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        event_hooks={"request": [_continue_trace]},
        **options,
    )


class HttpClient:
    """One system's HTTP interface; ``sign_in``: what the operator should check if access is denied."""

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
        await self._client.aclose()

    async def send(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """Returns the whole answer, whatever its status.

        Raises:
            Unavailable: the system cannot be reached, or answers too slowly
            AnswerUnreadable: the answer broke off, or is not HTTP
            AnswerMalformed: the answer is too large, also when unpacked, or has an unknown encoding
        """
        # Not ``asyncio.timeout``, which can leak its own cancellation into a task that was cancelled before.
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
            message = f"{self._system} could not be reached: {type(error).__name__}"
            if isinstance(error, zlib.error) or (
                isinstance(error, httpx.RemoteProtocolError) and _has_begun_answer(error, begun=begun)
            ):
                raise AnswerUnreadable(message) from None
            raise Unavailable(message) from None
        headers = [(name, value) for name, value in answer.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=content, request=answer.request)

    async def _content(self, answer: httpx.Response) -> bytes:
        """Reads the body, and unpacks at most one byte beyond the limit."""
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
        """Returns the answer if its status is in ``wanted``, or a success by default; ``to``: what was asked.

        Raises:
            Unavailable: the system is busy or failed
            SignInRefused: the system denies access
            Refused: the system will never answer this call
        """
        status = answer.status_code
        if status in wanted or (not wanted and answer.is_success):
            return answer
        message = f"{self._system} answered {status} {to}"
        if status in _BUSY or answer.is_server_error:
            raise Unavailable(message)
        if status in SIGN_IN:
            raise SignInRefused(f"{message}: {self._sign_in}")
        raise self._refused(message)

    def json(self, answer: httpx.Response) -> Any:
        """Parses an answer: UTF-8, without NaN, Infinity and lone surrogates.

        Raises:
            AnswerUnreadable: it is not JSON, such as the page of a proxy
            AnswerMalformed: it has too many objects, or nests them too deep
        """
        content, limits = answer.content, self._limits
        opened = content.count(b"[") + content.count(
            b"{"
        )  # checked before parsing, since an empty list takes only 2 bytes
        if opened > limits.answer_items:
            raise AnswerMalformed(f"{self._system} answered with more than answer_items = {limits.answer_items}")
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise AnswerUnreadable(f"{self._system} answered with something that is not JSON") from None
        if opened > limits.answer_depth and is_deeper(parsed, limits.answer_depth):
            raise AnswerMalformed(f"{self._system} nests its answer deeper than answer_depth = {limits.answer_depth}")
        return parsed


def _has_begun_answer(error: httpx.RemoteProtocolError, *, begun: bool) -> bool:
    """Whether the system has begun an answer; otherwise it counts as away."""
    return begun or "without sending a response" not in str(error)


def is_deeper(content: object, depth: int) -> bool:
    """Whether objects and lists are nested deeper than ``depth``."""
    level: list[Any] = [content]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(outer: Any) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()


async def run_together(*calls: Awaitable[CallResult]) -> list[CallResult]:
    """Runs calls side by side and returns their results; raises the first failure after all have ended."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    return [one for one in ended if not isinstance(one, BaseException)]


async def _continue_trace(request: httpx.Request) -> None:
    inject(request.headers)
