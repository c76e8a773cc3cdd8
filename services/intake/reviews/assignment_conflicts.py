"""Keeps contradictions between systems and the register of numbers until a person settles them.

The register stands until it is corrected at its source. Who finds that the system is wrong, and cannot have it
corrected there, settles the conflict: requests stop waiting for it, and nothing else changes.
"""

from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.core import metrics
from services.intake.core.errors import NotFound
from services.intake.core.schemas import Instant
from services.intake.incidents import record as incidents
from shared.domain.assignments import Disagreement
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_COLUMNS = "conflict_id, request_id, system, valid_from, valid_to, kind, noticed_at, settled_at, settled_by"
MOST = 1000
"""Rows of the list, at most."""
_OPEN = f"SELECT {_COLUMNS} FROM register.conflict WHERE settled_at IS NULL ORDER BY noticed_at LIMIT {MOST}"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM register.conflict WHERE conflict_id = $1 AND settled_at IS NULL"  # noqa: S608  # constants
_SETTLE = "UPDATE register.conflict SET settled_at = $2, settled_by = $3 WHERE conflict_id = $1 AND settled_at IS NULL"
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
    """Conflicts that are not settled, the oldest first."""
    return [AssignmentConflict(**row) for row in await connection.fetch(_OPEN)]


async def read(connection: Connection, conflict_id: UUID) -> AssignmentConflict:
    """The open conflict of that id; raises ``NotFound``."""
    row = await connection.fetchrow(_READ, conflict_id)
    if row is None:
        raise NotFound("no conflict of that id is open: it may be settled")
    return AssignmentConflict(**row)


async def settle(tx: UnitOfWork, conflict: AssignmentConflict, holder: str, actor: str) -> None:
    """The register is right, on record with the request that met it; ``Forbidden`` to the owner of its incident."""
    await incidents.must_not_own(tx.connection, conflict.request_id, holder)
    await tx.connection.execute(_SETTLE, conflict.conflict_id, tx.now, holder)
    detail: dict[str, JsonValue] = {"conflict_id": str(conflict.conflict_id)}
    detail |= {"system": conflict.system, "kind": conflict.kind}
    tx.log_evidence(conflict.request_id, "assignment.settled", detail, actor)


async def count(connection: Connection) -> None:
    """Counts those that wait for a person."""
    waiting = {row[0]: row[1] for row in await connection.fetch(_COUNT)}
    for kind in Disagreement:
        metrics.CONFLICTS.labels(kind).set(waiting.get(kind, 0))
