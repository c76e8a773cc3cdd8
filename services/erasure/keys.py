"""Destroys a subject's key once no data must be found with it any more."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from pydantic import JsonValue

from shared.messaging.unit_of_work import UnitOfWork
from shared.systems.engine.grounds import KEPT_ROWS

# Serializes two deferred erasures of one subject, so that the last one sees the other's result.
_LOCK = "SELECT 1 FROM vault.subject WHERE subject_ref = ANY($1) ORDER BY subject_ref FOR UPDATE"

KEPT = """
SELECT DISTINCT f.subject_ref, t.system FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.request_id = ANY($1) AND t.operation = 'erase' AND t.state = 'done'
  AND t.receipt ->> 'outcome' = 'retained' AND NOT EXISTS (
      SELECT 1 FROM fulfilment later JOIN task again USING (fulfilment_id)
      WHERE later.request_id = f.request_id AND again.system = t.system AND again.operation = 'erase'
        AND again.state = 'done' AND again.task_id > t.task_id)
ORDER BY f.subject_ref, t.system
"""

# An answered request whose erasure an officer may still retry becomes a deferred erasure.
_UNDONE = """
WITH undone AS (
    UPDATE fulfilment f SET details = details || '{"deferred": true}'
    WHERE request_id = ANY($1) AND state IN ('open', 'blocked') AND operation = 'erase' AND NOT EXISTS (
        SELECT 1 FROM fulfilment later WHERE later.request_id = f.request_id AND later.fulfilment_id > f.fulfilment_id)
    RETURNING fulfilment_id, subject_ref
)
SELECT DISTINCT u.subject_ref, t.system FROM undone u JOIN task t USING (fulfilment_id)
WHERE t.operation = 'erase'
  AND (t.state IN ('waiting', 'ready', 'leased', 'failed') OR t.state = 'done' AND t.receipt ? 'not_searched')
ORDER BY u.subject_ref, t.system
"""

# A later receipt has the periods named before, so its own are not longer.
_PROMISED = """
SELECT f.request_id, t.system, t.receipt -> 'kept' FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.request_id = ANY($1) AND t.operation = 'erase' AND t.state = 'done' AND t.receipt ? 'kept'
ORDER BY t.task_id
"""

_RESUMABLE = "SELECT subject_ref FROM resumable WHERE subject_ref = ANY($1)"


async def mark_resumable(tx: UnitOfWork, resumable: Mapping[UUID, bool]) -> None:
    """Records whether these subjects may resume their request, which needs their key."""
    await tx.connection.execute(
        "INSERT INTO resumable SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING",
        [subject for subject, may in resumable.items() if may],
    )
    await tx.connection.execute(
        "DELETE FROM resumable WHERE subject_ref = ANY($1)", [subject for subject, may in resumable.items() if not may]
    )


async def shred_unless_kept(
    tx: UnitOfWork, request_of: Mapping[UUID, UUID], ignore_retention_for: Collection[UUID] = frozenset()
) -> None:
    """Destroys the keys of these subjects; ``request_of`` names their requests.

    The key stays if a system retains data, or if an erasure failed, was incomplete or did not begin, so that it can be
    retried. ``ignore_retention_for``: subjects who withdrew, whose data need not be found again.
    """
    await tx.connection.execute(_LOCK, list(request_of))
    kept = await _kept(tx, [request for subject, request in request_of.items() if subject not in ignore_retention_for])
    for subject, systems in kept.items():
        tx.log_evidence(request_of[subject], "key.kept", {"subject_ref": str(subject), "systems": [*systems]})
    waited_for = {row[0] for row in await tx.connection.fetch(_RESUMABLE, list(request_of))}
    gone = [subject for subject in request_of if subject not in kept and subject not in waited_for]
    for subject in await tx.vault.shred(tx.connection, gone, tx.now):
        tx.log_evidence(request_of[subject], "key.shredded", {"subject_ref": str(subject), "algorithm": "AES-256-GCM"})


async def promised_periods(tx: UnitOfWork, requests: Sequence[UUID]) -> Mapping[UUID, Mapping[str, JsonValue]]:
    """Returns task details by request: the period that the letter named for each system and rule.

    They include the number of rows kept, and the earliest day on which one ends.
    """
    periods: dict[UUID, dict[str, dict[str, JsonValue]]] = {}
    rows: dict[UUID, dict[str, JsonValue]] = {}
    for request_id, system, kept in await tx.connection.fetch(_PROMISED, requests):
        ruled = [each for each in kept if "period" in each]
        said = {each["rule"]: each["period"] for each in ruled}
        periods.setdefault(request_id, {}).setdefault(system, {}).update(said)
        rows.setdefault(request_id, {})[system] = {
            rule: {
                "rows": sum(each["count"] for each in ruled if each["rule"] == rule),
                "first": min(
                    (each["first"] for each in ruled if each["rule"] == rule and "first" in each), default=None
                ),
            }
            for rule in said
        }
    return {
        request_id: {"announced": dict[str, JsonValue](systems), KEPT_ROWS: rows[request_id]}
        for request_id, systems in periods.items()
    }


async def _kept(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Returns the systems that still hold data, by subject: they retain them, or the erasure is not done."""
    kept: dict[UUID, set[str]] = {}
    for query in (KEPT, _UNDONE):
        for subject, system in await tx.connection.fetch(query, requests):
            kept.setdefault(subject, set()).add(system)
    return {subject: sorted(systems) for subject, systems in kept.items()}
