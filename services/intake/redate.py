"""``python -m services.intake.redate``: after a change of the policy or of the holidays, compute what is open anew."""

import asyncio
from datetime import date
from functools import partial
from uuid import UUID

import typer

from services.intake import dates, register
from services.intake.request import State
from shared.domain.clock import SystemClock
from shared.domain.time_limit_policy import TimeLimitPolicy, read_policy
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable
from shared.runtime.settings import VaultSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault

BATCH = 1_000
"""Requests of one transaction: more would keep those who answer requests waiting."""

# A due date only ever becomes earlier here, so what was moved is not come to again.
_OPEN = """
SELECT due_on, request_id FROM request WHERE state <> 'closed' AND (due_on, request_id) > ($1, $2)
ORDER BY due_on, request_id LIMIT $3
"""

Place = tuple[date, UUID]
BEGINNING: Place = (date.min, UUID(int=0))


async def redate(unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, batch: int = BATCH) -> int:
    """Redates every open request whose dates differ by this policy; returns how many. A second run finds none."""
    place: Place | None = BEGINNING
    redated, heartbeats = 0, Heartbeats()
    while place is not None:
        moved, place = await retry_while_unavailable(
            partial(_some, unit_of_work, policy, place, batch), "redate", heartbeats
        )
        redated += moved
    return redated


async def _some(
    unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, place: Place, batch: int
) -> tuple[int, Place | None]:
    async with unit_of_work.begin() as tx:
        rows = await tx.connection.fetch(_OPEN, *place, batch)
        held = await register.hold(tx, [row[1] for row in rows])
        moves = [
            move
            for filed in held.values()
            if filed.request.state is not State.CLOSED and (move := dates.of_policy(filed, policy))
        ]
        if moves:
            await dates.move(tx, moves, "policy_changed", policy)
    return len(moves), (rows[-1][0], rows[-1][1]) if len(rows) == batch else None


async def _redate() -> int:
    vault = Vault(keyring.load(VaultSettings().keyring))
    async with await connect_pool(PostgresSettings(), ServiceName.INTAKE) as pool:
        return await redate(UnitOfWorkFactory(pool, ServiceName.INTAKE, SystemClock(), vault), read_policy())


def main() -> None:
    """Redates what is open by the policy and the holidays of this version, and prints how many requests moved."""
    typer.echo(f"open requests redated: {asyncio.run(_redate())}")


if __name__ == "__main__":
    typer.run(main)
