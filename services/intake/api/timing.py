"""What moves the due date of a request: questions and their answers, a corrected arrival, an extension."""

from uuid import UUID

from fastapi import APIRouter

from services.intake.api.dependencies import DECIDING, PRIVACY_TEAM, AnyCaller, MadeFor, Rehearsable, UseServices
from services.intake.api.views import DueDate, StateView
from services.intake.errors import ExtensionRefused, NotReady
from services.intake.problems import documented
from services.intake.proposed import ProposedStep
from services.intake.question_schemas import QuestionAsked, QuestionReply
from services.intake.timing_schemas import ArrivalCorrection, ExtensionProposal
from services.intake.versions import Decided
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["timing"], responses={**DECIDING, **documented(Shredded)})
_EXTENSION = documented(IllegalTransition, ExtensionRefused, NotReady)


@router.post("/question", response_model=StateView, dependencies=PRIVACY_TEAM)
async def ask(body: QuestionAsked, basis: MadeFor, services: Rehearsable) -> Decided:
    """Ask the requester who they are, or what they mean; work on what is clear goes on (privacy team)."""
    return await services.use_cases.ask(basis, body)


@router.post("/question/withdrawal", response_model=StateView, dependencies=PRIVACY_TEAM)
async def take_question_back(basis: MadeFor, services: Rehearsable) -> Decided:
    """Take back an open question about who they are: it may be asked anew, and no time limit stops for it.

    The requester is told nothing of that; its letter is printed no more, and what was mailed or read stays so.
    """
    return await services.use_cases.take_question_back(basis)


@router.post("/reply", response_model=StateView)
async def reply(body: QuestionReply, basis: MadeFor, services: Rehearsable) -> Decided:
    """Hand in what the requester answered to a question; a late answer reopens the request.

    What they say to a question of a person's about who they are proves nothing, and may be followed by another.
    """
    return await services.use_cases.answer(basis, body)


@router.post("/receipt", response_model=DueDate, dependencies=PRIVACY_TEAM)
async def correct_arrival(body: ArrivalCorrection, basis: MadeFor, services: Rehearsable) -> Decided:
    """Correct when an open request reached the company; every date is counted anew (privacy team)."""
    return await services.use_cases.correct_arrival(basis, body)


@router.post("/extension", response_model=StateView, dependencies=PRIVACY_TEAM, responses=_EXTENSION)
async def propose_extension(body: ExtensionProposal, basis: MadeFor, services: Rehearsable) -> Decided:
    """Propose to answer up to two months later (Art. 12(3)); somebody else must approve it (privacy team)."""
    return await services.use_cases.propose_extension(basis, body)


@router.get("/extension", dependencies=PRIVACY_TEAM, responses=documented(NotReady))
async def read_extension(request_id: UUID, caller: AnyCaller, services: UseServices) -> ProposedStep:
    """The extension that somebody has proposed, in the words that the person would read (privacy team)."""
    return await services.use_cases.proposed_step(request_id, caller, "extension")


@router.post("/extension/approval", response_model=DueDate, dependencies=PRIVACY_TEAM, responses=_EXTENSION)
async def approve_extension(basis: MadeFor, services: Rehearsable) -> Decided:
    """Approve an extension with the key of another holder than proposed it; the subject is told why and until when."""
    return await services.use_cases.approve_extension(basis)
