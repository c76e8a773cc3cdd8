"""Mail that was read from our mailbox: what it seems to ask for, and what a person makes of it."""

from dataclasses import asdict
from operator import attrgetter
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.errors import Forbidden, NotFound
from services.intake.mail.use_cases import Read
from services.intake.problems import documented
from services.intake.schemas import Instant
from shared.domain.errors import Shredded
from shared.domain.mail_content import MailContent

router = APIRouter(prefix="/v1/mail", tags=["mail"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
_ONE = documented(NotFound, Shredded)


class MailView(BaseModel):
    """A mail, what it says and what it seems to ask for; a list masks the sender and has no parts."""

    mail_id: UUID
    state: Literal["proposed", "reply", "confirmed", "done"]
    received_at: Instant = Field(description="when it reached us: a time limit runs from then")
    by_mx: bool = Field(description="as our mail exchanger has written; else as the mailbox says")
    request_id: UUID | None = Field(description="the request that it answers")
    names: UUID | None = Field(
        default=None, description="the request whose reference it names; that does not show who has written it"
    )
    stranger: bool = Field(default=False, description="it answers a letter that went to another address")
    content: MailContent


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
    return paging.page([_view(each) for each in found], attrgetter("mail_id"))


@router.get("/{mail_id}", responses=_ONE)
async def read_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> MailView:
    """What a mail says, and what it seems to ask for; the reading is on record (privacy team)."""
    return _view(await services.use_cases.mail.read(mail_id, caller))


def _view(read: Read) -> MailView:
    return MailView(**asdict(read.mail), names=read.names, stranger=read.stranger, content=read.content)


@router.get(
    "/{mail_id}/raw", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}, **_ONE}
)
async def fetch_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """The original with its files, to be opened with care; the reading is on record (privacy team)."""
    raw = await services.use_cases.mail.raw(mail_id, caller)
    headers = {"Content-Disposition": 'attachment; filename="mail.eml"', "Cache-Control": "no-store"}
    return Response(raw, media_type="application/octet-stream", headers=headers)
