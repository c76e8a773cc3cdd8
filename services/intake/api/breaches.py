"""Breaches: what was handed out or found and should not have been, who sees to it, who was told (Art. 33 and 34)."""

from datetime import timedelta
from typing import Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, Rehearsable, UseServices
from services.intake.api.paging import AT_A_TIME, Cursor, Following, after, paged
from services.intake.api.views import Instant
from services.intake.breach import awareness, breaches, notices, record, telling
from services.intake.breach.record import Record
from services.intake.breach.schemas import (
    AwarenessCorrected,
    BreachClosed,
    BreachFound,
    BreachNotified,
    BreachRecord,
    RiskAssessed,
)
from services.intake.errors import BadRequest, NotFound, NotReady, SamePerson, TooLarge, UnsupportedType
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1/breaches", tags=["breaches"], dependencies=PRIVACY_TEAM)
_SAYING = documented(BadRequest, NotFound, IllegalTransition, TooLarge, UnsupportedType)


class BreachView(BaseModel):
    """A package that was handed out, a change that was made (no downloads), or what was found elsewhere (no fault)."""

    model_config = ConfigDict(from_attributes=True)

    breach_id: UUID
    request_id: UUID | None = Field(description="in whose handling it happened, if in any")
    fault: str | None = Field(description="why it should not have been, as the platform has found it")
    downloads: int
    found_at: Instant
    notify_by: Instant = Field(description="the authority is to be told by then, unless nobody's rights are at risk")
    owner: str | None = Field(description="the holder of a key who sees to it")
    recorded_at: Instant | None = Field(description="when what has happened was last stated")
    categories: list[str] | None = Field(description="of data, as the policy names them")
    people: int | None = Field(description="concerned, approximately")
    records: int | None
    told_at: Instant | None = Field(description="when the authority was told first (Art. 33(1))")
    decision: str | None
    closed_at: Instant | None


class BreachList(BaseModel):
    """Every open breach, the most urgent first; then those that were closed, the last first."""

    breaches: list[BreachView]
    cursor: Following


class NoticeView(BreachNotified):
    """Who was told of it, in which words."""

    notice_id: UUID
    noted_by: str
    noted_at: Instant = Field(description="when that was put on record")
    agreed_by: str | None = Field(description="who else has said that they were told at that hour")
    waits: bool = Field(
        description="its date alone makes it timely, or is before the breach was on record: it counts once somebody"
        " else agrees"
    )


class AssessmentView(RiskAssessed):
    """Whether the persons are told, and by whose word."""

    assessment_id: UUID
    proposed_by: str
    proposed_at: Instant
    approved_by: str | None
    approved_at: Instant | None
    void_at: Instant | None = Field(
        description="when what has happened was stated otherwise: it counts no more, and is judged anew"
    )


class BreachLetterView(BaseModel):
    """A letter that tells somebody of it; it is read with its request."""

    model_config = ConfigDict(from_attributes=True)

    request_id: UUID
    letter_id: UUID
    state: Literal["waiting", "sent", "person", "spared", "given_up", "unannounced"] | None = Field(
        description="of its delivery, or of the mail that says that it can be read in the portal; `unannounced`: there"
        " is no such mail; null: whoever has asked fetches it"
    )


class LaterView(AwarenessCorrected):
    """A later hour that its owner proposes; nothing changes until somebody else agrees."""

    correction_id: UUID
    proposed_by: str


class BreachRecordView(BaseModel):
    """Everything that is documented of a breach (Art. 33(5))."""

    breach: BreachView
    corrections: list[AwarenessCorrected] = Field(description="of when it was found, the first one first")
    later: LaterView | None
    record: BreachRecord | None
    notices: list[NoticeView]
    assessment: AssessmentView | None
    letters: list[BreachLetterView]
    closing: BreachClosed | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """As the API shows it."""
        found = record.assessment
        return cls(
            breach=BreachView.model_validate(record.breach),
            corrections=[*record.corrections],
            later=LaterView(
                correction_id=record.later.correction_id,
                proposed_by=record.later.proposed_by,
                **record.later.said.model_dump(),
            )
            if record.later
            else None,
            record=record.stated,
            notices=[
                NoticeView.model_validate({**said.model_dump(), **{name: getattr(each, name) for name in _NOTED}})
                for each, said in record.notices
            ],
            assessment=AssessmentView.model_validate(
                {**found.said.model_dump(), **{name: getattr(found.judged, name) for name in _JUDGED}}
            )
            if found
            else None,
            letters=[BreachLetterView.model_validate(each) for each in record.letters],
            closing=record.closing,
        )


_NOTED = ("notice_id", "noted_by", "noted_at", "agreed_by", "waits")
_JUDGED = ("assessment_id", "proposed_by", "proposed_at", "approved_by", "approved_at", "void_at")


class RiskProposed(BaseModel):
    """By which id somebody else approves it."""

    assessment_id: UUID


