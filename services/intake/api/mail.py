"""Mail that was read from our mailbox: what it seems to ask for, and what a person makes of it."""

from operator import attrgetter
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import Forbidden, NotFound
from services.intake.mail.use_cases import MailView
from shared.domain.errors import Shredded

router = APIRouter(prefix="/v1/mail", tags=["mail"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
_ONE = documented(NotFound, Shredded)


@router.get("")
async def list_mail(
    services: UseServices,
    paging: Paged,
    state: Annotated[
        Literal["proposed", "reply"],
        Query(description="`reply`: it answers a letter of ours"),
    ] = "proposed",
) -> Page[MailView]:
    """Mails that wait for a person, the longest with us first (privacy team)."""
    found = await services.use_cases.mail.waiting(state, paging.after(UUID), paging.more)
    return paging.page(found, attrgetter("mail_id"))


@router.get("/{mail_id}", responses=_ONE)
async def read_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> MailView:
    """What a mail says, and what it seems to ask for; the reading is on record (privacy team)."""
    return await services.use_cases.mail.read(mail_id, caller)


@router.get(
    "/{mail_id}/raw", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}, **_ONE}
)
async def fetch_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """The original with its files, to be opened with care; the reading is on record (privacy team)."""
    raw = await services.use_cases.mail.raw(mail_id, caller)
    headers = {"Content-Disposition": 'attachment; filename="mail.eml"', "Cache-Control": "no-store"}
    return Response(raw, media_type="application/octet-stream", headers=headers)
