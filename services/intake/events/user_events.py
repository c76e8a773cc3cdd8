"""Consumes the events of one emitter: a batch takes effect in one unit of work; what cannot is set aside by name.

Each emitter has a consumer, a group and pauses of its own, so that a flood or junk from one delays no other. What comes
faster than the key may submit waits on the topic.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from pydantic import ValidationError

from services.intake.access.auth import Caller
from services.intake.core.errors import (
    EventIdReused,
    Forbidden,
    MalformedEvent,
    NotDeclared,
    OrderUnknown,
    SubjectUsed,
    TooManyCalls,
)
from services.intake.events import envelope, subject_tokens
from services.intake.events.envelope import Envelope
from services.intake.events.reported_events import record_reported
from services.intake.events.subject_tokens import TokenContent, Tokens
from services.intake.submission.accepting import Submissions
from services.intake.submission.schemas import Submission
from services.intake.submission.writer import SubmissionBatch, SubmissionContext
from shared.app.service import Running, Service
from shared.domain import topics
from shared.domain.errors import DsrError
from shared.domain.rights import Right
from shared.domain.topics import Message
from shared.domain.user_events import (
    NUMBERS,
    REQUESTED,
    TYPES,
    ConsentWithdrawn,
    Emitter,
    RequestingEvent,
    RightRequested,
)
from shared.messaging import inbox
from shared.messaging.dispatcher import UNREADABLE, BatchDispatcher
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats

UNKNOWN = "unknown"
"""The metric label of an event of an unknown type."""


def subscribe_emitters(
    service: Service, emitters: Mapping[str, Emitter], submissions: Callable[[Running], Submissions]
) -> None:
    """Adds a consumer for each emitter to the service."""
    for name, emitter in emitters.items():
        service.add_consumer(partial(consume_emitter, name=name, emitter=emitter, submissions=submissions))


def consume_emitter(
    running: Running, name: str, emitter: Emitter, submissions: Callable[[Running], Submissions]
) -> tuple[BatchDispatcher, Sequence[str]]:
    """Builds the dispatcher of one emitter, and names its topic."""
    a_day = running.settings.kafka.dead_letters_a_day
    of = UserEventDispatcher(name, emitter, submissions(running), running.unit_of_work, a_day, running.heartbeats)
    return of, [topics.user_events(name)]


class UserEventDispatcher(BatchDispatcher):
    """Consumes the events of one emitter."""

    def __init__(
        self,
        name: str,
        emitter: Emitter,
        submissions: Submissions,
        unit_of_work: UnitOfWorkFactory,
        dead_letters_a_day: int,
        heartbeats: Heartbeats,
    ) -> None:
        super().__init__(unit_of_work, topics.user_events_group(name), dead_letters_a_day, heartbeats)
        self._name = name
        self._emitter = emitter
        self._submissions = submissions
        self._postponed: list[Message] = []
        self._retry_at = 0.0
        for kind in (*TYPES, UNREADABLE):  # at zero from the start, so that `rate()` sees the first one
            metrics.EVENTS.labels(unit_of_work.service, kind, "dead_letter")

    def kind_of(self, record: Message) -> str:
        kind = record.headers.get("ce_type", "")
        return kind if kind in TYPES else UNREADABLE

    def detail(self, error: Exception) -> str:
        """Returns the fault without quoting the record."""
        return str(error) if isinstance(error, DsrError) else super().detail(error)

    async def handle(self, records: Sequence[Message]) -> Sequence[Message]:
        """Handles a batch; events beyond the rate limit are returned, and fetched again later."""
        if asyncio.get_running_loop().time() < self._retry_at:
            return records
        unhandled = [*await super().handle(records), *self._postponed]
        self._postponed.clear()
        return unhandled

    async def apply(self, records: Sequence[Message], tx: UnitOfWork) -> None:
        """Applies the events that were not consumed before."""
        read = [envelope.read(record) for record in records]
        known = [each for each in read if each is not None]
        tx.after_commit(lambda: self._count([UNKNOWN] * (len(read) - len(known)), "ignored"))
        new = await _deduplicate(known, tx)
        if not new:
            return
        for each in new:
            if not self._emitter.may_say(each.type):
                raise NotDeclared(f"{self._name} may not send {each.type}: the file of emitters does not name it")
            if each.type in NUMBERS and each.partition:
                raise OrderUnknown(f"send {each.type} to partition 0: the topic of an emitter has that one alone")
        tokens = await Tokens.locked(tx, [each.event.subject for each in new], self._name)
        handled = dict[UUID, TokenContent]()
        events_of_key = Counter[str]()
        batches = list[SubmissionBatch]()
        for each in new:
            stated = tokens[each.event.subject]
            stated = replace(stated, caller=bounded_caller(self._emitter, stated.caller))
            if stated.token in handled:
                raise SubjectUsed("two events name it: post the identities again for another event")
            handled[stated.token] = stated
            if isinstance(each.event, RequestingEvent):
                events_of_key[stated.caller.key_id] += 1
                batches.append(self._batch_of(each, each.event, stated, events_of_key[stated.caller.key_id]))
            else:
                await record_reported(tx, self._name, self._emitter, each.event, stated, self._submissions.instants)
        await self._submissions.write(tx, batches)
        await subject_tokens.use_up(tx, handled.values())
        for one in batches:
            tx.after_commit(partial(self._submissions.count_event, one.context.caller))
        tx.after_commit(lambda: self._count([each.type for each in new]))

    def _batch_of(self, each: Envelope, event: RequestingEvent, stated: TokenContent, number: int) -> SubmissionBatch:
        evidence = {"emitter": self._name, "event": each.type}
        asked = _submission(each.type, event, stated)
        prepared = self._submissions.prepare_event(asked, stated.caller, stated.token, evidence, number)
        return SubmissionBatch(SubmissionContext(stated.caller, None, b"", each.traceparent), [prepared])

    async def _dead_letter(self, record: Message, error: Exception) -> bool:
        """Postpones events beyond the rate limit; strips malformed records of their content."""
        if isinstance(error, TooManyCalls):
            self._retry_at = asyncio.get_running_loop().time() + error.retry_after
            self._postponed.append(record)
            return False
        bare = replace(record, key=b"", value=b"", headers={}) if isinstance(error, MalformedEvent) else record
        return await super()._dead_letter(bare, error)


async def _deduplicate(events: Sequence[Envelope], tx: UnitOfWork) -> list[Envelope]:
    """Returns those that were not consumed before, each once; raises ``EventIdReused``."""
    ids = {each.event_id: each.content_id for each in reversed(events)}  # of several with an id the first counts
    fresh = await inbox.fresh(tx.connection, [*ids, *{each.content_id for each in events}], tx.now)
    if any(each.content_id in fresh and ids[each.event_id] != each.content_id for each in events) or any(
        content_id in fresh and event_id not in fresh for event_id, content_id in ids.items()
    ):
        raise EventIdReused("its source has sent another event under this id: send it again under an id of its own")
    return list({each.event_id: each for each in events if each.event_id in fresh}.values())


def bounded_caller(emitter: Emitter, caller: Caller) -> Caller:
    """Returns the caller with the emitter's highest assurance level; raises ``NotDeclared``."""
    if caller.grant.tenant != emitter.tenant:
        raise NotDeclared("the key that has posted the identities is not of the tenant of this emitter")
    return replace(caller, grant=caller.grant.at_most(emitter.level))


