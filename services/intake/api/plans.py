"""Previews an erasure for the privacy team: a dry run in every system."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.intake.actions.use_cases import visible
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, Services, UseServices
from services.intake.api.problems import documented
from services.intake.core.errors import NotFound
from services.intake.core.schemas import Instant
from services.intake.queries import plans
from services.intake.request.erasure_preview import PlannedSystem, planned
from services.intake.store.repository import read
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["previews"], dependencies=PRIVACY_TEAM)


class Preview(BaseModel):
    """The preview of an erasure, as the systems stood when they were asked."""

    request_id: UUID
    preview_id: UUID
    state: Literal["asked", "made"] = Field(description="asked: the systems are being asked; read it again in a moment")
    asked_at: Instant
    made_at: Instant | None
    policy_version: str = Field(description="of the policy by which it was made")
    systems: list[PlannedSystem]


@router.post("/previews", status_code=202, responses=documented(NotFound, IllegalTransition, Shredded))
async def ask_preview(request_id: UUID, caller: AnyCaller, services: UseServices, response: Response) -> Preview:
    """Ask every system what an erasure would do, by system and category (privacy team): read it by `Location`.

    Each system answers what it has found and what it would delete, anonymise or keep, until when and on which ground.
    It says whether a limit or a state of the data would stop it. Nothing is changed, even if the erasure has begun.
    A preview of the last ten minutes by the same policy is given again.
    """
    async with services.unit_of_work.begin() as tx:
        request = await visible(tx.connection, await read(tx.connection, request_id), caller)
        plan = await plans.request_preview(tx, request, caller)
    response.headers["Location"] = f"/v1/requests/{request_id}/previews/{plan.plan_id}"
    return _shown(request_id, plan, services)


@router.get("/previews/{preview_id}", responses=documented(NotFound))
async def read_preview(
    request_id: UUID, preview_id: UUID, caller: AnyCaller, services: UseServices, response: Response
) -> Preview:
    """Read what the systems have answered; while `state` is `asked`, read it again later (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        await visible(connection, await read(connection, request_id), caller)
        plan = await plans.read(connection, request_id, preview_id)
    if plan.made_at is None:
        response.headers["Retry-After"] = "1"
    return _shown(request_id, plan, services)


def _shown(request_id: UUID, plan: plans.ErasurePreview, services: Services) -> Preview:
    return Preview(
        request_id=request_id,
        preview_id=plan.plan_id,
        state="made" if plan.made_at else "asked",
        asked_at=plan.asked_at,
        made_at=plan.made_at,
        policy_version=services.processing.version,
        systems=planned(plan.tasks, services.processing),
    )
