"""One declared system over HTTP: asked no faster than it allows, and believed in nothing but what was declared."""

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
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
from shared.systems.http.budget import Budget
from shared.systems.http.declaration import Declaration
from shared.systems.http.paths import Answer, any_holds, names_twice
from shared.systems.http.requests import ApiKey, Basic, Bearer, OAuth2Client, Request
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.http.templates import Values, in_body, in_path, in_text
from shared.systems.http_client import SIGN_IN, HttpClient, connect

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_IN_PART = frozenset({HTTPStatus.NON_AUTHORITATIVE_INFORMATION, HTTPStatus.PARTIAL_CONTENT})
_UNSAID = timedelta(seconds=60)
"""How long a system is left alone that is busy and does not say for how long."""
_SHORTEST = timedelta(seconds=1)
"""How long at least, whatever it says: ``Retry-After: 0`` with each answer would be asked without end."""
_LONGEST_TOKEN = timedelta(hours=24)
_EARLY = timedelta(seconds=30)
"""How long before a token expires another one is asked for."""
_UNSAID_TOKEN = timedelta(minutes=5)


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
        self._environment = environment
        self._clock = clock
        self._base = httpx.URL(settings.url.rstrip("/") + "/")
        self._budget = Budget(system, declaration.rate, clock)
        self._longest = timedelta(seconds=settings.busy_max_s)
        self._turn = asyncio.Semaphore(settings.parallel)
        self._signing_in = asyncio.Lock()
        self._token = ""
        self._expires = clock.now()
        client = connect(
            timeout=settings.timeout_s,
            abreast=settings.parallel,
            headers={"Accept": "application/json", **declaration.headers},
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
            Refused: it fulfils a condition of ``refused``, or none that is known.
        """
        answer = await self.read(request, values, further)
        return ABSENT if answer is None else answer.said

    async def read(self, request: Request, values: Values, further: Further = NOTHING_MORE) -> Answer | None:
        """The answer to a request that is done, or None where a condition of ``not_found`` holds; raises as ``ask``."""
        answer = await self._answer(request, values, further)
        if any_holds(request.not_found, answer):
            return None
        if any_holds(request.refused, answer):
            raise Refused(f"{self._system} refuses {request.method} {request.path} with {answer.status}")
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
            response = await self._send(request.method, url, options)
        said = self._said(response)
        answer = Answer(status=response.status_code, headers=dict(response.headers), said=said)
        if response.status_code in _BUSY or any_holds(self._declaration.busy, answer):
            after = self._after(response)
            self._budget.pause(after)
            raise Later(f"{self._system} is busy ({response.status_code})", after, busy=True)
        return answer

    async def _send(self, method: str, url: httpx.URL, options: Mapping[str, Any]) -> httpx.Response:
        response = await self._sent(method, url, options, await self._credentials(anew=False))
        if response.status_code == HTTPStatus.UNAUTHORIZED and isinstance(self._declaration.auth, OAuth2Client):
            response = await self._sent(method, url, options, await self._credentials(anew=True))
        return response

    async def _sent(
        self, method: str, url: httpx.URL, options: Mapping[str, Any], credentials: Mapping[str, str]
    ) -> httpx.Response:
        await self._budget.take(method, url.path.removeprefix(self._base.path.rstrip("/")))
        self.asked += 1
        headers = {**options["headers"], **credentials}
        return await self._client.send(method, url, **{**options, "headers": headers})

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
        headers = {name: in_text(text, values) for name, text in request.headers.items()} | {**further.headers}
        options: dict[str, Any] = {"headers": headers}
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

    async def _credentials(self, *, anew: bool) -> dict[str, str]:
        environment = self._environment
        match self._declaration.auth:
            case Bearer() as auth:
                return {"Authorization": f"Bearer {environment[auth.token_env]}"}
            case Basic() as auth:
                pair = f"{environment[auth.user_env]}{auth.suffix}:{environment[auth.password_env]}"
                return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            case ApiKey() as auth:
                return {auth.header: f"{auth.prefix}{environment[auth.key_env]}"}
            case OAuth2Client() as auth:
                return {"Authorization": f"Bearer {await self._access_token(auth, anew=anew)}"}

    async def _access_token(self, auth: OAuth2Client, *, anew: bool) -> str:
        used = self._token
        async with self._signing_in:
            if self._token and (self._token != used or not anew) and self._expires > self._clock.now():
                return self._token
            form = {
                "grant_type": "client_credentials",
                "client_id": self._environment[auth.client_id_env],
                "client_secret": self._environment[auth.client_secret_env],
            } | ({"scope": auth.scope} if auth.scope else {})
            await self._budget.take("POST", auth.token_path)
            url = self._base.join(auth.token_path.removeprefix("/"))
            response = await self._client.send("POST", url, data=form)
            if response.status_code in SIGN_IN | {HTTPStatus.BAD_REQUEST}:
                raise SignInRefused(f"{self._system} gives no token ({response.status_code}): check {self._names}")
            said = self._client.json(self._client.expect(response, "where a token was asked for"))
            token = said.get("access_token") if isinstance(said, dict) else None
            if not isinstance(token, str) or not token.isprintable():
                raise AnswerMalformed(f"{self._system} gives a token that is none")
            self._token, self._expires = token, self._clock.now() + _lasts(said.get("expires_in")) - _EARLY
            return token


def _lasts(said: object) -> timedelta:
    """How long a token is good for, which some say as a number and some as text."""
    text = str(said) if isinstance(said, int | str) else ""
    seconds = timedelta(seconds=int(text)) if re.fullmatch("[0-9]{1,9}", text) else _UNSAID_TOKEN
    return min(max(seconds, _EARLY), _LONGEST_TOKEN)
