"""Handles the events of amendments: opens tasks, lifts restrictions, publishes the end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from services.amendment import consent, overlapping_restrictions, registers, reimported_contacts, repairs
from shared.domain.events import AnswerDecided, LiftDecided, RequestVerified
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.domain.rights import Right
from shared.fulfilment import reports
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

VERBS = {
    Right.RECTIFICATION: Operation.RECTIFY,
    Right.RESTRICTION: Operation.RESTRICT,
    Right.OBJECTION: Operation.SUPPRESS,
    Right.CONSENT_WITHDRAWAL: Operation.SUPPRESS,
}

ZONE = "zone"
"""The task detail with the requester's time zone, by which they may name a record."""
_DUE = "SELECT request_id, max(due_on) FROM fulfilment WHERE request_id = ANY($1) GROUP BY 1"
# Data collected for a withdrawn request were kept only for its lift.
_NEVER_IN_FORCE = """
SELECT DISTINCT subject_ref FROM fulfilment
WHERE request_id = ANY($1) AND operation = 'restrict' AND state = 'cancelled' AND NOT details ? 'repair'
"""
DETAIL = {Right.RESTRICTION: "ground", Right.OBJECTION: "scope"}
"""The task detail that holds the scope of a request, by right."""


async def begin(fulfilments: Fulfilments, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """Opens one task per system.

    An objection or a withdrawal of consent to marketing takes effect in our suppression list immediately (Art. 21(3)).
    """
    before = await consent.withdrawn_before(tx, events)
    details = [_details(e, tx.policy, before.get(e.request_id, ())) for e in events]
    facts = [(e.request_id, e.subject, e.right, _verb(e), e.due_on) for e in events]
    new = [NewFulfilment(*each, details) for each, details in zip(facts, details, strict=True)]
    new = [replace(each, tenant=e.tenant) for each, e in zip(new, events, strict=True)]
    stops = [each for each in new if each.operation is Operation.SUPPRESS]
    await registers.suppress(tx, stops, located=False)
    new = [await consent.where(tx, fulfilments, each) for each in new]
    nowhere = [each for each in new if each.systems == frozenset()]
    await fulfilments.open_all(tx, [each for each in new if each not in nowhere])
    await registers.tell_what_stopped(tx, [each.request_id for each in stops])
    await finish(fulfilments, [overlapping_restrictions.changes_nothing(each) for each in nowhere], tx)


async def lift(fulfilments: Fulfilments, events: Sequence[LiftDecided], tx: UnitOfWork) -> None:
    """Lifts restrictions whose subjects were notified (Art. 18(3)); no reconciliation puts them back."""
    requests = [event.request_id for event in events]
    await repairs.call_off(tx, requests, Operation.RESTRICT)
    await overlapping_restrictions.note_flags(tx, requests)
    new = await overlapping_restrictions.lifts(tx, fulfilments, events)
    nowhere = [each for each in new if each.systems == frozenset()]
    await fulfilments.open_all(tx, [each for each in new if each not in nowhere])
    await finish(fulfilments, [overlapping_restrictions.changes_nothing(each) for each in nowhere], tx)


async def finish(fulfilments: Fulfilments, completed: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Updates the registers and publishes the end: every system was changed and verified."""
    answers = [done for done in completed if not done.repair]
    await registers.keep_restrictions(tx, answers)
    restricted = [done for done in answers if done.operation is Operation.RESTRICT]
    await overlapping_restrictions.note_people(tx, restricted)
    await overlapping_restrictions.note_flags(tx, [done.request_id for done in restricted])
    lifted = [done.request_id for done in answers if done.operation is Operation.LIFT]
    await overlapping_restrictions.put_back(tx, fulfilments, lifted)
    await overlapping_restrictions.forget_flags(tx, lifted)
    if lifted:
        gone = await tx.connection.fetch(_NEVER_IN_FORCE, lifted)
        await tx.vault.drop_collected(tx.connection, [row[0] for row in gone])
    await registers.suppress(tx, [done for done in answers if done.operation is Operation.SUPPRESS], located=True)
    interim = [done for done in answers if done.operation is Operation.RESTRICT and done.details.get("interim")]
    await _correct(fulfilments, interim, tx)
    for done in await registers.with_list(tx, answers):
        tx.publish(done.event())
    for done in completed:
        if done.repair:
            registers.note_repair(tx, done)
    await reimported_contacts.forget(tx, [done for done in completed if done.returned])


async def _correct(fulfilments: Fulfilments, restricted: Sequence[FulfilmentResult], tx: UnitOfWork) -> None:
    """Corrects contested data once they are restricted; the later operation of a request wins in a system."""
    if restricted:
        rows = await tx.connection.fetch(_DUE, [done.request_id for done in restricted])
        due = {row[0]: row[1] for row in rows}
        known = [(done.request_id, done.subject_ref, done.right) for done in restricted]
        zones = [{ZONE: done.details[ZONE]} if ZONE in done.details else {} for done in restricted]
        new = [
            NewFulfilment(*each, Operation.RECTIFY, due[each[0]], zone) for each, zone in zip(known, zones, strict=True)
        ]
        await fulfilments.open_all(tx, new)


async def answer(events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Publishes the work done for a decided answer, including our own list."""
    for event, done in await reports.results_of_decided(events, tx):
        for listed in await registers.with_list(tx, [done]) if done else [None]:
            reports.publish(tx, event, listed)


def _details(event: RequestVerified, policy: Policy, before: Collection[str]) -> Mapping[str, JsonValue]:
    if event.purposes:
        return consent.details(policy, event.purposes, before)
    if event.right is Right.RECTIFICATION:
        zone = {ZONE: event.zones[-1]} if event.zones else {}
        return zone | ({"ground": event.scope, "interim": True} if event.scope else {})
    if _verb(event) is Operation.RESTRICT and event.right is Right.OBJECTION:
        return {"ground": "objection_pending"}
    return {DETAIL[event.right]: event.scope} if event.scope else {}


def _verb(event: RequestVerified) -> Operation:
    """Returns the operation; contested data (18(1)(a)) and objections to be weighed (18(1)(d)) are restricted first."""
    weighed = event.right is Right.OBJECTION and event.scope == "legitimate_interests"
    contested = event.right is Right.RECTIFICATION and event.scope == "accuracy_contested"
    return Operation.RESTRICT if weighed or contested else VERBS[event.right]
