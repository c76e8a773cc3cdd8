"""Following a request: where it stands, and everything that was done about it."""

from uuid import UUID

from fastapi import APIRouter

from services.intake import correspondence, documents_out
from services.intake.answer import answer
from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.errors import NotFound
from services.intake.problems import documented
from services.intake.request import Request
from services.intake.schemas import LetterList, LetterView, RequestView, Timeline, TimelineEntry
from shared.domain.errors import Shredded

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["requests"], responses=documented(NotFound))


@router.get("", response_model_exclude_unset=True)
async def read(request_id: UUID, caller: AnyCaller, services: UseServices) -> RequestView:
    """Where a request stands, what each system did in counts, and the answer in plain words."""
    return view(await services.use_cases.read(request_id, caller))


@router.get("/timeline")
async def read_timeline(request_id: UUID, caller: AnyCaller, services: UseServices) -> Timeline:
    """Everything that was done about a request, in order, as the evidence has it."""
    await services.use_cases.read(request_id, caller)
    entries = await documents_out.entries(services.unit_of_work.pool, request_id)
    return Timeline(request_id=request_id, entries=[TimelineEntry.model_validate(entry) for entry in entries])


@router.get("/letters", responses=documented(Shredded))
async def read_letters(request_id: UUID, caller: AnyCaller, services: UseServices) -> LetterList:
    """Every letter that was written to the subject about this request."""
    request = await services.use_cases.read(request_id, caller)
    letters = await correspondence.read(services.unit_of_work, request)
    return LetterList(request_id=request_id, letters=[LetterView.model_validate(letter) for letter in letters])


def view(request: Request) -> RequestView:
    """A request as the API shows it."""
    return RequestView(
        request_id=request.request_id,
        right=request.right,
        state=request.state,
        outcome=request.outcome,
        resumable=request.resumable,
        scope=request.scope,
        role=request.role,
        received_at=request.received_at,
        due_on=request.due_on,
        warning=request.warning,
        closed_at=request.closed_at,
        answer=answer(request),
        tasks=[*(request.tasks or ())],
        package=request.package_id is not None,
    )
