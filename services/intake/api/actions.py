"""Actions, and the approvals of a second person: what can be decided now, and deciding it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, JsonValue

from services.intake.actions import approvals, execution
from services.intake.actions import kind as offering
from services.intake.actions.action import TEXTS, Action, always_two
from services.intake.actions.approvals import Approval
from services.intake.actions.execution import Done, SeenVersion
from services.intake.actions.kind import Possible, ResourceKind
from services.intake.actions.registry import KINDS
from services.intake.api.dependencies import (
    DECIDING,
    PRIVACY_TEAM,
    TAGGED,
    AnyCaller,
    DryRunnable,
    UseServices,
    Version,
    etag,
)
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.api.resources import RESOURCES, body_of
from services.intake.core.errors import ExtensionRefused, Forbidden, NotFound, NotReady, PreconditionFailed, SamePerson
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1", tags=["actions"])
_TAKING = DECIDING | documented(Forbidden, NotReady, SamePerson, ExtensionRefused, IllegalTransition, Shredded)
_WAITS: Final = "A second person must approve it (`approval_id`); until then nothing changes."
_DECIDED = documented(NotFound, NotReady, SamePerson, PreconditionFailed, IllegalTransition, Shredded)
CREATE: Final = "create"
_NAMES: Final[list[JsonValue]] = [
    *sorted({each.name for kind in KINDS.values() for each in kind.actions.values() if each.offered})
]


class ApprovalRead(Approval):
    """A proposal in its own words, and what approving it will do."""

    title: str
    effects: list[str]
    body: dict[str, JsonValue]


class Registered(BaseModel):
    """One action of the registry, whatever it is about."""

    kind: str = Field(description="the kind of resources that it is about", examples=["requests"])
    name: str = Field(description=f"`{CREATE}`: a new resource, by `POST /v1/{{kind}}`", examples=["refuse"])
    title: str
    effects: list[str] = Field(description="what it will do; of some actions it depends on the resource")
    second_person: bool = Field(description="a second person always must approve it")
    channel: bool = Field(description="the channel that submitted a request may act too; else the privacy team alone")
    body_schema: dict[str, JsonValue] = Field(description="JSON Schema of its body")


@cache
def registered() -> Sequence[tuple[Registered, type[BaseModel]]]:
    """Every action, with the model of its body."""
    return [*_registry()]


def _registry() -> Iterator[tuple[Registered, type[BaseModel]]]:
    for name, each in RESOURCES.items():
        if made := each.creation:
            words = TEXTS[f"{name}/{CREATE}"]
            yield _registered(name, CREATE, words.title, words.effects, made.body), made.body
    for kind in KINDS.values():
        for action in (each for each in kind.actions.values() if each.offered):
            more = {"second": action.second is always_two, "channel": action.channel}
            yield _registered(kind.name, action.name, action.title, action.always, action.body, **more), action.body


def _registered(
    kind: str, name: str, title: str, effects: Sequence[str], body: type[BaseModel], **more: bool
) -> Registered:
    return Registered(
        kind=kind,
        name=name,
        title=title,
        effects=[*effects],
        second_person=more.get("second", False),
        channel=more.get("channel", False),
        body_schema=body.model_json_schema(),
    )


@router.get("/actions")
async def list_registry(caller: AnyCaller, paging: Paged) -> Page[Registered]:
    """List every action there is, with what it does and the schema of its body."""
    known = [each for each, _ in registered() if each.channel or caller.role == "privacy"]
    return paging.cut(known, lambda each: f"{each.kind}.{each.name}")


async def _kind(
    kind: Annotated[str, Path(description="of which kind", json_schema_extra={"enum": [*KINDS]})], caller: AnyCaller
) -> ResourceKind:
    found = KINDS.get(kind)
    if found is None or not found.channels:
        caller.must_be("privacy")
    if found is None:
        raise NotFound(f"there are no actions about {kind}; there are about {', '.join(KINDS)}")
    return found


@router.get("/{kind}/{id}/actions", responses=TAGGED | documented(Forbidden, NotFound))
async def list_actions(
    of: Annotated[ResourceKind, Depends(_kind)],
    resource_id: Annotated[str, Path(alias="id")],
    caller: AnyCaller,
    services: UseServices,
    response: Response,
    paging: Paged,
) -> Page[Possible]:
    """List what you can decide about a resource now: the schema of each body, what it does, and who must approve it."""
    version, offered = await offering.possible_actions(services.use_cases, of, resource_id, caller)
    response.headers["ETag"] = etag(version)
    return paging.cut(offered, attrgetter("name"))


async def _action(
    of: Annotated[ResourceKind, Depends(_kind)],
    action: Annotated[str, Path(description="its name", examples=["refuse"])],
    caller: AnyCaller,
) -> Action:
    return of.action(action, caller)


@router.post(
    "/{kind}/{id}/actions/{action}",
    responses=_TAKING | {202: {"model": Done, "description": _WAITS}},
)
async def act(
    of: Annotated[ResourceKind, Depends(_kind)],
    found: Annotated[Action, Depends(_action)],
    resource_id: Annotated[str, Path(alias="id")],
    version: Version,
    caller: AnyCaller,
    services: DryRunnable,
    request: Request,
    response: Response,
) -> Done:
    """Take an action about a resource, or propose it where it takes two: then it waits for a second person.

    The body is that of the action, as `GET /v1/actions` and `GET …/actions` describe it.
    """
    body = await body_of(request, found.body)
    done = await execution.act(services.use_cases, of, found, SeenVersion(resource_id, version, caller, of.name), body)
    response.status_code = 202 if done.approval_id else 200
    if services.stores:
        response.headers["ETag"] = etag(done.version)
    return done


@router.get("/approvals", dependencies=PRIVACY_TEAM)
async def list_approvals(
    caller: AnyCaller,
    services: UseServices,
    paging: Paged,
    kind: Annotated[str | None, Query(description="of one kind alone, such as `requests`")] = None,
    subject: Annotated[str | None, Query(description="about one alone, by its id")] = None,
) -> Page[Approval]:
    """List what waits for a second person (privacy team); what has changed since it was proposed is left out."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await approvals.waiting(connection, kind, subject, paging.after(UUID), paging.more)
    page = paging.page(found, attrgetter("approval_id"))
    standing = await execution.waiting(services.use_cases, KINDS, caller, page.data)
    return Page(data=[Approval(**dict(each)) for each, _ in standing], next_cursor=page.next_cursor)


