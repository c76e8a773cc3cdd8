"""Takes an action once, for the version that was seen; where it takes two people, proposes it for approval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions import approvals
from services.intake.actions.action import Action, ActionContext, Pairs, await_if_needed
from services.intake.actions.approvals import REQUESTS, Proposal
from services.intake.actions.kind import Possible, ResourceKind, describe_action
from services.intake.actions.use_cases import UseCases
from services.intake.core.errors import Forbidden, NotFound, NotReady, PreconditionFailed
from shared.domain.errors import Shredded
from shared.messaging.unit_of_work import UnitOfWork


class Done(BaseModel):
    """Result of an action: the new state, and the approval it waits for, if any."""

    kind: str = Field(examples=["requests"])
    id: str
    action: str
    state: str = Field(description="where it stands now")
    due_on: date | None = Field(default=None, description="of a request: by when it must be answered")
    approval_id: UUID | None = Field(default=None, description="a second person must approve it; until then it waits")
    requests: Sequence[UUID] = Field(default=(), description="of a mail: the requests that it has become")
    version: str = Field(description="for the `If-Match` of the next action")


@dataclass(frozen=True, slots=True)
class SeenVersion:
    """The resource of an action, in the version that the caller has seen."""

    key: str
    version: str
    caller: Caller
    kind: str = REQUESTS


async def act(
    use_cases: UseCases,
    kind: ResourceKind,
    action: Action,
    basis: SeenVersion,
    body: BaseModel,
    *,
    approves: bool = True,
) -> Done:
    """Takes an action, or proposes it.

    The very same proposal of another person is approved by it; ``approves``: whether the caller may do that.

    Raises ``NotFound``, ``Forbidden``, ``PreconditionFailed``, ``SamePerson``, ``IllegalTransition``.
    """
    async with use_cases.unit_of_work.begin() as tx:
        context = await kind.lock(use_cases, tx, basis.key, basis.caller, acting=True)
        if context.version != basis.version:
            raise PreconditionFailed("it has changed since then: read it again, and decide about it as it stands now")
        waiting: Proposal | None = None
        if action.second(context, body):
            await _dry_run(context, action, body)
            waiting = await approvals.find_same(context, kind.name, action, body)
            if waiting is None:
                waiting, context = await _propose(context, kind, action, body)
            else:
                waiting.must_wait_for(basis.caller.holder)
                if not approves:
                    raise NotReady("the same is proposed already: another role approves it")
                context = await _approve(context, kind, action, body, waiting)
                waiting = None
        else:
            context = await kind.save(context, await await_if_needed(action.apply(context, body)))
        return await _result(context, kind, action, waiting)


async def approve(use_cases: UseCases, kinds: Mapping[str, ResourceKind], approval_id: UUID, caller: Caller) -> Done:
    """Approves what another person has proposed: it is done; the approver once more gets the same answer.

    Raises ``NotFound``, ``NotReady``, ``SamePerson``, ``PreconditionFailed``.
    """
    async with use_cases.unit_of_work.begin() as tx:
        context, kind, action, found = await _lock_proposal(use_cases, kinds, tx, approval_id, caller)
        if found.state == "approved" and found.decided_by == caller.holder:
            return await _result(context, kind, action)
        found.must_wait_for(caller.holder)
        context = await _approve(context, kind, action, await approvals.body_of(tx, action, found), found)
        return await _result(context, kind, action)


async def reject(use_cases: UseCases, kinds: Mapping[str, ResourceKind], approval_id: UUID, caller: Caller) -> Done:
    """Rejects a proposal, or takes one's own back; nothing is done; raises ``NotFound``, ``NotReady``."""
    async with use_cases.unit_of_work.begin() as tx:
        context, kind, action, found = await _lock_proposal(use_cases, kinds, tx, approval_id, caller)
        if found.state != "rejected":
            found.must_wait_for("")
            await approvals.decide(tx, found, "rejected", caller.holder)
            tx.log_evidence(
                kind.evidence_id(context.key), "approval.rejected", _detail(context, action, found), caller.actor
            )
            context = await kind.save(context, await action.meanwhile(context))
        return await _result(context, kind, action)


