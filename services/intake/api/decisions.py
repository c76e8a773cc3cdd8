"""Deciding about a request: who asks, whether they still want it, and what a person must decide."""

from uuid import UUID

from fastapi import APIRouter

from services.intake.api.dependencies import AnyCaller, PrivacyTeam, UseServices
from services.intake.api.views import StateView
from services.intake.errors import BadRequest, NotFound
from services.intake.problems import documented
from services.intake.schemas import Decision, Forwarded, Verification
from shared.domain.errors import IllegalTransition

router = APIRouter(
    prefix="/v1/requests/{request_id}", tags=["decisions"], responses=documented(NotFound, IllegalTransition)
)


@router.post("/verify", responses=documented(BadRequest))
async def verify(request_id: UUID, body: Verification, caller: AnyCaller, services: UseServices) -> StateView:
    """State how the requester proved who they are; work begins, or begins after all, if that is enough."""
    state = await services.use_cases.verify(request_id, body.assurance, caller)
    return StateView(request_id=request_id, state=state)


@router.post("/withdraw")
async def withdraw(request_id: UUID, caller: AnyCaller, services: UseServices) -> StateView:
    """Withdraw a request; what was done already stays done."""
    return StateView(request_id=request_id, state=await services.use_cases.withdraw(request_id, caller))


@router.post("/decision")
async def decide(request_id: UUID, body: Decision, caller: PrivacyTeam, services: UseServices) -> StateView:
    """Decide about a request whose downstream failed for good (privacy team)."""
    return StateView(request_id=request_id, state=await services.use_cases.decide(request_id, body, caller))


@router.post("/lift")
async def lift(request_id: UUID, caller: PrivacyTeam, services: UseServices) -> StateView:
    """Lift a restriction of which the subject has been informed beforehand (privacy team)."""
    return StateView(request_id=request_id, state=await services.use_cases.lift(request_id, caller))


@router.post("/forward")
async def forward(request_id: UUID, body: Forwarded, caller: PrivacyTeam, services: UseServices) -> StateView:
    """State that a request was passed on to the customer who decides about the data (privacy team)."""
    return StateView(request_id=request_id, state=await services.use_cases.forward(request_id, body, caller))
