"""Lists, reads and creates what the privacy team works with: holds, incidents, mail, letters, systems and so on.

Letters to print and a mail as it came are documents with routes of their own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, ValidationError

from services.intake.access import key_suspension
from services.intake.access.auth import Caller
from services.intake.access.key_suspension import SuspendedKey
from services.intake.actions.action import ActionContext
from services.intake.actions.registry import KINDS
from services.intake.actions.use_cases import UseCases
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, DryRunnable, Services, UseServices, etag
from services.intake.api.downloads import policy_of
from services.intake.api.paging import MOST, Page, Paged, Paging
from services.intake.api.problems import documented
from services.intake.api.recipients import silent
from services.intake.core.errors import BadRequest, Forbidden, NotFound, NotReady, TooLarge, UnsupportedType
from services.intake.core.schemas import Instant, read_json
from services.intake.delivery import manual
from services.intake.identity import stopped
from services.intake.identity.stopped import Stopped
from services.intake.incidents import record
from services.intake.incidents.incident import Incident, IncidentFound, IncidentRow
from services.intake.letters import delivery_queue
from services.intake.mail.use_cases import MailView
from services.intake.recipients import digests
from services.intake.recipients.digests import Digest, UnansweredDigest
from services.intake.reviews.holds import HoldPlaced
from services.intake.reviews.rows import AssignmentConflict, KnownSystem, Sweep
from shared.domain.errors import Shredded
from shared.domain.identities import MalformedIdentity
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import holds

router = APIRouter(
    prefix="/v1", tags=["resources"], dependencies=PRIVACY_TEAM, responses=documented(Forbidden, NotFound)
)
PAGE: Final[dict[str, Any]] = {"description": "A page (HTML)", "content": {"text/html": {}}}
_GONE = documented(NotReady, Shredded)


class HoldView(BaseModel):
    """A hold: its case, owner and review. Whose data it holds cannot be read."""

    model_config = ConfigDict(from_attributes=True)

    hold_id: UUID
    case_number: str
    owner: str = Field(description="the holder of the key that placed it")
    reason: str
    categories: list[str] = Field(description="none: all")
    placed_at: Instant
    review_on: date
    lifted_at: Instant | None
    lifted_by: list[str]


class OpenLetter(BaseModel):
    """A letter that waits to be delivered or needs attention; its text is read with its request."""

    model_config = ConfigDict(from_attributes=True)

    letter_id: UUID
    request_id: UUID | None = Field(description="null: a digest to a recipient, `/v1/recipient-digests/{letter_id}`")
    kind: str
    way: Literal["email", "post"]
    state: Literal["waiting", "needs_attention", "sent", "cancelled", "given_up"]
    fault: str | None = Field(description="why a person must see to it: `returned`, `refused`, `address_not_proved`, …")
    written_at: Instant


class DigestView(BaseModel):
    """A digest to a recipient, as it was sent or printed."""

    digest_id: UUID
    recipient: str = Field(description="as the policy names it")
    notified_at: Instant | None
    html: str


One = HoldView | DigestView | Incident | MailView | OpenLetter | AssignmentConflict | KnownSystem | Sweep | SuspendedKey


class Rows(Page[IncidentRow | Stopped | UnansweredDigest | One]):
    """A page of a list; every row is of the kind that was asked for."""


class Found(RootModel[One]):
    """One resource of the kind that was asked for, or that was created."""


@dataclass(frozen=True, slots=True)
class Creation:
    """A way to create a resource; ``apply`` returns it."""

    body: type[BaseModel]
    apply: Callable[[UseCases, UnitOfWork, Any, Caller], Awaitable[Any]]


async def _row(_: Services, context: ActionContext) -> Any:
    return context.row


@dataclass(frozen=True, slots=True)
class Resource:
    """The resources of a kind.

    ``key``: the field that names one. ``rows``: up to so many of those that follow that one; ``whole``: all of them.
    ``read``: one of them. ``shows``: the model that a row becomes, if it is another.
    """

    key: str
    rows: Callable[[Services, UnitOfWork, UUID | None, int], Awaitable[Sequence[Any]]]
    read: Callable[[Services, ActionContext], Awaitable[Any]] = _row
    shows: type[BaseModel] | None = None
    whole: bool = True
    creation: Creation | None = None

    def shown(self, row: Any) -> Any:
        """A row as the API shows it."""
        return self.shows.model_validate(row) if self.shows else row

    async def page(self, services: Services, paging: Paging) -> Page[Any]:
        """A page of the list."""
        cut, after = (paging.cut, None) if self.whole else (paging.page, paging.after(UUID))
        async with services.unit_of_work.begin() as tx:
            found = await self.rows(services, tx, after, MOST if self.whole else paging.more)
        return cut([self.shown(each) for each in found], attrgetter(self.key))


async def _digest(_: Services, context: ActionContext) -> DigestView:
    digest: Digest = context.row
    html = await digests.read(context.tx, digest.digest_id, context.caller)
    return DigestView(digest_id=digest.digest_id, recipient=digest.recipient, notified_at=digest.notified_at, html=html)


async def _incident(_: Services, context: ActionContext) -> Incident:
    record.note_reader(context.tx, context.row, context.caller)
    incident: Incident = context.row
    return incident


RESOURCES: Final[Mapping[str, Resource]] = {
    "holds": Resource(
        "hold_id",
        lambda _, tx, *__: holds.in_force(tx.connection),
        shows=HoldView,
        creation=Creation(HoldPlaced, lambda use_cases, tx, body, caller: use_cases.holds.place(tx, body, caller)),
    ),
    "incidents": Resource(
        "incident_id",
        lambda _, tx, *__: record.listed(tx.connection),
        _incident,
        creation=Creation(IncidentFound, lambda _, tx, body, caller: record.enter(tx, body, caller)),
    ),
    "letters": Resource(
        "letter_id",
        lambda _, tx, after, most: delivery_queue.open_deliveries(tx.connection, after, most),
        shows=OpenLetter,
        whole=False,
    ),
    "mail": Resource(
        "mail_id",
        lambda services, tx, after, most: services.use_cases.mail.listed(tx, None, after, most),
        lambda services, context: services.use_cases.mail.show(context.tx, context.row.mail_id, context.caller),
        whole=False,
    ),
    "recipient-digests": Resource(
        "digest_id",
        lambda services, tx, _, most: digests.unanswered(tx.connection, silent(services), most),
        _digest,
    ),
    "stopped-proofs": Resource(
        "request_id",
        lambda services, tx, *_: stopped.waiting(tx.connection, services.use_cases.identity.links.failures),
    ),
    "assignment-conflicts": Resource("conflict_id", lambda _, tx, *__: AssignmentConflict.listed(tx.connection)),
    "sweeps": Resource("sweep_id", lambda _, tx, *__: Sweep.listed(tx.connection)),
    "systems": Resource("name", lambda _, tx, *__: KnownSystem.listed(tx.connection)),
    "suspended-keys": Resource("key_id", lambda _, tx, *__: key_suspension.read_suspended(tx.connection)),
}
KindName = Annotated[str, Path(description="of which kind", json_schema_extra={"enum": [*RESOURCES]})]
_CREATED: Final[list[JsonValue]] = [name for name, each in RESOURCES.items() if each.creation]


def resource(kind: str) -> Resource:
    """The resources of that kind; raises ``NotFound``."""
    if kind not in RESOURCES:
        raise NotFound(f"there is no list {kind}: there are approvals, requests, {', '.join(RESOURCES)}")
    return RESOURCES[kind]


async def body_of(request: Request, model: type[BaseModel]) -> BaseModel:
    """Validates the body of a call whose path says what it is; raises ``RequestValidationError``."""
    body = await request.body()
    try:
        return model.model_validate(read_json(body) if body else {})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in faults]) from None


@router.get("/{kind}", response_model=None, responses={200: {"model": Rows}})
async def list_resources(kind: KindName, services: UseServices, paging: Paged) -> Page[Any]:
    """List what waits for the privacy team, or stands, of a kind: the most urgent first."""
    return await resource(kind).page(services, paging)


@router.post(
    "/{kind}",
    status_code=201,
    response_model=None,
    responses={201: {"model": Found}, **documented(BadRequest, MalformedIdentity, TooLarge, UnsupportedType)},
)
async def create_resource(
    kind: Annotated[str, Path(description="of which kind", json_schema_extra={"enum": _CREATED})],
    caller: AnyCaller,
    services: DryRunnable,
    request: Request,
    response: Response,
) -> BaseModel:
    """Place a hold, or open an incident that was found elsewhere (privacy team)."""
    found = resource(kind)
    if found.creation is None:
        raise NotFound(f"nothing is created among {kind}: there are {', '.join(map(str, _CREATED))}")
    body = await body_of(request, found.creation.body)
    async with services.unit_of_work.begin() as tx:
        made: BaseModel = found.shown(await found.creation.apply(services.use_cases, tx, body, caller))
    if services.stores:
        response.headers["Location"] = f"/v1/{kind}/{getattr(made, found.key)}"
    return made


@router.get("/letters/print", response_class=Response, responses={200: PAGE, **documented(Shredded)})
async def print_letters(
    caller: AnyCaller, services: UseServices, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> Response:
    """Print the letters that are to be posted as one document, each with its address (privacy team).

    The address stands in the window of an envelope (DIN 5008, form B) if it is printed at 100 %. The reading is on
    record; each letter that was posted is marked so by the action `mark-posted`.
    """
    return await printed(caller, services, limit)


async def printed(caller: Caller, services: Services, limit: int) -> Response:
    """The letters to post as one document."""
    async with services.unit_of_work.begin() as tx:
        pages = await manual.printed_letters(tx, caller, limit)
    company = services.processing.controller
    return _page(manual.document(pages, (company.name, *company.address)))


async def shown_digest(digest_id: UUID, caller: Caller, services: Services) -> Response:
    """The digest as a document."""
    async with services.unit_of_work.begin() as tx:
        return _page(await digests.read(tx, digest_id, caller))


@router.get(
    "/mail/{mail_id}/raw",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **documented(Shredded)},
)
async def fetch_mail(mail_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """Fetch a mail as it came, with its files; open it with care. The reading is on record (privacy team)."""
    raw = await services.use_cases.mail.raw(mail_id, caller)
    headers = {"Content-Disposition": 'attachment; filename="mail.eml"', "Cache-Control": "no-store"}
    return Response(raw, media_type="application/octet-stream", headers=headers)


def _page(document: str) -> Response:
    """A document, with a policy that allows only its own style."""
    content = document.encode()
    headers = {"Content-Security-Policy": policy_of(content), "Cache-Control": "no-store"}
    return Response(content, media_type="text/html", headers=headers)


@router.get("/{kind}/{id}", response_model=None, responses={200: {"model": Found}, **_GONE})
async def read_resource(
    kind: KindName,
    resource_id: Annotated[str, Path(alias="id")],
    caller: AnyCaller,
    services: UseServices,
    response: Response,
) -> BaseModel:
    """Read one resource; where it holds words of people, the reading is on record (privacy team)."""
    found = resource(kind)
    if kind not in KINDS:
        raise NotFound(f"one of {kind} is read with its request")
    async with services.unit_of_work.begin() as tx:
        context = await KINDS[kind].lock(services.use_cases, tx, resource_id, caller, acting=False)
        response.headers["ETag"] = etag(context.version)
        shown: BaseModel = found.shown(await found.read(services, context))
    return shown
