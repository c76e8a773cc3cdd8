"""Actions, and the approvals of a second person: what can be decided about something now, and deciding it."""

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, JsonValue

from services.intake.actions import approvals, performing
from services.intake.actions import kind as offering
from services.intake.actions.action import Action
from services.intake.actions.approvals import Approval
from services.intake.actions.bodies import Nothing
from services.intake.actions.kind import Kind, Possible
from services.intake.actions.performing import Basis, Done
from services.intake.actions.registry import KINDS
from services.intake.api.dependencies import (
    DECIDING,
    PRIVACY_TEAM,
    TAGGED,
    AnyCaller,
    Rehearsable,
    UseServices,
    Version,
    etag,
)
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import ExtensionRefused, Forbidden, NotFound, NotReady, PreconditionFailed, SamePerson
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1", tags=["actions"])
_NAMES = {
    "requests": "request_id",
    "holds": "hold_id",
    "systems": "name",
    "suspended-keys": "key_id",
    "sweeps": "sweep_id",
    "assignment-conflicts": "conflict_id",
    "incidents": "incident_id",
    "letters": "letter_id",
    "mail": "mail_id",
    "recipient-digests": "digest_id",
}
_WAITS = "A second person must approve it (`approval_id`); until then nothing changes."
_TAKING = DECIDING | documented(NotReady, SamePerson, ExtensionRefused, IllegalTransition, Shredded)
_DECIDED = documented(NotFound, NotReady, SamePerson, PreconditionFailed, IllegalTransition, Shredded)


class ApprovalRead(Approval):
    """A proposal in its own words, and what approving it will do."""

    title: str
    effects: list[str]
    body: dict[str, JsonValue]


@router.get("/{kind}/{thing_id}/actions", responses=TAGGED | documented(Forbidden, NotFound))
async def list_actions(
    kind: Annotated[str, Path(description=f"`{'`, `'.join(KINDS)}`", examples=["requests"])],
    thing_id: Annotated[str, Path(description="its id; of a system its name")],
    caller: AnyCaller,
    services: UseServices,
    response: Response,
    paging: Paged,
) -> Page[Possible]:
    """List what you can decide about a thing now: the schema of each body, what it does, and who must approve it."""
    found = KINDS.get(kind)
    if found is None:
        raise NotFound(f"there are no actions about {kind}; there are about {', '.join(KINDS)}")
    if not found.channels:
        caller.must_be("privacy")
    version, offered = await offering.possible(services.use_cases, found, thing_id, caller)
    response.headers["ETag"] = etag(version)
    return paging.cut(offered, attrgetter("name"))


def _taking(kind: Kind, action: Action) -> Callable[..., Awaitable[Done]]:
    async def act(  # FastAPI gives each by its name
        subject: UUID | str,
        version: Version,
        caller: AnyCaller,
        services: Rehearsable,
        response: Response,
        body: BaseModel,
    ) -> Done:
        basis = Basis(str(subject), version, caller, kind.name)
        done = await performing.act(services.use_cases, kind, action, basis, body)
        response.status_code = 202 if done.approval_id else 200
        if services.kept:
            response.headers["ETag"] = etag(done.version)
        return done

    act.__annotations__["subject"] = Annotated[kind.key, Path(alias=_NAMES[kind.name])]
    act.__annotations__["body"] = Annotated[Nothing, Depends(Nothing)] if action.body is Nothing else action.body
    return act


def _unknown(kind: Kind) -> Callable[..., Awaitable[None]]:
    async def refuse(action: str, caller: AnyCaller) -> None:
        kind.action(action, caller)

    return refuse


for _kind in KINDS.values():
    _path = f"/{_kind.name}/{{{_NAMES[_kind.name]}}}/actions"
    for _action in (each for each in _kind.actions.values() if each.offered):
        router.add_api_route(
            f"{_path}/{_action.name}",
            _taking(_kind, _action),
            methods=["POST"],
            name=f"{_action.name.replace('-', '_')}_{_kind.name}",
            summary=_action.title,
            description=" ".join((f"{_action.title}.", *_action.always)),
            responses=_TAKING | {202: {"model": Done, "description": _WAITS}},
            dependencies=() if _action.channel else PRIVACY_TEAM,
        )
    _path = f"{_path}/{{action}}"  # after those that there are
    router.add_api_route(_path, _unknown(_kind), methods=["POST"], include_in_schema=False)


@router.get("/approvals", dependencies=PRIVACY_TEAM)
async def list_approvals(
    caller: AnyCaller,
    services: UseServices,
    paging: Paged,
    kind: Annotated[str | None, Query(description="of one kind alone, as `requests`")] = None,
    subject: Annotated[str | None, Query(description="of one thing alone, by its id")] = None,
) -> Page[Approval]:
    """List what waits for a second person (privacy team); what has changed since it was proposed is left out."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await approvals.waiting(connection, kind, subject, paging.after(UUID), paging.more)
    page = paging.page(found, attrgetter("approval_id"))
    standing = await performing.waiting(services.use_cases, KINDS, caller, page.data)
    return Page(data=[Approval(**dict(each)) for each, _ in standing], next_cursor=page.next_cursor)


@router.get("/approvals/{approval_id}", dependencies=PRIVACY_TEAM, responses=documented(NotFound, Shredded))
async def read_approval(approval_id: UUID, caller: AnyCaller, services: UseServices) -> ApprovalRead:
    """Read a proposal in its own words; the reading is on record (privacy team)."""
    _, found, said, possible, _ = await performing.read(services.use_cases, KINDS, approval_id, caller)
    more = {"title": possible.title, "effects": possible.effects, "body": said.model_dump(mode="json")}
    return ApprovalRead.model_validate({**dict(found), **more})


@router.post("/approvals/{approval_id}/approve", dependencies=PRIVACY_TEAM, responses=_DECIDED)
async def approve(approval_id: UUID, caller: AnyCaller, services: Rehearsable) -> Done:
    """Approve what another person has proposed, with the key of another holder: it is done (privacy team)."""
    return await performing.approve(services.use_cases, KINDS, approval_id, caller)


@router.post("/approvals/{approval_id}/reject", dependencies=PRIVACY_TEAM, responses=_DECIDED)
async def reject(approval_id: UUID, caller: AnyCaller, services: Rehearsable) -> Done:
    """Reject a proposal, or withdraw your own: nothing is done (privacy team)."""
    return await performing.reject(services.use_cases, KINDS, approval_id, caller)
