"""The page of a decision: it asks, shows what will be done, and does it once that is confirmed."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from starlette.responses import Response

from services.console import form
from services.console.console import ConsoleContext, StaffMember, in_pages, person_of
from services.console.form import FormField
from services.console.roles import WORDS, StaffPower
from services.intake.actions.execution import Done
from services.intake.api import case_sheet
from services.intake.api.dependencies import Services
from services.intake.core import errors
from services.web.forms import Form, FormError
from services.web.site import Visit
from shared.domain.errors import DsrError, Shredded
from shared.storage.postgres import UNAVAILABLE

_MOVED: Final = (
    "It has changed since you opened this page. Look at it in another window; your entries are kept here and take"
    " effect only when you continue"
)
_WAITS: Final = " (it is proposed: nothing is done before a second person approves it)"
_VERSION: Final = re.compile("[0-9a-f]{1,32}")
_ELSEWHERE: Final = (errors.Forbidden, errors.NotFound, Shredded)
"""Errors that no other entries in the form can mend."""
CLOSED: Final[Mapping[str, object]] = {"sheet": None, "no_sheet": ""}
"""The facts of the template ``case_sheet.html`` before it is opened."""
Do = Callable[[Services, str, Any], Awaitable[str | Done | None]]
"""Gets the version that the page has shown and the body; may return the path to go on to."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one thing.

    ``about``: the thing, in words, with its ``facts``. ``reads``: what is proposed. ``effects``: what the decision will
    do. ``asks``: the fields of its ``body``, with what is ``known`` of them. ``back``: the page to return to.
    """

    title: str
    about: str
    back: str
    effects: Sequence[str]
    do: Do
    body: type[BaseModel] | None = None
    asks: Sequence[FormField] = ()
    known: Form = field(default_factory=Form)
    facts: Sequence[tuple[str, str]] = ()
    reads: Sequence[tuple[str, str]] = ()
    version: str = "0"
    request_id: UUID | None = None
    possible: bool = True
    irreversible: bool = False


async def decide(context: ConsoleContext, visit: Visit, decision: Decision) -> Response:
    """Asks, rehearses, shows what will be done, and does it once that is confirmed."""
    if not visit.sent and not decision.possible:
        raise errors.NotFound(f"as it stands now this cannot be decided: {decision.title.lower()}")
    version, step, asks = decision.version, visit.form.get("step"), decision.asks
    body: BaseModel | None = None
    wrong: Sequence[FormError] = ()
    if visit.sent:
        version = _version(visit)
        body, wrong = form.read(decision.body, asks, visit.form, context.zone)
    asking = bool(asks) and (not visit.sent or bool(wrong) or step == "change")
    if not asking:
        try:
            if visit.sent and step == "confirm":
                done = await decision.do(context.services, version, body)
                waits = isinstance(done, Done) and done.approval_id
                visit.session.data["noted"] = f"{decision.title}{_WAITS if waits else ''}"
                return visit.go(done if isinstance(done, str) else decision.back)
            await decision.do(context.services.dry_run(), version, body)
        except DsrError as error:
            fault = _fault(decision, version, error)
            wrong, asking = [fault], bool(asks)
            version = decision.version if fault.text == _MOVED else version
    sheet = await opened(context, person_of(visit), decision.request_id) if decision.request_id else CLOSED
    return visit.page(
        "decide.html",
        wrong,
        **sheet,
        form=visit.form if visit.sent else decision.known,
        decision=decision,
        version=version,
        asking=asking,
        shown=() if visit.sent else decision.reads,
        said=[(asked, _said(visit, asked)) for asked in asks],
    )


async def opened(context: ConsoleContext, person: StaffMember, request_id: UUID) -> Mapping[str, object]:
    """Returns the case sheet of a request, or why it cannot be read; the opening is on record."""
    if not person.may(StaffPower.READ):
        return {**CLOSED, "no_sheet": f"None of your roles may {WORDS[StaffPower.READ]}."}
    unit_of_work, mail = context.services.unit_of_work, context.services.use_cases.mail
    try:
        return {**CLOSED, "sheet": await case_sheet.read(unit_of_work, mail, request_id, person.caller)}
    except Shredded as gone:
        return {**CLOSED, "no_sheet": f"{str(gone).capitalize()}."}


def _fault(decision: Decision, version: str, error: DsrError) -> FormError:
    """Returns what other entries would mend, or that the thing has changed; raises every other error."""
    asks = decision.asks
    if isinstance(error, errors.PreconditionFailed):
        if not asks or decision.version == version or not decision.possible:
            raise error
        return FormError(asks[0].name, _MOVED)
    if isinstance(error, (*_ELSEWHERE, *UNAVAILABLE)):
        raise error
    place = str(getattr(error, "field", None) or "").split(".")
    asked = next((each for each in asks if each.names(place)), next(iter(asks), None))
    return FormError(asked.name if asked else "confirm", in_pages(str(error)))


def _version(visit: Visit) -> str:
    """Returns the version that the page has shown."""
    said = visit.form.get("version")
    if not _VERSION.fullmatch(said):
        raise errors.BadRequest("the form is incomplete: open the page again")
    return said


def _said(visit: Visit, asked: FormField) -> list[str]:
    """Returns what was chosen or written, as the page shows it."""
    words = dict(asked.options)
    return [words.get(each, each) for each in visit.form.all(asked.name) if each]
