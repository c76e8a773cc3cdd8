"""One declared system over HTTP: asked no faster than it allows, and believed in nothing but what was declared."""

import asyncio
import base64
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from shared.domain.clock import Clock
from shared.domain.errors import (
    AnswerMalformed,
    AnswerUnreadable,
    Misconfigured,
    Refused,
    SignInRefused,
    Unavailable,
)
from shared.systems.engine.records import ABSENT
from shared.systems.engine.stepwise import Later
from shared.systems.http.declaration import Declaration
from shared.systems.http.paths import Answer, any_holds, names_twice
from shared.systems.http.requests import ApiKey, Basic, Bearer, Rate, Request
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.http.templates import Values, in_body, in_path, in_text
from shared.systems.http_client import SIGN_IN, HttpClient, connect

PATIENCE = timedelta(seconds=5)
"""A wait that is longer is not slept through: the task is given back with the time."""
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_IN_PART = frozenset({HTTPStatus.NON_AUTHORITATIVE_INFORMATION, HTTPStatus.PARTIAL_CONTENT})
_UNSAID = timedelta(seconds=60)
"""How long a system is left alone that is busy and does not say for how long."""
_SHORTEST = timedelta(seconds=1)
"""How long at least, whatever it says: ``Retry-After: 0`` with each answer would be asked without end."""


@dataclass(frozen=True, slots=True)
class Further:
    """What one call adds to a declared request: fields of query or body, headers, or the link that it follows instead.

    ``link``: the address of a further page, of which path and query alone are used.
    """

    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    link: str | None = None


NOTHING_MORE = Further()


