"""Mail that was read from our mailbox: what it seems to ask for, and what a person makes of it."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import Instant
from services.intake.errors import BadRequest, Forbidden, NotFound
from services.intake.mail.incoming import MailKind
from services.intake.mail.use_cases import Confirmed, Dismissed, NoRequest
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.rights import Right
from shared.domain.wording import Language

router = APIRouter(prefix="/v1/mail", tags=["mail"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
_ONE = documented(NotFound, Shredded)
_DECIDE = documented(BadRequest, NotFound, IllegalTransition, Shredded)


class MailListed(BaseModel):
    """A mail that waits for a person; what it says is read by its id."""

    model_config = ConfigDict(from_attributes=True)

    mail_id: UUID
    state: Literal["proposed", "reply", "confirmed", "done"]
    received_at: Instant = Field(description="when it reached us: a time limit runs from then")
    by_mx: bool = Field(description="as our mail exchanger has written; else as the mailbox says")
    doubled: bool = Field(description="another mail with the same Message-ID says something else")
    request_id: UUID | None = Field(description="the request that it answers")


class MailList(BaseModel):
    """Mails that wait, by when they reached us."""

    mails: list[MailListed]


class AttachmentView(BaseModel):
    """A file that came with it."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="as the sender calls it")
    kind: str = Field(description="its media type by its first bytes, whatever its name says")
    size: int


class ProposalView(BaseModel):
    """What it seems to ask for, by the words of the policy; a person decides."""

    model_config = ConfigDict(from_attributes=True)

    rights: list[Right]
    language: Language | None
    email: str | None = Field(description="the address that it says it is from, which proves nothing")
    name: str | None
    account_id: str | None
    phones: list[str]


class MailView(BaseModel):
    """A mail, and what it seems to ask for."""

    mail: MailListed
    sender: str = Field(description="whom it says it is from (`From`)")
    besides: list[str] = Field(
        description="other addresses that it says it is from, or wants the answer at (`Reply-To`): neither who they are"
        " nor an answer goes by these"
    )
    subject: str
    readable: bool = Field(description="false: it cannot be taken apart; open the original")
    text: str = Field(description="its own words and what it quotes, the first 20,000 characters")
    cut: bool = Field(description="true: only the first 2 MiB were read; the original has the rest")
    attachments: list[AttachmentView]
    proposal: ProposalView


class MailAccepted(BaseModel):
    """A request that a mail has become."""

    model_config = ConfigDict(from_attributes=True)

    request_id: UUID
    state: str
    due_on: date


class ConfirmedView(BaseModel):
    """The requests that a mail has become, in the order in which they were entered."""

    requests: list[MailAccepted]


class DismissedView(BaseModel):
    """Why a mail needs nothing more."""

    mail_id: UUID
    reason: NoRequest


@router.get("")
async def list_mail(
    services: UseServices,
    state: Annotated[
        Literal["proposed", "reply"],
        Query(description="`reply`: it answers a letter of ours"),
    ] = "proposed",
    after: Annotated[UUID | None, Query(description="only those after this one: of the last answer, the last")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> MailList:
    """Mails that wait for a person, the longest with us first (privacy team)."""
    found = await services.mail.waiting(state, after, limit)
    return MailList(mails=[MailListed.model_validate(each) for each in found])


@router.get("/{mail_id}", responses=_ONE)
async def read_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> MailView:
    """What a mail says, and what it seems to ask for; the reading is on record (privacy team)."""
    read = await services.mail.read(mail_id, caller)
    content = read.content
    return MailView(
        mail=MailListed.model_validate(read.mail),
        sender=content.sender,
        besides=[*content.besides],
        subject=content.subject,
        readable=content.kind is not MailKind.UNREADABLE,
        text=content.text,
        cut=content.cut,
        attachments=[AttachmentView.model_validate(each) for each in content.attachments],
        proposal=ProposalView.model_validate(read.proposal),
    )


@router.get(
    "/{mail_id}/raw", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}, **_ONE}
)
async def fetch_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """The original with its files, to be opened with care; the reading is on record (privacy team)."""
    raw = await services.mail.raw(mail_id, caller)
    headers = {"Content-Disposition": 'attachment; filename="mail.eml"', "Cache-Control": "no-store"}
    return Response(raw, media_type="application/octet-stream", headers=headers)


@router.post("/{mail_id}/confirm", status_code=201, responses=_DECIDE)
async def confirm_mail(mail_id: UUID, body: Confirmed, caller: AnyCaller, services: UseServices) -> ConfirmedView:
    """Make a mail a request, received on the day on which it reached us and answered by e-mail (privacy team).

    Nothing is proved by it: who asks is asked as of any other request.
    """
    accepted = await services.mail.confirm(mail_id, body, caller)
    return ConfirmedView(requests=[MailAccepted.model_validate(each) for each in accepted])


@router.post("/{mail_id}/dismiss", responses=_DECIDE)
async def dismiss_mail(mail_id: UUID, body: Dismissed, caller: AnyCaller, services: UseServices) -> DismissedView:
    """Say why a mail is no request, or that an answer was read: of what is no request no more than that is kept."""
    await services.mail.dismiss(mail_id, body, caller)
    return DismissedView(mail_id=mail_id, reason=body.reason)
