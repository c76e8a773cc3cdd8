"""The nightly sweep as the privacy team sees it, and the word of two persons that more may go than the policy's share.

Who sweeps and who is asked agree in one table (``downstreams.sweep``). What was confirmed is that very count: whatever
a night counts anew takes its place, and the first word with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from uuid import UUID

from pydantic import JsonValue

from services.intake.errors import NotFound, SamePerson
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_PERSONS = 2


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the last night has left of one ceiling in one table."""

    sweep_id: UUID
    system: str
    table_name: str
    ceiling: str
    category: str
    action: str
    state: str
    night: date
    period: str
    first_kept: date
    due: int
    of_rows: int
    gone: int
    spared: int
    missed: int
    undetermined: int
    reason: str | None
    confirmed_by: Sequence[str]


_COLUMNS = ", ".join(each.name for each in fields(Sweep))
_LIST = f"SELECT {_COLUMNS} FROM downstreams.sweep ORDER BY system, table_name, ceiling"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM downstreams.sweep WHERE sweep_id = $1 FOR UPDATE"  # noqa: S608  # constants
_CONFIRM = "UPDATE downstreams.sweep SET confirmed_by = confirmed_by || $2::text WHERE sweep_id = $1"


async def listed(connection: Connection) -> list[Sweep]:
    """Every ceiling in every table."""
    return [Sweep(*row) for row in await connection.fetch(_LIST)]


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
    sweep = Sweep(*row)
    if sweep.state != "stopped" or len(sweep.confirmed_by) >= _PERSONS:
        raise IllegalTransition("this sweep waits for nobody: only one that is stopped does")
    if holder in sweep.confirmed_by:
        raise SamePerson("you have confirmed it: it takes two persons, so a second one must confirm it too")
    await tx.connection.execute(_CONFIRM, sweep_id, holder)
    detail: dict[str, JsonValue] = {"system": sweep.system, "ceiling": sweep.ceiling, "by": holder}
    detail |= {"due": sweep.due, "of_rows": sweep.of_rows}
    tx.log_evidence(sweep_id, "retention.confirmed", detail, actor)
    return replace(sweep, confirmed_by=[*sweep.confirmed_by, holder])
