"""Shows the nightly retention run, and lets two people approve a deletion beyond the policy's share.

Who sweeps and who is asked agree in one table (``downstreams.sweep``). What was confirmed is that very count: whatever
a later night counts takes its place, and voids a proposal.
"""

from collections.abc import Sequence
from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.core.errors import NotFound
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


class Sweep(BaseModel):
    """The state of one maximum retention in one table after the last night."""

    sweep_id: UUID = Field(description="of this count: another night has another one")
    system: str
    table_name: str
    ceiling: str = Field(description="its name in the policy")
    category: str
    action: Literal["delete", "anonymise"]
    state: Literal["unsigned", "no_country", "dry_run", "stopped", "sweeping", "swept", "failed"] = Field(
        description="`dry_run`: new or shortened, so it was only counted; `stopped`: more than the policy's share, so"
        " two people must confirm it; `unsigned`: without a valid sign-off nothing is touched; `no_country`: a"
        " maximum by another country's law than ours, and the table does not say which rows are under it: the same"
    )
    night: date
    period: str
    first_kept: date = Field(description="what began on an earlier day is past")
    due: int = Field(description="rows past the ceiling that nothing keeps, when it was counted")
    of_rows: int = Field(description="rows of the table, about")
    gone: int
    spared: int = Field(description="rows past it that a restriction, a legal hold or a state of the row keeps")
    missed: int = Field(description="rows past the ceiling for more than a day that are still there")
    undetermined: int = Field(
        description="rows past a maximum by another country's law that do not say which country's law they are under:"
        " they stay until what is for everybody"
    )
    reason: str | None = Field(description="why it failed")
    confirmed_by: list[str] = Field(description="the two people who have approved it")


_COLUMNS = ", ".join(Sweep.model_fields)
_LIST = f"SELECT {_COLUMNS} FROM downstreams.sweep ORDER BY system, table_name, ceiling"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM downstreams.sweep WHERE sweep_id = $1"  # noqa: S608  # constants
_CONFIRM = "UPDATE downstreams.sweep SET confirmed_by = $2 WHERE sweep_id = $1"


async def listed(connection: Connection) -> list[Sweep]:
    """Every ceiling in every table."""
    return [Sweep(**row) for row in await connection.fetch(_LIST)]


async def read(connection: Connection, sweep_id: UUID) -> Sweep:
    """The run of that id; raises ``NotFound``."""
    row = await connection.fetchrow(_READ, sweep_id)
    if row is None:
        raise NotFound("no sweep of that id: each night counts again, so look at the list again")
    return Sweep(**row)


async def approve(tx: UnitOfWork, sweep: Sweep, holders: Sequence[str], actor: str) -> None:
    """It goes on within a minute, up to what was counted; raises ``IllegalTransition`` where it is not stopped."""
    if sweep.state != "stopped" or sweep.confirmed_by:
        raise IllegalTransition("this sweep waits for no approval: only one that is stopped does")
    await tx.connection.execute(_CONFIRM, sweep.sweep_id, list(holders))
    detail: dict[str, JsonValue] = {"system": sweep.system, "ceiling": sweep.ceiling, "by": [*holders]}
    tx.log_evidence(
        sweep.sweep_id, "retention.confirmed", {**detail, "due": sweep.due, "of_rows": sweep.of_rows}, actor
    )