class Session:
    """Sends the requests of a declaration; ``asked`` counts them."""

    def __init__(
        self,
        system: str,
        settings: DeclaredHttpSettings,
        declaration: Declaration,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if missing := [name for name in declaration.secrets if not environment.get(name)]:
            raise Misconfigured(f"{system}: its declaration names {' and '.join(missing)}, not set; export it first")
        self.asked = 0
        self._system = system
        self._declaration = declaration
        self._clock = clock
        self._base = httpx.URL(settings.url.rstrip("/") + "/")
        self._budget = Budget(system, declaration.rate, clock)
        self._longest = timedelta(seconds=settings.busy_max_s)
        self._turn = asyncio.Semaphore(settings.parallel)
        client = connect(
            timeout=settings.timeout_s,
            abreast=settings.parallel,
            headers={"Accept": "application/json", **_credentials(declaration, environment)},
            transport=transport,
        )
        named = " and ".join(declaration.secrets)
        self._client = HttpClient(system, client, sign_in=f"check {named} and its rights", limits=settings)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def ask(self, request: Request, values: Values, further: Further = NOTHING_MORE) -> object:
        """What the system says to a request, as JSON; ``ABSENT`` where it says nothing, or says that it is done.

        Raises:
            Later, Unavailable: it is busy or away.
            SignInRefused: it does not let us in, or not to this.
            Refused: it fulfils no condition that is known.
        """
        answer = await self.read(request, values, further)
        return ABSENT if answer is None else answer.said

    async def read(self, request: Request, values: Values, further: Further = NOTHING_MORE) -> Answer | None:
        """The answer to a request that is done, or None where a condition of ``not_found`` holds; raises as ``ask``."""
        answer = await self._answer(request, values, further)
        if any_holds(request.not_found, answer):
            return None
        if any_holds(request.done, answer):
            return answer.model_copy(update={"said": ABSENT})
        self._must_succeed(request, answer)
        return answer

    async def look(self, request: Request, values: Values) -> Answer:
        """The answer to a request whatever it is, unless the system is busy, away or does not let us in."""
        answer = await self._answer(request, values, NOTHING_MORE)
        if answer.status in SIGN_IN or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._must_succeed(request, answer)
        return answer

    async def _answer(self, request: Request, values: Values, further: Further) -> Answer:
        url = self._url(request, values, further)
        options = self._options(request, values, further)
        async with self._turn:
            await self._budget.take(request.method, url.path.removeprefix(self._base.path.rstrip("/")))
            self.asked += 1
            response = await self._client.send(request.method, url, **options)
        said = self._said(response)
        answer = Answer(status=response.status_code, said=said)
        if response.status_code in _BUSY or any_holds(self._declaration.busy, answer):
            after = self._after(response)
            self._budget.pause(after)
            raise Later(f"{self._system} is busy ({response.status_code})", after, busy=True)
        return answer

    def _url(self, request: Request, values: Values, further: Further) -> httpx.URL:
        url = self._base.join(in_path(request.path, values).removeprefix("/"))
        if further.link is None:
            query = {name: in_text(text, values) for name, text in request.query.items()} | {**further.query}
            return url.copy_with(params=query) if query else url
        try:
            asked = url.join(further.link)
        except httpx.InvalidURL:
            raise AnswerMalformed(f"{self._system} links to a next page that is no address") from None
        # Credentials stay with the host and its interface: of a link only path and query are believed.
        if not asked.path.startswith(self._base.path) or ".." in asked.path.split("/"):
            raise AnswerMalformed(f"{self._system} links to a next page outside of its interface")
        return self._base.copy_with(raw_path=asked.raw_path)

    @staticmethod
    def _options(request: Request, values: Values, further: Further) -> dict[str, Any]:
        options: dict[str, Any] = {"headers": further.headers}
        body = in_body(request.body, values)
        if isinstance(body, dict):
            options["json"] = {**body, **further.body}
        elif body is not None:
            options["json"] = body
        elif request.form:
            options["data"] = in_body({**request.form}, values)
        return options

    def _said(self, response: httpx.Response) -> object:
        """The JSON of an answer, if it is any; of an answer that fails the status says enough.

        Raises:
            AnswerMalformed: it is said to be JSON, and is none, or has an object with two values of one name.
        """
        if not response.content or "json" not in response.headers.get("content-type", ""):
            return ABSENT
        try:
            said = self._client.json(response)
        except AnswerUnreadable:
            if response.is_success:
                raise AnswerMalformed(f"{self._system} answered with JSON that is none") from None
            return ABSENT
        if names_twice(response.content):
            raise AnswerMalformed(f"{self._system} answered with an object that has two values of one name")
        return said

    def _must_succeed(self, request: Request, answer: Answer) -> None:
        what = f"{self._system} answered {answer.status} to {request.method} {request.path}"
        if answer.status in _IN_PART:
            raise AnswerMalformed(f"{what}: not all that it has, or not in its own words")
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if answer.status in SIGN_IN:
            needed = f": it needs {request.permission}" if request.permission else f": check {self._names}"
            raise SignInRefused(f"{what}{needed}")
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.REQUEST_TIMEOUT:
            raise Unavailable(what)
        raise Refused(f"{what}, which the declaration does not know")

    @property
    def _names(self) -> str:
        return " and ".join(self._declaration.secrets) + ", and the rights of that account"

    def _after(self, response: httpx.Response) -> timedelta:
        """How long a busy system is left alone, for no longer than its table lets it: one answer stops it for all."""
        return min(max(self._asked_for(response.headers.get("retry-after", "").strip()), _SHORTEST), self._longest)

    def _asked_for(self, said: str) -> timedelta:
        """How long it wants to be: seconds, a date, or nothing that can be read."""
        if said.isdecimal():
            return timedelta(seconds=int(said[:9]))
        try:
            until = parsedate_to_datetime(said)
        except (TypeError, ValueError):
            return _UNSAID
        return _UNSAID if until.tzinfo is None else until - self._clock.now()


def _credentials(declaration: Declaration, environment: Mapping[str, str]) -> dict[str, str]:
    match declaration.auth:
        case Bearer() as auth:
            return {"Authorization": f"Bearer {environment[auth.token_env]}"}
        case Basic() as auth:
            pair = f"{environment[auth.user_env]}{auth.suffix}:{environment[auth.password_env]}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        case ApiKey() as auth:
            return {auth.header: f"{auth.prefix}{environment[auth.key_env]}"}


class Budget:
    """The limits that a declaration names, and what the system itself has said of a pause; for one process."""

    def __init__(self, system: str, rates: Sequence[Rate], clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._windows = [(rate, deque[datetime](maxlen=rate.calls)) for rate in rates]
        self._paused_until = clock.now()

    def pause(self, after: timedelta) -> None:
        """Nothing is asked for so long: the system has said so."""
        self._paused_until = max(self._paused_until, self._clock.now() + after)

    async def take(self, method: str, path: str) -> None:
        """Waits until one more call may be made.

        Raises:
            Later: that would be too long.
        """
        now = self._clock.now()
        matching = [(rate, calls) for rate, calls in self._windows if _matches(rate, method, path)]
        turns = (calls[0] + rate.per for rate, calls in matching if len(calls) == rate.calls)
        turn = max(now, self._paused_until, *turns)
        if turn - now > PATIENCE:
            wait = turn - now
            said = self._paused_until - now > PATIENCE
            raise Later(f"{self._system} may be asked again in {wait.total_seconds():.0f} s", wait, busy=said)
        for _, calls in matching:
            calls.append(turn)
        if turn > now:
            await asyncio.sleep((turn - now).total_seconds())  # the rate is the system's


def _matches(rate: Rate, method: str, path: str) -> bool:
    return f"{method} {path}".startswith(rate.match) or path.startswith(rate.match)
