"""Takes back the tasks of processes that went silent: each service does so for all its own processes."""

import logging
import math
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
        self._looked = math.inf
        """When the look before succeeded; before the first there is nothing to be late for."""
        self._patient_until = -math.inf

    async def look(self) -> None:
        """One look.

        While the database could not be asked nobody could renew a lease either: after that, and after a time in which
        this process stood still, everybody has the length of a lease to do so.
        """
        began, lease = time.monotonic(), self._settings.lease_seconds
        if began - self._looked > lease:
            self._patient_until = began + lease
        self._looked = -math.inf  # unless it succeeds
        if began >= self._patient_until:
            async with self._unit_of_work.pool.acquire() as connection:
                reaped = await queue.reap(connection, self._unit_of_work.clock.now(), self._settings)
            for step, count in reaped.items():
                log.warning("took back %d task(s) of %s from a process that went silent", count, ":".join(step))
                self._fulfilments.wakeup(step).wake()
        self._looked = began
