"""Hearing a batch of records: one transaction for all; if a record breaks it, one each; only that one is set aside."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
"""Handles events of one type, in the order heard; no try, no log, no commit."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which events a handler wants to hear."""

    event: type[Event]
    handler: Handler
    rights: frozenset[Right]


@dataclass(frozen=True, slots=True)
class _Parsed:
    record: Message
    event: Event
    handler: Handler


class Dispatcher:
    """Hands records to the handlers of one service."""

    def __init__(
        self,
        subscriptions: Mapping[str, Sequence[Subscription]],
        unit_of_work: UnitOfWorkFactory,
        tracing: telemetry.Tracing,
        heartbeats: Heartbeats,
    ) -> None:
        self._types = {kind.encode() for kind in subscriptions}
        self._wanted = _wanted(subscriptions)
        self._transactions = unit_of_work
        self._tracing = tracing
        self._heartbeats = heartbeats
        self._loop = loop_of(unit_of_work.service)
        for kind in subscriptions:  # told at zero from the start: or the first dead letter would be no increase
            metrics.HEARD.labels(unit_of_work.service, kind, "dead_letter")

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether a handler waits for such a record; one whose right nobody knows is wanted, to be set aside."""
        kind, right = _kind_and_right(headers)
        return (kind, right) in self._wanted or (kind in self._types and right not in _RIGHTS)

    async def handle(self, records: Sequence[Message]) -> None:
        """Handles a batch for good: repeats are absorbed, bad records set aside one by one, an outage is waited out."""
        try:
            await retry_while_unavailable(lambda: self._together(records), self._loop, self._heartbeats)
        except Exception as error:  # noqa: BLE001  # whatever it is, only the record that caused it is set aside
            if len(records) == 1:
                cause = error
                await retry_while_unavailable(lambda: self._set_aside(records[0], cause), self._loop, self._heartbeats)
                return
            for record in records:
                await self.handle([record])

    async def _together(self, records: Sequence[Message]) -> None:
        parsed = [self._parse(record) for record in records]
        async with self._transactions.begin() as tx:
            fresh = await inbox.fresh(tx.connection, [p.event.event_id for p in parsed], tx.now)
            new: list[_Parsed] = []
            for p in parsed:
                if p.event.event_id in fresh:
                    fresh.remove(p.event.event_id)
                    new.append(p)
            with self._tracing.each("handle", [p.record.headers.get("traceparent") for p in new]) as traces:
                tx.traces.update({p.event.request_id: trace for p, trace in zip(new, traces, strict=True)})
                for handler, events in _runs(new):
                    await handler(events, tx)
        for p in new:
            metrics.HEARD.labels(self._transactions.service, p.record.headers["ce_type"], "handled").inc()

    async def _set_aside(self, record: Message, error: Exception) -> None:
        """Puts a record that cannot be handled among the dead letters, as it came, with the name of what it broke."""
        service = self._transactions.service
        reason = error.code if isinstance(error, DsrError) else type(error).__name__
        log.error("record of %s set aside: %s", record.topic, telemetry.where(error))
        async with self._transactions.begin() as tx:
            tx.set_aside(record, reason)
        metrics.HEARD.labels(service, record.headers.get("ce_type", "unknown"), "dead_letter").inc()

    def _parse(self, record: Message) -> _Parsed:
        kind, right = record.headers.get("ce_type", ""), record.headers.get("ce_right", "")
        event, handler = self._wanted[kind.encode(), right.encode()]
        return _Parsed(record, event.model_validate_json(record.value), handler)


_RIGHTS = frozenset(right.encode() for right in Right)


def _wanted(
    subscriptions: Mapping[str, Sequence[Subscription]],
) -> dict[tuple[bytes, bytes], tuple[type[Event], Handler]]:
    """What handles an event of a type and a right; where several wait for it, all of them in the order of the main."""
    chains: dict[tuple[Handler, ...], Handler] = {}
    wanted = {}
    for kind, several in subscriptions.items():
        for right in Right:
            waiting = [each for each in several if right in (each.rights or frozenset(Right))]
            if waiting:
                handlers = tuple(each.handler for each in waiting)
                handler = chains.setdefault(handlers, handlers[0] if len(handlers) == 1 else _in_turn(handlers))
                wanted[kind.encode(), right.encode()] = (waiting[0].event, handler)
    return wanted


def _in_turn(handlers: Sequence[Handler]) -> Handler:
    async def each(events: Sequence[Event], tx: UnitOfWork) -> None:
        for handler in handlers:
            await handler(events, tx)

    return each


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


def _runs(parsed: Sequence[_Parsed]) -> list[tuple[Handler, list[Event]]]:
    """Groups events by handler, few groups, without ever putting two events of one request out of order."""
    runs: list[tuple[Handler, list[Event]]] = []
    latest_of_handler: dict[Handler, int] = {}
    latest_of_request: dict[object, int] = {}
    for p in parsed:
        floor = latest_of_request.get(p.event.request_id, 0)
        place = latest_of_handler.get(p.handler, -1)
        if place < floor:
            place = len(runs)
            runs.append((p.handler, []))
            latest_of_handler[p.handler] = place
        runs[place][1].append(p.event)
        latest_of_request[p.event.request_id] = place
    return runs
