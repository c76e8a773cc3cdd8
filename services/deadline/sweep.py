"""The sweep: finds what is due, says it once, and brings in a person where one is named.

Milestones, targets, questions, days that a rule has moved and what is passed on to customers are some of the sources of
one loop. Each reads the rows that are due, decides what is to be said of them and writes how
far it was said, in one transaction; instances at once share the rows.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import forwarding, metrics, notifications, repository
from services.deadline.clock import (
    FLAG,
    LAST_NOTICE,
    AskedQuestion,
    Clock,
    Due,
    due_by,
    latest_for_each,
    milestones_of,
    missed_targets,
    next_at,
    notices_of,
    targets_of,
)
from services.deadline.deferrals import INCIDENT, redate
from services.deadline.settings import DeadlineSettings
from shared.app.service import Running
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, QuestionUnanswered, RetentionEnded, TargetMissed
from shared.domain.time_limit import arrival_date
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import sleep_until_stopped
from shared.storage.postgres import AGAIN, AWAY

log = logging.getLogger(__name__)


Swept = tuple[int, Sequence[tuple[Clock, Due]]]
"""How many rows were looked at, and of what people are to be told."""

Source = Callable[[UnitOfWork, datetime, int, TimeLimitPolicy], Awaitable[Swept]]
"""Says what was due by an instant, of up to so many rows; those in the hands of another instance are left."""


async def milestones(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
    """Says everything that has come; of what came at once, as after downtime, only the gravest opens a ticket."""
    moved, told = [], []
    clocks = await repository.due_clocks(tx.connection, repository.DUE_MILESTONES, until, limit)
    for clock in clocks:
        dues = milestones_of(clock, policy)
        fresh = due_by(dues, clock.notified_until, until)
        notified_until = fresh[-1].at if fresh else clock.notified_until
        flags = [due for due in fresh if due.name == FLAG]
        said = [due for due in fresh if due.name != FLAG]
        moved.append(
            (clock.request_id, notified_until, None if flags else clock.flag_at, next_at(dues, notified_until))
        )
        tx.traces[clock.request_id] = clock.traceparent
        for due in said:
            _say_milestone(tx, clock, due)
        told += [(clock, due) for due in (*flags, *said[-1:])]
    await repository.update(tx.connection, ("notified_until", "flag_at", "next_milestone_at"), moved)
    return len(clocks), told


async def targets(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
    """Says which of the staff's targets have passed without their step."""
    moved, missed, told = [], [], []
    clocks = await repository.due_clocks(tx.connection, repository.DUE_TARGETS, until, limit)
    known = await repository.steps_and_misses(tx.connection, clocks)
    for clock in clocks:
        dues = targets_of(clock, policy)
        missing = missed_targets(dues, *known[clock.request_id], until)
        moved.append((clock.request_id, next_at(dues, until)))
        missed += [(clock, due) for due in missing]
        tx.traces[clock.request_id] = clock.traceparent
        for due in missing:
            _say_target(tx, clock, due)
        if tx.now < clock.due_at:  # an overdue request is a graver matter, and said as such
            told += [(clock, due) for due in latest_for_each(missing)]
    await repository.update(tx.connection, ("next_target_at",), moved)
    await repository.miss(tx.connection, missed)
    for name, number in Counter(due.name for _, due in missed).items():
        tx.after_commit(partial(metrics.TARGETS_MISSED.labels(name).inc, number))
    return len(clocks), told


