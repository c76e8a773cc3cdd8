"""Leases all tasks of a process by one row, which says until when the process is alive by the database's clock.

A thread renews the row over its own connection, so that a busy event loop loses nothing.
When a process is killed, frozen or cut off, another one deletes the expired row and takes over its tasks.
A process that lost its lease cancels every call under way, and claims further tasks under a new row.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from shared.domain.topics import ServiceName
from shared.fulfilment import queue
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.queue import LeaseLost
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import RETRYABLE, TCP_TIMEOUTS, UNAVAILABLE, Connection, PostgresSettings

log = logging.getLogger(__name__)

RENEWALS = 4
"""Renewals, and looks for processes that went silent, in the time of one lease."""

_LOOP = "lease"

T = TypeVar("T")


class Lease:
    """Holds the tasks that a process has claimed, for ``seconds`` from each renewal."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.holder: UUID = uuid7()
        """The id under which tasks are claimed now."""
        self._seconds = seconds
        self._monotonic = monotonic
        self._expires: float | None = None
        self._calls: dict[asyncio.Future[Any], UUID] = {}
        self._loop = asyncio.get_running_loop()

    async def run_leased(self, holder: UUID, call: Coroutine[Any, Any, T]) -> T:
        """Returns the result of a call about tasks of that holder; cancels the call when their lease is lost.

        Raises:
            LeaseLost: it was lost, before or meanwhile.
        """
        work = asyncio.ensure_future(call)
        self._calls[work] = holder
        self._cancel_calls()
        try:
            return await work
        except asyncio.CancelledError:
            if holder != self.holder:
                message = "the lease was lost while the tasks were worked"
                raise LeaseLost(message) from None
            raise
        finally:
            del self._calls[work]

    async def renew(self, connection: Connection) -> None:
        """Holds it for longer, or begins a new one if it was lost."""
        asked = self._monotonic()
        self.expire()
        length = timedelta(seconds=self._seconds)
        if not await queue.renew(connection, self.holder, length):
            if self._expires is not None:
                self._lose("others have taken the tasks over")
            await queue.register(connection, self.holder, length)
        self._expires = asked + self._seconds

    def expire(self) -> None:
        """Gives up what could not be renewed in time: others may have it by now."""
        if self._expires is not None and self._monotonic() > self._expires:
            self._lose("it was not renewed in time")

    def _lose(self, why: str) -> None:
        log.warning("the lease is lost, and what is in hand is given up: %s", why)
        self.holder, self._expires = uuid7(), None
        self._loop.call_soon_threadsafe(self._cancel_calls)

    def _cancel_calls(self) -> None:
        for work, holder in self._calls.items():
            if holder != self.holder:
                work.cancel()

    async def run(
        self, settings: PostgresSettings, service: ServiceName, ended: asyncio.Event, heartbeats: Heartbeats
    ) -> None:
        """Renews it in a thread of its own until ``ended``, and gives it back then."""
        stop = threading.Event()
        keeping = asyncio.ensure_future(
            asyncio.to_thread(asyncio.run, self._renew_until(settings, service, stop, heartbeats))
        )
        ending = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait((keeping, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            ending.cancel()
            await keeping

    async def _renew_until(
        self, settings: PostgresSettings, service: ServiceName, stop: threading.Event, heartbeats: Heartbeats
    ) -> None:
        while not stop.is_set():
            try:
                await self._renew_over(await _connect(settings, service, self._seconds / 3), stop, heartbeats)
            except (*UNAVAILABLE, *RETRYABLE) as error:
                log.debug("the lease waits for the database: %s", type(error).__name__)
                heartbeats.beat(_LOOP)
                self.expire()
                await asyncio.sleep(self._seconds / RENEWALS / 2)

    async def _renew_over(self, connection: asyncpg.Connection, stop: threading.Event, heartbeats: Heartbeats) -> None:
        try:
            while not stop.is_set():
                heartbeats.beat(_LOOP)
                await self.renew(connection)
                await asyncio.sleep(self._seconds / RENEWALS)
            await queue.unregister(connection, self.holder)
        finally:
            connection.terminate()


async def _connect(settings: PostgresSettings, service: ServiceName, seconds: float) -> asyncpg.Connection:
    """Connects with a bound for every statement; a renewal that a crash loses is soon repeated."""
    return await asyncpg.connect(
        settings.dsn,
        timeout=seconds,
        command_timeout=seconds,
        server_settings={
            "search_path": service.value,
            "application_name": f"dsr-{service}-lease",
            "synchronous_commit": "off",
            **TCP_TIMEOUTS,
        },
    )


class Reaper:
    """Finds processes with an expired lease, and makes their tasks ready again."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, fulfilments: Fulfilments, settings: WorkSettings) -> None:
        self._unit_of_work = unit_of_work
        self._fulfilments = fulfilments
        self._settings = settings
        self._last_run = math.inf
        """The time of the last successful look; infinite before the first."""
        self._patient_until = -math.inf

    async def run(self) -> None:
        """Takes back the tasks of expired leases.

        After an outage of the database, or a standstill of this process, each process gets one lease length to renew.
        """
        began, lease = time.monotonic(), self._settings.lease_seconds
        if began - self._last_run > lease:
            self._patient_until = began + lease
        self._last_run = -math.inf  # unless it succeeds
        if began >= self._patient_until:
            async with self._unit_of_work.pool.acquire() as connection:
                reaped = await queue.reap(connection, self._unit_of_work.clock.now(), self._settings)
            for step, count in reaped.items():
                log.warning("took back %d task(s) of %s from a process that went silent", count, ":".join(step))
                self._fulfilments.wakeup(step).wake()
        self._last_run = began
