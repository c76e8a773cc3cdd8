"""What an erasure would do, before it does it: a dry run for who decides (privacy team)."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.intake import plans
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.deciding import visible
from services.intake.errors import NotFound
from services.intake.problems import documented
from services.intake.repository import read
from services.intake.request.planned import PlannedSystem, planned
from services.intake.schemas import Instant
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["plans"], dependencies=PRIVACY_TEAM)


class PlanView(BaseModel):
    """What an erasure would do as the systems stood when they were asked."""

    request_id: UUID
    state: Literal["asked", "made"] = Field(description="asked: the systems are being asked; read it again in a moment")
    asked_at: Instant
    made_at: Instant | None
    policy_version: str = Field(description="of the policy by which it was made and is told")
    systems: list[PlannedSystem]


@router.get(
    "/plan",
    responses={
        202: {"model": PlanView, "description": "The systems are being asked: read it again after `Retry-After`."},
        **documented(NotFound, IllegalTransition, Shredded),
    },
)
async def read_plan(request_id: UUID, caller: AnyCaller, services: UseServices, response: Response) -> PlanView:
    """What an erasure would do, system by system and category by category (privacy team).

    A dry run: every system is asked what it has found and what it would delete, anonymise or keep, until when and on
    which ground, and whether a limit or a state of the data would stop it. Nothing is changed, whether the erasure has
    begun or not. What was said is shown again for ten minutes; after that, or by another policy, they are asked anew.
    """
    async with services.unit_of_work.begin() as tx:
        request = await visible(tx.connection, await read(tx.connection, request_id), caller)
        plan = await plans.plan(tx, request, caller)
    if plan.made_at is None:
        response.status_code = 202
        response.headers["Retry-After"] = "1"
    return PlanView(
        request_id=request_id,
        state="made" if plan.made_at else "asked",
        asked_at=plan.asked_at,
        made_at=plan.made_at,
        policy_version=services.processing.version,
        systems=planned(plan.tasks, services.processing),
    )
