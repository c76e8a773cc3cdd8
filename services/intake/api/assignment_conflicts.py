"""Conflicts about numbers: what systems say of whose a number was, and the register does not (privacy team)."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake import assignment_conflicts
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.errors import NotFound
from services.intake.problems import documented
from services.intake.schemas import Instant
from shared.domain.conflicts import Disagreement

router = APIRouter(prefix="/v1/assignment-conflicts", tags=["assignment conflicts"], dependencies=PRIVACY_TEAM)


class AssignmentConflictView(BaseModel):
    """A system takes a number to be the subject's in a time for which the register does not."""

    model_config = ConfigDict(from_attributes=True)

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


class AssignmentConflictList(BaseModel):
    """Every conflict that nobody has settled, the oldest first."""

    conflicts: list[AssignmentConflictView]


@router.get("")
async def list_assignment_conflicts(services: UseServices) -> AssignmentConflictList:
    """Every conflict that waits for a person (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await assignment_conflicts.listed(connection)
    return AssignmentConflictList(conflicts=[AssignmentConflictView.model_validate(each) for each in found])


@router.post("/{conflict_id}/settle", responses=documented(NotFound))
async def settle_assignment_conflict(
    conflict_id: UUID, caller: AnyCaller, services: UseServices
) -> AssignmentConflictView:
    """Say that the register is right, and the system is not (privacy team).

    Nothing more is touched by it, and requests that wait for it go on by themselves. Where the register is wrong,
    correct its source instead and read it again: then they go on, too.
    """
    async with services.unit_of_work.begin() as tx:
        settled = await assignment_conflicts.settle(tx, conflict_id, caller.holder, caller.actor)
        return AssignmentConflictView.model_validate(settled)