class PersonsTold(BaseModel):
    """To how many a letter was written now."""

    letters: int


@router.get("")
async def list_breaches(services: UseServices, cursor: Cursor = None) -> BreachList:
    """Every open breach, and those closed last, a hundred at a time (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = [] if cursor else await breaches.still_open(connection)
        closed, following = paged(await breaches.closed(connection, AT_A_TIME + 1, after(cursor)), breaches.place)
    known = [BreachView.model_validate(each) for each in (*found, *closed)]
    return BreachList(breaches=known, cursor=following)


@router.post("", status_code=201, responses=documented(BadRequest, TooLarge, UnsupportedType))
async def enter_breach(body: BreachFound, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """Enter a breach that was found elsewhere than by the platform (privacy team): its 72 hours run from `found_at`."""
    within = timedelta(hours=services.settings.breach_hours)
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await record.enter(tx, body, caller, within))


@router.get("/{breach_id}", responses=documented(NotFound, Shredded))
async def read_breach(breach_id: UUID, caller: AnyCaller, services: UseServices) -> BreachRecordView:
    """The whole record of a breach, with its words (privacy team); whoever reads it is on record."""
    async with services.unit_of_work.begin() as tx:
        return BreachRecordView.of(await record.read(tx, breach_id, caller))


@router.post("/{breach_id}/owner", responses=documented(NotFound, IllegalTransition))
async def own_breach(breach_id: UUID, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """See to a breach from now on (privacy team); nobody who has handled the request may."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await breaches.own(tx, breach_id, caller))


@router.put("/{breach_id}/record", responses=_SAYING)
async def record_breach(breach_id: UUID, body: BreachRecord, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """State what has happened, what it may lead to and what is done (its owner); what was stated before stays."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await record.state(tx, breach_id, body, caller))


@router.post("/{breach_id}/awareness", responses=_SAYING)
async def correct_awareness(
    breach_id: UUID, body: AwarenessCorrected, caller: AnyCaller, services: Rehearsable
) -> BreachView:
    """Correct since when we are aware of it, and say why (its owner): the 72 hours run from then.

    A later hour is proposed: nothing changes until somebody else agrees (POST …/awareness/ID/approval).
    """
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await awareness.correct(tx, breach_id, body, caller))


@router.post("/{breach_id}/awareness/{correction_id}/approval", responses=_SAYING | documented(SamePerson))
async def approve_awareness(
    breach_id: UUID, correction_id: UUID, caller: AnyCaller, services: Rehearsable
) -> BreachView:
    """Agree that we became aware of it later, having handled neither the breach nor its request."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await awareness.approve(tx, breach_id, correction_id, caller))


@router.post("/{breach_id}/notices", responses=_SAYING)
async def note_notice(breach_id: UUID, body: BreachNotified, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """Note that the authority was told, a customer who decides, or persons whom no letter reaches (its owner).

    One that only its date makes timely, or that is dated before the breach was on record, counts once somebody else
    agrees (POST …/notices/ID/approval).
    """
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await notices.note(tx, breach_id, body, caller))


@router.post("/{breach_id}/notices/{notice_id}/approval", responses=documented(NotFound, IllegalTransition, SamePerson))
async def approve_notice(breach_id: UUID, notice_id: UUID, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """Agree that they were told at that hour, having handled neither the breach nor its request."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await notices.approve(tx, breach_id, notice_id, caller))


@router.post("/{breach_id}/assessments", status_code=201, responses=_SAYING | documented(NotReady))
async def assess_risk(breach_id: UUID, body: RiskAssessed, caller: AnyCaller, services: Rehearsable) -> RiskProposed:
    """Propose whether the persons are told (its owner): it takes effect once somebody else has approved it."""
    letters = services.use_cases.letters
    async with services.unit_of_work.begin() as tx:
        return RiskProposed(assessment_id=await telling.propose(tx, letters, breach_id, body, caller))


@router.post(
    "/{breach_id}/assessments/{assessment_id}/approval",
    responses=documented(BadRequest, NotFound, IllegalTransition, SamePerson),
)
async def approve_assessment(
    breach_id: UUID, assessment_id: UUID, caller: AnyCaller, services: Rehearsable
) -> PersonsTold:
    """Approve it (privacy team), as neither its owner nor a handler of the request: the letters go out."""
    letters = services.use_cases.letters
    async with services.unit_of_work.begin() as tx:
        return PersonsTold(letters=await telling.approve(tx, letters, breach_id, assessment_id, caller))


@router.post("/{breach_id}/close", responses=documented(NotFound, IllegalTransition, NotReady))
async def close_breach(breach_id: UUID, body: BreachClosed, caller: AnyCaller, services: Rehearsable) -> BreachView:
    """Close a breach that one owns, once who had to be told was, and say why (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await record.close(tx, breach_id, body, caller))
