"""Recipients of the data: who was told of what was done, and what they have said (Art. 19)."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.intake import recipients
from services.intake.api.dependencies import DECIDING, PRIVACY_TEAM, AnyCaller, MadeFor, Rehearsable, UseServices
from services.intake.api.views import Instant, ProposedStepView, StateView
from services.intake.errors import NotFound, NotReady, SamePerson
from services.intake.problems import documented
from services.intake.proposed import ProposedStep
from services.intake.recipient_schemas import RecipientByHand, RecipientReply, Waiver, WaiverApproval
from services.intake.recipients import Notice, NoticeState
from services.intake.request import disclosed
from services.intake.versions import Decided
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.policy import Policy
from shared.domain.text import Word

router = APIRouter(prefix="/v1/requests/{request_id}/recipients", tags=["recipients"], responses=documented(NotFound))
waiting = APIRouter(prefix="/v1/recipient-notices", tags=["recipients"])
_MOVES = {**DECIDING, **documented(IllegalTransition)}


class NoticeView(BaseModel):
    """A recipient whom a request concerns, and how far they are told."""

    model_config = ConfigDict(from_attributes=True)

    recipient: str = Field(description="as the policy names it")
    name: str = Field(description="by what it is known")
    role: Literal["processor", "controller", "joint_controller"] | None
    country: str | None = Field(description="where it is, ISO 3166")
    what: disclosed.What = Field(description="what they are told of")
    categories: str = Field(description="of which data, in words")
    state: NoticeState
    concerned_at: Instant
    told_at: Instant | None
    settled_at: Instant | None = Field(description="when they had said something, or it was decided not to tell them")
    reminders: int
    overdue: bool = Field(description="nobody has told them, or they are silent, for longer than the policy waits")


class WaitingNotice(NoticeView):
    """A notice that a person must see to: what it says is among the letters of the request."""

    request_id: UUID
    waiver: Literal["impossible", "disproportionate"] | None = Field(
        description="what one person has proposed and another must approve"
    )
    reach: str = Field(description="where the recipient is reached")


class RecipientList(BaseModel):
    """Every recipient whom a request concerns."""

    request_id: UUID
    recipients: list[NoticeView]


class WaitingNotices(BaseModel):
    """What a person must see to, the longest waiting first."""

    to_do: list[WaitingNotice]


@router.get("")
async def read_recipients(request_id: UUID, caller: AnyCaller, services: UseServices) -> RecipientList:
    """Who was told of what was done on this request, and what they have said: the list that the person may ask for.

    Of a request by somebody who has not shown who they are, the privacy team alone reads it.
    """
    request = await services.use_cases.read(request_id, caller)
    hidden = request.anonymous and caller.role != "privacy"
    async with services.unit_of_work.pool.acquire() as connection:
        found = [] if hidden else await recipients.of_request(connection, request_id)
    views = [NoticeView.model_validate(_shown(each, services.unit_of_work.policy)) for each in found]
    return RecipientList(request_id=request_id, recipients=views)


@router.post("/told", response_model=StateView, dependencies=PRIVACY_TEAM, responses=_MOVES)
async def tell_recipient(body: RecipientByHand, basis: MadeFor, services: Rehearsable) -> Decided:
    """Enter that a person has told a recipient whom no channel reaches (privacy team)."""
    return await services.use_cases.tell_recipient(basis, body)


@router.post("/reply", response_model=StateView, dependencies=PRIVACY_TEAM, responses=_MOVES)
async def hear_recipient(body: RecipientReply, basis: MadeFor, services: Rehearsable) -> Decided:
    """Enter what a recipient has said: they have the notice, or have done the same (privacy team)."""
    return await services.use_cases.hear_recipient(basis, body)


@router.post("/waiver", response_model=StateView, dependencies=PRIVACY_TEAM, responses=_MOVES)
async def propose_waiver(body: Waiver, basis: MadeFor, services: Rehearsable) -> Decided:
    """Propose that a recipient is not told, since that is impossible or out of proportion (privacy team)."""
    return await services.use_cases.propose_waiver(basis, body)


@router.get(
    "/waiver", response_model=ProposedStepView, dependencies=PRIVACY_TEAM, responses=documented(NotReady, Shredded)
)
async def read_waiver(
    request_id: UUID,
    recipient: Annotated[Word, Query(description="as the policy names it")],
    caller: AnyCaller,
    services: UseServices,
) -> ProposedStep:
    """Why somebody has proposed not to tell that recipient (privacy team)."""
    return await services.use_cases.proposed_step(request_id, caller, "waiver", recipient)


@router.post(
    "/waiver/approval",
    response_model=StateView,
    dependencies=PRIVACY_TEAM,
    responses={**DECIDING, **documented(IllegalTransition, SamePerson)},
)
async def approve_waiver(body: WaiverApproval, basis: MadeFor, services: Rehearsable) -> Decided:
    """Approve that with the key of another holder than proposed it (privacy team)."""
    return await services.use_cases.approve_waiver(basis, body)


@waiting.get("", dependencies=PRIVACY_TEAM)
async def list_recipient_notices(
    services: UseServices, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> WaitingNotices:
    """Recipients whom a person must tell, ask, or decide not to tell, the longest waiting first (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await recipients.for_a_person(connection, limit)
    views = [WaitingNotice.model_validate(_shown(each, services.unit_of_work.policy)) for each in found]
    return WaitingNotices(to_do=views)


def _shown(notice: Notice, policy: Policy) -> dict[str, object]:
    known = policy.recipients.get(notice.recipient)
    said = {name: getattr(notice, name) for name in Notice.__dataclass_fields__}
    return said | {
        "name": known.name if known else notice.recipient,
        "role": known.role if known else None,
        "country": known.country if known else None,
        "categories": disclosed.words(policy, notice.categories),
        "overdue": notice.overdue_at is not None,
        "reach": recipients.address(known) if known else notice.recipient,
    }
