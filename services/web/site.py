"""A site: its pages, each of which is a function of a visit; what they raise is answered in the look of the site."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from services.intake.access.quota import Rate
from services.intake.api.problems import STATUS
from services.intake.core.errors import Forbidden
from services.web.forms import Form, FormError, read_form
from services.web.guard import Guard, refused
from services.web.pages import STATIC_FILES, Pages
from services.web.sessions import Session, Sessions
from shared.domain.errors import DsrError
from shared.storage.postgres import AWAY

_READING = frozenset({"GET", "HEAD"})
_BURST_SECONDS = 30.0
_WORTH_KEEPING = 12
"""Characters of a text that somebody would not like to write again."""


class FormExpired(Forbidden):
    """The form is of no session that goes on: nothing was done; the page is to be opened anew.

    ``written``: what somebody wrote in it at length, so that they need not write it again. ``holds``: what the session
    that goes on in that browser holds, by name.
    """

    def __init__(self, words: str, form: Form | None = None, holds: Collection[str] = ()) -> None:
        super().__init__(words)
        self.holds = holds
        self.written = written_in(form or Form())


def written_in(form: Form) -> list[str]:
    """What somebody wrote in a form at length."""
    return [text for name, texts in form.fields.items() if name != "csrf" for text in texts if _is_long(text)]


def _is_long(text: str) -> bool:
    return len(text) >= _WORTH_KEEPING and " " in text


@dataclass(slots=True)
class Visit:
    """One call of a page: who calls, and what their form says."""

    site: "Site"
    request: Request
    session: Session
    form: Form

    @property
    def sent(self) -> bool:
        """Whether a form was sent."""
        return self.request.method not in _READING

    def page(self, template: str, errors: Sequence[FormError] = (), /, **facts: object) -> Response:
        """The page of that template; with errors it is shown again, so that what is wrong can be mended."""
        known = {**self.site.facts(self.request), "csrf": self._csrf, "form": self.form, **facts, "errors": errors}
        status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
        return self.site.pages.show(template, status, known)

    def go(self, path: str) -> Response:
        """Goes on at another page of the site."""
        return RedirectResponse(self.site.base + path, HTTPStatus.SEE_OTHER)

    def _csrf(self) -> Markup:
        """The field that every form has."""
        self.session.wanted = True
        return Markup('<input type="hidden" name="csrf" value="{}">').format(self.session.csrf)


Handler = Callable[[Visit], Awaitable[Response]]


class Site(ABC):
    """What is served below ``base``, as ``/portal``; ``url``: where people reach it (scheme and host).

    ``same_site``: of the cookie (``strict`` or ``lax``).
    """

    def __init__(self, base: str, url: str, pages: Pages, sessions: Sessions, same_site: str) -> None:
        self.base, self.pages, self.sessions, self.url = base, pages, sessions, url
        self._secure = urlsplit(url).scheme == "https"
        self._same_site = same_site
        self.cookie = f"{'__Host-' if self._secure else ''}dsr-{sessions.site}"

    @abstractmethod
    def facts(self, request: Request) -> dict[str, Any]:
        """What every template of the site may name."""

    @abstractmethod
    def error_page(self, request: Request, status: int, error: Exception) -> Response:
        """The page that says what went wrong, and what to do."""

    def page(self, path: str, handler: Handler, *, sends: bool = False) -> Route:
        """A page at that path; ``sends``: it has a form that comes back there."""
        methods = ["GET", "POST"] if sends else ["GET"]
        return Route(path, partial(self._answer, handler), methods=methods, name=f"{self.sessions.site}:{path}")

    def mounted(self, routes: Sequence[BaseRoute], proxies: int, pages_a_second: float) -> list[BaseRoute]:
        """The site, guarded, and the way to it from its address without a slash at the end."""
        handlers: dict[Any, Any] = dict.fromkeys((DsrError, HTTPException, *AWAY, Exception), self._error)
        static = Mount("/static", StaticFiles(directory=STATIC_FILES))
        inside = Starlette(routes=[static, *routes], exception_handlers=handlers)
        inside.router.redirect_slashes = False
        rate = Rate(pages_a_second, _BURST_SECONDS)
        onward = RedirectResponse(f"{self.base}/", HTTPStatus.PERMANENT_REDIRECT)
        guarded = (Guard(app, self.url, proxies, rate, self._refuse()) for app in (onward, inside))
        return [Route(self.base, next(guarded)), Mount(self.base, next(guarded))]

    async def _answer(self, handler: Handler, request: Request) -> Response:
        shown = request.cookies.get(self.cookie)
        session = await self.sessions.read(shown)
        form = Form()
        if request.method not in _READING:
            form = await read_form(request)
            if not session.is_mine(form.get("csrf")):
                raise FormExpired("the page was open for too long; open it anew", form, session.data)
        response = await handler(Visit(self, request, session, form))
        await self.sessions.keep(session)
        if session.ended:
            response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True)
        elif session.wanted and session.token != shown:
            same_site: Any = self._same_site
            response.set_cookie(
                self.cookie, session.token, path="/", secure=self._secure, httponly=True, samesite=same_site
            )
        return response

    async def _error(self, request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it
        return self.error_page(request, status_of(error), error)

    def _refuse(self) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            await (await self._error(request, refused(request)))(scope, receive, send)

        return answer


def status_of(error: Exception) -> int:
    """The status with which an error is answered."""
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, DsrError):
        return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, AWAY) else HTTPStatus.INTERNAL_SERVER_ERROR
