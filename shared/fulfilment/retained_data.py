"""Loads what an erasure must keep: data under a legal hold, or in a state for which the policy keeps it.

Both are loaded each time before a system erases (Art. 17(3)), also after a withdrawn consent.
A state comes from the receipt of another system in the same fulfilment.
Customers place holds on their own data themselves. The engine decides what follows (``remote.py``).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.domain.errors import Unavailable
from shared.domain.holds import Hold, HoldMarks
from shared.domain.operations import Operation
from shared.domain.precedence import RequestKind, RequestMarks
from shared.fulfilment.queue import LeasedTask
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import holds, open_requests
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.systems.downstream import Downstream
from shared.systems.engine.remote import COUNTING_OUTCOMES, HOLD, RetainedData, SystemFindings, combine_states
from shared.systems.engine.searching import withdrawn_categories

# Of a system that was asked again, what it said last.
_REPORTED_STATES = """
SELECT DISTINCT ON (fulfilment_id, system) fulfilment_id, system = $2, receipt FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'plan' AND state = 'done' AND (receipt ? 'states' OR system = $2)
ORDER BY fulfilment_id, system, stage DESC
"""
# Its findings before any change: a dry run searches by every identity that is known.
_EARLIER_FINDINGS = """
SELECT DISTINCT ON (fulfilment_id) fulfilment_id, operation, receipt FROM task
WHERE fulfilment_id = ANY($1) AND system = $2 AND operation IN ('locate', 'plan') AND state = 'done' AND NOT observes
ORDER BY fulfilment_id, operation = 'plan' DESC, stage DESC
"""
_BLOCKABLE = frozenset({Operation.ERASE, Operation.PLAN, Operation.SUPPRESS})


async def load_retained(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    system: Downstream,
    tasks: Sequence[LeasedTask],
    known: Mapping[UUID, SubjectData],
) -> RetainedData:
    """Loads holds and reported states as they are now, except for data that a customer controls."""
    operation, policy, now = tasks[0].step.operation, unit_of_work.policy, unit_of_work.clock.now()
    if operation not in _BLOCKABLE:
        return RetainedData(system, operation, policy, now, {}, {})
    company_tasks = [c for c in tasks if c.subject_ref in known and known[c.subject_ref].tenant is None]
    if operation is Operation.SUPPRESS:
        company_tasks = [c for c in company_tasks if not c.immediate and withdrawn_categories(system, c.details)]
    subjects = {c.subject_ref: known[c.subject_ref] for c in company_tasks}
    holds_by_subject = await _matching_holds(connection, unit_of_work, subjects)
    if operation is Operation.SUPPRESS:
        blockers = await _erasure_blockers(connection, unit_of_work, system, company_tasks, known, holds_by_subject)
        return RetainedData(system, operation, policy, now, holds_by_subject, {}, blockers=blockers)
    findings: dict[UUID, SystemFindings] = {}
    if system.states_from_others and company_tasks:
        ids = [c.fulfilment_id for c in company_tasks]
        rows = await connection.fetch(_REPORTED_STATES, ids, system.name)
        findings = {
            each: SystemFindings(combine_states(system.states_from_others, [r[2] for r in rows if r[0] == each]))
            for each in ids
        }
        for fulfilment_id, own, receipt in rows:
            if own and receipt.get("outcome") in COUNTING_OUTCOMES:
                counts = receipt.get("found", 0), receipt.get("by_category", {})
                findings[fulfilment_id] = SystemFindings(findings[fulfilment_id].states, *counts)
    covered = [c.fulfilment_id for c in tasks if c.subject_ref in holds_by_subject and operation is Operation.ERASE]
    seen = await connection.fetch(_EARLIER_FINDINGS, covered, system.name) if covered else ()
    earlier = {each: was for each, verb, receipt in seen if (was := _earlier_findings(Operation(verb), receipt))}
    return RetainedData(system, operation, policy, now, holds_by_subject, findings, earlier)


async def check_new_holds(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    retained: RetainedData,
    tasks: Collection[LeasedTask],
    known: Mapping[UUID, SubjectData],
) -> None:
    """Checks before a step of an erasure whether a hold was placed since its tasks were claimed.

    Raises:
        Unavailable: one has. The next attempt leaves what it covers, and goes on with the rest.
    """
    erasing = [c for c in tasks if retained.erases(c)] if retained.operation in _BLOCKABLE - {Operation.PLAN} else []
    subjects = {c.subject_ref: known[c.subject_ref] for c in erasing if c.subject_ref in known}
    now = await _matching_holds(connection, unit_of_work, subjects) if subjects else {}
    if any(retained.is_new_hold(each, now.get(each.subject_ref)) for each in erasing):
        raise Unavailable("gave up this attempt: a legal hold was placed since it began")


async def _erasure_blockers(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    system: Downstream,
    tasks: Sequence[LeasedTask],
    known: Mapping[UUID, SubjectData],
    holds_by_subject: Mapping[UUID, Hold],
) -> Mapping[UUID, frozenset[str]]:
    """Returns by task why it may not erase yet; an unproved requester may be the same person."""
    if not tasks:
        return {}
    keyring, category_of = unit_of_work.vault.keyring, unit_of_work.policy.category_of
    marks = {
        c.request_id: RequestMarks.of(keyring, [i for i in known[c.subject_ref].identities if not i.shared])
        for c in tasks
    }
    others = await open_requests.find_others(connection, marks, {RequestKind.COPY, RequestKind.RESTRICTION})
    blockers: dict[UUID, frozenset[str]] = {}
    for task in tasks:
        why = {other.kind.value for other in others.get(task.request_id, ())}
        hold = holds_by_subject.get(task.subject_ref)
        if hold and hold.covers(withdrawn_categories(system, task.details), category_of):
            why.add(HOLD)
        if why:
            blockers[task.task_id] = frozenset(why)
    return blockers


async def _matching_holds(
    connection: Connection, unit_of_work: UnitOfWorkFactory, known: Mapping[UUID, SubjectData]
) -> Mapping[UUID, Hold]:
    """Returns the legal holds on the data of these subjects."""
    identities = {ref: subject.identities for ref, subject in known.items() if subject.tenant is None}
    if not identities or not await holds.exist(connection):
        return {}
    keyring = unit_of_work.vault.keyring
    return await holds.matching(connection, {ref: HoldMarks.of(keyring, each) for ref, each in identities.items()})


def _earlier_findings(verb: Operation, receipt: Mapping[str, Any]) -> SystemFindings | None:
    """Returns earlier findings; only a dry run, which uses all identities, proves that nothing was found."""
    found = receipt.get("found", 0)
    known = verb is Operation.PLAN and receipt.get("outcome") in COUNTING_OUTCOMES
    return SystemFindings({}, found, receipt.get("by_category", {})) if found or known else None
