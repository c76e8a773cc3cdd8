"""Runs retention each night: counts every ceiling in every table, then asks for approval or deletes, and records it.

One instance holds the lease. The next one continues its unfinished work.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Protocol, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

from prometheus_client import Counter, Gauge
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.erasure.retention import exemptions, rules, store
from services.erasure.retention.exemptions import Exemptions
from services.erasure.retention.rules import Known, State, Terms
from services.erasure.retention.store import Figures, Key, RunResult
from shared.app.service import Running
from shared.domain.errors import DsrError, Refused, Unavailable
from shared.domain.operations import Operation
from shared.domain.policy import Ceiling
from shared.domain.policy_files import SweepPolicy, sweep_policy
from shared.fulfilment.adapter_calls import UnforeseenError
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.runtime.metrics import PEOPLE
from shared.storage import leader_lease, systems
from shared.storage.leader_lease import LeaderLease, LeaderLeaseLost
from shared.storage.postgres import RETRYABLE, UNAVAILABLE
from shared.storage.systems import SystemState
from shared.systems import sweepable
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.sweepable import DueCount, DueRecords, Sweepable, SweepResult, SweepStopped

log = logging.getLogger(__name__)

MISSES = Gauge(
    "dsr_retention_misses",
    "Rows that have been past their ceiling for more than a day and are not exempt",
    ["system", "category"],
    registry=PEOPLE,
)
GONE = Counter("dsr_retention_rows_total", "Rows that the run has deleted or anonymised", ["system", "action"])
TABLES = Gauge("dsr_retention_tables", "Tables with a ceiling, by what the last night found", ["system", "state"])

LOOP = "retention"
_TURN = timedelta(minutes=5)
"""Duration of the lease: longer than one statement may take in a store."""
_BEAT_SECONDS = 0.5
_UNHEARD_SECONDS = 30.0
"""The longest consumer lag with which the run may start, so that no restriction is missed."""

T = TypeVar("T")

HOLD_UNREADABLE = "hold_unreadable"
"""The refusal if a hold covers the category and its subject is unknown."""


class Alive(Protocol):
    """Waits for a step while the loop counts as alive; raises ``SweepStopped`` if the process must stop."""

    async def __call__(self, doing: Awaitable[T]) -> T: ...


@dataclass(frozen=True, slots=True)
class RetentionTarget:
    """One ceiling in one table of a system, and its result of the last night.

    ``country``: the country whose law sets the ceiling; None: it applies to all. ``shows_country``: whether rows name
    their country.
    """

    key: Key
    category: str
    ceiling: Ceiling
    terms: Terms
    known: Known | None
    country: str | None = None
    shows_country: bool = False

    @property
    def judged(self) -> bool:
        """Returns whether the rows under the ceiling can be selected."""
        return self.country is None or self.shows_country

    def due(self, first_kept: date) -> DueRecords:
        """Returns the selection of rows past the ceiling, up to a day."""
        (_, table, _), each, zone = self.key, self.ceiling, ZoneInfo(self.terms.zone)
        return DueRecords(table, each.anchor, each.then.value, first_kept, zone, country=self.country)


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
        """Runs the rest of this night, unless another instance does; sets the metrics.

        After a start or an outage a restriction may still be on the bus, so nothing is deleted before it is consumed.
        """
        turn = None
        if self._heartbeats.behind_seconds(loop_of(self._unit_of_work.service)) <= _UNHEARD_SECONDS:
            async with self._unit_of_work.pool.acquire() as connection:
                turn = await leader_lease.acquire(connection, LOOP, _TURN)
        else:
            log.info("retention run postponed reason=consumer_lag")
        if turn:
            try:
                with suppress(LeaderLeaseLost, SweepStopped):
                    await self._night(turn)
            finally:
                async with self._unit_of_work.pool.acquire() as connection:
                    await turn.release(connection)
        async with self._unit_of_work.pool.acquire() as connection:
            _show(await store.figures(connection))

    async def _night(self, turn: LeaderLease) -> None:
        policy = self._unit_of_work.policy
        local = self._unit_of_work.clock.now().astimezone(ZoneInfo(policy.controller.zone))
        night = self._policy.night(local).date()
        async with self._unit_of_work.pool.acquire() as connection:
            known = await store.read(connection)
            standing = await systems.read_systems(connection)
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
        """Yields every ceiling of the policy for every table with a date column for it."""
        policy = self._unit_of_work.policy
        for dated in _adapter(system).dated:
            for name, ceiling in policy.ceilings_of(dated.category).items():
                if (column := dated.anchors.get(ceiling.anchor)) is not None:
                    key = (system.name, dated.table, name)
                    terms, country = Terms.of(policy, ceiling, column), policy.country_of(ceiling)
                    yield RetentionTarget(
                        key, dated.category, ceiling, terms, known.get(key), country, dated.tells_countries
                    )

    async def _alive(self, turn: LeaderLease, doing: Awaitable[T]) -> T:
        """Waits for a step; meanwhile the loop counts as alive and keeps its lease."""
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

    async def _renew(self, turn: LeaderLease) -> None:
        """Renews the lease; raises ``LeaderLeaseLost`` if another instance has it."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed > _TURN.total_seconds() / 10:
            async with self._unit_of_work.pool.acquire() as connection:
                await turn.renew(connection)
            self._renewed = now


