"""The console as a site: the signed-in person, their powers, and the navigation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console import roles
from services.console.provider import Provider
from services.console.roles import Role, StaffPower
from services.console.settings import ConsoleSettings
from services.intake.access import auth
from services.intake.access.auth import Caller
from services.intake.api.dependencies import Services
from services.intake.core import errors
from services.web.forms import Form
from services.web.pages import Pages
from services.web.sessions import Session, Sessions
from services.web.site import FormExpired, Handler, Site, Visit, written_in
from shared.domain import reference
from shared.storage.postgres import UNAVAILABLE

BASE: Final = "/console"
_TEMPLATES = Path(__file__).parent / "templates"
_OF_THE_API = re.compile(r"\s*\((?:GET|POST|action) [^)]*\)")
NAVIGATION: Final[Sequence[tuple[str, Sequence[tuple[str, str, StaffPower]]]]] = (
    ("Worklist", (("/", "Worklist", StaffPower.SEE), ("/new", "New request", StaffPower.HANDLE))),
    ("Approvals", (("/approvals", "Approvals", StaffPower.SEE),)),
    ("Mail", (("/mail", "Mail", StaffPower.READ),)),
    ("Systems", (("/systems", "Systems", StaffPower.SEE), ("/stopped", "Blocked", StaffPower.SEE))),
    (
        "Reports",
        (
            ("/sla", "SLA", StaffPower.SEE),
            ("/incidents", "Incidents", StaffPower.SEE),
            ("/holds", "Legal holds", StaffPower.SEE),
            ("/post", "Letters", StaffPower.READ),
        ),
    ),
)
"""The five places at the top of every page; each with its pages: path, word, and the power that it needs."""


@dataclass(frozen=True, slots=True)
class NavigationLink:
    """A link to a page of the console, and its words."""

    path: str
    word: str


@dataclass(frozen=True)
class ConsoleContext:
    """The use cases of the API, the settings, and the identity provider."""

    services: Services
    settings: ConsoleSettings
    provider: Provider

    @property
    def zone(self) -> ZoneInfo:
        """Returns the time zone of the controller."""
        return ZoneInfo(self.services.processing.controller.zone)


@dataclass(frozen=True, slots=True)
class StaffMember:
    """The person who has signed in."""

    holder: str
    name: str
    roles: Sequence[Role]

    @property
    def powers(self) -> frozenset[StaffPower]:
        """Returns what their roles permit."""
        return roles.powers(self.roles)

    @property
    def caller(self) -> Caller:
        """Returns the caller of the use cases."""
        return auth.staff_caller(self.holder, roles.granted(self.roles))

    def may(self, power: StaffPower) -> bool:
        """Returns whether one of their roles has that power."""
        return power in self.powers


def signed_in(session: Session) -> StaffMember | None:
    """Returns the person of a session; None before the sign-in."""
    if session.principal is None:
        return None
    listed = session.data.get("roles")
    known = [Role(str(each)) for each in listed] if isinstance(listed, list) else []
    return StaffMember(session.principal, str(session.data.get("name", session.principal)), known)


def person_of(visit: Visit) -> StaffMember:
    """Returns the signed-in person; every page except those of the sign-in has one."""
    person: StaffMember = visit.request.state.person
    return person


class Console(Site):
    """The site of the console; ``powers``: of each page the power that it needs, by path."""

    def __init__(self, context: ConsoleContext) -> None:
        self.context = context
        self.powers: dict[str, StaffPower] = {}
        settings = context.settings
        idle, longest = timedelta(minutes=settings.idle_minutes), timedelta(hours=settings.session_hours)
        sessions = Sessions(context.services.unit_of_work, "console", idle, longest)
        # Lax: the way back from the provider, and links in tickets, come from other sites.
        super().__init__(BASE, settings.url, Pages(_TEMPLATES), sessions, "lax")

    def private(self, path: str, handler: Handler, power: StaffPower, *, sends: bool = False) -> Route:
        """Returns a page for people with that power; others sign in first and then return to it."""

        async def for_the_signed_in(visit: Visit) -> Response:
            person = signed_in(visit.session)
            if person is None:
                if visit.sent:
                    raise FormExpired(
                        "you are signed out: nothing was done; sign in, and open the page again", visit.form
                    )
                visit.session.data["to"] = _within(visit.request)
                visit.session.wanted = True
                return visit.go("/sign-in")
            visit.request.state.person, visit.request.state.form = person, visit.form
            if not person.may(power):
                raise errors.Forbidden(f"none of your roles ({', '.join(person.roles)}) may {roles.WORDS[power]}")
            return await handler(visit)

        self.powers[path] = power
        return self.page(path, for_the_signed_in, sends=sends)

    def facts(self, request: Request) -> dict[str, Any]:
        """Returns what every template may name."""
        person = getattr(request.state, "person", None)
        policy = self.context.services.processing
        here = request.url.path.removeprefix(self.base)
        return {
            "words": {
                "error": "Error",
                "problem": "There is a problem",
                "skip": "Skip to the page",
                "site": "Privacy console",
            },
            "language": "en",
            "base": self.base,
            "home": f"{self.base}/",
            "site_class": "console",
            "person": person,
            "may": (lambda power: person is not None and person.may(StaffPower(power))),
            "navigation": _navigation(person, here),
            "here": here,
            "officer": policy.officer.of(None),
            "at": partial(shown, zone=self.context.zone),
            "zone": policy.controller.zone,
            "spell": spelled,
            "reference": reference.of,
            "triple": (lambda pairs: [(*each, "") for each in pairs]),
        }

    def error_page(self, request: Request, status: int, error: Exception) -> Response:
        """Returns the page of an error, in the words of the API."""
        title, text = _explained(status, error)
        sent = getattr(request.state, "form", Form())
        written = error.written if isinstance(error, FormExpired) else written_in(sent)
        page = {"title": title, "text": text, "errors": (), "csrf": lambda: "", "written": written}
        response = self.pages.show("error.html", status, {**self.facts(request), **page})
        if seconds := getattr(error, "retry_after", None):
            response.headers["Retry-After"] = str(max(1, round(seconds)))
        return response


def _navigation(person: StaffMember | None, here: str) -> Sequence[tuple[str, str, bool, Sequence[tuple[str, str]]]]:
    """Returns each place as its path, its word, whether it is the current one, and the pages in it."""
    found = list[tuple[str, str, bool, Sequence[tuple[str, str]]]]()
    for place, pages in NAVIGATION:
        allowed = [(path, word) for path, word, power in pages if person and person.may(power)]
        if allowed:
            current = any(here == path or (path != "/" and here.startswith(f"{path}/")) for path, _ in allowed)
            found.append((allowed[0][0], place, current, allowed))
    return found


def shown(at: datetime | None, zone: ZoneInfo) -> str:
    """Returns an instant in that zone, with the name of the zone; empty for None."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z") if at else ""