async def questions(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
    """Nobody is left in silence (Art. 12(4)): says of each question only the latest notice that matters."""
    moved = []
    found = await repository.due_questions(tx.connection, until, limit)
    for clock, question in found:
        dues = notices_of(question, clock, policy)
        looked_at = replace(question, next_notice_at=next_at(dues, until))
        if fresh := due_by(dues, None, until):
            tx.traces[clock.request_id] = clock.traceparent
            _say_notice(tx, clock, question, fresh[-1], ZoneInfo(policy.commitment.controller_zone))
            if fresh[-1].name == LAST_NOTICE:
                looked_at = replace(looked_at, last_notice_at=tx.now)
            else:
                looked_at = replace(looked_at, reminded_until=fresh[-1].at)
        moved.append(looked_at)
    await repository.save_notices(tx.connection, moved)
    return len(found), ()


async def deferrals(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
    """Says of each request which systems may keep no longer what they had to keep of its subject."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    found = await repository.due_deferrals(tx.connection, until, limit)
    found_of = groupby(sorted(found, key=lambda each: each[0].request_id), key=lambda each: each[0].request_id)
    for request_id, group in found_of:
        kept = list(group)
        clock, systems, due_at = kept[0][0], sorted(system for _, system, _ in kept), min(each[2] for each in kept)
        due_on = due_at.astimezone(zone).date()
        detail: dict[str, JsonValue] = {"systems": [*systems], "due_on": due_on.isoformat()}
        tx.traces[request_id] = clock.traceparent
        tx.log_evidence(request_id, "erasure.due", detail | {"late": due_at + INCIDENT < tx.now})
        tx.publish(RetentionEnded.about(clock, systems=tuple(systems), due_on=due_on))
    places = [(clock.request_id, system) for clock, system, _ in found]
    await repository.set_deferrals(tx.connection, places, "released")
    return len(found), ()


SOURCES: tuple[Source, ...] = (
    *(milestones, targets, questions, redate, deferrals),
    forwarding.sweep,
)


async def run(running: Running, policy: TimeLimitPolicy, settings: DeadlineSettings, fulfilments: Fulfilments) -> None:
    """Sweeps for as long as the service runs."""
    await Sweep(running.unit_of_work, policy, settings, fulfilments, running.heartbeats).run(running.stopping)


@dataclass(frozen=True)
class Sweep:
    """Sweeps every source again and again, a batch in a transaction."""

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    settings: DeadlineSettings
    fulfilments: Fulfilments
    heartbeats: Heartbeats

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweeps until told to stop; after an outage it catches up batch by batch, without a pause."""
        while not stopping.is_set():
            try:
                if self.settings.batch in [await self.tick(source) for source in SOURCES]:
                    continue
                for kind in notifications.DAILY:
                    await self.say_daily(kind)
            except (*AWAY, *AGAIN) as error:
                log.warning("sweep waits for the database: %s", type(error).__name__)
            await sleep_until_stopped(self.settings.sweep_seconds, "sweep", stopping, self.heartbeats)

    async def tick(self, source: Source) -> int:
        """Says what is due of one batch; returns how many rows it looked at.

        A step may have been taken and not be heard of yet, as after an outage: no target is judged beyond what was
        heard.
        """
        self.heartbeats.beat("sweep")
        behind = timedelta(0)
        if source is targets:
            unheard = self.heartbeats.behind_seconds(loop_of(ServiceName.DEADLINE))
            if unheard == math.inf:
                return 0
            behind = timedelta(seconds=unheard + self.settings.on_the_way_seconds)
        async with self.unit_of_work.begin() as tx:
            rows, told = await source(tx, tx.now - behind, self.settings.batch, self.policy)
            await notifications.tell(self.fulfilments, tx, told)
        return rows

    async def say_daily(self, kind: str) -> bool:
        """Writes the digest or the daily alert when its hour has come; returns whether it did, which is once a day."""
        async with self.unit_of_work.begin() as tx:
            hour = self.settings.digest_hour
            return await notifications.say_daily(self.fulfilments, tx, kind, hour, self.policy)


def _say_milestone(tx: UnitOfWork, clock: Clock, due: Due) -> None:
    day: dict[str, JsonValue] = {"due_on": due.day.isoformat()}
    if due.days_left is not None:
        tx.log_evidence(clock.request_id, "deadline.approaching", {"days_left": due.days_left, **day})
        tx.publish(DeadlineApproaching.about(clock, occurred_at=tx.now, due_on=due.day, days_left=due.days_left))
    else:
        ended = due.name.removeprefix("overdue_")
        tx.log_evidence(clock.request_id, "deadline.overdue", {"clock": ended, **day})
        tx.publish(DeadlineOverdue.about(clock, occurred_at=tx.now, due_on=due.day, clock=ended))


def _say_target(tx: UnitOfWork, clock: Clock, due: Due) -> None:
    (escalate_to,) = due.escalate_to
    detail = {"target": due.name, "target_on": due.day.isoformat(), "escalate_to": escalate_to}
    tx.log_evidence(clock.request_id, "deadline.target_missed", detail)
    tx.publish(TargetMissed.about(clock, target=due.name, target_on=due.day, escalate_to=escalate_to))


def _say_notice(tx: UnitOfWork, clock: Clock, question: AskedQuestion, due: Due, zone: ZoneInfo) -> None:
    asked, open_since = question.question, arrival_date(question.asked_at, clock.zones)
    days_open = (tx.now.astimezone(zone).date() - open_since).days
    detail: dict[str, JsonValue] = {"question": asked, "notice": due.name, "days_open": days_open}
    tx.log_evidence(clock.request_id, "deadline.question_unanswered", detail)
    event = QuestionUnanswered.about(
        clock, question_id=question.question_id, question=asked.value, notice=due.name, days_open=days_open
    )
    tx.publish(event)
