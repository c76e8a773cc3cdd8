"""The sweep: finds the requests that have come to a milestone, says so, and brings in a person when the end is near."""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import clocks, daily_page, digest, watch
from services.deadline.clocks import Running
from services.deadline.milestones import Approaching, Milestone, due, escalates, next_at, prompts, schedule
from services.deadline.settings import DeadlineSettings
from shared.app import service
from shared.domain.events import DeadlineApproaching, DeadlineOverdue
from shared.domain.operations import Operation
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy
from shared.domain.topics import ServiceName
from shared.fulfilment import store as fulfilment
from shared.fulfilment.store import NewFulfilment
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import sleep_until_stopped
from shared.storage.postgres import AGAIN, AWAY

log = logging.getLogger(__name__)


class Sweep:
    """Looks at the clocks, a batch in a transaction; several instances at once share the work."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, settings: DeadlineSettings) -> None:
        self._transactions = unit_of_work
        self._policy = policy
        self._rules = policy.milestones
        self._zone = ZoneInfo(policy.commitment.controller_zone)
        self._settings = settings

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Sweeps until told to stop; after an outage it catches up batch by batch, without a pause."""
        while not stopping.is_set():
            heartbeats.beat("sweep")
            try:
                looked_at = await self.tick(), await self.judge(heartbeats)
                if self._settings.batch in looked_at:
                    continue
                await self.report()
                await self.page()
            except (*AWAY, *AGAIN) as error:
                log.warning("sweep waits for the database: %s", type(error).__name__)
            await sleep_until_stopped(self._settings.sweep_seconds, "sweep", stopping, heartbeats)

    async def tick(self) -> int:
        """Tells one batch of what has come by now; returns how many requests it looked at."""
        async with self._transactions.begin() as tx:
            come = await clocks.come(tx.connection, tx.now, self._settings.batch)
            moved, new_fulfilments = [], []
            for running in come:
                milestones = schedule(running.clock, self._rules.approaching_days)
                fresh = due(milestones, running.told_until, tx.now)
                told_until = fresh[-1].at if fresh else running.told_until
                moved.append((running.request_id, told_until, next_at(milestones, told_until)))
                _tell(tx, running, fresh)
                if fresh and (new_fulfilment := self._escalation(running, fresh[-1])):
                    new_fulfilments.append(new_fulfilment)
            if moved:
                await clocks.told(tx.connection, moved)
            if new_fulfilments and tx.plans[Operation.ESCALATE]:
                await fulfilment.open_all(tx, new_fulfilments)
        return len(come)

    async def judge(self, heartbeats: Heartbeats) -> int:
        """Judges one batch of the staff's targets that have passed; returns how many requests it looked at.

        A step may have been taken and not be heard of yet, as after an outage: nothing is judged beyond what was heard.
        """
        unheard = heartbeats.behind_seconds(loop_of(ServiceName.DEADLINE))
        if unheard == math.inf:
            return 0
        async with self._transactions.begin() as tx:
            until = tx.now - timedelta(seconds=unheard + self._settings.on_the_way_seconds)
            judged = await watch.judge(tx, until, self._settings.batch, self._policy)
        for target in judged.missed:
            metrics.TARGETS_MISSED.labels(target).inc()
        return judged.looked_at

    async def page(self) -> bool:
        """Writes the daily page when its hour has come and there is something to say; returns whether it did."""
        async with self._transactions.begin() as tx:
            return await daily_page.write(tx, self._zone, self._settings.digest_hour, self._rules)

    async def report(self) -> bool:
        """Writes the daily digest when its hour has come; returns whether it did, which is once a day."""
        async with self._transactions.begin() as tx:
            return await digest.write(tx, self._zone, self._settings.digest_hour)

    def _escalation(self, running: Running, milestone: Milestone) -> NewFulfilment | None:
        """A warning for the privacy team; after downtime only the gravest of those that came meanwhile."""
        due_on = running.clock.due_on
        details: dict[str, JsonValue] = {"level": milestone.level, "due_on": due_on.isoformat()}
        prompt = self._policy.prompt
        if prompt and not running.extended and prompts(milestone, prompt):
            details |= {"level": TargetName.EXTEND_OR_ANSWER, "escalate_to": [prompt.escalate_to]}
        elif not escalates(milestone, self._rules.escalate_days):
            return None
        return NewFulfilment(
            running.request_id, running.subject_ref, running.right, Operation.ESCALATE, due_on, details
        )


def _tell(tx: UnitOfWork, running: Running, fresh: list[Milestone]) -> None:
    tx.traces[running.request_id] = running.traceparent
    for milestone in fresh:
        detail: Mapping[str, JsonValue]
        if isinstance(milestone, Approaching):
            detail = {"days_left": milestone.days_left, "due_on": running.clock.due_on.isoformat()}
            tx.log_evidence(running.request_id, "deadline.approaching", detail)
            tx.publish(
                DeadlineApproaching(
                    request_id=running.request_id,
                    occurred_at=tx.now,
                    right=running.right,
                    due_on=running.clock.due_on,
                    days_left=milestone.days_left,
                )
            )
        else:
            detail = {"clock": milestone.clock, "due_on": milestone.due_on.isoformat()}
            tx.log_evidence(running.request_id, "deadline.overdue", detail)
            tx.publish(
                DeadlineOverdue(
                    request_id=running.request_id,
                    occurred_at=tx.now,
                    right=running.right,
                    due_on=milestone.due_on,
                    clock=milestone.clock,
                )
            )


async def run_periodically(around: service.Running, policy: TimeLimitPolicy, settings: DeadlineSettings) -> None:
    """Look at the clocks for as long as the service runs."""
    await Sweep(around.unit_of_work, policy, settings).run(around.stopping, around.heartbeats)
