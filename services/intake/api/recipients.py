"""Lists the recipients of the data: who was notified, by which digest, and their replies (Art. 19)."""

from datetime import datetime
from operator import attrgetter
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import (
    AnyCaller,
    Services,
    UseServices,
)
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import NotFound
from services.intake.core.schemas import Instant
from services.intake.recipients import recipients
from services.intake.recipients.recipients import NoticeState, overdue_before
from services.intake.request import disclosed

router = APIRouter(prefix="/v1/requests/{request_id}/recipients", tags=["recipients"], responses=documented(NotFound))


class NoticeView(BaseModel):
    """A recipient whom a request concerns, and the state of their notification."""

    model_config = ConfigDict(from_attributes=True)

    recipient: str = Field(description="as the policy names it")
    name: str = Field(description="by what it is known")
    role: Literal["processor", "controller", "joint_controller"] | None
    country: str | None = Field(description="where it is, ISO 3166")
    what: disclosed.What = Field(description="what they are notified of")
    categories: str = Field(description="of which data, in words")
    state: NoticeState
    concerned_at: Instant
    digest_id: UUID | None = Field(description="the digest that tells them; null: the next one does")
    notified_at: Instant | None = Field(description="when they were last notified")
    reminded_at: Instant | None
    settled_at: Instant | None = Field(description="when they had said something, or it was decided not to tell them")
    overdue: bool = Field(description="they say nothing for longer than the policy waits since they were reminded")


@router.get("")
async def list_recipients(
    request_id: UUID, caller: AnyCaller, services: UseServices, paging: Paged
) -> Page[NoticeView]:
    """List the recipients that were notified about this request, with their replies: the person may ask for this list.

    If the requester has not proved who they are, only the privacy team reads it.
    """
    request = await services.use_cases.read(request_id, caller)
    hidden = request.anonymous and caller.role != "privacy"
    async with services.unit_of_work.pool.acquire() as connection:
        found = [] if hidden else await recipients.of_request(connection, request_id)
    before, policy = silent(services), services.unit_of_work.policy
    views = [NoticeView.model_validate(each.shown(policy) | {"overdue": each.is_overdue(before)}) for each in found]
    return paging.cut(views, attrgetter("recipient"))


def silent(services: Services) -> datetime:
    """Returns before when a reminder must have been written for a person to ask now."""
    unit_of_work = services.unit_of_work
    return overdue_before(unit_of_work.policy, services.use_cases.policy, unit_of_work.clock.now())
