"""``python -m services.intake.redate``: after a change of the policy or of the holidays, compute what is open anew."""

import asyncio
from datetime import date
from functools import partial
from uuid import UUID

import typer

from services.intake import dates, register
from services.intake.request import State
from shared import keyring
from shared.bus.topics import ServiceName
from shared.clock import SystemClock
from shared.patience import once_the_database_answers
from shared.postgres import connect_pool
from shared.settings import PostgresSettings, VaultSettings
from shared.telemetry import Pulse
from shared.time_limit_policy import TimeLimitPolicy, read_policy
from shared.transaction import Transactions
from shared.vault import Vault

BATCH = 1_000
"""Requests of one transaction: more would keep those who answer requests waiting."""

# A due date only ever becomes earlier here, so what was moved is not come to again.
_OPEN = """
SELECT due_on, request_id FROM request WHERE state <> 'closed' AND (due_on, request_id) > ($1, $2)
ORDER BY due_on, request_id LIMIT $3
"""

Place = tuple[date, UUID]
BEGINNING: Place = (date.min, UUID(int=0))


async def redate(office: Transactions, policy: TimeLimitPolicy, batch: int = BATCH) -> int:
    """Redates every open request whose dates differ by this policy; returns how many. A second run finds none."""
    place: Place | None = BEGINNING
    redated, pulse = 0, Pulse()
    while place is not None:
        moved, place = await once_the_database_answers(partial(_some, office, policy, place, batch), "redate", pulse)
        redated += moved
    return redated


async def _some(office: Transactions, policy: TimeLimitPolicy, place: Place, batch: int) -> tuple[int, Place | None]:
    async with office.begin() as tx:
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
        return await redate(Transactions(pool, ServiceName.INTAKE, SystemClock(), vault, {}), read_policy())


def main() -> None:
    """Redates what is open by the policy and the holidays of this version, and prints how many requests moved."""
    typer.echo(f"open requests redated: {asyncio.run(_redate())}")


if __name__ == "__main__":
    typer.run(main)