@router.get("/approvals/{approval_id}", dependencies=PRIVACY_TEAM, responses=documented(NotFound, Shredded))
async def read_approval(approval_id: UUID, caller: AnyCaller, services: UseServices) -> ApprovalRead:
    """Read a proposal in its own words; the reading is on record (privacy team)."""
    _, found, body, possible, _ = await execution.read(services.use_cases, KINDS, approval_id, caller)
    more = {"title": possible.title, "effects": possible.effects, "body": body.model_dump(mode="json")}
    return ApprovalRead.model_validate({**dict(found), **more})


@router.post("/approvals/{approval_id}/approve", dependencies=PRIVACY_TEAM, responses=_DECIDED)
async def approve(approval_id: UUID, caller: AnyCaller, services: DryRunnable) -> Done:
    """Approve what another person has proposed, with the key of another holder: it is done (privacy team)."""
    return await execution.approve(services.use_cases, KINDS, approval_id, caller)


@router.post("/approvals/{approval_id}/reject", dependencies=PRIVACY_TEAM, responses=_DECIDED)
async def reject(approval_id: UUID, caller: AnyCaller, services: DryRunnable) -> Done:
    """Reject a proposal, or withdraw your own: nothing is done (privacy team)."""
    return await execution.reject(services.use_cases, KINDS, approval_id, caller)


def bodies() -> Mapping[str, Mapping[str, tuple[str, type[BaseModel]]]]:
    """The bodies of the operations whose path says which it is: by operation and example, with its title."""
    found: dict[str, dict[str, tuple[str, type[BaseModel]]]] = {"create_resource": {}, "act": {}}
    for each, body in registered():
        of = found["create_resource" if each.name == CREATE else "act"]
        of[f"{each.kind}/{each.name}"] = (each.title, body)
    return found
