"""Reviews: complaints about how a request was handled, and samples in which one was not recognised (privacy team)."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import AT_A_TIME, Cursor, Following, after, paged
from services.intake.api.views import Instant
from services.intake.errors import BadRequest, NotFound, TooLarge, UnsupportedType
from services.intake.problems import documented
from services.intake.reviews import complaints, samples
from services.intake.reviews.schemas import ComplaintDecided, ComplaintLodged, IntakeSample
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.moments import Day

router = APIRouter(prefix="/v1", tags=["reviews"], dependencies=PRIVACY_TEAM)
_SAYING = documented(BadRequest, NotFound, IllegalTransition, Shredded, TooLarge, UnsupportedType)


class ComplaintView(BaseModel):
    """A complaint, and what became of it; what was said is sealed."""

    model_config = ConfigDict(from_attributes=True)

    complaint_id: UUID
    request_id: UUID
    lodged_with: str
    received_on: date
    entered_by: str
    entered_at: Instant
    decision: str | None
    decided_on: date | None


class ComplaintList(BaseModel):
    """Complaints, those that are open first."""

    complaints: list[ComplaintView]
    cursor: Following


class SampleView(BaseModel):
    """What was found in the mail of one month."""

    model_config = ConfigDict(from_attributes=True)

    month: date
    sampled: int
    missed: int
    entered_by: str
    entered_at: Instant


class SampleList(BaseModel):
    """Samples, the latest first."""

    samples: list[SampleView]
    cursor: date | None = Field(description="send it to get the next page; null: this is the last one")


@router.post("/complaints", status_code=201, responses=_SAYING)
async def lodge_complaint(body: ComplaintLodged, caller: AnyCaller, services: UseServices) -> ComplaintView:
    """Enter that somebody complains about how a request was handled (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        return ComplaintView.model_validate(await complaints.lodge(tx, body, caller))


@router.get("/complaints")
async def list_complaints(
    services: UseServices,
    request_id: Annotated[UUID | None, Query(description="about that request alone")] = None,
    cursor: Cursor = None,
) -> ComplaintList:
    """Complaints, those that are open first, a hundred at a time (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await complaints.listed(connection, AT_A_TIME + 1, after(cursor), request_id)
    shown, following = paged(found, complaints.place)
    return ComplaintList(complaints=[ComplaintView.model_validate(each) for each in shown], cursor=following)


@router.post("/complaints/{complaint_id}/decision", responses=_SAYING)
async def decide_complaint(
    complaint_id: UUID, body: ComplaintDecided, caller: AnyCaller, services: UseServices
) -> ComplaintView:
    """Enter what became of a complaint (privacy team); upheld about a refusal, it has overturned that."""
    async with services.unit_of_work.begin() as tx:
        return ComplaintView.model_validate(await complaints.decide(tx, complaint_id, body, caller))


@router.post("/intake-samples", status_code=201, responses=documented(BadRequest, TooLarge, UnsupportedType))
async def enter_sample(body: IntakeSample, caller: AnyCaller, services: UseServices) -> SampleView:
    """Enter how many requests a sample of a month's mail shows that nobody had recognised (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        return SampleView.model_validate(await samples.enter(tx, body, caller))


@router.get("/intake-samples")
async def list_samples(
    services: UseServices,
    cursor: Annotated[Day | None, Query(description="of the last answer: this page follows it")] = None,
) -> SampleList:
    """The samples, a hundred months at a time (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await samples.listed(connection, AT_A_TIME + 1, cursor)
    shown = [SampleView.model_validate(each) for each in found[:AT_A_TIME]]
    return SampleList(samples=shown, cursor=shown[-1].month if len(found) > AT_A_TIME else None)
