"""What deadline does with its events; each handler gets a batch and leaves commit and retry to the engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from services.deadline import deferrals, forwarding, notifications, repository, transitions
from services.deadline.clock import AskedQuestion, Clock, Step, notices_of
from shared.app.service import Service
from shared.domain.events import (
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
    RetryDecided,
)
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.suspension import asked_in_time, not_counted
from shared.domain.time_limit import Timeliness
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.handlers import move_due_dates
from shared.messaging.unit_of_work import UnitOfWork

_NEVER_EXTENDED = """
DELETE FROM clock_before WHERE request_id = ANY($1) AND cause = 'extended' RETURNING request_id, due_on
"""
_NEVER_ASKED = "DELETE FROM question WHERE question_id = ANY($1)"


class Deadlines:
    """The handlers, by one policy."""

    def __init__(self, policy: TimeLimitPolicy, fulfilments: Fulfilments) -> None:
        self._policy = policy
        self._fulfilments = fulfilments
        self._zone = policy.commitment.controller_zone

    def subscribe(self, service: Service) -> None:
        """Says which event is handled how."""
        service.on(RequestReceived, self.received)
        service.on(RequestVerified, self.verified)
        service.on(QuestionSent, self.asked)
        service.on(QuestionAnswered, self.answered)
        service.on(RequestExtended, self.extended)
        service.on(RequestForwarded, self.forwarded)
        service.on(ControllerReplied, self.replied)
        service.on(RequestRedated, self.redated)
        service.on(RequestClosed, self.closed)
        service.on(RequestReopened, self.reopened)
        service.on(LetterReturned, self.returned)
        service.on(PartAnswered, self.part_answered)
        service.on(FulfilmentCompleted, self.fulfilled)
        service.on(FulfilmentBlocked, partial(deferrals.track, self._zone), right=Right.ERASURE)
        service.on(RetryDecided, deferrals.let_go, right=Right.ERASURE)

    async def received(self, events: Sequence[RequestReceived], tx: UnitOfWork) -> None:
        """Computes the dates of a request, once, and starts its clock."""
        clocks = [transitions.start(event, self._policy, tx.traces.get(event.request_id)) for event in events]
        await repository.insert(tx.connection, clocks)
        for clock in clocks:
            computed = clock.dates | {"calc_version": clock.calc_version}
            del computed["received_at"]
            tx.log_evidence(clock.request_id, "deadline.computed", computed)

    async def verified(self, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        """The request is triaged, and whoever talks to the subject may know of it, if it stays open for a while.

        Of a customer's instruction nobody who talks to our own customers is told.
        """
        await repository.take(tx.connection, Step.TRIAGED, _requests(events))
        ours = [event for event in events if event.tenant is None]
        if ours and self._fulfilments.plans[Operation.FLAG]:
            held = await repository.hold(tx.connection, _requests(ours))
            await repository.save(tx.connection, [transitions.verify(clock, tx.now, self._policy) for clock in held])

    async def asked(self, events: Sequence[QuestionSent], tx: UnitOfWork) -> None:
        """A question opens a suspension; whether it stops the statutory clock, or why not, is put on record."""
        await repository.take(tx.connection, Step.TRIAGED, _requests(events))
        held = {clock.request_id: clock for clock in await repository.hold(tx.connection, _requests(events))}
        asked = []
        for event in events:
            sent = (Question(event.question), event.asked_at, None, event.condition_recorded)
            question = AskedQuestion(*sent, event.question_id, event.request_id)
            if clock := held.get(event.request_id):
                reason = not_counted(question, clock.arrival, self._policy.regime_of(clock.calendar), self._policy)
                detail: dict[str, JsonValue] = {"question": event.question, "not_counted": reason}
                tx.log_evidence(event.request_id, "deadline.question_sent", detail)
                question = replace(question, in_time=asked_in_time(event.asked_at, clock.arrival, self._policy))
            asked.append(question)
        await repository.insert_questions(tx.connection, asked)
        await self._change(tx, "question_sent", events, transitions.recount)

    async def answered(self, events: Sequence[QuestionAnswered], tx: UnitOfWork) -> None:
        """An answer closes a suspension: the statutory limit moves by the whole days between the two."""
        await repository.answer(tx.connection, {event.question_id: event.answered_at for event in events})
        for clock in await self._change(tx, "question_answered", events, transitions.recount):
            tx.log_evidence(clock.request_id, "deadline.question_answered", {})

    async def extended(self, events: Sequence[RequestExtended], tx: UnitOfWork) -> None:
        """Two persons have extended the time limit: from now on the new day counts, and two further months by law."""
        reasons = {event.request_id: event.reason for event in events}
        for clock in await self._change(tx, "extended", events, transitions.extend):
            action = "deadline.extended" if clock.extended else "deadline.extension_too_late"
            tx.log_evidence(clock.request_id, action, {"reason": reasons[clock.request_id]})

    async def redated(self, events: Sequence[RequestRedated], tx: UnitOfWork) -> None:
        """The receipt was corrected, or the policy or a calendar has changed: every date is computed anew."""
        for cause in dict.fromkeys(event.cause for event in events):
            of_cause = [event for event in events if event.cause == cause]
            await self._change(tx, cause, of_cause, transitions.redate)

    async def forwarded(self, events: Sequence[RequestForwarded], tx: UnitOfWork) -> None:
        """A customer who decides about the data has the request: they are reminded if silent."""
        await repository.take(tx.connection, Step.TRIAGED, _requests(events))
        await forwarding.forwarded(tx, events, self._policy)

    async def replied(self, events: Sequence[ControllerReplied], tx: UnitOfWork) -> None:
        """The customer has replied: the ticket that asked for it is resolved."""
        await forwarding.replied(tx, events)
        clocks = (await repository.of(tx.connection, _requests(events))).values()
        answered = [clock for clock in clocks if clock.responded_at and not clock.outstanding]
        await notifications.release(self._fulfilments, tx, answered)

    async def closed(self, events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
        """Stops the clock of an answered request, says so if it was late, and warns nobody of it any more."""
        event_of = {event.request_id: event for event in events}
        responded_at = {event.request_id: event.responded_at for event in events}
        if ended := await repository.end_questions(tx.connection, responded_at):
            in_question = [event for event in events if event.request_id in ended]
            await self._change(tx, "closed_with_a_question", in_question, transitions.recount)
        stopped = []
        for clock in await repository.hold(tx.connection, list(event_of)):
            event = event_of[clock.request_id]
            done = transitions.stop(clock, event, self._policy)
            day, _ = transitions.judged_by(clock, event.outcome, self._policy)
            how = {"timeliness": done.timeliness}
            tx.log_evidence(clock.request_id, "deadline.stopped", {**how, "due_on": day.isoformat()})
            if done.timeliness is not Timeliness.ON_TIME:
                tx.log_evidence(clock.request_id, "deadline.missed", {**how})
            stopped.append(done)
        if stopped:
            await repository.save(tx.connection, stopped)
            await notifications.release(self._fulfilments, tx, [each for each in stopped if not each.outstanding])
        if no_longer := [event for event in events if event.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED}]:
            await repository.drop_deferrals(tx.connection, _requests(no_longer))

    async def part_answered(self, events: Sequence[PartAnswered], tx: UnitOfWork) -> None:
        """Something that was owed of an answered request is done; with the last of it nobody is warned any more.

        Or it is owed again, while a package is made anew: then it is watched as it was before the answer.
        """
        event_of = {event.request_id: event for event in events}
        held = await repository.hold(tx.connection, list(event_of), stopped=True)
        after = [
            transitions.part(clock, event, self._policy)
            for clock in held
            if _is_owed(clock, event := event_of[clock.request_id])
        ]
        await repository.save(tx.connection, after)
        for clock in after:
            detail: dict[str, JsonValue] = {"outstanding": [*clock.outstanding], "timeliness": clock.timeliness}
            tx.log_evidence(clock.request_id, "deadline.part_answered", detail)
        await notifications.release(self._fulfilments, tx, [clock for clock in after if not clock.outstanding])

    async def reopened(self, events: Sequence[RequestReopened], tx: UnitOfWork) -> None:
        """An answer came after the last notice: the clock runs again, until the day that the subject was told."""
        await repository.answer(tx.connection, {event.question_id: event.answered_at for event in events}, late=True)
        for clock in await self._change(tx, "reopened", events, transitions.resume, stopped=True):
            tx.log_evidence(clock.request_id, "deadline.reopened", {"due_on": clock.due_on.isoformat()})

    async def returned(self, events: Sequence[LetterReturned], tx: UnitOfWork) -> None:
        """A letter has come back: of an answer the clock runs again; it was never extended, nor the question asked."""
        await tx.connection.execute(_NEVER_ASKED, [each.question_id for each in events if each.question_id])
        asked = [event for event in events if event.what == "question"]
        await self._change(tx, "question_returned", asked, transitions.recount)
        extensions = [event for event in events if event.what == "extension"]
        rows = await tx.connection.fetch(_NEVER_EXTENDED, _requests(extensions))
        before: dict[UUID, date] = {request_id: day for request_id, day in rows}  # noqa: C416  # rows are no pairs
        extended = [event for event in extensions if event.request_id in before]

        def shortened(clock: Clock, event: LetterReturned, policy: TimeLimitPolicy) -> Clock:
            return transitions.shorten(clock, before[clock.request_id], event, policy)

        for clock in await self._change(tx, "extension_returned", extended, shortened):
            tx.log_evidence(clock.request_id, "deadline.extension_returned", {"due_on": clock.due_on.isoformat()})
        answers = [event for event in events if event.what == "answer"]
        for clock in await self._change(tx, "answer_returned", answers, transitions.run_on, stopped=True):
            tx.log_evidence(clock.request_id, "deadline.runs_on", {"due_on": clock.due_on.isoformat()})

    async def fulfilled(self, events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
        """Every downstream has done its part of the request; what one of them had to keep is kept in mind."""
        await repository.take(tx.connection, Step.COLLECTED, _requests(events))
        await deferrals.track(self._zone, events, tx)

    async def _change(
        self,
        tx: UnitOfWork,
        cause: str,
        events: Sequence[Any],
        change: Callable[[Clock, Any, TimeLimitPolicy], Clock],
        *,
        stopped: bool = False,
    ) -> list[Clock]:
        """Changes the clocks of these requests as the last event of each says; returns the new ones.

        Which dates moved is put on record, and the work on those requests follows their due dates.
        """
        event_of = {event.request_id: event for event in events}
        held = await repository.hold(tx.connection, list(event_of), stopped=stopped)
        after = [change(clock, event_of[clock.request_id], self._policy) for clock in held]
        moved = [(old, new) for old, new in zip(held, after, strict=True) if old.dates != new.dates]
        await repository.keep_before(tx.connection, [old for old, _ in moved], cause)
        await repository.save(tx.connection, after)
        await repository.save_notices(
            tx.connection,
            [
                replace(question, next_notice_at=notices_of(question, clock, self._policy)[0].at)
                for clock in after
                for question in clock.questions
                if question.answered_at is None and question.last_notice_at is None
            ],
        )
        for old, new in moved:
            dates: dict[str, JsonValue] = {"before": {**old.dates}, "after": {**new.dates}}
            tx.log_evidence(
                new.request_id, "deadline.recomputed", {"cause": cause, **dates, "calc_version": new.calc_version}
            )
        if moved:
            await move_due_dates(tx, {new.request_id: new.due_on for _, new in moved})
        return after


def _is_owed(clock: Clock, event: PartAnswered) -> bool:
    return bool(clock.outstanding or event.outstanding)


def _requests(events: Sequence[Event]) -> list[UUID]:
    return [event.request_id for event in events]
