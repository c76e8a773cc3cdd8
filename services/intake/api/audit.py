"""Audit: who has done what, by the evidence, and everything about one case in one file (privacy team)."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, JsonValue

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import Instant
from services.intake.audit import case_file, searching
from services.intake.audit.searching import Wanted
from services.intake.errors import BadRequest, NotFound
from services.intake.problems import documented
from shared.domain.moments import Moment
from shared.storage.audit import Place

router = APIRouter(prefix="/v1", tags=["audit"], dependencies=PRIVACY_TEAM)


class CaseFile(Response):
    """A ZIP archive that no cache keeps."""

    media_type = "application/zip"


ROWS = 100
_ARCHIVE: dict[int | str, dict[str, Any]] = {200: {"content": {CaseFile.media_type: {}}}}


class FoundEntry(BaseModel):
    """One thing that was done, and by whom."""

    model_config = ConfigDict(from_attributes=True)

    at: Instant
    service: str
    seq: int
    request_id: UUID
    actor: str
    holder: str | None
    action: str
    detail: dict[str, JsonValue]


class FoundEntries(BaseModel):
    """A page of them, the newest first; ``after`` asks for the next."""

    entries: list[FoundEntry]
    after: str | None


@router.get("/audit", responses=documented(BadRequest))
async def search_evidence(
    caller: AnyCaller,
    services: UseServices,
    request_id: Annotated[UUID | None, Query(description="about that request, breach or hold alone")] = None,
    holder: Annotated[str | None, Query(description="by whoever has, or had, a key, or has signed in")] = None,
    action: Annotated[str | None, Query(description="one, as `breach.opened`; or as `breach`, all of its kind")] = None,
    since: Annotated[Moment | None, Query(description="not before then")] = None,
    until: Annotated[Moment | None, Query(description="before then")] = None,
    after: Annotated[str | None, Query(description="`after` of the page before")] = None,
) -> FoundEntries:
    """Who has done what, the newest first (privacy team); the search itself is on record."""
    wanted = Wanted(request_id, holder, action, since, until, _place(after))
    async with services.unit_of_work.begin() as tx:
        page = await searching.search(tx, wanted, caller, ROWS)
    following = str(page.following) if page.following else None
    return FoundEntries(entries=[FoundEntry.model_validate(each) for each in page.entries], after=following)


@router.get(
    "/requests/{request_id}/case-file",
    response_class=CaseFile,
    responses=_ARCHIVE | documented(NotFound),
)
async def export_case(request_id: UUID, caller: AnyCaller, services: UseServices) -> CaseFile:
    """Everything about one case as a ZIP, with a certificate that anyone can check offline; the making is on record."""
    async with services.unit_of_work.begin() as tx:
        content = await case_file.build(tx, services.use_cases.letters, request_id, caller)
    return packed(request_id, content)


def packed(request_id: UUID, content: bytes) -> CaseFile:
    """A case file as it is handed out."""
    headers = {
        "Content-Disposition": f'attachment; filename="case-{request_id}.zip"',
        "Cache-Control": "no-store",
    }
    return CaseFile(content, headers=headers)


def _place(text: str | None) -> Place | None:
    try:
        return Place.read(text) if text else None
    except ValueError:
        raise BadRequest("after is no place in the evidence; take it from the page before", "after") from None
