"""Quarantine as the privacy team sees it: one person stops a system, two let it be worked again as it was accepted.

A system that is declared otherwise than it was accepted is looked into first, by who operates it: `dsr downstreams on`.
"""

from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field, JsonValue

from services.intake.errors import NotFound, SamePerson
from services.intake.schemas import Instant
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.systems import CHANGED

_PERSONS = 2
_COLUMNS = "name, state, reason, since, released_by"
_LIST = f"SELECT {_COLUMNS} FROM downstreams.system ORDER BY name"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM downstreams.system WHERE name = $1 FOR UPDATE"  # noqa: S608  # constants
_STOP = """
UPDATE downstreams.system SET state = 'quarantined', reason = 'by_a_person', since = $2, released_by = '{}'
WHERE name = $1
"""
_WORD = "UPDATE downstreams.system SET released_by = released_by || $2::text WHERE name = $1"
_RELEASE = """
UPDATE downstreams.system SET state = 'on', reason = NULL, since = $2, released_by = '{}' WHERE name = $1
"""


class KnownSystem(BaseModel):
    """Where a system stands."""

    name: str
    state: Literal["observe", "on", "quarantined", "retired"]
    reason: str | None = Field(
        description="why it is quarantined: `changed`: it is declared otherwise than it was accepted, and whoever"
        " operates it looks into that (`dsr downstreams on`)"
    )
    since: Instant
    released_by: list[str] = Field(description="who has said that it may be worked again")

    @property
    def may_be_released(self) -> bool:
        """Whether two persons let it be worked again: its declaration is the one that was accepted."""
        return self.state == "quarantined" and self.reason != CHANGED


async def listed(connection: Connection) -> list[KnownSystem]:
    """Every system that a service has registered."""
    return [KnownSystem(**row) for row in await connection.fetch(_LIST)]


async def read(connection: Connection, name: str) -> KnownSystem:
    """One system, locked. Raises ``NotFound``."""
    row = await connection.fetchrow(_READ, name)
    if row is None:
        raise NotFound("no service knows a system of that name")
    return KnownSystem(**row)


async def stop(tx: UnitOfWork, name: str, holder: str, actor: str) -> None:
    """Nothing is done in that system from the next claim on; what needs it waits.

    Raises:
        NotFound: no service knows it.
        IllegalTransition: it is not worked.
    """
    system = await read(tx.connection, name)
    if system.state != "on":
        raise IllegalTransition(f"{name} is {system.state}: only a system that is on can be quarantined")
    await tx.connection.execute(_STOP, name, tx.now)
    tx.log_evidence(of(name), "system.quarantined", {"system": name, "by": holder}, actor)


async def release(tx: UnitOfWork, name: str, holder: str, actor: str) -> None:
    """Takes one person's word; with the second's it is worked again, from the next claim on.

    Raises:
        NotFound: no service knows it.
        IllegalTransition: it is not quarantined, or is declared otherwise than it was accepted.
        SamePerson: this person has said so before.
    """
    system = await read(tx.connection, name)
    if not system.may_be_released:
        raise IllegalTransition(
            f"{name} is {system.state}"
            + (f", since it was changed: `dsr downstreams on {name}` checks it first" if system.reason else "")
        )
    if holder in system.released_by:
        raise SamePerson("you have released it: it takes two persons, so somebody else must release it too")
    words = [*system.released_by, holder]
    by_two = len(words) >= _PERSONS
    await tx.connection.execute(*(_RELEASE, name, tx.now) if by_two else (_WORD, name, holder))
    detail: dict[str, JsonValue] = {"system": name, "by": [*words]}
    tx.log_evidence(of(name), "system.released" if by_two else "system.release_confirmed", detail, actor)


def of(name: str) -> UUID:
    """Under which id the evidence has what is done about a system."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:system:{name}")
