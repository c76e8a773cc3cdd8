"""Takes an action once, for the version that was seen; where it takes two people, proposes it for approval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions import approvals
from services.intake.actions.action import Action, Held, Pairs, settled
from services.intake.actions.approvals import REQUESTS, Proposal
from services.intake.actions.deciding import Deciding
from services.intake.actions.kind import Kind, Possible, described
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
class Basis:
    """The thing that a person acts on, in the version that they have seen."""

    key: str
    version: str
    caller: Caller
    kind: str = REQUESTS


async def act(
    means: Deciding, kind: Kind, action: Action, basis: Basis, said: BaseModel, *, approves: bool = True
) -> Done:
    """Takes an action, or proposes it.

    The very same proposal of another person is approved by it; ``approves``: whether the caller may do that.

    Raises ``NotFound``, ``Forbidden``, ``PreconditionFailed``, ``SamePerson``, ``IllegalTransition``.
    """
    async with means.unit_of_work.begin() as tx:
        held = await kind.lock(means, tx, basis.key, basis.caller, acting=True)
        if held.version != basis.version:
            raise PreconditionFailed("it has changed since then: read it again, and decide about it as it stands now")
        waiting: Proposal | None = None
        if action.second(held, said):
            await _try(held, action, said)
            waiting = await approvals.same(held, kind.name, action, said)
            if waiting is None:
                waiting, held = await _propose(held, kind, action, said)
            else:
                waiting.must_wait_for(basis.caller.holder)
                if not approves:
                    raise NotReady("the same is proposed already: another role approves it")
                held = await _approve(held, kind, action, said, waiting)
                waiting = None
        else:
            held = await kind.take(held, await settled(action.apply(held, said)))
        return await _done(held, kind, action, waiting)


async def approve(means: Deciding, kinds: Mapping[str, Kind], approval_id: UUID, caller: Caller) -> Done:
    """Approves what another person has proposed: it is done; the approver once more gets the same answer.

    Raises ``NotFound``, ``NotReady``, ``SamePerson``, ``PreconditionFailed``.
    """
    async with means.unit_of_work.begin() as tx:
        held, kind, action, found = await _proposed(means, kinds, tx, approval_id, caller)
        if found.state == "approved" and found.decided_by == caller.holder:
            return await _done(held, kind, action)
        found.must_wait_for(caller.holder)
        held = await _approve(held, kind, action, await approvals.body_of(tx, action, found), found)
        return await _done(held, kind, action)


async def reject(means: Deciding, kinds: Mapping[str, Kind], approval_id: UUID, caller: Caller) -> Done:
    """Rejects a proposal, or takes one's own back; nothing is done; raises ``NotFound``, ``NotReady``."""
    async with means.unit_of_work.begin() as tx:
        held, kind, action, found = await _proposed(means, kinds, tx, approval_id, caller)
        if found.state != "rejected":
            found.must_wait_for("")
            await approvals.decide(tx, found, "rejected", caller.holder)
            tx.log_evidence(kind.recorded(held.key), "approval.rejected", _detail(held, action, found), caller.actor)
            held = await kind.take(held, await action.meanwhile(held))
        return await _done(held, kind, action)


async def read(
    means: Deciding, kinds: Mapping[str, Kind], approval_id: UUID, caller: Caller, *, noted: bool = True
) -> tuple[Held, Proposal, BaseModel, Possible, Pairs]:
    """Reads a proposal, its body, its effects and the facts to read first; ``noted``: the evidence names the reader."""
    async with means.unit_of_work.begin() as tx:
        held, kind, action, found = await _proposed(means, kinds, tx, approval_id, caller)
        if noted:
            tx.log_evidence(kind.recorded(held.key), "proposal.read", {"action": action.name}, caller.actor)
        said, facts = await approvals.body_of(tx, action, found), await action.reads(held)
        return held, found, said, await described(held, action), facts


async def waiting(
    means: Deciding, kinds: Mapping[str, Kind], caller: Caller, found: Sequence[Proposal]
) -> list[tuple[Proposal, date | datetime | None]]:
    """Returns those of these proposals that are still valid, and their deadlines."""
    standing = []
    async with means.unit_of_work.begin() as tx:
        for each in found:
            kind = kinds[each.kind]
            action = kind.actions[each.action]
            try:
                held = await kind.lock(means, tx, each.subject, caller, acting=False)
                void = await approvals.is_void(held, action, each)
            except (NotFound, Forbidden, Shredded):
                continue
            if not void:
                standing.append((each, kind.due(held)))
    return standing


async def _proposed(
    means: Deciding, kinds: Mapping[str, Kind], tx: UnitOfWork, approval_id: UUID, caller: Caller
) -> tuple[Held, Kind, Action, Proposal]:
    """Returns the proposal with its thing, which is locked first, as everywhere."""
    found = await approvals.read(tx.connection, approval_id)
    kind = kinds[found.kind]
    held = await kind.lock(means, tx, found.subject, caller, acting=True)
    return held, kind, kind.actions[found.action], await approvals.read(tx.connection, approval_id, lock=True)


async def _try(held: Held, action: Action, said: BaseModel) -> None:
    """Applies it and rolls it back, so that a proposal is refused for the same reasons as its approval."""
    savepoint = held.tx.connection.transaction()
    await savepoint.start()
    try:
        nothing_kept = UnitOfWork(held.tx.connection, held.means.unit_of_work)
        await settled(action.apply(replace(held, tx=nothing_kept, first=held.caller.holder), said))
    finally:
        await savepoint.rollback()


async def _propose(held: Held, kind: Kind, action: Action, said: BaseModel) -> tuple[Proposal, Held]:
    """Keeps it for a second person."""
    found = await approvals.propose(held, kind.name, action, said)
    held.tx.log_evidence(kind.recorded(held.key), action.proposed, _detail(held, action, found), held.caller.actor)
    return found, await kind.take(held, await action.meanwhile(held))


async def _approve(held: Held, kind: Kind, action: Action, said: BaseModel, found: Proposal) -> Held:
    await approvals.must_stand(held, action, found)
    await approvals.decide(held.tx, found, "approved", held.caller.holder)
    held = replace(held, first=found.proposed_by)
    return await kind.take(held, await settled(action.apply(held, said)))


def _detail(held: Held, action: Action, found: Proposal) -> dict[str, JsonValue]:
    known = {"action": action.name, "approval_id": str(found.approval_id), "holder": held.caller.holder}
    return {**known, **found.shown}


async def _done(held: Held, kind: Kind, action: Action, found: Proposal | None = None) -> Done:
    return Done(
        kind=kind.name,
        id=held.key,
        action=action.name,
        state=kind.stands(held),
        due_on=held.request.due_on if kind.name == REQUESTS else None,
        approval_id=found.approval_id if found else None,
        requests=await kind.became(held),
        version=held.version,
    )
