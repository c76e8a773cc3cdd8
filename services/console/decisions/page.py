"""The page of a decision: what it asks; then what it will do, and a button; and only then it is done."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import case_sheet
from services.console.console import Console, in_pages
from services.console.decisions import form
from services.console.decisions.decision import Decision, Subject
from services.console.lists import Link
from services.intake.actions.performing import Done
from services.intake.core import errors
from services.web.forms import Form, FormError
from services.web.site import Visit
from shared.domain.errors import DsrError, Shredded
from shared.storage.postgres import AWAY

_MOVED: Final = (
    "It has changed since you opened this page. Look at it in another window; what you have entered is kept"
    " here, and is done only once you continue"
)
_WAITS: Final = " (it is proposed: nothing is done before a second person approves it)"
_VERSION: Final = re.compile("[0-9a-f]{1,32}")
_ELSEWHERE: Final = (errors.Forbidden, errors.NotFound, Shredded)
"""What no other words in the form can mend."""


@dataclass(frozen=True, slots=True)
class About:
    """What a page of a decision says of that about which it is decided.

    ``back``: the page to go back to. ``known``: what stands in the form already.
    """

    subject: Subject
    title: str
    back: str
    facts: Sequence[tuple[str, str]] = ()
    version: str = "0"
    known: Form = field(default_factory=Form)


Find = Callable[[Visit], Awaitable[About]]


@dataclass(frozen=True)
class DecisionPage:
    """The page of one decision; ``find``: what the address is about."""

    decision: Decision
    find: Find

    async def __call__(self, visit: Visit) -> Response:
        """Asks, says what will be done, and does it once that is confirmed; what would be refused is refused before."""
        about = await self.find(visit)
        decision, subject = self.decision, about.subject
        version = about.version
        if visit.sent:
            version = _version(visit)
        elif not decision.when(subject):
            raise errors.NotFound(f"as it stands now this cannot be decided: {decision.title.lower()}")
        wrong: Sequence[FormError] = ()
        body: BaseModel | None = None
        if visit.sent:
            zone = ZoneInfo(subject.works.services.processing.controller.zone)
            read = form.read(decision, visit.form, zone)
            if isinstance(read, BaseModel | None):
                body = read
            else:
                wrong = read
        asking = bool(decision.asks) and (not visit.sent or bool(wrong) or visit.form.get("step") == "change")
        if not asking:
            try:
                if visit.sent and visit.form.get("step") == "confirm":
                    done = await decision.do(subject, version, body)
                    waits = isinstance(done, Done) and done.approval_id
                    visit.session.data["noted"] = f"{decision.title}{_WAITS if waits else ''}"
                    return visit.go(done if isinstance(done, str) else about.back)
                await decision.do(subject.rehearsed(), version, body)
            except DsrError as error:
                fault = self._fault(about, version, error)
                wrong, asking = [fault], bool(decision.asks)
                version = about.version if fault.text == _MOVED else version
        shown = await decision.reads(subject) if not visit.sent else ()
        sheet = case_sheet.CLOSED
        if request := subject.request:
            sheet = await case_sheet.opened(subject.works, subject.person, request.request_id)
        return visit.page(
            "decide.html",
            wrong,
            **sheet,
            form=visit.form if visit.sent else about.known,
            decision=decision,
            about=about,
            version=version,
            asking=asking,
            does=decision.does(subject),
            options={asked.name: asked.options(subject) for asked in decision.asks},
            shown=shown,
            said=[(asked, _said(asked.name, visit, asked.options(subject))) for asked in decision.asks],
        )

    def _fault(self, about: About, version: str, error: DsrError) -> FormError:
        """What is wrong with what was entered, where other words would mend that; else it raises the error.

        Where the request has moved meanwhile, what was entered is shown once more, for the version that it has now.
        """
        asks = self.decision.asks
        if isinstance(error, errors.PreconditionFailed):
            if not asks or about.version == version or not self.decision.when(about.subject):
                raise error
            return FormError(asks[0].name, _MOVED)
        if isinstance(error, (*_ELSEWHERE, *AWAY)):
            raise error
        place = str(getattr(error, "field", None) or "").split(".")
        asked = next((each for each in asks if form.names(each, place)), next(iter(asks), None))
        return FormError(asked.name if asked else "confirm", in_pages(str(error)))


def routes_of(console: Console, path: str, decisions: Sequence[Decision], find: Find) -> list[BaseRoute]:
    """The page of each decision about what is at that path, each below it by its name."""
    return [
        console.private(f"{path}/{each.name}", DecisionPage(each, find), each.power, sends=True) for each in decisions
    ]


def offered(subject: Subject, path: str, decisions: Sequence[Decision]) -> list[Link]:
    """Those that whoever has signed in can make about it as it stands."""
    return [
        Link(f"{path}/{each.name}", each.title)
        for each in decisions
        if subject.person.may(each.power) and each.when(subject)
    ]


def _version(visit: Visit) -> str:
    """The version that the page has shown: what has changed since is looked at first."""
    said = visit.form.get("version")
    if not _VERSION.fullmatch(said):
        raise errors.BadRequest("the page is not whole: open it again")
    return said


def _said(name: str, visit: Visit, options: Sequence[tuple[str, str]]) -> list[str]:
    """What was chosen or written, as it is read back."""
    words = dict(options)
    return [words.get(each, each) for each in visit.form.all(name) if each]
