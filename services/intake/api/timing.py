"""What moves the due date of a request: questions and their answers, a corrected arrival, an extension."""

from uuid import UUID

from fastapi import APIRouter

from services.intake.api.dependencies import AnyCaller, PrivacyTeam, UseServices
from services.intake.api.views import DueDate, StateView
from services.intake.errors import BadRequest, ExtensionRefused, NotFound, NotReady
from services.intake.problems import documented
from services.intake.schemas import ArrivalCorrection, ExtensionProposal, QuestionAsked, QuestionReply
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(
    prefix="/v1/requests/{request_id}", tags=["timing"], responses=documented(NotFound, IllegalTransition, Shredded)
)
_EXTENSION = documented(IllegalTransition, ExtensionRefused, NotReady)


@router.post("/question")
async def ask(request_id: UUID, body: QuestionAsked, caller: PrivacyTeam, services: UseServices) -> StateView:
    """Ask the requester who they are, or what they mean; work on what is clear goes on (privacy team)."""
    return StateView(request_id=request_id, state=await services.use_cases.ask(request_id, body, caller))


@router.post("/reply", responses=documented(BadRequest))
async def reply(request_id: UUID, body: QuestionReply, caller: AnyCaller, services: UseServices) -> StateView:
    """Hand in what the requester answered to a question about what they mean; a late answer reopens the request."""
    return StateView(request_id=request_id, state=await services.use_cases.answer(request_id, body, caller))


@router.post("/receipt", responses=documented(BadRequest))
async def correct_arrival(
    request_id: UUID, body: ArrivalCorrection, caller: PrivacyTeam, services: UseServices
) -> DueDate:
    """Correct when an open request reached the company; every date is counted anew (privacy team)."""
    return DueDate(request_id=request_id, due_on=await services.use_cases.correct_arrival(request_id, body, caller))


@router.post("/extension", responses=_EXTENSION)
async def propose_extension(
    request_id: UUID, body: ExtensionProposal, caller: PrivacyTeam, services: UseServices
) -> StateView:
    """Propose to answer up to two months later (Art. 12(3)); somebody else must approve it (privacy team)."""
    return StateView(request_id=request_id, state=await services.use_cases.propose_extension(request_id, body, caller))


@router.post("/extension/approval", responses=_EXTENSION)
async def approve_extension(request_id: UUID, caller: PrivacyTeam, services: UseServices) -> DueDate:
    """Approve an extension with another key than proposed it; the subject is told why and until when."""
    return DueDate(request_id=request_id, due_on=await services.use_cases.approve_extension(request_id, caller))
