"""Breaches: what was handed out and should not have been, who sees to it, and what became of it (Art. 33)."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake import breaches
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import Instant
from services.intake.errors import NotFound
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.text import Text

router = APIRouter(prefix="/v1/breaches", tags=["breaches"], dependencies=PRIVACY_TEAM)


class BreachView(BaseModel):
    """A package that was handed out, or a change that was made (no downloads), and should not have been."""

    model_config = ConfigDict(from_attributes=True)

    breach_id: UUID
    request_id: UUID
    fault: str = Field(description="why it should not have been")
    downloads: int
    found_at: Instant
    notify_by: Instant = Field(description="the authority is to be told by then, unless nobody's rights are at risk")
    owner: str | None = Field(description="the holder of a key who sees to it")
    decision: str | None
    closed_at: Instant | None


class BreachList(BaseModel):
    """Every breach, the most urgent first; those that are closed come last."""

    breaches: list[BreachView]


class BreachClosed(BaseModel):
    """What became of a breach."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    decision: breaches.Decided
    explanation: Text = Field(description="why, and to whom it was told; it is sealed")


@router.get("")
async def list_breaches(services: UseServices) -> BreachList:
    """Every breach (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await breaches.listed(connection)
    return BreachList(breaches=[BreachView.model_validate(each) for each in found])


@router.post("/{breach_id}/owner", responses=documented(NotFound, IllegalTransition))
async def own_breach(breach_id: UUID, caller: AnyCaller, services: UseServices) -> BreachView:
    """See to a breach from now on (privacy team); nobody who has handled the request may."""
    async with services.unit_of_work.begin() as tx:
        return BreachView.model_validate(await breaches.own(tx, breach_id, caller.holder, caller.actor))


@router.post("/{breach_id}/close", responses=documented(NotFound, IllegalTransition, Shredded))
async def close_breach(breach_id: UUID, body: BreachClosed, caller: AnyCaller, services: UseServices) -> BreachView:
    """Close a breach that one owns: say whether the authority was told, and why (privacy team)."""
    async with services.unit_of_work.begin() as tx:
        closed = await breaches.close(tx, breach_id, caller.holder, caller.actor, body.decision, body.explanation)
        return BreachView.model_validate(closed)
