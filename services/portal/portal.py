"""The portal as a site: every language below its own path, and the contact on every page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast

from babel import Locale
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.intake.access.quota import RateLimiter, client_address
from services.intake.api.dependencies import Services
from services.intake.core import errors
from services.intake.identity.proof_links import ProofLinks
from services.portal.settings import PortalSettings
from services.portal.sign_in import SignInTokens
from services.web.pages import Pages
from services.web.sessions import Session, Sessions
from services.web.site import FormExpired, Handler, Site, Visit
from shared.domain.countries import COUNTRIES
from shared.domain.languages import LANGUAGES, Language
from shared.domain.notices import Reader
from shared.domain.sentences import Fact, say
from shared.storage.postgres import UNAVAILABLE

BASE: Final = "/portal"
LINKED: Final = "linked"
"""The key under which a session holds the mark of the address whose link was used in it."""
_GO_ON: Final = frozenset({"signed_in", "draft"})
"""The keys of a session that stay when another request is proved in it."""
TRIES: Final = 5
"""The attempts of a page to record an answer while the request changes."""
_TEMPLATES = Path(__file__).parent / "templates"
_NAMES: Mapping[Language, str] = {each: str(Locale.parse(each).display_name).capitalize() for each in LANGUAGES}


@dataclass(frozen=True)
class PortalContext:
    """The use cases of the API, the settings, the links and the sign-in tokens."""

    services: Services
    settings: PortalSettings
    links: ProofLinks
    tokens: SignInTokens | None
    sendings: RateLimiter

    def count_sending(self, request: Request) -> None:
        """Counts a submission or a reference; raises ``TooManyCalls`` above the limit."""
        self.sendings.take(self.asker(request))

    def asker(self, request: Request) -> str:
        """Returns the address of the visitor."""
        forwarded = request.headers.get("x-forwarded-for", "")
        return client_address(request.scope, forwarded, self.services.settings.proxies)


class NotProved(FormExpired):
    """The session has proved no request, or has ended."""


class StaleVersion(errors.PreconditionFailed):
    """The question is no longer open; ``written``: the answer, which the page shows again."""

    def __init__(self, *written: str) -> None:
        super().__init__("the question is no longer open")
        self.written = written


class Portal(Site):
    """The site of the portal."""

    def __init__(self, context: PortalContext) -> None:
        self.context = context
        settings = context.settings
        idle, longest = timedelta(minutes=settings.idle_minutes), timedelta(hours=settings.session_hours)
        sessions = Sessions(context.services.unit_of_work, "portal", idle, longest, _is_draft)
        super().__init__(BASE, settings.url, Pages(_TEMPLATES), sessions, "lax")

    def page(self, path: str, handler: Handler, *, sends: bool = False) -> Route:
        """Returns a page at that path, in each of our languages."""

        async def in_language(visit: Visit) -> Response:
            if visit.request.path_params.get("language", LANGUAGES[0]) not in LANGUAGES:
                raise errors.NotFound("the portal has no pages in that language")
            return await handler(visit)

        return super().page(path, in_language, sends=sends)

    def facts(self, request: Request) -> dict[str, Any]:
        """Returns what every template may name: words, languages and contacts."""
        language, policy = language_of(request), self.context.services.processing
        reader = Reader(language, policy.controller.zone, None)
        words = self.context.services.use_cases.letters.words

        def spoken(key: str, **facts: Fact) -> str:
            return words(say(key, **facts), reader)

        shown = {"error": "portal.error", "problem": "portal.problem", "skip": "portal.skip", "site": "portal.site"}
        return {
            "say": spoken,
            "words": {name: spoken(key) for name, key in shown.items()},
            "language": language,
            "languages": _NAMES.items(),
            "here": _without_language(request, language),
            "base": self.base,
            "home": f"{self.base}/{language}/",
            "site_class": "portal",
            "controller": policy.controller,
            "officer": policy.officer.of(None),
        }

    def error_page(self, request: Request, status: int, error: Exception) -> Response:
        """Returns the page of an error, in its own words instead of those of the API."""
        facts = self.facts(request)
        title, text = _explained(status, error)
        kept = "draft" in getattr(error, "holds", ())
        if kept:  # only the page has expired, and the draft is kept
            title, text = "portal_error.kept_title", "portal_error.kept"
        page = {"title": facts["say"](title), "paragraphs": [facts["say"](text)], "steps": (), "errors": ()}
        page["links"] = [(facts["home"], facts["say"]("portal.to_start"))]
        if kept:
            page["links"].insert(0, (f"{facts['home']}ask/check", facts["say"]("portal.go_on")))
        if isinstance(error, StaleVersion):
            page["links"].insert(0, (f"{facts['home']}request", facts["say"]("portal.request_title")))
        if isinstance(error, NotProved):
            page["links"].insert(0, (f"{facts['home']}follow", facts["say"]("portal.start_follow_link")))
        page["written"] = error.written if isinstance(error, FormExpired | StaleVersion) else ()
        response = self.pages.show("said.html", status, {**facts, **page})
        if seconds := getattr(error, "retry_after", None):
            response.headers["Retry-After"] = str(max(1, round(seconds)))
        return response


def _is_draft(session: Session) -> bool:
    """Returns whether a session holds only a draft."""
    return session.principal is None and "signed_in" not in session.data


def language_of(request: Request) -> Language:
    """Returns the language of the path, or else the first one that the browser asks for."""
    path = request.url.path.removeprefix(BASE).strip("/").partition("/")[0]
    if path in LANGUAGES:
        return path
    wanted = request.headers.get("accept-language", "").lower().split(",")
    return next((each.strip()[:2] for each in wanted if each.strip()[:2] in LANGUAGES), LANGUAGES[0])


def follows_now(visit: Visit, reference: str, **shown: JsonValue) -> None:
    """Lets this session follow a request, by what was ``shown``; its draft stays."""
    kept = {name: value for name, value in visit.session.data.items() if name in _GO_ON}
    visit.session.data = {**kept, "request": reference, **shown}
    visit.session.principal = reference


def at(visit: Visit, path: str) -> Response:
    """Redirects to another page in the same language."""
    return visit.go(f"/{language_of(visit.request)}{path}")


def said(
    visit: Visit, title: str, text: str, path: str, link: str, more: Sequence[tuple[str, str, str]] = ()
) -> Response:
    """Returns a page with one message and a link; ``more``: further sentences, each with a link and its words."""
    base, language = visit.site.base, visit.request.path_params["language"]
    links = [(where, spoken(visit, say(words))) for _, where, words in more]
    links.append((f"{base}/{language}{path}", spoken(visit, say(link))))
    paragraphs = [spoken(visit, say(each)) for each in (text, *(sentence for sentence, _, _ in more))]
    facts = {"paragraphs": paragraphs, "written": (), "steps": (), "links": links}
    return visit.page("said.html", title=spoken(visit, say(title)), **facts)


def spoken(visit: Visit, said: Fact, zone: str | None = None) -> str:
    """Returns a sentence in the language of the page; ``zone``: for its days, by default that of the controller."""
    portal = cast("Portal", visit.site)
    reader = Reader(language_of(visit.request), zone or portal.context.services.processing.controller.zone, None)
    return portal.context.services.use_cases.letters.words(said, reader)


@cache
def countries(language: Language) -> tuple[tuple[str, str], ...]:
    """Returns every country (ISO 3166) with its name in that language, sorted by name."""
    named = Locale.parse(language).territories.items()
    known = [(code, str(name)) for code, name in named if code in COUNTRIES]
    return tuple(sorted(known, key=lambda each: as_sorted(each[1])))


def as_sorted(name: str) -> str:
    """Returns a sort key: letters with an accent sort among those without."""
    alike = str.maketrans("ÀÁÂÄÅÇÉÈÊÍÎÑÓÔÖØÚÜÝ", "AAAAACEEEIINOOOOUUY")
    return name.upper().translate(alike)


def _without_language(request: Request, language: Language) -> str:
    path = request.url.path.removeprefix(BASE)
    return path.removeprefix(f"/{language}") if path.startswith(f"/{language}/") else "/"


_ERRORS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (NotProved, "unproved"),
    (FormExpired, "expired"),
    ((errors.TooManyCalls, errors.Overloaded), "many"),
    (StaleVersion, "overtaken"),
    (errors.PreconditionFailed, "changed"),
    (errors.Withheld, "withheld"),
    (errors.Expired, "gone"),
    (errors.NotReady, "none"),
    (UNAVAILABLE, "away"),
)
"""The text of each error, by its key."""


def _explained(status: int, error: Exception) -> tuple[str, str]:
    """Returns the keys of the title and the text."""
    said = next((word for kinds, word in _ERRORS if isinstance(error, kinds)), None)
    if said is None and status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        said = "missing"
    if said is None:
        said = "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "ours"
    return f"portal_error.{said}_title", f"portal_error.{said}"
