"""Dispatches a batch of records to handlers in one transaction; only a failing record becomes a dead letter."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.domain.errors import DsrError
from shared.domain.events import Event
from shared.domain.operations import Exceeded, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import Message
from shared.messaging import dead_letters, inbox
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable

log = logging.getLogger(__name__)

UNREADABLE = "unreadable"
"""The type under which an unreadable record is counted."""

T = TypeVar("T")

Handler = Callable[[Sequence[Any], UnitOfWork], Awaitable[None]]
"""Handles events of one type, in the order of the bus; no try, no log, no commit."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The events for which a handler is called; without a right, those of every right."""

    event: type[Event]
    handler: Handler
    right: Right | None


Handlers = tuple[Handler, ...]
"""The handlers of an event, in the order of their subscription."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    record: Message
    event: Event
    handlers: Handlers


class Unreadable(DsrError):
    """A record is unreadable or too large; it is skipped, and the message gives the reason."""


class BatchDispatcher(ABC):
    """Applies a batch of records for good: in one transaction, or one each if a record breaks that one.

    A record that breaks its own becomes a dead letter, and an outage of the database is waited out. A topic with more
    dead letters than a day may bring is paused: its records wait until an operator resumes it.
    """

    def __init__(
        self, unit_of_work: UnitOfWorkFactory, group: str, dead_letters_a_day: int, heartbeats: Heartbeats
    ) -> None:
        self.group = group
        self._unit_of_work = unit_of_work
        self._dead_letters_a_day = dead_letters_a_day
        self._heartbeats = heartbeats
        self._paused: AbstractSet[str] = frozenset()

    @abstractmethod
    async def apply(self, records: Sequence[Message], tx: UnitOfWork) -> None:
        """Handles the records, in order."""

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Returns whether to handle a record with these headers; not if it is replayed for another service."""
        replayed_for = dict(headers).get(dead_letters.REPLAYED_FOR)
        return replayed_for is None or replayed_for == self._unit_of_work.service.encode()

    @abstractmethod
    def kind_of(self, record: Message) -> str:
        """Returns the type under which a record is counted."""

    def detail(self, error: Exception) -> str:
        """Returns what is wrong with a record, without quoting it; empty if that is unknown."""
        match error:
            case Unreadable():
                return str(error)
            case ValidationError():
                return _faults(error)
            case _:
                return ""

    async def on_dead_letter(  # noqa: B027  # for most nothing follows
        self, record: Message, error: Exception, tx: UnitOfWork
    ) -> None:
        """Does what else follows from a dead letter, in the same transaction."""

    async def paused_topics(self) -> AbstractSet[str]:
        """Returns the topics that this service has paused."""
        self._paused = await self._retry_while_unavailable(partial(dead_letters.paused, self._unit_of_work.pool))
        return self._paused

    async def handle(self, records: Sequence[Message]) -> Sequence[Message]:
        """Handles the batch for good, except records of paused topics, which it returns."""
        unhandled = [record for record in records if record.topic in self._paused]
        records = [record for record in records if record.topic not in self._paused]
        if not records:
            return unhandled
        try:
            await self._retry_while_unavailable(partial(self._apply_in_one_transaction, records))
        except Exception as error:  # noqa: BLE001  # whatever it is, only the record that caused it is set aside
            if len(records) == 1:
                if await self._retry_while_unavailable(partial(self._dead_letter, records[0], error)):
                    self._paused |= {records[0].topic}
                return unhandled
            middle = len(records) // 2
            for half in (records[:middle], records[middle:]):
                unhandled += await self.handle(half)
        return unhandled

    async def _retry_while_unavailable(self, do: Callable[[], Awaitable[T]]) -> T:
        return await retry_while_unavailable(do, loop_of(self.group), self._heartbeats)

    async def _apply_in_one_transaction(self, records: Sequence[Message]) -> None:
        if reason := next((record.unreadable for record in records if record.unreadable), ""):
            raise Unreadable(reason)
        async with self._unit_of_work.begin() as tx:
            await tx.plan_once(len(records))
            await self.apply(records, tx)

    async def _dead_letter(self, record: Message, error: Exception) -> bool:
        """Makes a dead letter of the record, unless it is one; returns whether its topic is to be paused."""
        place, detail = f"{record.topic} {record.partition}:{record.offset}", self.detail(error)
        log.error("record %s set aside: %s", place, detail or telemetry.where(error))
        if dead_letters.REPLAYED_FOR in record.headers:
            self._count([self.kind_of(record)], "dead_letter")
            return False
        reason = error.code if isinstance(error, DsrError) else type(error).__name__
        async with self._unit_of_work.begin() as tx:
            tx.send(dead_letters.dead_letter(record, reason, detail, tx))
            await self.on_dead_letter(record, error, tx)
            kind = UNREADABLE if isinstance(error, Unreadable) else self.kind_of(record)
            tx.after_commit(partial(self._count, [kind], "dead_letter"))
            paused = await dead_letters.count(tx, record.topic, self._dead_letters_a_day)
            if paused:
                how = f"dsr consumers resume {self._unit_of_work.service} {record.topic}"
                tx.after_commit(partial(log.error, "too much of %s was set aside; it is paused: %s", record.topic, how))
            return paused

    def _count(self, kinds: Sequence[str], result: str = "handled") -> None:
        for kind in kinds:
            metrics.EVENTS.labels(self._unit_of_work.service, kind, result).inc()


