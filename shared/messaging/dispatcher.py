"""Dispatching a batch of records to handlers: one transaction for all; only a record that breaks it is set aside."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from shared.domain import topics
from shared.domain.errors import DsrError
from shared.domain.events import Event
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.messaging import inbox
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime import metrics, telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import retry_while_unavailable

log = logging.getLogger(__name__)

Handler = Callable[[Sequence[Any], UnitOfWork], Awaitable[None]]
"""Handles events of one type, in the order of the bus; no try, no log, no commit."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events a handler is called for; of every right where none is given."""

    event: type[Event]
    handler: Handler
    right: Right | None


Handlers = tuple[Handler, ...]
"""What is called for an event, one after the other in the order of the main."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    record: Message
    event: Event
    handlers: Handlers


class BatchDispatcher(ABC):
    """Applies a batch of records for good: in one transaction, or one each if a record breaks that one.

    A record that breaks its own becomes a dead letter, and an outage of the database is waited out.
    """

    def __init__(self, unit_of_work: UnitOfWorkFactory, group: str, heartbeats: Heartbeats) -> None:
        self.group = group
        self._unit_of_work = unit_of_work
        self._heartbeats = heartbeats

    @abstractmethod
    async def apply(self, records: Sequence[Message], tx: UnitOfWork) -> None:
        """What the records bring about, in order."""

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:  # noqa: ARG002  # for subclasses
        """Whether a record with these headers is to be handled: every one, unless a subclass knows better."""
        return True

    def describe(self, error: Exception) -> str:
        """What to log of an error, without what could quote a person's data."""
        return telemetry.where(error)

    async def handle(self, records: Sequence[Message]) -> None:
        """Handles the batch; returns when it is done for good."""
        loop = loop_of(self.group)
        try:
            await retry_while_unavailable(partial(self._together, records), loop, self._heartbeats)
        except Exception as error:  # noqa: BLE001  # whatever it is, only the record that caused it is set aside
            if len(records) == 1:
                await retry_while_unavailable(partial(self._set_aside, records[0], error), loop, self._heartbeats)
                return
            for record in records:
                await self.handle([record])

    async def _together(self, records: Sequence[Message]) -> None:
        async with self._unit_of_work.begin() as tx:
            await self.apply(records, tx)

    async def _set_aside(self, record: Message, error: Exception) -> None:
        log.error("record of %s set aside: %s", record.topic, self.describe(error))
        async with self._unit_of_work.begin() as tx:
            tx.send(dead_letter(record, error.code if isinstance(error, DsrError) else type(error).__name__, tx))


class Dispatcher(BatchDispatcher):
    """Hands events to the handlers of one service; a repeat of one has no effect."""

    def __init__(
        self,
        subscriptions: Mapping[str, Sequence[Subscription]],
        unit_of_work: UnitOfWorkFactory,
        tracing: telemetry.Tracing,
        heartbeats: Heartbeats,
    ) -> None:
        super().__init__(unit_of_work, unit_of_work.service, heartbeats)
        self._types = {kind.encode() for kind in subscriptions}
        self._wanted = _wanted(subscriptions)
        self._tracing = tracing
        for kind in subscriptions:  # at zero from the start, so that `rate()` sees the first one
            metrics.EVENTS.labels(unit_of_work.service, kind, "dead_letter")

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether a handler waits for such a record; one whose right nobody knows is wanted, to be set aside."""
        kind, right = _kind_and_right(headers)
        return (kind, right) in self._wanted or (kind in self._types and right not in _RIGHTS)

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
            for handlers, events in _runs(new):
                for handler in handlers:
                    await handler(events, tx)
        tx.after_commit(partial(self._count, [p.record.headers["ce_type"] for p in new]))

    def _count(self, kinds: Sequence[str], result: str = "handled") -> None:
        for kind in kinds:
            metrics.EVENTS.labels(self._unit_of_work.service, kind, result).inc()

    async def _set_aside(self, record: Message, error: Exception) -> None:
        await super()._set_aside(record, error)
        self._count([record.headers.get("ce_type", "unknown")], "dead_letter")

    def _parse(self, record: Message) -> _Parsed:
        kind, right = record.headers.get("ce_type", ""), record.headers.get("ce_right", "")
        event, handlers = self._wanted[kind.encode(), right.encode()]
        return _Parsed(record, event.model_validate_json(record.value), handlers)


def dead_letter(record: Message, reason: str, tx: UnitOfWork) -> Message:
    """A record that could not be handled, as it came but for headers of that size, with the name of what it broke."""
    why = {"dsr_reason": reason, "dsr_topic": record.topic, "dsr_set_aside_at": tx.now.isoformat()}
    return Message(topics.dead_letters(tx.service), record.key, record.value, {**passed_on(record.headers), **why})


_HEADER, _HEADERS = 1_024, 32
"""The largest header that is passed on, in characters of name and value, and how many are."""


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """A stranger's headers without what is too large and beyond what are too many; how many those were, says one."""
    small = [(name, value) for name, value in headers.items() if len(name) + len(value) <= _HEADER]
    kept = dict(small[:_HEADERS])
    return kept if len(kept) == len(headers) else kept | {"dsr_headers_cut": str(len(headers) - len(kept))}


_RIGHTS = frozenset(right.encode() for right in Right)


def _wanted(
    subscriptions: Mapping[str, Sequence[Subscription]],
) -> dict[tuple[bytes, bytes], tuple[type[Event], Handlers]]:
    """What handles an event of a type and a right."""
    wanted = {}
    for kind, several in subscriptions.items():
        for right in Right:
            waiting = [each for each in several if each.right in (None, right)]
            if waiting:
                handlers = tuple(each.handler for each in waiting)
                wanted[kind.encode(), right.encode()] = (waiting[0].event, handlers)
    return wanted


def _kind_and_right(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes, bytes]:
    """The two headers that decide whether a record is looked at any closer: they come first."""
    kind = right = b""
    for name, value in headers:
        if name == "ce_type":
            kind = value or b""
        elif name == "ce_right":
            right = value or b""
        if kind and right:
            break
    return kind, right


def _runs(parsed: Sequence[_Parsed]) -> list[tuple[Handlers, list[Event]]]:
    """Groups events by their handlers, few groups, without ever putting two events of one request out of order.

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
