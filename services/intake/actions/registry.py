"""Registers every kind of thing about which there are actions, and how actions lock a request."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions import answering, correspondence, identity, incidents, stopped, timing, working
from services.intake.actions.action import Action, ActionContext
from services.intake.actions.approvals import REQUESTS
from services.intake.actions.execution import Done, SeenVersion, act
from services.intake.actions.kind import ResourceKind
from services.intake.actions.use_cases import UseCases, visible
from services.intake.core.errors import NotFound
from services.intake.core.schemas import Strict
from services.intake.incidents import record
from services.intake.request.aggregate import Transition
from services.intake.store import repository
from services.intake.store.repository import Requests
from shared.messaging.unit_of_work import UnitOfWork

ACTIONS: Sequence[Action] = (*identity.ACTIONS, *answering.ACTIONS, *timing.ACTIONS, *working.ACTIONS)


async def _lock(use_cases: UseCases, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool) -> ActionContext:
    try:
        request_id = UUID(key)
    except ValueError:
        raise NotFound("no such request for this key") from None
    if not acting:
        request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
        shown = Requests(tx, use_cases.letters, {request_id: request}, caller.actor)
        return ActionContext(tx, use_cases, caller, str(request_id), shown, str(request.version))
    requests = await Requests.locked(tx, use_cases.letters, [request_id], caller.actor)
    request = await visible(tx.connection, requests.get(request_id), caller)
    caller.grant.must(Power.SUBMIT)
    caller.grant.must_handle(request.right)
    await record.must_not_own(tx.connection, request_id, caller.holder)
    return ActionContext(
        tx, use_cases, caller, str(request_id), requests, str(request.version), sealed_under=request_id
    )


async def _take(context: ActionContext, transition: Transition | None) -> ActionContext:
    requests: Requests = context.row
    if transition is not None:
        await requests.apply(transition)
    requests.bump_version(UUID(context.key))
    await requests.save()
    return replace(context, version=str(context.request.version))


KIND = ResourceKind(
    REQUESTS,
    {each.name: each for each in ACTIONS},
    _lock,
    _take,
    lambda context: str(context.request.state),
    due=lambda context: context.request.due_on,
    channels=True,
)


async def decide(use_cases: UseCases, basis: SeenVersion, name: str, body: Strict) -> Done:
    """Takes an action about a request, by its name, for a page of the portal."""
    return await act(use_cases, KIND, KIND.actions[name], basis, body)


KINDS: Final[Mapping[str, ResourceKind]] = {
    each.name: each for each in (KIND, *stopped.KINDS, *correspondence.KINDS, incidents.INCIDENTS)
}
