"""Runs retention each night: counts every ceiling in every table, then asks for approval or deletes.

One instance has the lease. The next one goes on with what it leaves unfinished.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from services.erasure.retention import exemptions, rules, store
from services.erasure.retention.night import Night, RetentionTarget
from services.erasure.retention.rules import Known, State, Terms
from services.erasure.retention.store import Figures, Key
from shared.app.service import Running
from shared.domain.errors import Unavailable
from shared.domain.operations import Operation
from shared.domain.policy_files import SweepPolicy, sweep_policy
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.runtime.metrics import PEOPLE
from shared.storage import lease, systems
from shared.storage.lease import Turn, TurnLost
from shared.storage.systems import SystemState
from shared.systems.downstream import Downstream
from shared.systems.sweepable import Sweepable, SweepStopped

log = logging.getLogger(__name__)

MISSES = Gauge(
    "dsr_retention_misses",
    "Rows that have been past their ceiling for more than a day and are not exempt",
    ["system", "category"],
    registry=PEOPLE,
)
TABLES = Gauge("dsr_retention_tables", "Tables with a ceiling, by what the last night found", ["system", "state"])

LOOP = "retention"
_TURN = timedelta(minutes=5)
"""Longer than one statement may take in a store."""
_BEAT_SECONDS = 0.5
_UNHEARD_SECONDS = 30.0
"""For how long a restriction may be on the bus unheard: longer than a busy consumer is behind."""

T = TypeVar("T")


async def run(running: Running) -> None:
    """Runs until the service stops."""
    every = running.downstreams.all if running.downstreams else ()
    sweeper = Sweeper(running.unit_of_work, every, running.heartbeats, running.stopping)
    every_seconds = running.settings.work.sweep_seconds
    await run_periodically(sweeper.look, LOOP, every_seconds, running.stopping, running.heartbeats)


class Sweeper:
    """Works every system once a night."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        every: Sequence[Downstream],
        heartbeats: Heartbeats,
        stopping: asyncio.Event,
        policy: SweepPolicy | None = None,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._systems = [each for each in every if isinstance(each.adapter, Sweepable)]
        self._knowing = [each for each in every if each.yields and each.can(Operation.LOCATE)]
        self._heartbeats = heartbeats
        self._stopping = stopping
        self._policy = policy or sweep_policy(unit_of_work.policy.overlay)
        self._renewed = 0.0

    async def look(self) -> None:
        """Works what is left of this night, if no other instance does; sets the metrics of all nights.

        After a start or an outage a restriction may still be on the bus, so nothing is deleted before it is consumed.
        """
        turn = None
        if self._heartbeats.behind_seconds(loop_of(self._unit_of_work.service)) <= _UNHEARD_SECONDS:
            async with self._unit_of_work.pool.acquire() as connection:
                turn = await lease.take(connection, LOOP, _TURN)
        else:
            log.info("retention run postponed reason=consumer_lag")
        if turn:
            try:
                with suppress(TurnLost, SweepStopped):
                    await self._night(turn)
            finally:
                async with self._unit_of_work.pool.acquire() as connection:
                    await turn.release(connection)
        async with self._unit_of_work.pool.acquire() as connection:
            _show(await store.figures(connection))

    async def _night(self, turn: Turn) -> None:
        policy = self._unit_of_work.policy
        local = self._unit_of_work.clock.now().astimezone(ZoneInfo(policy.controller.zone))
        night = self._policy.night(local).date()
        async with self._unit_of_work.pool.acquire() as connection:
            known = await store.read(connection)
            standing = await systems.standings(connection)
            targets = {each.name: list(self._targets(each, known)) for each in self._systems}
            await store.forget_others(connection, [target.key for each in targets.values() for target in each])
        for each in self._systems:
            here = standing.get(each.name)
            left = [target for target in targets[each.name] if not rules.is_over(target.known, night)]
            if left and here is not None and here.state is SystemState.ON and here.hash == each.fingerprint:
                alive = partial(self._alive, turn)
                try:
                    copied = await alive(
                        exemptions.waiting_for_a_copy(self._unit_of_work, self._policy, each.name, self._knowing)
                    )
                    await Night(self._unit_of_work, _adapter(each), night, self._policy, alive, copied).run(left)
                except Unavailable as away:
                    log.info("retention run postponed system=%s error=%s", each.name, telemetry.where(away))

    def _targets(self, system: Downstream, known: Mapping[Key, Known]) -> Iterator[RetentionTarget]:
        """Every ceiling of the policy in every table that tells the age of its rows."""
        policy = self._unit_of_work.policy
        for dated in _adapter(system).dated:
            for name, ceiling in policy.ceilings_of(dated.category).items():
                if (column := dated.anchors.get(ceiling.anchor)) is not None:
                    key = (system.name, dated.table, name)
                    terms, country = Terms.of(policy, ceiling, column), policy.country_of(ceiling)
                    yield RetentionTarget(
                        key, dated.category, ceiling, terms, known.get(key), country, dated.tells_countries
                    )

    async def _alive(self, turn: Turn, doing: Awaitable[T]) -> T:
        """Waits for a step of the work; the loop counts as alive meanwhile, and keeps its turn."""
        step = asyncio.ensure_future(doing)
        try:
            while not step.done():
                self._heartbeats.beat(LOOP)
                if self._stopping.is_set():
                    raise SweepStopped("this process ends")
                await self._renew(turn)
                await asyncio.wait({step}, timeout=_BEAT_SECONDS)
        finally:
            step.cancel()
        return await step

    async def _renew(self, turn: Turn) -> None:
        """Renews the lease; raises ``TurnLost`` if another instance has it."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed > _TURN.total_seconds() / 10:
            async with self._unit_of_work.pool.acquire() as connection:
                await turn.renew(connection)
            self._renewed = now


def _show(figures: Figures) -> None:
    """Sets the metrics of the last night, in every instance alike."""
    MISSES.clear()
    for system, category, missed in figures.missed:
        MISSES.labels(system, category).set(missed)
    TABLES.clear()
    for system in {system for system, _, _ in figures.states}:
        for state in State:
            TABLES.labels(system, state).set(0)
    for system, found, tables in figures.states:
        TABLES.labels(system, found).set(tables)


def _adapter(system: Downstream) -> Sweepable:
    adapter: object = system.adapter
    if not isinstance(adapter, Sweepable):
        raise TypeError(f"{system.name} cannot be swept")
    return adapter
