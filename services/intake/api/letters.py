"""Letters that wait to be sent or printed, and mail that was read from our mailbox."""

from operator import attrgetter
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.intake.access.auth import Caller
from services.intake.api.dependencies import (
    PRIVACY_TEAM,
    AnyCaller,
    Services,
    UseServices,
)
from services.intake.api.downloads import policy_of
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import Forbidden, NotFound
from services.intake.core.schemas import Instant
from services.intake.delivery import handling
from services.intake.delivery.handling import document
from services.intake.letters import delivery
from services.intake.mail.use_cases import MailView
from shared.domain.errors import Shredded

router = APIRouter(prefix="/v1/letters", tags=["letters"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden))


class OpenLetter(BaseModel):
    """A letter that waits to be delivered, or for a person to see to it; what it says is read with its request."""

    model_config = ConfigDict(from_attributes=True)

    letter_id: UUID
    request_id: UUID | None = Field(description="null: a digest to a recipient, `/v1/recipient-digests/{letter_id}`")
    kind: str
    way: Literal["email", "post"]
    state: Literal["waiting", "person"]
    fault: str | None = Field(description="why a person must see to it: `returned`, `refused`, `address_not_proved`, …")
    written_at: Instant


@router.get("")
async def list_letters(services: UseServices, paging: Paged) -> Page[OpenLetter]:
    """Letters that wait to be delivered by e-mail or post, or for a person, the oldest first (privacy team).

    A letter to whoever asked by the API is not among them: it is there to be read from the moment it is written.
    """
    async with services.unit_of_work.pool.acquire() as connection:
        found = await delivery.waiting(connection, paging.after(UUID), paging.more)
    return paging.page([OpenLetter.model_validate(each) for each in found], attrgetter("letter_id"))


@router.get("/print", response_class=Response, responses={200: {"content": {"text/html": {}}}, **documented(Shredded)})
async def print_letters(
    caller: AnyCaller, services: UseServices, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> Response:
    """The letters that are to be posted as one document to print, each with its address of record (privacy team).

    The address stands in the window of an envelope (DIN 5008, form B) if it is printed at 100 %. The reading is on
    record; what was posted is marked as such, letter by letter.
    """
    return await printed(caller, services, limit)


async def printed(caller: Caller, services: Services, limit: int) -> Response:
    """Returns the letters to post as one document, with a policy that allows only its own style."""
    async with services.unit_of_work.begin() as tx:
        pages = await handling.pages(tx, caller, limit)
    company = services.processing.controller
    content = document(pages, (company.name, *company.address)).encode()
    headers = {"Content-Security-Policy": policy_of(content), "Cache-Control": "no-store"}
    return Response(content, media_type="text/html", headers=headers)


mail_routes = APIRouter(prefix="/v1/mail", tags=["letters"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
_ONE = documented(NotFound, Shredded)


@mail_routes.get("")
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


@mail_routes.get("/{mail_id}", responses=_ONE)
async def read_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> MailView:
    """What a mail says, and what it seems to ask for; the reading is on record (privacy team)."""
    return await services.use_cases.mail.read(mail_id, caller)


@mail_routes.get(
    "/{mail_id}/raw", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}, **_ONE}
)
async def fetch_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """The original with its files, to be opened with care; the reading is on record (privacy team)."""
    raw = await services.use_cases.mail.raw(mail_id, caller)
    headers = {"Content-Disposition": 'attachment; filename="mail.eml"', "Cache-Control": "no-store"}
    return Response(raw, media_type="application/octet-stream", headers=headers)
