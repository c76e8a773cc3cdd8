"""A site: each page is a function of a visit, and each error has a page."""

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

from services.intake.access.quota import RateLimiter
from services.intake.api.problems import STATUS
from services.intake.core.errors import Forbidden
from services.web.forms import Form, FormError, read_form
from services.web.guard import Guard, refused
from services.web.pages import STATIC_FILES, Pages
from services.web.sessions import Session, Sessions
from shared.domain.errors import DsrError
from shared.storage.postgres import UNAVAILABLE

_READING = frozenset({"GET", "HEAD"})
_BURST_SECONDS = 30.0
_WORTH_KEEPING = 12
"""The least characters of a text that an error page gives back."""


class FormExpired(Forbidden):
    """The session of a form has ended: nothing was done.

    ``written``: the long texts of the form, which the error page gives back. ``holds``: the keys of the session that
    goes on in that browser.
    """

    def __init__(self, words: str, form: Form | None = None, holds: Collection[str] = ()) -> None:
        super().__init__(words)
        self.holds = holds
        self.written = written_in(form or Form())


def written_in(form: Form) -> list[str]:
    """Returns the long texts of a form."""
    return [text for name, texts in form.fields.items() if name != "csrf" for text in texts if _is_long(text)]


def _is_long(text: str) -> bool:
    return len(text) >= _WORTH_KEEPING and " " in text


@dataclass(slots=True)
class Visit:
    """One call of a page: its session and its form."""

    site: "Site"
    request: Request
    session: Session
    form: Form

    @property
    def sent(self) -> bool:
        """Returns whether a form was sent."""
        return self.request.method not in _READING

    def page(self, template: str, errors: Sequence[FormError] = (), /, **facts: object) -> Response:
        """Renders a template; with errors the status is 422."""
        known = {**self.site.facts(self.request), "csrf": self._csrf, "form": self.form, **facts, "errors": errors}
        status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
        return self.site.pages.show(template, status, known)

    def go(self, path: str) -> Response:
        """Redirects to another page of the site."""
        return RedirectResponse(self.site.base + path, HTTPStatus.SEE_OTHER)

    def _csrf(self) -> Markup:
        """Returns the hidden field of every form."""
        self.session.wanted = True
        return Markup('<input type="hidden" name="csrf" value="{}">').format(self.session.csrf)


Handler = Callable[[Visit], Awaitable[Response]]


class Site(ABC):
    """The pages below ``base``, such as ``/portal``; ``url``: the scheme and host of the site.

    ``same_site``: of the cookie (``strict`` or ``lax``).
    """

    def __init__(self, base: str, url: str, pages: Pages, sessions: Sessions, same_site: str) -> None:
        self.base, self.pages, self.sessions, self.url = base, pages, sessions, url
        self._secure = urlsplit(url).scheme == "https"
        self._same_site = same_site
        self.cookie = f"{'__Host-' if self._secure else ''}dsr-{sessions.site}"

    @abstractmethod
    def facts(self, request: Request) -> dict[str, Any]:
        """Returns what every template of the site may name."""

    @abstractmethod
    def error_page(self, request: Request, status: int, error: Exception) -> Response:
        """Returns the page of an error."""

    def page(self, path: str, handler: Handler, *, sends: bool = False) -> Route:
        """Returns a page at that path; ``sends``: it has a form that is sent there."""
        methods = ["GET", "POST"] if sends else ["GET"]
        return Route(path, partial(self._answer, handler), methods=methods, name=f"{self.sessions.site}:{path}")

    def mounted(self, routes: Sequence[BaseRoute], proxies: int, pages_a_second: float) -> list[BaseRoute]:
        """Returns the guarded site, and the redirect from its address without a slash."""
        handlers: dict[Any, Any] = dict.fromkeys((DsrError, HTTPException, *UNAVAILABLE, Exception), self._error)
        static = Mount("/static", StaticFiles(directory=STATIC_FILES))
        inside = Starlette(routes=[static, *routes], exception_handlers=handlers)
        inside.router.redirect_slashes = False
        rate = RateLimiter(pages_a_second, _BURST_SECONDS)
        onward = RedirectResponse(f"{self.base}/", HTTPStatus.PERMANENT_REDIRECT)
        guarded = (Guard(app, self.url, proxies, rate, self._refuse()) for app in (onward, inside))
        return [Route(self.base, next(guarded)), Mount(self.base, next(guarded))]

    async def _answer(self, handler: Handler, request: Request) -> Response:
        shown = request.cookies.get(self.cookie)
        session = await self.sessions.read(shown)
        form = Form()
        if request.method not in _READING:
            form = await read_form(request)
            if not session.has_csrf(form.get("csrf")):
                raise FormExpired("the page was open for too long; open it again", form, session.data)
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
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return self.error_page(request, status_of(error), error)

    def _refuse(self) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope)
            await (await self._error(request, refused(request)))(scope, receive, send)

        return answer


def status_of(error: Exception) -> int:
    """Returns the status of an error."""
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, DsrError):
        return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, UNAVAILABLE) else HTTPStatus.INTERNAL_SERVER_ERROR
