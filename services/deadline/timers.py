"""The poll: finds the timers that are due, reports each step once, and opens tickets where one is named.

Each poll takes a batch of due timers, publishes their steps and records them as reported, in one transaction.
Instances share the timers.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from prometheus_client import Counter
from pydantic import JsonValue

from services.deadline import notifications, repository, retention
from services.deadline.clock import (
    DAILY,
    FLAG,
    STEPPING,
    ClockStep,
    RequestClock,
    Timer,
    due_by,
    next_of,
    schedule,
    tickets_for,
)
from services.deadline.repository import EVERY_REQUEST
from services.deadline.settings import DeadlineSettings
from shared.app.service import Running
from shared.domain.events import TimerFired, TimerKind
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import sleep_until_stopped
from shared.runtime.metrics import PEOPLE
from shared.storage.postgres import RETRYABLE, UNAVAILABLE

log = logging.getLogger(__name__)

TARGETS_MISSED = Counter(
    "dsr_targets_missed_total", "Targets that passed without their step", ["target"], registry=PEOPLE
)
_EVIDENCE = {
    TimerKind.MILESTONE: "deadline.approaching",
    TimerKind.TARGET: "deadline.target_missed",
    TimerKind.QUESTION: "deadline.question_unanswered",
    TimerKind.CUSTOMER: "deadline.controller_silent",
}
_EACH = {TimerKind.MILESTONE, TimerKind.TARGET}
"""Kinds that report every step; others report only the last of simultaneous steps."""

_NEVER = datetime.min.replace(tzinfo=UTC)


async def run(running: Running, policy: TimeLimitPolicy, settings: DeadlineSettings, fulfilments: Fulfilments) -> None:
    """Polls due timers while the service runs."""
    poll = Poll(running.unit_of_work, policy, settings, fulfilments, running.heartbeats)
    await poll.run(running.stopping)


@dataclass(frozen=True)
class Poll:
    """Polls due timers, one batch per transaction."""

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    settings: DeadlineSettings
    fulfilments: Fulfilments
    heartbeats: Heartbeats

    async def run(self, stopping: asyncio.Event) -> None:
        """Polls until the service stops; after an outage it catches up without a pause."""
        begun = False
        while not stopping.is_set():
            try:
                begun = begun or await self.begin()
                if await self.look() == self.settings.batch:
                    continue
            except (*UNAVAILABLE, *RETRYABLE) as error:
                log.warning("database unavailable, retrying loop=timers error=%s", type(error).__name__)
            await sleep_until_stopped(self.settings.sweep_seconds, "timers", stopping, self.heartbeats)

    async def begin(self) -> bool:
        """Applies a changed policy, and creates the daily timer if it is missing."""
        async with self.unit_of_work.begin() as tx:
            while await retention.redate(tx):
                pass
            due_at = notifications.hour_of(tx.now, self.settings.digest_hour, self.policy)
            if not await repository.timers_of(tx.connection, [EVERY_REQUEST], [DAILY]):
                await repository.put_timers(tx.connection, [(EVERY_REQUEST, Timer(DAILY, "", due_at))])
        return True

    async def look(self) -> int:
        """Reports one batch of due timers; returns the size of the batch.

        An event on the bus may already meet a target, so targets are judged only up to what was consumed.
        """
        self.heartbeats.beat("timers")
        behind = self.heartbeats.behind_seconds(loop_of(ServiceName.DEADLINE))
        async with self.unit_of_work.begin() as tx:
            judged_until = _NEVER
            if behind != math.inf:
                judged_until = tx.now - timedelta(seconds=behind + self.settings.on_the_way_seconds)
            due = await repository.due_timers(tx.connection, tx.now, judged_until, self.settings.batch)
            of_kind = {kind: [each for each in due if each[1].kind == kind] for kind in (DAILY, FLAG, *TimerKind)}
            after = await retention.fire(tx, of_kind[TimerKind.RETENTION])
            for about, timer in of_kind[DAILY]:
                await notifications.open_digest(self.fulfilments, tx, self.policy)
                tomorrow = notifications.hour_of(tx.now + timedelta(days=1), self.settings.digest_hour, self.policy)
                after.append((about, replace(timer, due_at=tomorrow)))
            flagged = await repository.of(tx.connection, [about for about, _ in of_kind[FLAG]])
            await notifications.flag(self.fulfilments, tx, flagged.values())
            after += [(about, replace(timer, due_at=None)) for about, timer in of_kind[FLAG]]
            steps = [each for kind in STEPPING for each in of_kind[kind]]
            after += await self._report(tx, steps, judged_until)
            await repository.put_timers(tx.connection, after)
        return len(due)

    async def _report(
        self, tx: UnitOfWork, due: Sequence[tuple[UUID, Timer]], judged_until: datetime
    ) -> list[tuple[UUID, Timer]]:
        """Publishes due steps and opens tickets; returns the updated timers."""
        requests = list({about for about, _ in due})
        locked = await repository.lock_clocks(tx.connection, requests, stopped=True, wait=False)
        clocks, after, tickets = {clock.request_id: clock for clock in locked}, [], []
        for about, timer in due:
            if (clock := clocks.get(about)) is None:  # locked by a handler: the next poll reports it
                continue
            kind, dues = TimerKind(timer.kind), schedule(clock, timer, self.policy)
            fresh = due_by(dues, timer.reported, judged_until if kind is TimerKind.TARGET else tx.now)
            reported = (*timer.reported, *(each.name for each in fresh))
            after.append((about, replace(timer, reported=reported, due_at=next_of(dues, reported))))
            unmet = [each for each in fresh if each.name not in clock.met]
            tx.traces[about] = clock.traceparent
            for each in unmet if kind in _EACH else unmet[-1:]:
                _publish(tx, clock, timer, each)
            tickets += [(clock, each) for each in tickets_for(clock, kind, unmet, tx.now)]
        await notifications.warn(self.fulfilments, tx, tickets)
        return after


def _publish(tx: UnitOfWork, clock: RequestClock, timer: Timer, due: ClockStep) -> None:
    kind, what = TimerKind(timer.kind), dict[str, object]()
    detail: dict[str, JsonValue] = {"step": due.step, "due_on": due.day.isoformat(), "days": due.days}
    action = _EVIDENCE[kind]
    if due.step.startswith("overdue_"):
        action, detail = "deadline.overdue", {"clock": due.step.removeprefix("overdue_"), "due_on": detail["due_on"]}
    if kind is TimerKind.QUESTION:
        asked = next(each for each in clock.questions if str(each.question_id) == timer.ref)
        what = {"question_id": asked.question_id, "question": asked.question}
        detail["question"] = asked.question
    if kind is TimerKind.TARGET:
        detail["escalate_to"] = [*due.escalate_to]
        tx.after_commit(partial(TARGETS_MISSED.labels(due.name).inc))
    tx.log_evidence(clock.request_id, action, detail)
    tx.publish(TimerFired.about(clock, kind=kind, step=due.step, due_on=due.day, days=due.days, **what))
