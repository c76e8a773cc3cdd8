"""The nightly sweep as the privacy team sees it, and the word of two persons that more may go than the policy's share.

Who sweeps and who is asked agree in one table (``downstreams.sweep``). What was confirmed is that very count: whatever
a night counts anew takes its place, and the first word with it.
"""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.errors import NotFound, SamePerson
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_PERSONS = 2


class Sweep(BaseModel):
    """What the last night has left of one ceiling of the policy in one table."""

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


_COLUMNS = ", ".join(Sweep.model_fields)
_LIST = f"SELECT {_COLUMNS} FROM downstreams.sweep ORDER BY system, table_name, ceiling"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM downstreams.sweep WHERE sweep_id = $1 FOR UPDATE"  # noqa: S608  # constants
_CONFIRM = "UPDATE downstreams.sweep SET confirmed_by = confirmed_by || $2::text WHERE sweep_id = $1"


async def listed(connection: Connection) -> list[Sweep]:
    """Every ceiling in every table."""
    return [Sweep(**row) for row in await connection.fetch(_LIST)]


async def confirm(tx: UnitOfWork, sweep_id: UUID, holder: str, actor: str) -> Sweep:
    """Takes one person's word; with the second's it goes on by itself.

    Raises:
        NotFound: there is none of that id: it was counted anew, perhaps.
        IllegalTransition: it is not stopped, or two persons have said so.
        SamePerson: this person has said so before.
    """
    row = await tx.connection.fetchrow(_READ, sweep_id)
    if row is None:
        raise NotFound("no sweep of that id: each night counts anew, so look at the list again")
    sweep = Sweep(**row)
    if sweep.state != "stopped" or len(sweep.confirmed_by) >= _PERSONS:
        raise IllegalTransition("this sweep waits for nobody: only one that is stopped does")
    if holder in sweep.confirmed_by:
        raise SamePerson("you have confirmed it: it takes two persons, so a second one must confirm it too")
    await tx.connection.execute(_CONFIRM, sweep_id, holder)
    detail: dict[str, JsonValue] = {"system": sweep.system, "ceiling": sweep.ceiling, "by": holder}
    detail |= {"due": sweep.due, "of_rows": sweep.of_rows}
    tx.log_evidence(sweep_id, "retention.confirmed", detail, actor)
    return sweep.model_copy(update={"confirmed_by": [*sweep.confirmed_by, holder]})
