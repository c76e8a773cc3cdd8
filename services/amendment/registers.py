"""The company's own registers: who is restricted, and which contact points get no marketing."""

from collections.abc import Sequence

from pydantic import JsonValue

from shared.domain.events import RequestVerified
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Outcome
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork

CHANNELS = {IdentityType.EMAIL: "email", IdentityType.PHONE: "phone"}


async def suppress(tx: UnitOfWork, events: Sequence[RequestVerified]) -> None:
    """Adds every contact point that the subject named, as a keyed fingerprint: later imports of it stay suppressed."""
    known = await tx.vault.subject_data(tx.connection, [event.subject for event in events]) if events else {}
    rows = [
        (tx.vault.keyring.fingerprint(identity), CHANNELS[identity.type], event.request_id, tx.now)
        for event in events
        if event.subject in known
        for identity in known[event.subject].identities
        if identity.type in CHANNELS
    ]
    await tx.connection.executemany(
        "INSERT INTO suppression (fingerprint, channel, request_id, since, looked_at) VALUES ($1, $2, $3, $4, $4)"
        " ON CONFLICT DO NOTHING",
        rows,
    )
    for event in events:
        count = sum(row[2] == event.request_id for row in rows)
        tx.log_evidence(event.request_id, "suppression.added", {"contact_points": count})


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
