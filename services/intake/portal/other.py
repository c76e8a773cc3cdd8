"""Asking for somebody else, with a mandate, for a child, or after a death: a person takes over.

What is written becomes a message in the inbox of the privacy team, as a mail would: nobody is searched for by it, and
whoever reads it confirms what is asked, about whom, and answers.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.routing import BaseRoute
from uuid_utils.compat import uuid7

from services.intake.mail.form import Form, write
from services.intake.portal import draft as drafts
from services.intake.portal.answers import draft_of
from services.intake.portal.draft import Fault
from services.intake.portal.portal import Portal, Works, at, language_of, spoken
from services.intake.portal.question import checked, choose, errors_of, option
from services.intake.web import forms
from services.intake.web.site import Visit
from shared.domain.rights import Right
from shared.domain.sentences import say
from shared.domain.text import ONE_LINE
from shared.domain.wording import Language

REASONS: Final = ("mandate", "child", "dead")
Step = Literal["", "/about", "/you", "/check"]
_BASE: Final = "/for-somebody-else"
_LONG, _SHORT = 4000, 300
_ONE_LINE = re.compile(ONE_LINE)


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of asking for somebody else."""
    asking = AskingForOthers(portal.works)
    pages = {"": asking.why, "/about": asking.about, "/you": asking.you, "/check": asking.check}
    return [
        *(portal.page(f"/{{language}}{_BASE}{step}", page, sends=True) for step, page in pages.items()),
        portal.page(f"/{{language}}{_BASE}/sent", asking.sent),
    ]


class ForOther(BaseModel):
    """What somebody has said so far of a request for somebody else; it is known by ``key``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: UUID
    right: Right | None = None
    why: Literal["mandate", "child", "dead"] | None = None
    name: str = ""
    known_by: str = ""
    wish: str = ""
    own_name: str = ""
    email: str = ""

    @classmethod
    def begun(cls, right: Right | None) -> Self:
        """One in which nothing is said but which right was chosen before, if any."""
        return cls(key=UUID(int=uuid7().int), right=right)

    @property
    def next(self) -> Step:
        """The page that asks for what is missing first; the last one shows all of it."""
        if self.why is None:
            return ""
        if not (self.name and self.wish):
            return "/about"
        return "/check" if self.own_name and self.email else "/you"

    @property
    def mark(self) -> str:
        """By which a page that has shown it knows it again; another one as soon as anything of it is changed."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]

    def message(self, language: Language) -> bytes:
        """What a person of ours reads, as a mail of whoever has asked."""
        form = Form(self.name, self.known_by, self.right, language)
        return write(self.key, form, self.why or "mandate", self.wish, (self.own_name, self.email))


@dataclass(frozen=True)
class AskingForOthers:
    """The pages of asking for somebody else; what was said so far is held by the session."""

    works: Works

    async def why(self, visit: Visit) -> Response:
        """With a mandate, for a child, or after a death?"""
        said, faults = _said(visit), list[Fault]()
        if visit.sent:
            if (chosen := visit.form.get("why")) in REASONS:
                return _goes_on(visit, said.model_copy(update={"why": chosen}))
            faults = [("why", say("portal_error.choose"))]
        options = [option(visit, f"portal_other.{each}", each) for each in REASONS]
        return choose(visit, "why", "portal.other_title", options, (said.why,), faults, back="/")

    async def about(self, visit: Visit) -> Response:
        """About whom, and what do you ask?"""
        said, faults = _said(visit), list[Fault]()
        if visit.sent:
            values, faults = _read_about(visit.form)
            said = said.model_copy(update=values)
            if not faults:
                return _goes_on(visit, said)
        return visit.page("other_about.html", errors_of(visit, faults), said=said)

    async def you(self, visit: Visit) -> Response:
        """Who are you, and where may we write to you?"""
        said, faults = _said(visit), list[Fault]()
        if visit.sent:
            values, faults = self._read_you(visit.form)
            said = said.model_copy(update=values)
            if not faults:
                return _goes_on(visit, said)
        return visit.page("other_you.html", errors_of(visit, faults), said=said)

    async def check(self, visit: Visit) -> Response:
        """Is this right? Then it is put before a person."""
        said = _said(visit)
        if said.next != "/check":
            done = "other_sent" in visit.session.data and "other" not in visit.session.data
            return at(visit, _BASE + ("/sent" if done else said.next))
        if visit.sent and visit.form.get("shown") == said.mark:
            self.works.count_sending(visit.request)
            await self.works.services.mail.take(
                said.key, said.message(language_of(visit.request)), self.works.services.use_cases.letters
            )
            visit.session.data.pop("other", None)
            visit.session.data["other_sent"] = {"reference": str(said.key), "email": said.email}
            return at(visit, f"{_BASE}/sent")
        return checked(visit, _answers(visit, said), "portal.other_next", said.mark, f"{_BASE}/you")

    async def sent(self, visit: Visit) -> Response:
        """What happens next?"""
        told = visit.session.data.get("other_sent")
        if not isinstance(told, dict):
            return at(visit, "/")
        return visit.page("other_sent.html", **told)

    def _read_you(self, form: forms.Form) -> tuple[dict[str, str], list[Fault]]:
        values, faults = drafts.read_contact(form, frozenset())
        if not values["name"]:
            faults.append(("name", say("portal_error.own_name")))
        if values["email"].lower() in self.works.services.mail.ours.addresses:
            faults.append(("email", say("portal_error.email")))  # what we write ourselves is no request
        return {"own_name": values["name"], "email": values["email"]}, faults


def _read_about(form: forms.Form) -> tuple[dict[str, str], list[Fault]]:
    values = {name: form.get(name) for name in ("name", "known_by", "wish")}
    faults: list[Fault] = []
    if not values["name"]:
        faults.append(("name", say("portal_error.other_name")))
    if not values["wish"]:
        faults.append(("wish", say("portal_error.wish")))
    longest = {"name": _SHORT, "known_by": _SHORT, "wish": _LONG}
    faults += [(name, say("portal_error.long")) for name, text in values.items() if len(text) > longest[name]]
    one_line = ((name, values[name]) for name in ("name", "known_by"))
    faults += [(name, say("portal_error.one_line")) for name, text in one_line if not _ONE_LINE.fullmatch(text)]
    return values, faults


def _answers(visit: Visit, said: ForOther) -> Sequence[tuple[str, str, str]]:
    """What was said, each with its label and the page on which it can be changed."""

    def words(key: str) -> str:
        return spoken(visit, say(key))

    return [
        (words("portal.other_title"), words(f"portal_other.{said.why}"), _BASE),
        (words("portal.other_name"), said.name, f"{_BASE}/about"),
        (words("portal.other_known_by"), said.known_by, f"{_BASE}/about"),
        (words("portal.other_wish"), said.wish, f"{_BASE}/about"),
        (words("portal.other_own_name"), said.own_name, f"{_BASE}/you"),
        (words("portal.email"), said.email, f"{_BASE}/you"),
    ]


def _said(visit: Visit) -> ForOther:
    held = visit.session.data.get("other")
    return ForOther.model_validate_json(held) if isinstance(held, str) else ForOther.begun(draft_of(visit).right)


def _goes_on(visit: Visit, said: ForOther) -> Response:
    visit.session.data["other"] = said.model_dump_json()
    return at(visit, _BASE + said.next)
