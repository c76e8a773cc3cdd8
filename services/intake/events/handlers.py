"""Handles the events that intake consumes; each moves its request from the newest state within the batch."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from services.intake.actions import answering
from services.intake.delivery import outcomes
from services.intake.letters import sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.mail import inbox
from services.intake.queries import plans
from services.intake.request import letter_kinds
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.store import other_requests
from services.intake.store.repository import Requests
from shared.app.service import Service
from shared.domain.events import (
    ErasurePlanned,
    Event,
    FulfilmentBlocked,
    FulfilmentCompleted,
    FulfilmentPostponed,
    FulfilmentReported,
    MailReceived,
    NoticeSettled,
    TimerFired,
    TimerKind,
)
from shared.domain.operations import Operation
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.domain.working_days import calendar
from shared.messaging.dispatcher import Unreadable
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.settings import PolicySettings

QUESTION_SENT_TARGET = "question_sent"
"""The target of the staff by which a question should have been sent."""


class EventHandlers:
    """Handles each event class by one method; each moves its requests."""

    def __init__(self, letters: LetterFacts, policy: TimeLimitPolicy) -> None:
        self._letters = letters
        self._policy = policy

    @classmethod
    def configured(cls) -> Self:
        """Reads the letters and the time limits of the policy; raises ``Misconfigured``."""
        policy = PolicySettings().read_time_limits()
        calendar(policy.commitment.staff_calendar)  # what is read once is not read while a request waits
        return cls(LetterFacts(), policy)

    def subscribe(self, service: Service) -> None:
        """Subscribes to events."""
        service.on(FulfilmentCompleted, self.complete)
        service.on(FulfilmentBlocked, self.block)
        service.on(FulfilmentReported, self.report)
        service.on(FulfilmentPostponed, self.postpone)
        service.on(ErasurePlanned, self.plan)
        service.on(TimerFired, self.dispatch_timers)
        service.on(NoticeSettled, self.settle)
        service.on(MailReceived, self.receive_mail)

    async def complete(self, events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
        """Closes requests whose systems have all completed their tasks."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                weighed = request.waits_for_weighing(event)
                if request.is_renewed and event.operation == Operation.EXPORT:
                    await requests.apply(request.package_rebuilt(event))
                    continue
                await requests.apply(request.restricted(event) if weighed else request.complete(event, tx.now))

    async def block(self, events: Sequence[FulfilmentBlocked], tx: UnitOfWork) -> None:
        """Asks the requester for proof or further identities if those were missing; otherwise asks an officer."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                if request.is_renewed and event.operation == Operation.EXPORT:
                    await requests.apply(request.renewal_blocked(event))
                    continue
                asked = None if event.deferred else request.may_be_asked(event.tasks)
                if asked is None:
                    await requests.apply(request.block(event))
                else:
                    known = replace(request, tasks=request.reports_with(event.tasks))
                    await self._ask(requests, known, asked)

    async def postpone(self, events: Sequence[FulfilmentPostponed], tx: UnitOfWork) -> None:
        """Postpones erasures until other requests of the same person are answered."""
        async with self._locked(events, tx) as requests:
            await other_requests.record_waits(tx.connection, {event.request_id: event.awaits for event in events})
            for event in events:
                yielding = requests[event.request_id].wait_for_requests(event.awaits, opposed=event.opposed)
                await requests.apply(yielding)

    async def plan(self, events: Sequence[ErasurePlanned], tx: UnitOfWork) -> None:
        """Stores the preview of an erasure; the request does not change."""
        await plans.store_previews(tx, events)

    async def report(self, events: Sequence[FulfilmentReported], tx: UnitOfWork) -> None:
        """Answers a request as two people have decided, once the work done is known (Art. 12(4))."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                if event.so_far:
                    await requests.apply(request.stopped_so_far(event))
                    continue
                words = await answering.words(tx, request) if request.awaits_report else {}
                await requests.apply(request.report(event, words, tx.now))

    async def dispatch_timers(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Calls the handler of each timer kind; the erasure service handles retention timers."""
        handlers = {
            TimerKind.QUESTION: self.unanswered,
            TimerKind.CUSTOMER: self.controller_silent,
            TimerKind.MILESTONE: self.warn,
            TimerKind.TARGET: self.warn,
        }
        for kind, handler in handlers.items():
            if of_kind := [event for event in events if event.kind is kind]:
                await handler(of_kind, tx)

    async def unanswered(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Sends reminders and last notices (Art. 12(4)), and closes requests that need an answer to go on (REQ-T9)."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                open_still = request.awaits_answer_to(event.question_id)
                words = await sealed_letters.question_text(tx, self._letters, request) if open_still else ""
                after = await requests.apply(request.unanswered(event, words, tx.now))
                if after.decided and not request.decided:
                    await answering.forget(tx, request)

    async def warn(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Shows the milestone of a request; sends the identity question if staff have missed its target.

        Without a question nothing would follow. A request that is due before the target of asking would end has no such
        target: the warnings of its own limit take its place.
        """
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests.get(event.request_id)
                if request is None:
                    continue
                request = await requests.apply(request.warn(_milestone_name(event)))
                late = event.kind is not TimerKind.TARGET or event.step == QUESTION_SENT_TARGET
                if late and request.question is None and request.state is State.AWAITING_IDENTITY:
                    await self._ask(requests, request, Question.IDENTITY)

    async def controller_silent(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Reminds a customer of a forwarded request by letter."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                name = await sealed_letters.controller_name(tx, request, to_subject=False)
                await requests.apply(request.controller_is_silent(event, name or ""))

    async def settle(self, events: Sequence[NoticeSettled], tx: UnitOfWork) -> None:
        """Applies the result of each delivery: sent, or failed and to be handled by an officer."""
        for event in events:
            if event.fault:
                await outcomes.record_failed(tx, self._letters, event.notice_id, event.fault)
            else:
                await outcomes.record_sent(tx, self._letters, event.notice_id, by_mail=event)

    async def receive_mail(self, events: Sequence[MailReceived], tx: UnitOfWork) -> None:
        """Stores received mails, each with the request that it answers, if any."""
        for event in events:
            await inbox.receive(tx, self._letters, event)

    async def _ask(self, requests: Requests, request: Request, asked: Question) -> None:
        words = self._letters.words(letter_kinds.question_wording(asked, request), self._letters.reader(request))
        await requests.apply(await sealed_letters.ask_question(requests.tx, request, asked, words, recorded=False))

    @asynccontextmanager
    async def _locked(self, events: Sequence[Event], tx: UnitOfWork) -> AsyncIterator[Requests]:
        """Locks the requests of these events, and saves them when the block ends."""
        requests = await Requests.locked(tx, self._letters, [event.request_id for event in events])
        for event in events:
            if (request := requests.get(event.request_id)) and request.right is not event.right:
                raise Unreadable("its right is not the request's: only the service that works a right reports on it")
        yield requests
        await requests.save()


def _milestone_name(event: TimerFired) -> str:
    if event.kind is TimerKind.TARGET:
        return f"target_{event.step}"
    return f"due_in_{event.days}_days" if event.step == "approaching" else event.step