def require_emitter(emitters: Mapping[str, Emitter], caller: Caller) -> Caller:
    """Returns an emitter that posts, bounded by their file; raises ``Forbidden``."""
    emitter = emitters.get(caller.holder)
    if emitter is None:
        raise Forbidden("the holder of this key is no emitter: use the key whose holder the file of emitters names")
    try:
        return bounded_caller(emitter, caller)
    except NotDeclared as other:
        raise Forbidden(str(other)) from None


def _submission(kind: str, event: RequestingEvent, stated: TokenContent) -> Submission:
    """Builds the submission that an event asks for; raises ``MalformedEvent``."""
    if isinstance(event, RightRequested):
        asked = event.model_dump(exclude={"subject"})
    elif isinstance(event, ConsentWithdrawn):
        asked = {**event.model_dump(exclude={"subject", "purpose"}), "purposes": (event.purpose,)}
    else:
        asked = {"scope": "direct_marketing", "instruction_id": event.instruction_id}
    asked |= {"right": _right_of(kind), "received_at": event.received_at or stated.stated_at}
    try:
        return Submission.model_validate({**stated.statement.model_dump(), **asked})
    except ValidationError as error:
        faults = sorted(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))
        raise MalformedEvent(f"data: {'; '.join(faults)}") from None


def _right_of(kind: str) -> Right:
    """Returns the request that an event of that type asks for."""
    name, _, right = kind.rpartition(".")
    if name == REQUESTED:
        return Right(right)
    return Right.CONSENT_WITHDRAWAL if TYPES[kind] is ConsentWithdrawn else Right.OBJECTION
