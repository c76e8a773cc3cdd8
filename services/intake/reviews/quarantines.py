"""Quarantine as the privacy team sees it: one person stops a system, two enable it as it was accepted.

A system that is declared otherwise than it was accepted is looked into first, by who operates it: `dsr downstreams on`.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import BaseModel, Field

from services.intake.core.errors import NotFound
from services.intake.core.schemas import Instant
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.systems import CHANGED

_COLUMNS = "name, state, reason, since"
_LIST = f"SELECT {_COLUMNS} FROM downstreams.system ORDER BY name"  # noqa: S608  # constants
_READ = f"SELECT {_COLUMNS} FROM downstreams.system WHERE name = $1"  # noqa: S608  # constants
_STOP = """
UPDATE downstreams.system SET state = 'quarantined', reason = 'by_a_person', since = $2
WHERE name = $1
"""
_RELEASE = """
UPDATE downstreams.system SET state = 'on', reason = NULL, since = $2 WHERE name = $1
"""


class KnownSystem(BaseModel):
    """Where a system stands."""

    name: str
    state: Literal["observe", "on", "quarantined", "retired"]
    reason: str | None = Field(
        description="why it is quarantined. `changed`: its declaration differs from the accepted one, and its operator"
        " looks into that (`dsr downstreams on`)"
    )
    since: Instant

    @property
    def may_be_released(self) -> bool:
        """Whether two people may enable it: its declaration is the accepted one."""
        return self.state == "quarantined" and self.reason != CHANGED


async def listed(connection: Connection) -> list[KnownSystem]:
    """Every system that a service has registered."""
    return [KnownSystem(**row) for row in await connection.fetch(_LIST)]


async def read(connection: Connection, name: str) -> KnownSystem:
    """Where that system stands; raises ``NotFound``."""
    row = await connection.fetchrow(_READ, name)
    if row is None:
        raise NotFound("no service knows a system of that name")
    return KnownSystem(**row)


async def stop(tx: UnitOfWork, system: KnownSystem, holder: str, actor: str) -> None:
    """Nothing is done in that system from the next claim on; raises ``IllegalTransition`` where it is not worked."""
    if system.state != "on":
        raise IllegalTransition(f"{system.name} is {system.state}: only a system that is on can be quarantined")
    await tx.connection.execute(_STOP, system.name, tx.now)
    tx.log_evidence(of(system.name), "system.quarantined", {"system": system.name, "by": holder}, actor)


async def enable(tx: UnitOfWork, system: KnownSystem, holders: Sequence[str], actor: str) -> None:
    """It is worked again, from the next claim on.

    Raises:
        IllegalTransition: it is not quarantined, or is declared otherwise than it was accepted.
    """
    if not system.may_be_released:
        changed = f", since it was changed: `dsr downstreams on {system.name}` checks it first"
        raise IllegalTransition(f"{system.name} is {system.state}{changed if system.reason else ''}")
    await tx.connection.execute(_RELEASE, system.name, tx.now)
    tx.log_evidence(of(system.name), "system.released", {"system": system.name, "by": [*holders]}, actor)


def of(name: str) -> UUID:
    """Under which id the evidence has what is done about a system."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:system:{name}")