async def read(
    use_cases: UseCases, kinds: Mapping[str, ResourceKind], approval_id: UUID, caller: Caller, *, noted: bool = True
) -> tuple[ActionContext, Proposal, BaseModel, Possible, Pairs]:
    """Reads a proposal, its body, its effects and the facts to read first; ``noted``: the evidence names the reader."""
    async with use_cases.unit_of_work.begin() as tx:
        context, kind, action, found = await _lock_proposal(use_cases, kinds, tx, approval_id, caller)
        if noted:
            tx.log_evidence(kind.evidence_id(context.key), "proposal.read", {"action": action.name}, caller.actor)
        body, facts = await approvals.body_of(tx, action, found), await action.reads(context)
        return context, found, body, await describe_action(context, action), facts


async def waiting(
    use_cases: UseCases, kinds: Mapping[str, ResourceKind], caller: Caller, found: Sequence[Proposal]
) -> list[tuple[Proposal, date | datetime | None]]:
    """Returns those of these proposals that are still valid, and their deadlines."""
    valid = []
    async with use_cases.unit_of_work.begin() as tx:
        for each in found:
            kind = kinds[each.kind]
            action = kind.actions[each.action]
            try:
                context = await kind.lock(use_cases, tx, each.subject, caller, acting=False)
                void = await approvals.is_void(context, action, each)
            except (NotFound, Forbidden, Shredded):
                continue
            if not void:
                valid.append((each, kind.due(context)))
    return valid


async def _lock_proposal(
    use_cases: UseCases, kinds: Mapping[str, ResourceKind], tx: UnitOfWork, approval_id: UUID, caller: Caller
) -> tuple[ActionContext, ResourceKind, Action, Proposal]:
    """Returns the proposal with its thing, which is locked first, as everywhere."""
    found = await approvals.read(tx.connection, approval_id)
    kind = kinds[found.kind]
    context = await kind.lock(use_cases, tx, found.subject, caller, acting=True)
    return context, kind, kind.actions[found.action], await approvals.read(tx.connection, approval_id, lock=True)


async def _dry_run(context: ActionContext, action: Action, body: BaseModel) -> None:
    """Applies it and rolls it back, so that a proposal is refused for the same reasons as its approval."""
    savepoint = context.tx.connection.transaction()
    await savepoint.start()
    try:
        nothing_kept = UnitOfWork(context.tx.connection, context.use_cases.unit_of_work)
        await await_if_needed(action.apply(replace(context, tx=nothing_kept, first=context.caller.holder), body))
    finally:
        await savepoint.rollback()


async def _propose(
    context: ActionContext, kind: ResourceKind, action: Action, body: BaseModel
) -> tuple[Proposal, ActionContext]:
    """Keeps it for a second person."""
    found = await approvals.propose(context, kind.name, action, body)
    context.tx.log_evidence(
        kind.evidence_id(context.key), action.proposed, _detail(context, action, found), context.caller.actor
    )
    return found, await kind.save(context, await action.meanwhile(context))


async def _approve(
    context: ActionContext, kind: ResourceKind, action: Action, body: BaseModel, found: Proposal
) -> ActionContext:
    await approvals.require_unchanged(context, action, found)
    await approvals.decide(context.tx, found, "approved", context.caller.holder)
    context = replace(context, first=found.proposed_by)
    return await kind.save(context, await await_if_needed(action.apply(context, body)))


def _detail(context: ActionContext, action: Action, found: Proposal) -> dict[str, JsonValue]:
    known = {"action": action.name, "approval_id": str(found.approval_id), "holder": context.caller.holder}
    return {**known, **found.shown}


async def _result(context: ActionContext, kind: ResourceKind, action: Action, found: Proposal | None = None) -> Done:
    return Done(
        kind=kind.name,
        id=context.key,
        action=action.name,
        state=kind.state_of(context),
        due_on=context.request.due_on if kind.name == REQUESTS else None,
        approval_id=found.approval_id if found else None,
        requests=await kind.resulting_requests(context),
        version=context.version,
    )