def local(context: ConsoleContext, at: datetime | None) -> str:
    """Returns an instant in the zone of the controller."""
    return shown(at, context.zone)


def spelled(word: object) -> str:
    """Returns a code in plain words."""
    return _READ_AS.get(str(word), str(word).replace("_", " "))


def in_pages(sentence: str | None) -> str:
    """Returns a sentence of the API without the calls that it names."""
    return _OF_THE_API.sub("", sentence or "")


def _within(request: Request) -> str:
    """Returns the path and the query of the page that was asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path.removeprefix(BASE) + query


_READ_AS: Mapping[str, str] = {"limit_exceeded": "more than one request may touch"}
_TITLES: Mapping[type[Exception], str] = {
    FormExpired: "This page was open for too long",
    errors.TooManyCalls: "Too many requests",
    errors.Forbidden: "You may not do this",
    errors.NotFound: "There is nothing here",
    errors.PreconditionFailed: "The request has changed since you opened the page",
}


def _explained(status: int, error: Exception) -> tuple[str, str]:
    if isinstance(error, UNAVAILABLE):
        return "The database does not answer", "Nothing was done. Try again in a moment."
    if isinstance(error, HTTPException):
        return _TITLES[errors.NotFound], "Check the address, or use the worklist."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, errors.Overloaded):
        return "Something went wrong on our side", "Try again later. The error is in the log of the service."
    title = next((title for kind, title in _TITLES.items() if isinstance(error, kind)), "This could not be done")
    return title, in_pages(getattr(error, "detail", None) or str(error))
