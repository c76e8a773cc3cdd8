"""Takes back the tasks of processes that went silent: each service does so for all its own processes."""

import logging
import time

from shared.fulfilment import queue
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.settings import WorkSettings

log = logging.getLogger(__name__)


class Reaper:
    """Looks for processes whose lease has run out, and makes their tasks ready again."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, fulfilments: Fulfilments, settings: WorkSettings) -> None:
        self._unit_of_work = unit_of_work
        self._fulfilments = fulfilments
        self._settings = settings
        self._looked = time.monotonic()
        self._from = self._looked

    async def look(self) -> None:
        """One look.

        While the database could not be asked nobody could renew a lease either: after that, and after a time in which
        this process stood still, everybody has the length of a lease to do so.
        """
        began, lease = time.monotonic(), self._settings.lease_seconds
        if began - self._looked > lease / 2:
            self._from = began + lease
        if began >= self._from:
            async with self._unit_of_work.pool.acquire() as connection, connection.transaction():
                reaped = await queue.reap(connection, self._unit_of_work.clock.now(), self._settings)
            for step, count in reaped.items():
                log.warning("took back %d task(s) of %s from a process that went silent", count, ":".join(step))
                self._fulfilments.wakeup(step).wake()
        self._looked = time.monotonic()
