"""One HTTP client for every adapter that speaks it, and one reading of what can go wrong.

Calls continue the trace of the requests that they are made for (W3C Trace Context). What a system says about a failure
may hold personal data: only its status is passed on.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

import httpx
from opentelemetry.propagate import inject

from shared.domain.errors import Refused, SignInRefused, Unavailable

SIGN_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
Done = TypeVar("Done")


def connect(**options: Any) -> httpx.AsyncClient:
    """An httpx client, with options of its own, whose calls continue the current trace."""
    return httpx.AsyncClient(event_hooks={"request": [_continue_trace]}, **options)


class HttpClient:
    """One system's HTTP interface; ``sign_in`` tells the operator what to check where it does not let us in."""

    def __init__(
        self, system: str, client: httpx.AsyncClient, *, sign_in: str, refused: type[Refused] = Refused
    ) -> None:
        self._system = system
        self._client = client
        self._sign_in = sign_in
        self._refused = refused

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def send(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """The answer, whatever its status.

        Raises:
            Unavailable: the system could not be reached, or broke off its answer.
        """
        try:
            return await self._client.request(method, url, **options)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unavailable(f"{self._system} could not be reached: {type(error).__name__}") from None

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


async def together(*calls: Awaitable[Done]) -> list[Done]:
    """What the calls return, made side by side; the first failure is raised when all have ended."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, BaseException):
            raise failure
    return [one for one in ended if not isinstance(one, BaseException)]


async def failures_of(calls: Mapping[UUID, Awaitable[None]]) -> dict[UUID, Unavailable | Refused]:
    """Makes one call for each task, side by side; returns why which of them failed."""
    failed: dict[UUID, Unavailable | Refused] = {}
    ended = await asyncio.gather(*calls.values(), return_exceptions=True)
    for task_id, failure in zip(calls, ended, strict=True):
        if isinstance(failure, Unavailable | Refused):
            failed[task_id] = failure
        elif failure is not None:
            raise failure
    return failed


async def _continue_trace(request: httpx.Request) -> None:
    inject(request.headers)