class Night:
    """Works one system for one night."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        adapter: Sweepable,
        night: date,
        policy: SweepPolicy,
        alive: Alive,
        copied: Sequence[Task],
    ) -> None:
        self._unit_of_work = unit_of_work
        self._adapter = adapter
        self._night = night
        self._policy = policy
        self._alive = alive
        self._copied = copied
        self._spared: sweepable.Exemptions = {}

    async def run(self, targets: Sequence[RetentionTarget]) -> None:
        """Counts these targets, then deletes or asks for approval.

        Raises:
            Unavailable: the system is away; the rest is tried again.
            SweepStopped: the process must stop.
        """
        async with self._unit_of_work.pool.acquire() as connection:
            known = (self._unit_of_work.vault, self._unit_of_work.policy, self._copied)
            self._sparing = await Exemptions.of(connection, *known)
        self._spared, unreadable = self._sparing.of_categories({target.category for target in targets})
        signed = [target for target in targets if target.judged and target.ceiling.signed(self._night)]
        readable = [target for target in signed if target.category not in unreadable]
        for target in targets:
            if not target.judged:
                await self._leave(replace(self._result(target, State.NO_COUNTRY), counted_on=None))
            elif target not in signed:
                await self._leave_with_misses(target, replace(self._result(target, State.UNSIGNED), counted_on=None))
            elif target not in readable:
                left = replace(self._result(target, State.FAILED), reason=HOLD_UNREADABLE)
                await self._leave_with_misses(target, left)
        going = []
        for target, found in zip(readable, await self._count([self._due(each) for each in readable]), strict=True):
            left = self._result(target, State.SWEEPING)
            if isinstance(found, Refused):
                await self._leave(replace(left, state=State.FAILED, reason=found.code))
                continue
            left = replace(left, due=found.due, of_rows=found.rows, undetermined=found.undetermined)
            if rules.runs_dry(target.known, target.terms, self._night):
                await self._leave(replace(left, state=State.DRY_RUN, counted_on=self._night))
            elif rules.is_stopped(target.known, target.terms, self._policy, found):
                await self._leave_with_misses(target, replace(left, state=State.STOPPED))
            else:
                await self._leave(left)
                going.append((target, left))
        await self._sweep(going)

    async def _sweep(self, going: Sequence[tuple[RetentionTarget, RunResult]]) -> None:
        """Deletes what may go; equal deletions of two ceilings run once."""
        dues = [replace(self._due(target), about=left.due) for target, left in going]
        keys = {due: target.key for due, (target, _) in zip(dues, going, strict=True)}

        async def go_on(due: DueRecords, gone: int) -> None:
            if not gone:
                await self._alive(self._look_whom_it_spares())
                return
            await self._alive(self._note_gone(keys[due], gone))
            GONE.labels(keys[due][0], due.then).inc(gone)

        try:
            results = await self._answer(self._adapter.sweep([*keys], self._spared, go_on)) if keys else []
            done: dict[DueRecords, SweepResult | Refused] = dict(zip(keys, results, strict=True))
        except Refused as refused:
            done = dict.fromkeys(keys, refused)
        for due, (target, left) in zip(dues, going, strict=True):
            if isinstance(result := done[due], Refused):
                await self._leave_with_misses(target, replace(left, state=State.FAILED, reason=result.code))
            else:
                swept = replace(left, state=State.SWEPT, spared=result.exempt)
                await (self._leave(swept) if result.complete else self._leave_with_misses(target, swept))

    async def _look_whom_it_spares(self) -> None:
        """Checks before each step that no new restriction or hold protects the rows."""
        async with self._unit_of_work.pool.acquire() as connection:
            if await self._sparing.is_outdated(connection):
                raise SweepStopped("a restriction or a hold has come: the next look goes on without what it is about")

    async def _note_gone(self, key: Key, gone: int) -> None:
        async with self._unit_of_work.pool.acquire() as connection:
            await store.add_gone(connection, key, gone)

    async def _count(self, due: Sequence[DueRecords]) -> Sequence[DueCount | Refused]:
        try:
            return await self._answer(self._adapter.count(due, self._spared)) if due else []
        except Refused as refused:
            return [refused for _ in due]

    async def _answer(self, doing: Awaitable[T]) -> T:
        """Returns the adapter's answer; an unexpected error costs its own system one night, and no request.

        Raises:
            Refused: the adapter failed unexpectedly.
        """
        try:
            return await self._alive(doing)
        except (DsrError, *UNAVAILABLE, *RETRYABLE):
            raise
        except Exception as error:
            where = telemetry.where(error)
            log.error("unexpected adapter error adapter=%s at=%s", type(self._adapter).__name__, where)  # noqa: TRY400
            raise UnforeseenError(f"the sweep broke: {type(error).__name__}") from error

    async def _leave_with_misses(self, target: RetentionTarget, left: RunResult) -> None:
        """Records the result with the number of rows that should have gone a day ago."""
        (found,) = await self._count([target.due(left.terms.first_kept(self._night - timedelta(days=1)))])
        await self._leave(replace(left, missed=found.due if isinstance(found, DueCount) else 0))

    async def _leave(self, left: RunResult) -> None:
        system, table, ceiling = left.key
        async with self._unit_of_work.begin() as tx:
            gone = await store.leave(tx.connection, left)
            detail: dict[str, JsonValue] = {"system": system, "table": quote(table), "ceiling": ceiling}
            detail |= {"action": left.action, "first_kept": left.first_kept.isoformat(), "policy": left.policy}
            detail |= {"due": left.due, "of_rows": left.of_rows, "gone": gone, "spared": left.spared}
            detail |= {"missed": left.missed, "undetermined": left.undetermined, "reason": left.reason}
            tx.log_evidence(left.sweep_id, f"retention.{left.state}", detail)

    def _due(self, target: RetentionTarget) -> DueRecords:
        return target.due(rules.goes_up_to(target.known, target.terms, self._night))

    def _result(self, target: RetentionTarget, state: State) -> RunResult:
        known = target.known
        goes_on = known is not None and (known.is_confirmed or known.state is State.SWEEPING)
        return RunResult(
            key=target.key,
            category=target.category,
            sweep_id=known.sweep_id if known and goes_on else uuid7(),
            action=target.ceiling.then.value,
            state=state,
            night=self._night,
            terms=target.terms,
            counted_on=known.counted_on if known else None,
            first_kept=self._due(target).first_kept,
            policy=self._unit_of_work.policy.version,
        )


def _show(figures: Figures) -> None:
    """Sets the metrics of the last night; every instance shows the same."""
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
