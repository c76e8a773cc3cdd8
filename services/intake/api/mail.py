"""Mail that was read from our mailbox: what it seems to ask for, and what a person makes of it."""

from dataclasses import asdict
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import BatchAccepted, Instant, SubmissionAccepted
from services.intake.entered import Entered
from services.intake.errors import BadRequest, Forbidden, NotFound
from services.intake.mail.content import MailAttachment, MailKind, MailPart, MailProposal
from services.intake.mail.use_cases import Dismissed, Read
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.rights import Right

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
    request_id: UUID | None = Field(description="the request that it answers")


class MailSeen(MailListed):
    """The same, with what the list shows of its words."""

    sender: str = Field(description="masked, as `a••••@example.org`; whom it says it is from, which proves nothing")
    subject: str
    rights: list[Right] = Field(description="it seems to ask for these")
    language: str | None = Field(description="ISO 639; null where it is not sure")
    authenticated: bool = Field(description="SPF, DKIM or DMARC vouch for the sender's domain, as our exchanger wrote")
    urgent: list[str] = Field(description="words of the policy that sound urgent")


class MailList(BaseModel):
    """Mails that wait, by when they reached us."""

    mails: list[MailSeen]


class MailView(BaseModel):
    """A mail, and what it seems to ask for."""

    mail: MailListed
    sender: str = Field(description="whom it says it is from (`From`)")
    other_addresses: list[str] = Field(
        description="other addresses that it says it is from, or wants the answer at (`Reply-To`): neither who they are"
        " nor an answer goes by these"
    )
    subject: str
    checks: dict[str, str] = Field(description="results of `spf`, `dkim` and `dmarc`, as our own exchanger wrote them")
    authenticated: bool
    readable: bool = Field(description="false: it cannot be taken apart; open the original")
    parts: list[MailPart]
    cut: bool = Field(description="true: only its beginning was read; the original has the rest")
    attachments: list[MailAttachment]
    language: str | None = Field(description="ISO 639; null where it is not sure")
    proposal: MailProposal


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
    return MailList(mails=[_seen(each) for each in found])


@router.get("/{mail_id}", responses=_ONE)
async def read_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> MailView:
    """What a mail says, and what it seems to ask for; the reading is on record (privacy team)."""
    read = await services.mail.read(mail_id, caller)
    content = read.content
    return MailView(
        mail=MailListed.model_validate(read.mail),
        sender=content.sender,
        other_addresses=[*content.other_addresses],
        subject=content.subject,
        checks={**content.checks},
        authenticated=content.authenticated,
        readable=content.kind is not MailKind.UNREADABLE,
        parts=[*content.parts],
        cut=content.cut,
        attachments=[*content.attachments],
        language=content.language,
        proposal=content.proposal,
    )


def _seen(read: Read) -> MailSeen:
    content, proposal = read.content, read.content.proposal
    return MailSeen(
        **MailListed.model_validate(read.mail).model_dump(),
        sender=content.sender,
        subject=content.subject,
        rights=[*proposal.rights],
        language=content.language,
        authenticated=content.authenticated,
        urgent=[*proposal.urgent],
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
async def confirm_mail(mail_id: UUID, body: Entered, caller: AnyCaller, services: UseServices) -> BatchAccepted:
    """Make a mail a request, received on the day on which it reached us and answered by e-mail (privacy team).

    Nothing is proved by it: who asks is asked as of any other request.
    """
    stored = [asdict(each) for each in await services.mail.confirm(mail_id, body, caller)]
    return BatchAccepted(requests=[SubmissionAccepted(**each, letter_code=None) for each in stored])


@router.post("/{mail_id}/dismiss", responses=_DECIDE)
async def dismiss_mail(mail_id: UUID, body: Dismissed, caller: AnyCaller, services: UseServices) -> Dismissed:
    """Say why a mail is no request, or that an answer was read: of what is no request no more than that is kept."""
    await services.mail.dismiss(mail_id, body, caller)
    return body