class Dispatcher(BatchDispatcher):
    """Hands events to the handlers of one service; a repeat of one has no effect."""

    def __init__(
        self,
        subscriptions: Mapping[str, Sequence[Subscription]],
        unit_of_work: UnitOfWorkFactory,
        tracing: telemetry.Tracing,
        dead_letters_a_day: int,
        heartbeats: Heartbeats,
    ) -> None:
        super().__init__(unit_of_work, unit_of_work.service, dead_letters_a_day, heartbeats)
        self._types = {kind.encode() for kind in subscriptions}
        self._wanted = _routes(subscriptions)
        self._tracing = tracing
        for kind in (*subscriptions, UNREADABLE):  # at zero from the start, so that `rate()` sees the first one
            metrics.EVENTS.labels(unit_of_work.service, kind, "dead_letter")

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Returns whether a handler takes such a record; one without type or known right becomes a dead letter."""
        kind, right = _kind_and_right(headers)
        wanted = (kind, right) in self._wanted or (kind in self._types and right not in _RIGHTS) or not kind
        return wanted and super().wants(headers)

    async def apply(self, records: Sequence[Message], tx: UnitOfWork) -> None:
        """Calls the handlers for what was not consumed before."""
        parsed = [self._parse(record) for record in records]
        fresh = await inbox.fresh(tx.connection, [p.event.event_id for p in parsed], tx.now)
        new: list[_Parsed] = []
        for p in parsed:
            if p.event.event_id in fresh:
                fresh.remove(p.event.event_id)
                new.append(p)
        with self._tracing.each("handle", [p.record.headers.get("traceparent") for p in new]) as traces:
            tx.traces.update({p.event.request_id: trace for p, trace in zip(new, traces, strict=True)})
            for handlers, events in _group_by_handler(new):
                for handler in handlers:
                    await handler(events, tx)
        tx.after_commit(partial(self._count, [p.record.headers["ce_type"] for p in new]))

    def kind_of(self, record: Message) -> str:
        return record.headers.get("ce_type") or UNREADABLE

    def _parse(self, record: Message) -> _Parsed:
        kind, right = record.headers.get("ce_type", ""), record.headers.get("ce_right", "")
        if not kind:
            raise Unreadable("no header ce_type: the type of the event is unknown")
        if right.encode() not in _RIGHTS:
            raise Unreadable("no header ce_right with one of the rights")
        kind_of, handlers = self._wanted[kind.encode(), right.encode()]
        event = kind_of.model_validate_json(record.value)
        if event.right != right or record.topic != event.topics[event.right]:
            raise Unreadable("it came on a topic to which the service that works its right does not write")
        return _Parsed(record, event, handlers)


def _faults(error: ValidationError) -> str:
    """Returns the faults of an event by field; an unknown field is not named."""
    faults = {f"{_field(each['loc'])}: {each['type']}" for each in error.errors(include_url=False, include_input=False)}
    return "; ".join(sorted(faults)[:_MOST_FAULTS])


def _field(place: tuple[int | str, ...]) -> str:
    named = [str(name) if isinstance(name, int) or name in _NAMES else "(unknown)" for name in place]
    return ".".join(named) or "the whole"


_MODELS: tuple[type[BaseModel], ...] = (*Event.__subclasses__(), TaskReport, Exceeded)
_NAMES = frozenset(name for model in _MODELS for name in model.model_fields)
"""Field names that may be logged; any other comes from outside."""
_MOST_FAULTS = 10
_RIGHTS = frozenset(right.encode() for right in Right)


def _routes(
    subscriptions: Mapping[str, Sequence[Subscription]],
) -> dict[tuple[bytes, bytes], tuple[type[Event], Handlers]]:
    """Returns the handlers of each type and right."""
    wanted = {}
    for kind, several in subscriptions.items():
        for right in Right:
            waiting = [each for each in several if each.right in (None, right)]
            if waiting:
                handlers = tuple(each.handler for each in waiting)
                wanted[kind.encode(), right.encode()] = (waiting[0].event, handlers)
    return wanted


def _kind_and_right(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes, bytes]:
    """Returns type and right from the headers of a record, which decide whether it is read."""
    kind = right = b""
    for name, value in headers:
        if name == "ce_type":
            kind = value or b""
        elif name == "ce_right":
            right = value or b""
        if kind and right:
            break
    return kind, right


def _group_by_handler(parsed: Sequence[_Parsed]) -> list[tuple[Handlers, list[Event]]]:
    """Groups events by handler in few groups, and keeps the order of each request's events.

    Of verified(A), verified(B), closed(A) it makes two calls, begin([A, B]) and close([A]); were there another
    verified(A) behind, it would need a third: begin([A]).
    """
    runs: list[tuple[Handlers, list[Event]]] = []
    latest_of_handlers: dict[Handlers, int] = {}
    latest_of_request: dict[object, int] = {}
    for p in parsed:
        floor = latest_of_request.get(p.event.request_id, 0)
        place = latest_of_handlers.get(p.handlers, -1)
        if place < floor:
            place = len(runs)
            runs.append((p.handlers, []))
            latest_of_handlers[p.handlers] = place
        runs[place][1].append(p.event)
        latest_of_request[p.event.request_id] = place
    return runs
