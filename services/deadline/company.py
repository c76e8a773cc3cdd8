"""What people in other systems see of a request's clock: a ticket for the privacy team, a flag on the CRM's contact."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Protocol
from uuid import UUID

from pydantic import JsonValue

from shared.domain.events import RequestClosed, RequestVerified
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import store as fulfilment
from shared.fulfilment.store import Completed, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork


class Clocked(Protocol):
    """What is known of a request whose clock is being stopped."""

    @property
    def request_id(self) -> UUID: ...

    @property
    def subject_ref(self) -> UUID: ...

    @property
    def right(self) -> Right: ...

    @property
    def due_on(self) -> date: ...


async def flag(events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """The requester is the subject: whoever talks to them may know that a request is open."""
    if tx.plans[Operation.FLAG]:
        await fulfilment.open_all(
            tx,
            [NewFulfilment(e.request_id, e.subject, e.right, Operation.FLAG, e.due_on, {"open": True}) for e in events],
        )


async def release(tx: UnitOfWork, answered: Sequence[Clocked], events: Mapping[UUID, RequestClosed]) -> None:
    """The requests are answered: resolve the tickets that they have, and take their flags away."""
    clock_of = {clock.request_id: clock for clock in answered}
    requests = list(clock_of)
    await fulfilment.cancel(tx, requests)
    warned = await fulfilment.begun(tx, requests, Operation.ESCALATE)
    shown = await fulfilment.begun(tx, requests, Operation.FLAG)
    new_fulfilments = [
        _opening(clock_of[each], Operation.ESCALATE, {"level": "resolved", "outcome": events[each].outcome})
        for each in sorted(warned)
    ]
    new_fulfilments += [_opening(clock_of[each], Operation.FLAG, {"open": False}) for each in sorted(shown)]
    if new_fulfilments:
        await fulfilment.open_all(tx, new_fulfilments)


async def escalated(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """The privacy team has the warning before it: put on record where."""
    for done in completed:
        systems = [report.system for report in done.reports]
        tx.log_evidence(done.request_id, "deadline.escalated", {"level": done.details["level"], "systems": [*systems]})
    await _again(tx, [done for done in completed if done.details["level"] == "resolved"])


async def flagged(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """The flag is set or gone: put on record where."""
    for done in completed:
        systems: JsonValue = {report.system: report.outcome for report in done.reports}
        tx.log_evidence(done.request_id, "deadline.flagged", {"open": done.details["open"], "systems": systems})
    await _again(tx, [done for done in completed if not done.details["open"]])


async def _again(tx: UnitOfWork, ended: Iterable[Completed]) -> None:
    """Ends once more what another worker may have begun meanwhile: it claimed its task before the answer."""
    for done in ended:
        if await fulfilment.in_hand(tx, [done.request_id], done.operation):
            await fulfilment.open_all(tx, [_again_of(done, tx.now.date())])


def _again_of(done: Completed, due_on: date) -> NewFulfilment:
    return NewFulfilment(done.request_id, done.subject_ref, done.right, done.operation, due_on, done.details)


def _opening(clock: Clocked, operation: Operation, details: Mapping[str, JsonValue]) -> NewFulfilment:
    return NewFulfilment(clock.request_id, clock.subject_ref, clock.right, operation, clock.due_on, details)
