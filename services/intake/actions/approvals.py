"""Keeps approvals: one person proposes, a second one approves or rejects; one table for every action."""

from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field, JsonValue
from uuid_utils.compat import uuid7

from services.intake.actions.action import Action, ActionContext, await_if_needed
from services.intake.core.errors import NotFound, NotReady, PreconditionFailed, SamePerson
from services.intake.core.schemas import Instant
from shared.domain.errors import Shredded
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

_COLUMNS = "approval_id, kind, subject, action, about, shown, body, proposed_by, proposed_at, state, decided_by"
_READ = f"SELECT {_COLUMNS} FROM approval WHERE approval_id = $1"  # noqa: S608  # constants
_WAITING = f"SELECT {_COLUMNS} FROM approval WHERE state = 'proposed'"  # noqa: S608  # constants
_OF_ONE = f"{_WAITING} AND kind = $1 AND subject = $2 AND action = $3 AND target = $4 FOR UPDATE"
_LIST = f"""
{_WAITING} AND ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR subject = $2)
AND ($3::uuid IS NULL OR approval_id > $3) ORDER BY approval_id LIMIT $4
"""
_PROPOSE = """
INSERT INTO approval (approval_id, kind, subject, request_id, action, target, about, shown, body, proposed_by,
                      proposed_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'proposed')
"""
_DECIDE = "UPDATE approval SET state = $2, decided_by = $3, decided_at = $4 WHERE approval_id = $1"
_REPLACE = """
UPDATE approval SET state = 'replaced' WHERE state = 'proposed' AND kind = $1 AND subject = $2 AND action = $3
AND target = $4
"""
REQUESTS: Final = "requests"


class Approval(BaseModel):
    """A proposal of one person, and its approval."""

    approval_id: UUID
    kind: str = Field(description="of what it is about, as in its address: `requests`, `holds`, …")
    subject: str = Field(description="its id")
    action: str
    shown: dict[str, JsonValue] = Field(description="fields of the proposal that identify no person")
    proposed_by: str = Field(description="who holds the key, or has signed in")
    proposed_at: Instant
    state: Literal["proposed", "approved", "rejected", "replaced"]
    decided_by: str | None


class Proposal(Approval):
    """A proposal as it is stored.

    ``about``: it is void once this is another. ``body``: where its words are sealed; None: ``shown`` is all of it.
    """

    about: str
    body: UUID | None

    def must_wait_for(self, holder: str) -> None:
        """Checks that this person may decide it; raises ``NotReady``, ``SamePerson``."""
        if self.state != "proposed":
            raise NotReady(f"this proposal is {self.state}: read the list of approvals again")
        if self.proposed_by == holder:
            raise SamePerson("you have proposed this: a second person must approve it")


async def read(connection: Connection, approval_id: UUID, *, lock: bool = False) -> Proposal:
    """Returns the approval of that id; raises ``NotFound``."""
    row = await connection.fetchrow(f"{_READ} FOR UPDATE" if lock else _READ, approval_id)
    if row is None:
        raise NotFound("no approval of that id")
    return _approval(row)


async def waiting(
    connection: Connection,
    kind: str | None = None,
    subject: str | None = None,
    after: UUID | None = None,
    limit: int = 200,
) -> list[Proposal]:
    """Returns open proposals, oldest first: about one thing, about one kind, or all."""
    return [_approval(row) for row in await connection.fetch(_LIST, kind, subject, after, limit)]


async def find_same(context: ActionContext, kind: str, action: Action, body: BaseModel) -> Proposal | None:
    """Returns the open proposal with the same body; another one of the same target is replaced."""
    known = (kind, context.key, action.name, action.target_of(body))
    row = await context.tx.connection.fetchrow(_OF_ONE, *known)
    if row is None:
        return None
    found = _approval(row)
    if await is_void(context, action, found) or await body_of(context.tx, action, found) != body:
        await context.tx.connection.execute(_REPLACE, *known)
        return None
    return found


async def propose(context: ActionContext, kind: str, action: Action, body: BaseModel) -> Proposal:
    """Keeps a proposal; its words are sealed."""
    place = None
    if context.sealed_under and type(body).model_fields:
        content = body.model_dump_json().encode()
        sealing = Sealing(context.sealed_under, "explanation", action.name, content, uuid7())
        await context.tx.vault.seal(context.tx.connection, [sealing], context.tx.now)
        place = sealing.sealed_id
    shown = {name: value for name, value in body.model_dump(mode="json").items() if name in action.shows}
    request_id = UUID(context.key) if kind == REQUESTS else None
    approval_id, about = uuid7(), await await_if_needed(action.about(context, body))
    await context.tx.connection.execute(
        _PROPOSE,
        *(approval_id, kind, context.key, request_id, action.name, action.target_of(body), about),
        *(shown, place, context.caller.holder, context.tx.now),
    )
    return await read(context.tx.connection, approval_id)


async def body_of(tx: UnitOfWork, action: Action, found: Proposal) -> BaseModel:
    """Returns the proposed body; raises ``Shredded`` if it is no longer kept."""
    if found.body is None:
        return action.body.model_validate(found.shown)
    content = await tx.vault.open_one(tx.connection, found.body)
    if content is None:
        raise Shredded("the words of the proposal are no longer kept: propose it again, or reject it")
    return action.body.model_validate_json(content)


async def is_void(context: ActionContext, action: Action, found: Proposal) -> bool:
    """Whether what the proposal was about has changed since."""
    return await await_if_needed(action.about(context, await body_of(context.tx, action, found))) != found.about


async def require_unchanged(context: ActionContext, action: Action, found: Proposal) -> None:
    """Raises ``PreconditionFailed`` where what the proposal was about has changed since."""
    if await is_void(context, action, found):
        raise PreconditionFailed("what this was proposed for has changed since: nothing was done; propose it again")


async def decide(tx: UnitOfWork, found: Proposal, word: Literal["approved", "rejected"], holder: str) -> None:
    """Notes what a person has decided of a proposal."""
    await tx.connection.execute(_DECIDE, found.approval_id, word, holder, tx.now)


async def forget(tx: UnitOfWork, request_id: UUID, *actions: str) -> None:
    """Lets what was approved of these actions count no more: the request goes on, or was answered without it."""
    query = "UPDATE approval SET state = 'replaced' WHERE request_id = $1 AND action = ANY($2) AND state = 'approved'"
    await tx.connection.execute(query, request_id, list(actions))


async def last_approved(tx: UnitOfWork, request_id: UUID, actions: Sequence[str]) -> tuple[str, UUID] | None:
    """Returns the last approved of these actions, and where its words are sealed."""
    row = await tx.connection.fetchrow(
        "SELECT action, body FROM approval WHERE request_id = $1 AND action = ANY($2) AND state = 'approved'"
        " ORDER BY decided_at DESC LIMIT 1",
        *(request_id, list(actions)),
    )
    return (row[0], row[1]) if row else None


def _approval(row: asyncpg.Record) -> Proposal:
    return Proposal.model_validate(dict(row))
