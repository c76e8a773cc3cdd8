"""Sends the requests of a declaration within its rates, and accepts only declared answers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

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
from shared.systems.engine.stepwise import RetryLater
from shared.systems.http.declaration import Declaration, Listing, Pages, RateLimit, Request
from shared.systems.http.paths import HttpAnswer, Values, any_holds, in_body, in_path, in_text, names_twice, value_at
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.http_client import SIGN_IN, HttpClient, connect_http

LONGEST_WAIT = timedelta(seconds=5)
"""The longest sleep; for a longer wait the task is returned to the queue."""
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_IN_PART = frozenset({HTTPStatus.NON_AUTHORITATIVE_INFORMATION, HTTPStatus.PARTIAL_CONTENT})
_ASSUMED_PAUSE = timedelta(seconds=60)
"""The pause after a busy answer without ``Retry-After``."""
_SHORTEST = timedelta(seconds=1)
"""The shortest pause: ``Retry-After: 0`` would repeat a request without end."""


@dataclass(frozen=True, slots=True)
class RequestExtras:
    """Additions of one call to a declared request; ``link``: the address of a next page, whose path and query count."""

    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    link: str | None = None


NO_EXTRAS = RequestExtras()


class Session:
    """Sends the requests of a declaration; ``calls_sent`` counts them."""

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
        if missing := [name for name in declaration.auth.secrets if not environment.get(name)]:
            raise Misconfigured(f"{system}: its declaration names {' and '.join(missing)}, not set; export it first")
        self.calls_sent = 0
        self._system = system
        self._declaration = declaration
        self._clock = clock
        self._base = httpx.URL(settings.url.rstrip("/") + "/")
        self._budget = RateBudget(system, declaration.rate, clock)
        self._longest = timedelta(seconds=settings.busy_max_s)
        self._turn = asyncio.Semaphore(settings.parallel)
        client = connect_http(
            timeout=settings.timeout_s,
            concurrency=settings.parallel,
            headers={"Accept": "application/json", **declaration.auth.headers(environment)},
            transport=transport,
        )
        named = " and ".join(declaration.auth.secrets)
        self._client = HttpClient(system, client, sign_in=f"check {named} and its rights", limits=settings)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def ask(self, request: Request, values: Values, further: RequestExtras = NO_EXTRAS) -> object:
        """Returns the JSON of an answer; ``ABSENT`` if it has none or meets a condition of ``done``.

        Raises:
            Later, Unavailable: the system is busy or away.
            SignInRefused: the credentials or their rights are insufficient.
            Refused: the answer is not declared.
        """
        answer = await self.read(request, values, further)
        return ABSENT if answer is None else answer.body

    async def read(self, request: Request, values: Values, further: RequestExtras = NO_EXTRAS) -> HttpAnswer | None:
        """Returns an answer, or None if it meets a condition of ``not_found``; raises as ``ask``."""
        answer = await self._answer(request, values, further)
        if any_holds(request.not_found, answer):
            return None
        if any_holds(request.done, answer):
            return answer.model_copy(update={"said": ABSENT})
        self._must_succeed(request, answer)
        return answer

    async def look(self, request: Request, values: Values) -> HttpAnswer:
        """Returns any answer, unless the system is busy, away or refuses the credentials."""
        answer = await self._answer(request, values, NO_EXTRAS)
        if answer.status in SIGN_IN or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._must_succeed(request, answer)
        return answer

    async def _answer(self, request: Request, values: Values, further: RequestExtras) -> HttpAnswer:
        url = self._url(request, values, further)
        options = self._options(request, values, further)
        async with self._turn:
            await self._budget.wait_for_turn(request.method, url.path.removeprefix(self._base.path.rstrip("/")))
            self.calls_sent += 1
            response = await self._client.send(request.method, url, **options)
        body = self._body(response)
        answer = HttpAnswer(status=response.status_code, body=body)
        if response.status_code in _BUSY or any_holds(self._declaration.busy, answer):
            after = self._pause(response)
            self._budget.pause(after)
            raise RetryLater(f"{self._system} is busy ({response.status_code})", after, busy=True)
        return answer

    def _url(self, request: Request, values: Values, further: RequestExtras) -> httpx.URL:
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
    def _options(request: Request, values: Values, further: RequestExtras) -> dict[str, Any]:
        options: dict[str, Any] = {"headers": further.headers}
        body = in_body(request.body, values)
        if isinstance(body, dict):
            options["json"] = {**body, **further.body}
        elif body is not None:
            options["json"] = body
        elif request.form:
            options["data"] = in_body({**request.form}, values)
        return options

    def _body(self, response: httpx.Response) -> object:
        """Returns the JSON of an answer; raises ``AnswerMalformed`` if it is invalid or repeats a name."""
        if not response.content or "json" not in response.headers.get("content-type", ""):
            return ABSENT
        try:
            body = self._client.json(response)
        except AnswerUnreadable:
            if response.is_success:
                raise AnswerMalformed(f"{self._system} answered with JSON that is none") from None
            return ABSENT
        if names_twice(response.content):
            raise AnswerMalformed(f"{self._system} answered with an object that has two values of one name")
        return body

    def _must_succeed(self, request: Request, answer: HttpAnswer) -> None:
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
        return " and ".join(self._declaration.auth.secrets) + ", and the rights of that account"

    def _pause(self, response: httpx.Response) -> timedelta:
        """Returns the pause for a busy system, up to the limit of its table."""
        return min(max(self._retry_after(response.headers.get("retry-after", "").strip()), _SHORTEST), self._longest)

    def _retry_after(self, header: str) -> timedelta:
        """Reads ``Retry-After``: seconds or a date."""
        if header.isdecimal():
            return timedelta(seconds=int(header[:9]))
        try:
            until = parsedate_to_datetime(header)
        except (TypeError, ValueError):
            return _ASSUMED_PAUSE
        return _ASSUMED_PAUSE if until.tzinfo is None else until - self._clock.now()


class RateBudget:
    """Enforces the declared rates and the pauses that a system asked for, within one process."""

    def __init__(self, system: str, rates: Sequence[RateLimit], clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._windows = [(rate, deque[datetime](maxlen=rate.calls)) for rate in rates]
        self._paused_until = clock.now()

    def pause(self, after: timedelta) -> None:
        """Sends nothing for that time."""
        self._paused_until = max(self._paused_until, self._clock.now() + after)

    async def wait_for_turn(self, method: str, path: str) -> None:
        """Waits until one more call is allowed; raises ``RetryLater`` if the wait is too long."""
        now = self._clock.now()
        matching = [(rate, calls) for rate, calls in self._windows if _matches(rate, method, path)]
        turns = (calls[0] + rate.per for rate, calls in matching if len(calls) == rate.calls)
        turn_at = max(now, self._paused_until, *turns)
        if turn_at - now > LONGEST_WAIT:
            wait = turn_at - now
            is_paused = self._paused_until - now > LONGEST_WAIT
            raise RetryLater(f"{self._system} may be asked again in {wait.total_seconds():.0f} s", wait, busy=is_paused)
        for _, calls in matching:
            calls.append(turn_at)
        if turn_at > now:
            await asyncio.sleep((turn_at - now).total_seconds())  # the rate is the system's


def _matches(rate: RateLimit, method: str, path: str) -> bool:
    return f"{method} {path}".startswith(rate.match) or path.startswith(rate.match)


NextPage = tuple[dict[str, Any], str | None]
"""The query fields of the next page, and the link to it where the system gives one."""

Page = Sequence[Mapping[str, Any]]
"""The records of one page."""
MOST: Final = 10_000
"""The most pages of one search."""
_PATIENT = timedelta(minutes=15)
"""The longest wait for a page if ``patient``."""


async def pages_of(
    system: str, session: Session, listing: Listing, values: Values, *, patient: bool = False
) -> AsyncIterator[Page]:
    """Yields every page; ``patient``: waits for a busy system and yields empty pages meanwhile.

    Raises:
        AnswerMalformed: pages repeat or have no end, or their content is no list of records.
        Later: the system is busy.
    """
    pages, before, waited = listing.pages, set[str](), timedelta()
    asked, link = first_page(pages), None
    while True:
        further = RequestExtras(body=asked) if pages and pages.of_body else RequestExtras(asked, link=link)
        try:
            answer = await session.read(listing, values, further)
        except RetryLater as busy:
            if not patient or waited >= _PATIENT:
                raise
            waited += (pause := min(busy.after, LONGEST_WAIT))
            await asyncio.sleep(pause.total_seconds())  # the rate is the system's
            yield []
            continue
        if answer is None:
            return
        waited = timedelta()
        records = _records(system, listing, answer.body)
        yield records
        following = pages and next_page(system, pages, answer, [value_at(each, listing.id) for each in records], asked)
        if not following or not pages:
            return
        asked, link = following
        if (token := link or str(sorted(asked.items()))) in before:
            raise AnswerMalformed(f"{system} leads to a page again that it has led to before")
        before.add(token)
        if len(before) >= MOST:
            raise AnswerMalformed(f"{system} has more than {MOST:,} pages of what was asked for")


def _records(system: str, listing: Listing, body: object) -> Page:
    listed = body if listing.records is None else value_at(body, listing.records)
    if isinstance(listed, Mapping):
        listed = [listed]
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        where = listing.records or "its answer"
        raise AnswerMalformed(f"{system} has no records at {where} of {listing.method} {listing.path}")
    return listed


def first_page(pages: Pages | None) -> dict[str, Any]:
    """Returns the query fields of the first page."""
    return {str(pages.parameter): 1} if pages and pages.kind == "page" else {}


def next_page(
    system: str, pages: Pages, answer: HttpAnswer, records: Sequence[object], asked: Mapping[str, Any]
) -> NextPage | None:
    """Returns how to request the page after the one with these ids; None if it was the last.

    Raises:
        AnswerMalformed: the page is too long, or does not say whether it is the last.
    """
    if len(records) > pages.size:
        raise AnswerMalformed(f"{system} gives pages of more than size = {pages.size} records: what size do they have?")
    goes_on = None if pages.more is None else value_at(answer.body, pages.more)
    if goes_on is False:
        return None
    if pages.next is None:
        ended = not records or (goes_on is None and pages.end == "short" and len(records) < pages.size)
        name = str(pages.parameter)
        return None if ended else ({**asked, name: asked[name] + 1 if pages.kind == "page" else records[-1]}, None)
    where = value_at(answer.body, pages.next)
    if where is ABSENT and len(records) >= pages.size and goes_on is None:
        raise AnswerMalformed(f"{system} gives a full page without {pages.next}: is it the last?")
    if where is ABSENT or where is None or where == "":
        return None
    if isinstance(where, bool) or not isinstance(where, str | int):
        raise AnswerMalformed(f"{system} says at {pages.next} how to go on, in no way that can be read")
    return (dict(asked), str(where)) if pages.kind == "link" else ({**asked, str(pages.parameter): where}, None)
