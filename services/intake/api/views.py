"""Answers of the API."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, computed_field

from services.intake.core.schemas import Instant
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request
from services.intake.request.blockers import Blocker, blocked_by
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import status_sentences
from services.intake.request.reports import Covered, coverage, summed
from services.intake.request.stored_request import for_requester
from services.intake.store.other_requests import DuplicateRequest
from shared.domain import reference
from shared.domain.languages import ENGLISH, Language
from shared.domain.operations import TaskReport
from shared.domain.release import ReleaseFault
from shared.domain.rights import Outcome, Right, Role


class Referenced(BaseModel):
    """A request by its id, and by the reference that people read."""

    request_id: UUID

    @computed_field(description="as it stands in letters and on pages; a path takes it in place of the id")  # type: ignore[prop-decorator]
    @property
    def reference(self) -> str:
        """Follows from the id."""
        return reference.of(self.request_id)


class StateView(Referenced):
    """Where the request stands now."""

    state: State


class SubmissionAccepted(StateView):
    """A request is stored: where it stands, by when it must be answered, and what opens its letters."""

    due_on: date
    letter_code: str | None = Field(
        description="for the requester, whose acknowledgement names it too: with the id it opens the letters of the"
        " request, also after an erasure; null for the privacy team, since its holder counts as the requester"
    )


class CaseAccepted(BaseModel):
    """All rights of one message are stored, each as a request, in the order given."""

    case_number: UUID = Field(description="the id of the first of them")
    reference: str = Field(description="of the first, by which the person knows all of them")
    requests: list[SubmissionAccepted]


class Accepted(RootModel[SubmissionAccepted | CaseAccepted]):
    """One request is stored, or one for each right that a message names."""


class CaseMember(Referenced):
    """A request that came in the same message."""

    model_config = ConfigDict(from_attributes=True)

    right: Right
    state: State
    outcome: Outcome | None


class CaseView(BaseModel):
    """The requests of one message."""

    case_number: UUID
    reference: str
    requests: list[CaseMember]


class BatchAccepted(BaseModel):
    """All requests of a batch are stored, in the order given."""

    requests: list[SubmissionAccepted]


class ForwardingView(BaseModel):
    """Forwarding of a request about which a customer decides."""

    due_on: date = Field(description="by when it is to be passed on")
    overdue: bool = Field(description="that day is over, and the customer does not have it")
    forwarded_at: Instant | None
    controller_replied_at: Instant | None = Field(description="when the customer said how they go on")


class RepeatedView(Referenced):
    """Another open request by which the same person asks for the same."""

    model_config = ConfigDict(from_attributes=True)

    received_at: Instant


class RequestView(Referenced):
    """Where a request stands, what each system did in counts, and the answer in plain words."""

    right: Right
    state: State
    outcome: Outcome | None
    resumable: bool = Field(description="closed for want of an answer, which may still come at any time")
    scope: str | None
    purposes: list[str] = Field(description="of a withdrawal of consent: to what (Art. 7(3))")
    consent_text: str | None = Field(description="which version of its text they had consented to")
    role: Role = Field(description="of an instruction, and of what is only passed on to a customer: `processor`")
    tenant: str | None = Field(description="the customer whose instruction it is")
    instruction_id: str | None = Field(description="the customer's own reference of it")
    received_at: Instant
    due_on: date
    warning: str | None
    closed_at: Instant | None
    language: Language = Field(
        description="in which the subject is written to, and `answer` is read; an officer reads it in English"
    )
    answer: str
    tasks: list[TaskReport]
    coverage: list[Covered] = Field(description="where the subject was searched for, by what, and with which result")
    package: bool = Field(description="there is a package to download")
    package_withheld: str | None = Field(description="why a person must look at the package before it is handed out")
    blocked_by: list[Blocker] = Field(description="what blocks it, or its answer; nothing while we are at work")
    awaits: list[UUID] = Field(
        description="of an erasure: the same person's open copies for which it waits, or restrictions that oppose it"
    )
    forwarding: ForwardingView | None = Field(
        default=None, description="of a request about which a customer decides: whether they have it"
    )
    repeated: list[RepeatedView] = Field(
        default=[],
        description="other open requests by which the same person asks for the same (privacy team): each is worked"
        " unless the person withdraws it, or two people refuse it",
    )
    case: CaseView | None = Field(default=None, description="where it came in one message with others: all of them")


class StepsInSystem(BaseModel):
    """Steps to do by hand in one system."""

    system: str
    do: list[str]


class ManualSteps(BaseModel):
    """Steps to do by hand, by system; none where the systems give no steps."""

    request_id: UUID
    systems: list[StepsInSystem]


class TimelineEntry(BaseModel):
    """One thing that was done."""

    at: Instant
    service: str
    actor: str
    action: str
    detail: dict[str, JsonValue]


class LetterView(BaseModel):
    """A letter to the subject."""

    letter_id: UUID
    kind: str
    written_at: Instant
    to: list[str] = Field(description="to whom, and where to; empty once their data are erased")
    delivery: Literal["waiting", "sent", "needs_attention", "cancelled", "given_up"] | None = Field(
        default=None, description="how far one that is sent has come; null where it is read where it was asked for"
    )
    ready: bool = Field(description="false for a moment after it was written: then it has no text yet; read it again")
    subject: str
    language: Language = Field(description="in which it is written")
    html: str = Field(
        description="the letter as it is printed, or shown in a mail; to the privacy team without the links and codes"
        " that prove or open something"
    )
    body: str = Field(description="its plain text")


def view(
    request: Request,
    today: date,
    letters: LetterFacts,
    awaits: Sequence[UUID] = (),
    case: Sequence[Request] = (),
    repeated: Sequence[DuplicateRequest] = (),
    *,
    officer: bool,
) -> RequestView:
    """A request as the API shows it; an officer also reads why tasks wait for a person, and all of an anonymous one."""
    request, reader = request if officer else for_requester(request), letters.reader(request)
    same = {name: getattr(request, name) for name in RequestView.model_fields if hasattr(request, name)}
    more = {
        "role": "processor" if request.tenant else request.role,
        "language": reader.language,
        "answer": letters.words(
            status_sentences(request, today), replace(reader, language=ENGLISH) if officer else reader
        ),
        "tasks": [_report(task, officer=officer) for task in summed(request.tasks)],
        "coverage": coverage(request.tasks),
        "package": request.package_id is not None and request.package_fault is None and not request.package_is_gone,
        "package_withheld": ReleaseFault(request.package_fault).sentence if request.package_fault else None,
        "awaits": awaits,
        **({"repeated": repeated} if repeated else {}),
        **({"case": _case(request, case, officer=officer)} if case else {}),
        "blocked_by": blocked_by(request, awaits),
        **({"forwarding": _forwarding(request)} if request.role == "processor" else {}),
    }
    return RequestView.model_validate(same | more)


def _case(request: Request, case: Sequence[Request], *, officer: bool) -> dict[str, object]:
    known = {"case_number": request.case_id, "reference": reference.of(case[0].request_id)}
    return known | {"requests": [each if officer else for_requester(each) for each in case]}


def _forwarding(request: Request) -> ForwardingView:
    late = (request.warning or "").startswith("overdue_")
    return ForwardingView(
        due_on=request.due_on,
        overdue=late and request.forwarded_at is None,
        forwarded_at=request.forwarded_at,
        controller_replied_at=request.controller_replied_at,
    )


def _report(task: TaskReport, *, officer: bool) -> TaskReport:
    if officer and task.reason:
        return task.model_copy(update={"sentence": task.reason})
    if officer:
        return task
    return TaskReport.model_validate(task.model_dump(exclude_unset=True, exclude={"sentence", "exceeded"}))
