"""The nightly sweep: what is past a ceiling, what went, and what waits for two persons (privacy team)."""

from datetime import date
from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.intake import sweeps
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.errors import NotFound, SamePerson
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], dependencies=PRIVACY_TEAM)


class SweepView(BaseModel):
    """What the last night has left of one ceiling of the policy in one table."""

    model_config = ConfigDict(from_attributes=True)

    sweep_id: UUID = Field(description="of this count: another night has another one")
    system: str
    table_name: str
    ceiling: str = Field(description="its name in the policy")
    category: str
    action: Literal["delete", "anonymise"]
    state: Literal["unsigned", "no_country", "dry_run", "stopped", "sweeping", "swept", "failed"] = Field(
        description="`dry_run`: new or shortened, so it was only counted; `stopped`: more than the policy's share, so"
        " two persons must confirm it; `unsigned`: without a valid sign-off nothing is touched; `no_country`: a"
        " maximum by another country's law than ours, and the table does not say which rows are under it: the same"
    )
    night: date
    period: str
    first_kept: date = Field(description="what began on an earlier day is past")
    due: int = Field(description="rows past the ceiling and spared by nobody, when it was counted")
    of_rows: int = Field(description="rows of the table, about")
    gone: int
    spared: int = Field(description="rows past it that a restriction, a legal hold or a state of the row keeps")
    missed: int = Field(description="rows past the ceiling for more than a day that are still there")
    undetermined: int = Field(
        description="rows past a maximum by another country's law that do not say which country's law they are under:"
        " they stay until what is for everybody"
    )
    reason: str | None = Field(description="why it failed")
    confirmed_by: list[str] = Field(description="the holders of the keys that have confirmed it")


class SweepList(BaseModel):
    """Every ceiling in every table that tells how old its rows are."""

    sweeps: list[SweepView]


@router.get("")
async def list_sweeps(services: UseServices) -> SweepList:
    """What each ceiling does to each table, as the last night has left it (privacy team)."""
    async with services.unit_of_work.pool.acquire() as connection:
        found = await sweeps.listed(connection)
    return SweepList(sweeps=[SweepView.model_validate(each) for each in found])


@router.post("/{sweep_id}/confirmation", responses=documented(NotFound, IllegalTransition, SamePerson))
async def confirm_sweep(sweep_id: UUID, caller: AnyCaller, services: UseServices) -> SweepView:
    """Say that what is stopped may go (privacy team).

    It takes two persons: two keys of different holders. With the second it goes within a minute, up to the day and the
    number that were shown; where there are more rows by then, nothing goes, and two persons are asked again.
    """
    async with services.unit_of_work.begin() as tx:
        return SweepView.model_validate(await sweeps.confirm(tx, sweep_id, caller.holder, caller.actor))
