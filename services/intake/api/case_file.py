"""The file of one case (privacy team)."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.audit import case_file
from services.intake.errors import NotFound
from services.intake.problems import documented

router = APIRouter(prefix="/v1", tags=["audit"], dependencies=PRIVACY_TEAM)


class CaseFile(Response):
    """A ZIP archive that no cache keeps."""

    media_type = "application/zip"


_ARCHIVE: dict[int | str, dict[str, Any]] = {200: {"content": {CaseFile.media_type: {}}}}


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
