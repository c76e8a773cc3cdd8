"""Handles answers, completed work, the subject's key and deferred erasures."""

from collections.abc import Sequence
from functools import partial

from services.erasure import keys
from shared.app.service import Service
from shared.domain.events import AnswerDecided, HoldLifted, RequestClosed, TimerFired, TimerKind
from shared.domain.operations import Operation
from shared.domain.policy_files import suppression_policy
from shared.domain.proofs import proved
from shared.domain.rights import Level, Outcome, Right
from shared.fulfilment import reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.immediate_stop import suppress
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

_NOT_ERASED = frozenset({Outcome.FORWARDED, Outcome.REFUSED})
_LEAST: Level = "L1"
"""The least assurance level: a stated identity without proof may belong to another person."""


def join(service: Service) -> None:
    """Subscribes the erasure of what was kept, once its day has come or its hold has ended."""
    for ended in (TimerFired, HoldLifted):
        service.on(ended, partial(release, service.fulfilments), right=Right.ERASURE)


async def answer(fulfilments: Fulfilments, events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Publishes the work done for a decided answer; owed parts do not block the rest."""
    await reports.publish_answered(events, tx)
    await fulfilments.continue_without(tx, [event.request_id for event in events if event.owed], Operation.ERASE)


async def finish(completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Publishes that every system was erased and verified; the last deferred erasure destroys the key."""
    await suppress_erased(tx, completed)
    for done in completed:
        tx.publish(done.event())
    if request_of := {done.subject_ref: done.request_id for done in completed if done.deferred}:
        await keys.shred_unless_kept(tx, request_of)


async def shred_key(events: Sequence[RequestClosed], tx: UnitOfWork) -> None:
    """Destroys the subject's key, unless a system retains data that can be erased later by that key alone.

    The key stays while the subject may resume the request. After a forwarded or refused request nothing was erased, and
    its letter must stay readable.
    """
    latest = {event.subject: event for event in events if event.outcome not in _NOT_ERASED}
    await keys.mark_resumable(tx, {subject: event.resumable for subject, event in latest.items()})
    request_of = {subject: event.request_id for subject, event in latest.items() if not event.resumable}
    withdrawn = {subject for subject, event in latest.items() if event.outcome is Outcome.WITHDRAWN}
    await keys.shred_unless_kept(tx, request_of, ignore_retention_for=withdrawn)


async def release(fulfilments: Fulfilments, events: Sequence[TimerFired | HoldLifted], tx: UnitOfWork) -> None:
    """Erases data that systems retained, after the day of the rule or the end of the hold.

    A rule retains nothing longer than the letter said. After a hold, another rule may still retain data.
    """
    ended = [each for each in events if isinstance(each, HoldLifted) or each.kind is TimerKind.RETENTION]
    promised = await keys.promised_periods(tx, [event.request_id for event in ended])
    new_fulfilments = [
        NewFulfilment(
            *(e.request_id, e.subject, e.right, Operation.ERASE, e.due_on),
            *({"deferred": True, **promised.get(e.request_id, {})}, frozenset(e.systems)),
        )
        for e in ended
    ]
    await fulfilments.open_all(tx, new_fulfilments)


async def suppress_erased(tx: UnitOfWork, completed: Sequence[FulfilmentResult]) -> None:
    """Suppresses the contact points of erased people before their key goes, where the policy says so.

    This stops marketing after a later import. It leaves out people without data, shared contact points such as a
    family's address, and tenants, who write to their own customers.
    """
    found = {done.subject_ref: done.request_id for done in completed if done.outcome is not Outcome.NO_DATA}
    if not found or not suppression_policy(tx.policy.overlay).erasure:
        return
    points = {}
    for subject, data in (await tx.vault.subject_data(tx.connection, found)).items():
        shared = {(each.type, each.value) for each in data.identities if each.shared}
        if data.tenant is None:
            known = proved(data.identities, _LEAST)
            points[found[subject]] = [each for each in known if (each.type, each.value) not in shared]
    await suppress(tx, points, Right.ERASURE, located=True)
