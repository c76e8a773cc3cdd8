"""The company's own registers: who is restricted, and which contact points get no marketing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from pydantic import JsonValue

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork

_SUPPRESS = """
INSERT INTO suppression (fingerprint, channel, request_id, since, looked_at)
SELECT f, c, r, t, t FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::timestamptz[]) AS n (f, c, r, t)
ORDER BY f ON CONFLICT DO NOTHING RETURNING request_id
"""
_LISTED = "SELECT fingerprint FROM suppression WHERE fingerprint = ANY($1)"
OUR_LIST = "marketing_objections"
"""What our own register is called beside the systems."""
CHANNELS = {IdentityType.EMAIL: "email", IdentityType.PHONE: "phone"}


async def suppress(tx: UnitOfWork, subjects: Mapping[UUID, UUID], *, located: bool) -> None:
    """Adds every contact point that is known of the subjects of these requests, as a keyed fingerprint.

    What they have stated at once and, once it is ``located``, what systems have named of them: later imports of it stay
    suppressed (Art. 21(3)). A customer's instruction is about that customer's marketing, and not about ours.
    """
    known = await tx.vault.subject_data(tx.connection, subjects.values()) if subjects else {}
    rows = {
        (tx.vault.keyring.fingerprint(identity), CHANNELS[identity.type], request_id, tx.now)
        for request_id, subject in subjects.items()
        if subject in known and known[subject].tenant is None
        for identity in known[subject].identities
        if identity.type in CHANNELS
    }
    added = await tx.connection.fetch(_SUPPRESS, *map(list, zip(*rows, strict=True))) if rows else []
    for request_id in subjects:
        count = sum(row[0] == request_id for row in added)
        if count or not located:
            tx.log_evidence(request_id, "suppression.added", {"contact_points": count, "located": located})


async def with_list(tx: UnitOfWork, completed: Sequence[Completed]) -> list[Completed]:
    """These, with what our own list did of each that stops marketing: an effect of it like that of any system."""
    stops = {done.request_id: done.subject_ref for done in completed if done.operation is Operation.SUPPRESS}
    known = await tx.vault.subject_data(tx.connection, stops.values()) if stops else {}
    listed = []
    for done in completed:
        identities = (
            known[done.subject_ref].identities if done.request_id in stops and done.subject_ref in known else ()
        )
        points = {tx.vault.keyring.fingerprint(each): each.type for each in identities if each.type in CHANNELS}
        rows = await tx.connection.fetch(_LISTED, [*points]) if points else []
        reports = (*done.reports, _report(done, [points[row[0]] for row in rows])) if rows else done.reports
        listed.append(replace(done, reports=reports))
    return listed


def _report(done: Completed, listed: Sequence[IdentityType]) -> TaskReport:
    kinds = Counter(CHANNELS[each] for each in listed)
    return TaskReport(
        task_id=done.fulfilment_id,
        system=OUR_LIST,
        operation=Operation.SUPPRESS,
        outcome=TaskOutcome.AMENDED,
        found=len(listed),
        changed=len(listed),
        searched_by=tuple(sorted({each.value for each in listed})),
        categories=tuple(sorted(kinds)),
        by_category=dict(kinds),
    )


async def keep_restrictions(tx: UnitOfWork, completed: Sequence[Completed]) -> None:
    """Notes restrictions that are now in force and those that are no longer."""
    for done in completed:
        if done.operation is Operation.RESTRICT and done.outcome is not Outcome.NO_DATA:
            await tx.connection.execute(
                "INSERT INTO restriction (request_id, subject_ref, since, looked_at) VALUES ($1, $2, $3, $3)"
                " ON CONFLICT DO NOTHING",
                done.request_id,
                done.subject_ref,
                tx.now,
            )
            tx.log_evidence(done.request_id, "restriction.applied", {})
        elif done.operation is Operation.LIFT:
            await tx.connection.execute(
                "UPDATE restriction SET lifted_at = $2 WHERE request_id = $1 AND lifted_at IS NULL",
                done.request_id,
                tx.now,
            )
            tx.log_evidence(done.request_id, "restriction.lifted", {})


def note_repair(tx: UnitOfWork, done: Completed) -> None:
    """Puts on record what was wrong, by system; nothing where all was as the register says."""
    wrong: dict[str, JsonValue] = {report.system: report.changed for report in done.reports if report.changed}
    if wrong:
        tx.log_evidence(done.request_id, f"{done.right}.repaired", {"operation": done.operation, "changed": wrong})
