"""A decision tried before it is made: all that it checks is checked, and nothing of it is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory


@dataclass(eq=False)
class Rehearsing(UnitOfWorkFactory):
    """Opens units of work that are rolled back: nothing is stored, published or recorded, and nothing is done after."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """A transaction that ends as if it had never been, however its block ends."""
        async with self.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield UnitOfWork(connection, self)
            finally:
                await transaction.rollback()


def rehearsing(real: UnitOfWorkFactory) -> Rehearsing:
    """The same of which nothing is kept."""
    return Rehearsing(real.pool, real.service, real.clock, real.vault, real.policy)
