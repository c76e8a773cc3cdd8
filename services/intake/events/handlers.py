"""Handles the events that intake consumes; each moves its request from the newest state within the batch."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from services.intake.actions import answering
from services.intake.delivery import outcomes
from services.intake.letters import correspondence
from services.intake.letters.rendering import Letters
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

ASKING = "question_sent"
"""The target of the staff by which a question should have been sent."""


class Handlers:
    """One method per cause that the other services publish."""

    def __init__(self, letters: Letters, policy: TimeLimitPolicy) -> None:
        self._letters = letters
        self._policy = policy

    @classmethod
    def configured(cls) -> Self:
        """Reads the letters and the time limits of the policy; raises ``Misconfigured``."""
        policy = PolicySettings().read_time_limits()
        calendar(policy.commitment.staff_calendar)  # what is read once is not read while a request waits
        return cls(Letters(), policy)

    def subscribe(self, service: Service) -> None:
        """Subscribes to events."""
        service.on(FulfilmentCompleted, self.complete)
        service.on(FulfilmentBlocked, self.block)
        service.on(FulfilmentReported, self.report)
        service.on(FulfilmentPostponed, self.postpone)
        service.on(ErasurePlanned, self.plan)
        service.on(TimerFired, self.fired)
        service.on(NoticeSettled, self.settle)
        service.on(MailReceived, self.receive_mail)

    async def complete(self, events: Sequence[FulfilmentCompleted], tx: UnitOfWork) -> None:
        """Close requests whose downstreams have all done their part."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                weighed = request.waits_for_weighing(event)
                if request.is_renewed and event.operation == Operation.EXPORT:
                    await requests.apply(request.package_rebuilt(event))
                    continue
                await requests.apply(request.restricted(event) if weighed else request.complete(event, tx.now))

    async def block(self, events: Sequence[FulfilmentBlocked], tx: UnitOfWork) -> None:
        """Ask the requester for proof, or by what else they are known, where that was wanting; else ask a person."""
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
        """Let erasures wait that have found whose they are, and that others of the same person come first."""
        async with self._locked(events, tx) as requests:
            await other_requests.awaits(tx.connection, {event.request_id: event.awaits for event in events})
            for event in events:
                yielding = requests[event.request_id].yield_to(event.awaits, opposed=event.opposed)
                await requests.apply(yielding)

    async def plan(self, events: Sequence[ErasurePlanned], tx: UnitOfWork) -> None:
        """Keep what an erasure would do, for who asked; the request is as it was."""
        await plans.keep(tx, events)

    async def report(self, events: Sequence[FulfilmentReported], tx: UnitOfWork) -> None:
        """Answer as two people have decided, now that it is known what is done (Art. 12(4))."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                if event.so_far:
                    await requests.apply(request.stopped_so_far(event))
                    continue
                words = await answering.words(tx, request) if request.awaits_report else {}
                await requests.apply(request.report(event, words, tx.now))

    async def fired(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Acts on each kind of timer; a retention that has ended is the erasure service's."""
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
        """Write reminders and last notices (Art. 12(4)), and close what cannot go on without an answer (REQ-T9)."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                open_still = request.awaits_answer_to(event.question_id)
                words = await correspondence.words_of(tx, self._letters, request) if open_still else ""
                after = await requests.apply(request.unanswered(event, words, tx.now))
                if after.decided and not request.decided:
                    await answering.forget(tx, request)

    async def warn(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Show the milestone with the request, and ask who they are if the staff have not asked in time.

        Without a question nothing would follow. A request that is due before the target of asking would end has no such
        target: the warnings of its own limit take its place.
        """
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests.get(event.request_id)
                if request is None:
                    continue
                request = await requests.apply(request.warn(_name(event)))
                late = event.kind is not TimerKind.TARGET or event.step == ASKING
                if late and request.question is None and request.state is State.AWAITING_IDENTITY:
                    await self._ask(requests, request, Question.IDENTITY)

    async def controller_silent(self, events: Sequence[TimerFired], tx: UnitOfWork) -> None:
        """Remind a customer of what was passed on to them, by a letter to them."""
        async with self._locked(events, tx) as requests:
            for event in events:
                request = requests[event.request_id]
                name = await correspondence.controller(tx, request, to_subject=False)
                await requests.apply(request.controller_is_silent(event, name or ""))

    async def settle(self, events: Sequence[NoticeSettled], tx: UnitOfWork) -> None:
        """Move each request by what became of its letter: the subject knows, or a person must see to it."""
        for event in events:
            if event.fault:
                await outcomes.stopped(tx, self._letters, event.notice_id, event.fault)
            else:
                await outcomes.sent(tx, self._letters, event.notice_id, by_mail=event)

    async def receive_mail(self, events: Sequence[MailReceived], tx: UnitOfWork) -> None:
        """Put mails before a person, or with the request of the letter that they answer."""
        for event in events:
            await inbox.take(tx, self._letters, event)

    async def _ask(self, requests: Requests, request: Request, asked: Question) -> None:
        words = self._letters.words(letter_kinds.asked(asked, request), self._letters.reader(request))
        await requests.apply(await correspondence.ask(requests.tx, request, asked, words, recorded=False))

    @asynccontextmanager
    async def _locked(self, events: Sequence[Event], tx: UnitOfWork) -> AsyncIterator[Requests]:
        """The requests that the events are about; written when the block ends."""
        requests = await Requests.locked(tx, self._letters, [event.request_id for event in events])
        for event in events:
            if (request := requests.get(event.request_id)) and request.right is not event.right:
                raise Unreadable("its right is not the request's: only the service that works a right reports on it")
        yield requests
        await requests.save()


def _name(event: TimerFired) -> str:
    if event.kind is TimerKind.TARGET:
        return f"target_{event.step}"
    return f"due_in_{event.days}_days" if event.step == "approaching" else event.step
