"""Handles events of requests: each handler gets a batch and leaves commit and retry to the engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from services.deadline import clock as clocks
from services.deadline import notifications, repository, retention
from services.deadline.clock import FLAG, TRIAGED, AskedQuestion, RequestClock, Timer
from shared.app.service import Service
from shared.domain.events import (
    ArrivalFacts,
    ControllerReplied,
    Event,
    FulfilmentBlocked,
    FulfilmentCompleted,
    LetterReturned,
    PartAnswered,
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
    RequestExtended,
    RequestForwarded,
    RequestReceived,
    RequestRedated,
    RequestReopened,
    RequestVerified,
    RetryRequested,
    TimerKind,
)
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import Timeliness, asked_in_time, not_counted
from shared.domain.time_limit_policy import Question, TargetName, TimeLimitPolicy
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.handlers import move_due_dates
from shared.messaging.unit_of_work import UnitOfWork

_NOTHING_LATER = "DELETE FROM timer WHERE request_id = ANY($1) AND kind = 'retention' AND reported <> 'done'"
Change = Callable[[RequestClock, Any, TimeLimitPolicy], RequestClock]


class Deadlines:
    """Handles events by one policy."""

    def __init__(self, policy: TimeLimitPolicy, fulfilments: Fulfilments) -> None:
        self._policy = policy
        self._fulfilments = fulfilments

    def subscribe(self, service: Service) -> None:
        """Subscribes each handler to its event."""
        service.on(RequestReceived, self.received)
        service.on(RequestVerified, self.verified)
        service.on(QuestionSent, self.asked)
        service.on(QuestionAnswered, self.answered)
        service.on(RequestExtended, partial(self.change, "extended", clocks.extend))
        service.on(RequestForwarded, self.forwarded)
        service.on(ControllerReplied, self.replied)
        service.on(RequestRedated, partial(self.change, "redated", clocks.redate))
        service.on(RequestClosed, self.closed)
        service.on(RequestReopened, self.reopened)
        service.on(LetterReturned, self.returned)
        service.on(PartAnswered, self.part_answered)
        service.on(FulfilmentCompleted, self.fulfilled)
        service.on(FulfilmentBlocked, retention.track, right=Right.ERASURE)
        service.on(RetryRequested, retention.let_go, right=Right.ERASURE)

    async def received(self, events: Sequence[RequestReceived], tx: UnitOfWork) -> None:
        """Computes the dates of a request once and starts its clock."""
        await self._start([(event, event) for event in events], tx)

    async def _start(
        self,
        arrived: Sequence[tuple[RequestReceived | RequestVerified, RequestReceived | ArrivalFacts]],
        tx: UnitOfWork,
    ) -> None:
        started = [
            clocks.start(event, facts, self._policy, tx.traces.get(event.request_id)) for event, facts in arrived
        ]
        await repository.insert(tx.connection, started)
        for clock in started:
            computed = clock.dates | {"calc_version": clock.calc_version}
            del computed["received_at"]
            tx.log_evidence(clock.request_id, "deadline.computed", computed)

    async def verified(self, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        """Meets the triage target; schedules the flag in the CRM, except for a customer's instruction.

        Starts the clock of a request that was verified on receipt.
        """
        await self._start([(event, event.arrival) for event in events if event.arrival], tx)
        if waited := [event for event in events if not event.arrival]:
            await repository.meet(tx.connection, _requests(waited), *TRIAGED)
        ours = [event.request_id for event in events if event.tenant is None]
        if ours and self._fulfilments.stages_of[Operation.FLAG]:
            at = tx.now + timedelta(minutes=self._policy.milestones.flag_after_minutes)
            await repository.flag(tx.connection, ours, at)

    async def asked(self, events: Sequence[QuestionSent], tx: UnitOfWork) -> None:
        """Opens a suspension; records whether it stops the statutory clock, or why not."""
        await repository.meet(tx.connection, _requests(events), *TRIAGED)
        locked = {clock.request_id: clock for clock in await repository.lock_clocks(tx.connection, _requests(events))}
        asked = []
        for event in events:
            sent = (Question(event.question), event.asked_at, None, event.condition_recorded)
            question = AskedQuestion(*sent, event.question_id, event.request_id)
            if clock := locked.get(event.request_id):
                reason = not_counted(question, clock.arrival, self._policy.regime_of(clock.calendar), self._policy)
                detail: dict[str, JsonValue] = {"question": event.question, "not_counted": reason}
                tx.log_evidence(event.request_id, "deadline.question_sent", detail)
                question = replace(question, in_time=asked_in_time(event.asked_at, clock.arrival, self._policy))
            asked.append(question)
        await repository.insert_questions(tx.connection, asked)
        timers = [
            (each.request_id, Timer(TimerKind.QUESTION, str(each.question_id)))
            for each in asked
            if each.request_id in locked
        ]
        await repository.put_timers(tx.connection, timers)
        await self.change("question_sent", clocks.recount, events, tx)

    async def answered(self, events: Sequence[QuestionAnswered], tx: UnitOfWork) -> None:
        """Closes a suspension; the statutory limit moves by the whole days between question and answer."""
        await repository.answer(tx.connection, {event.question_id: event.answered_at for event in events})
        await self.change("question_answered", clocks.recount, events, tx)

    async def forwarded(self, events: Sequence[RequestForwarded], tx: UnitOfWork) -> None:
        """Starts reminders to the customer who has the request."""
        await repository.meet(tx.connection, _requests(events), *TRIAGED)
        await self.change("forwarded", clocks.forward, events, tx)

    async def replied(self, events: Sequence[ControllerReplied], tx: UnitOfWork) -> None:
        """Ends the reminders to a customer who has replied, and resolves the ticket."""
        requests = _requests(events)
        await repository.drop_timers(tx.connection, [(each, TimerKind.CUSTOMER, "") for each in requests])
        known = (await repository.of(tx.connection, requests)).values()
        answered = [clock for clock in known if clock.responded_at and not clock.outstanding]
        await notifications.release(self._fulfilments, tx, answered)

    async def closed(self, events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
        """Stops the clock of an answered request, records whether it was late, and ends its warnings."""
        event_of = {event.request_id: event for event in events}
        responded_at = {event.request_id: event.responded_at for event in events}
        ended = await repository.end_questions(tx.connection, responded_at)
        locked, stopped = await repository.lock_clocks(tx.connection, list(event_of)), []
        for clock in locked:
            event = event_of[clock.request_id]
            counted = clocks.recount(clock, event, self._policy) if clock.request_id in ended else clock
            done = clocks.stop(counted, event, self._policy)
            day, _ = clocks.timeliness_of(counted, event.outcome, self._policy)
            how = {"timeliness": done.timeliness}
            tx.log_evidence(clock.request_id, "deadline.stopped", {**how, "due_on": day.isoformat()})
            if done.timeliness is not Timeliness.ON_TIME:
                tx.log_evidence(clock.request_id, "deadline.missed", {**how})
            stopped.append(done)
        if stopped:
            await repository.save(tx.connection, locked, stopped)
            await repository.drop_timers(tx.connection, [(each.request_id, FLAG, "") for each in stopped])
            await notifications.release(self._fulfilments, tx, [each for each in stopped if not each.outstanding])
        if no_longer := [event for event in events if event.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED}]:
            await tx.connection.execute(_NOTHING_LATER, _requests(no_longer))

    async def part_answered(self, events: Sequence[PartAnswered], tx: UnitOfWork) -> None:
        """Records a part that was owed; the warnings end with the last part. A part may also be owed again."""
        event_of = {event.request_id: event for event in events}
        found = await repository.lock_clocks(tx.connection, list(event_of), stopped=True)
        locked = [each for each in found if each.outstanding or event_of[each.request_id].outstanding]
        after = [clocks.part(clock, event_of[clock.request_id], self._policy) for clock in locked]
        await repository.save(tx.connection, locked, after)
        for clock in after:
            detail: dict[str, JsonValue] = {"outstanding": [*clock.outstanding], "timeliness": clock.timeliness}
            tx.log_evidence(clock.request_id, "deadline.part_answered", detail)
        await notifications.release(self._fulfilments, tx, [clock for clock in after if not clock.outstanding])

    async def reopened(self, events: Sequence[RequestReopened], tx: UnitOfWork) -> None:
        """Restarts the clock after a late reply, until the new due date."""
        await repository.answer(tx.connection, {event.question_id: event.answered_at for event in events}, late=True)
        await self.change("reopened", clocks.resume, events, tx, stopped=True)

    async def returned(self, events: Sequence[LetterReturned], tx: UnitOfWork) -> None:
        """Handles a returned letter: restarts the clock of an answer, or undoes an extension or a question."""
        asked = [event for event in events if event.question_id]
        query = "DELETE FROM question WHERE question_id = ANY($1)"
        await tx.connection.execute(query, [event.question_id for event in asked])
        keys = [(event.request_id, TimerKind.QUESTION, str(event.question_id)) for event in asked]
        await repository.drop_timers(tx.connection, keys)
        changes = {"question": clocks.recount, "extension": clocks.shorten, "answer": clocks.run_on}
        for what, change in changes.items():
            of_kind = [event for event in events if event.what == what]
            await self.change(f"{what}_returned", change, of_kind, tx, stopped=what == "answer")

    async def fulfilled(self, events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
        """Meets the collection target, and schedules the erasure of retained data."""
        await repository.meet(tx.connection, _requests(events), TargetName.COLLECTION)
        await retention.track(events, tx)

    async def change(
        self, cause: str, change: Change, events: Sequence[Any], tx: UnitOfWork, *, stopped: bool = False
    ) -> None:
        """Changes the clocks of these requests by the last event of each.

        Records dates that moved, and moves the due dates of the work on these requests.
        """
        event_of = {event.request_id: event for event in events}
        locked = await repository.lock_clocks(tx.connection, list(event_of), stopped=stopped) if events else []
        after = [change(clock, event_of[clock.request_id], self._policy) for clock in locked]
        await repository.save(tx.connection, locked, after)
        moved = {}
        for old, new in zip(locked, after, strict=True):
            if old.dates != new.dates:
                moved[new.request_id] = new.due_on
                why = getattr(event_of[new.request_id], "cause", cause)
                dates: dict[str, JsonValue] = {"cause": why, "before": {**old.dates}, "after": {**new.dates}}
                dates["calc_version"] = new.calc_version
                tx.log_evidence(new.request_id, "deadline.recomputed", dates)
            elif cause == "extended" and not new.extended:
                tx.log_evidence(new.request_id, "deadline.extension_too_late", {})
        if moved:
            await move_due_dates(tx, moved)


def _requests(events: Sequence[Event]) -> list[UUID]:
    return [event.request_id for event in events]
