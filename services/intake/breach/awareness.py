"""When we became aware of a breach, put right: a wrong hour lets the wrong 72 hours run (Art. 33(1))."""

from typing import Final
from uuid import UUID

from pydantic import JsonValue

from services.intake.auth import Caller
from services.intake.breach import breaches
from services.intake.breach.breaches import Breach
from services.intake.breach.schemas import AwarenessCorrected
from services.intake.errors import BadRequest
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing

_KIND: Final = "breach_awareness"
_ENTERED = """
SELECT min(at) FROM evidence.entry
WHERE request_id = $1 AND action IN ('breach.entered', 'breach.opened') AND detail::jsonb ->> 'breach_id' = $2
"""
_TOLD = "SELECT min(told_at) FROM breach_notice WHERE breach_id = $1"
_CORRECT = "UPDATE breach SET found_at = $2, notify_by = $3 WHERE breach_id = $1"


async def correct(tx: UnitOfWork, breach_id: UUID, said: AwarenessCorrected, caller: Caller) -> Breach:
    """Its owner says since when we are aware of it; the 72 hours run from then, and the evidence has both hours.

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        BadRequest: it was on record, or somebody was told of it, before then.
    """
    breach = await breaches.owned(tx, breach_id, caller)
    entered_at = await tx.connection.fetchval(_ENTERED, breach.evidence_id, str(breach_id))
    first_told_at = await tx.connection.fetchval(_TOLD, breach_id)
    if said.found_at > min(each for each in (entered_at, first_told_at, tx.now) if each):
        raise BadRequest("it was on record, or somebody was told of it, before then; say when we knew", "found_at")
    sealing = Sealing(breach_id, _KIND, "", said.model_dump_json().encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    notify_by = said.found_at + (breach.notify_by - breach.found_at)
    await tx.connection.execute(_CORRECT, breach_id, said.found_at, notify_by)
    detail: dict[str, JsonValue] = {"breach_id": str(breach_id), "correction": str(sealing.sealed_id)}
    detail |= {"found_at": said.found_at.isoformat(), "instead_of": breach.found_at.isoformat()}
    tx.log_evidence(breach.evidence_id, "breach.awareness_corrected", detail, caller.actor)
    return await breaches.read(tx.connection, breach_id)


async def corrections(tx: UnitOfWork, breach_id: UUID) -> list[AwarenessCorrected]:
    """Every correction with its reasons, the first one first."""
    found = await tx.vault.open_kind(tx.connection, breach_id, _KIND)
    return [AwarenessCorrected.model_validate_json(content) for _, _, content in found]
