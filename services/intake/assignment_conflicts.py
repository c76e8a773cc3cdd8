"""Contradictions between systems and the register of numbers, and what persons decide of them.

The register stands until it is corrected at its source. Who finds that the system is wrong, and cannot have it
corrected there, settles the conflict: then nobody waits for it any more, and nothing else is done than before.
"""

from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake import metrics
from services.intake.errors import NotFound
from services.intake.incidents import record as incidents
from services.intake.schemas import Instant
from shared.domain.conflicts import Disagreement
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_COLUMNS = "conflict_id, request_id, system, valid_from, valid_to, kind, noticed_at, settled_at, settled_by"
MOST = 1000
"""How many are listed."""
_OPEN = f"SELECT {_COLUMNS} FROM register.conflict WHERE settled_at IS NULL ORDER BY noticed_at LIMIT {MOST}"  # noqa: S608  # constants
_SETTLE = f"""
UPDATE register.conflict SET settled_at = $2, settled_by = $3
WHERE conflict_id = $1 AND settled_at IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608  # constants
_COUNT = "SELECT kind, count(*) FROM register.conflict WHERE settled_at IS NULL GROUP BY 1"


class AssignmentConflict(BaseModel):
    """A system takes a number to be the subject's in a time for which the register does not."""

    conflict_id: UUID
    request_id: UUID = Field(description="the last request that has met it: its subject's number is meant")
    system: str = Field(description="which system says so")
    valid_from: Instant = Field(description="from when the system says that the number was the subject's")
    valid_to: Instant | None = Field(description="until when, exclusive; null: it still is")
    kind: Disagreement = Field(
        description="what the register says of that time: `another_holder`, or nothing (`not_in_register`)"
    )
    noticed_at: Instant
    settled_at: Instant | None
    settled_by: str | None = Field(description="the holder of the key that has said that the register is right")


async def listed(connection: Connection) -> Sequence[AssignmentConflict]:
    """Those that nobody has settled, the oldest first."""
    return [AssignmentConflict(**row) for row in await connection.fetch(_OPEN)]


async def settle(tx: UnitOfWork, conflict_id: UUID, holder: str, actor: str) -> AssignmentConflict:
    """Takes a person's word that the register is right, on record with the request that has met the conflict.

    Raises:
        NotFound: there is no such conflict, or somebody has settled it.
        Forbidden: they own an incident of the request.
    """
    row = await tx.connection.fetchrow(_SETTLE, conflict_id, tx.now, holder)
    if row is None:
        raise NotFound("no conflict of that id is open")
    settled = AssignmentConflict(**row)
    await incidents.must_not_own(tx.connection, settled.request_id, holder)
    detail: dict[str, JsonValue] = {"conflict_id": str(conflict_id), "system": settled.system, "kind": settled.kind}
    tx.log_evidence(settled.request_id, "assignment.settled", detail, actor)
    return settled


async def count(connection: Connection) -> None:
    """Counts those that wait for a person."""
    waiting = {row[0]: row[1] for row in await connection.fetch(_COUNT)}
    for kind in Disagreement:
        metrics.CONFLICTS.labels(kind).set(waiting.get(kind, 0))
