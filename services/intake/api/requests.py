"""Following a request: where it stands, and everything that was done about it."""

from uuid import UUID

import orjson
from fastapi import APIRouter, Response

from services.intake import correspondence
from services.intake.api.dependencies import TAGGED, AnyCaller, UseServices, etag
from services.intake.api.views import LetterList, RequestView, Timeline, view
from services.intake.errors import NotFound
from services.intake.problems import documented
from shared.domain.errors import Shredded
from shared.storage import evidence

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["requests"], responses=documented(NotFound))


@router.get("", response_model_exclude_unset=True, responses=TAGGED)
async def read(request_id: UUID, caller: AnyCaller, services: UseServices, response: Response) -> RequestView:
    """Where a request stands, what each system did in counts, and the answer in plain words."""
    request = await services.use_cases.read(request_id, caller)
    response.headers["ETag"] = etag(request.version)
    awaited = await services.use_cases.awaited(request)
    return view(request, awaited, officer=caller.role == "privacy")


@router.get("/timeline")
async def read_timeline(request_id: UUID, caller: AnyCaller, services: UseServices) -> Timeline:
    """Everything that was done about a request, in order, as the evidence has it."""
    await services.use_cases.read(request_id, caller)
    entries = [
        {**entry, "service": entry["chain"], "detail": orjson.loads(entry["detail"])}
        for entry in await evidence.entries(services.unit_of_work.pool, request_id)
    ]
    return Timeline.model_validate({"request_id": request_id, "entries": entries})


@router.get("/letters", responses=documented(Shredded))
async def read_letters(request_id: UUID, caller: AnyCaller, services: UseServices) -> LetterList:
    """Every letter that was written to the subject about this request."""
    request = await services.use_cases.read(request_id, caller)
    letters = await correspondence.read(services.unit_of_work, request)
    return LetterList.model_validate({"request_id": request_id, "letters": letters})
