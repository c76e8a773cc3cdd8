"""When we became aware of a breach, put right: a wrong hour lets the wrong 72 hours run (Art. 33(1))."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from services.intake.auth import Caller
from services.intake.breach import breaches, notices, telling
from services.intake.breach.breaches import Breach
from services.intake.breach.schemas import AwarenessCorrected
from services.intake.errors import BadRequest, NotFound, SamePerson
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing

_KIND: Final = "breach_awareness"
_LATER: Final = "breach_awareness_later"
_TOLD = "SELECT min(told_at) FROM breach_notice WHERE breach_id = $1"
_CORRECT = "UPDATE breach SET found_at = $2, notify_by = $3 WHERE breach_id = $1"


@dataclass(frozen=True, slots=True)
class Later:
    """A later hour that the owner proposes: it would lengthen the 72 hours, so somebody else must agree."""

    correction_id: UUID
    proposed_by: str
    said: AwarenessCorrected


async def correct(tx: UnitOfWork, breach_id: UUID, said: AwarenessCorrected, caller: Caller) -> Breach:
    """Its owner says since when we are aware of it, and the evidence has both hours.

    From an earlier hour the 72 hours run at once; a later one is proposed, and nothing changes until somebody agrees.

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        BadRequest: it was on record, or somebody was told of it, before then.
    """
    breach = await breaches.owned(tx, breach_id, caller)
    await _must_be_possible(tx, breach, said)
    if earlier := await later(tx, breach_id):
        await tx.vault.drop_one(tx.connection, earlier.correction_id)
    if said.found_at <= breach.found_at:
        return await _apply(tx, breach, said, caller, {})
    sealing = Sealing(breach_id, _LATER, caller.holder, said.model_dump_json().encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    detail = {"correction": str(sealing.sealed_id), "found_at": said.found_at.isoformat()}
    _log(tx, breach, "breach.awareness_proposed", detail, caller)
    return breach


async def approve(tx: UnitOfWork, breach_id: UUID, correction_id: UUID, caller: Caller) -> Breach:
    """Takes the word of a second person that we became aware of it later; the 72 hours run from then.

    Raises:
        NotFound: there is no such breach, or no such hour is proposed any more.
        IllegalTransition: it is closed.
        SamePerson: it is the word of its owner, or of whoever has proposed it.
        Forbidden: they have handled the request.
        BadRequest: somebody was told of it before then, meanwhile.
    """
    breach = await breaches.held(tx, breach_id, caller)
    proposed = await later(tx, breach_id)
    if proposed is None or proposed.correction_id != correction_id:
        raise NotFound("no such hour is proposed any more: read the breach again")
    if caller.holder in {proposed.proposed_by, breach.owner}:
        raise SamePerson("its owner has proposed this: it takes two persons, so somebody else must approve it")
    await breaches.must_not_handle(tx, breach, caller.holder)
    await _must_be_possible(tx, breach, proposed.said)
    await tx.vault.drop_one(tx.connection, correction_id)
    return await _apply(tx, breach, proposed.said, caller, {"proposed_by": proposed.proposed_by})


async def later(tx: UnitOfWork, breach_id: UUID) -> Later | None:
    """The later hour that waits for a second person, if one does."""
    found = await tx.vault.open_kind(tx.connection, breach_id, _LATER)
    return next((Later(at, by, AwarenessCorrected.model_validate_json(said)) for at, by, said in found), None)


async def _must_be_possible(tx: UnitOfWork, breach: Breach, said: AwarenessCorrected) -> None:
    entered_at = await notices.entered_at(tx.connection, breach)
    first_told_at = await tx.connection.fetchval(_TOLD, breach.breach_id)
    if said.found_at > min(each for each in (entered_at, first_told_at, tx.now) if each):
        raise BadRequest("it was on record, or somebody was told of it, before then; say when we knew", "found_at")


async def _apply(
    tx: UnitOfWork, breach: Breach, said: AwarenessCorrected, caller: Caller, by: Mapping[str, JsonValue]
) -> Breach:
    sealing = Sealing(breach.breach_id, _KIND, "", said.model_dump_json().encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    notify_by = said.found_at + (breach.notify_by - breach.found_at)
    await tx.connection.execute(_CORRECT, breach.breach_id, said.found_at, notify_by)
    detail: dict[str, JsonValue] = {"correction": str(sealing.sealed_id), **by}
    detail |= {"found_at": said.found_at.isoformat(), "instead_of": breach.found_at.isoformat()}
    _log(tx, breach, "breach.awareness_corrected", detail, caller)
    if said.found_at != breach.found_at:
        await telling.void(tx, breach, caller)
    # By other 72 hours another notice may be one that only its date makes timely.
    return await notices.recount(tx, breach)


def _log(tx: UnitOfWork, breach: Breach, action: str, detail: Mapping[str, JsonValue], caller: Caller) -> None:
    tx.log_evidence(breach.evidence_id, action, {"breach_id": str(breach.breach_id), **detail}, caller.actor)


async def corrections(tx: UnitOfWork, breach_id: UUID) -> list[AwarenessCorrected]:
    """Every correction with its reasons, the first one first."""
    found = await tx.vault.open_kind(tx.connection, breach_id, _KIND)
    return [AwarenessCorrected.model_validate_json(content) for _, _, content in found]
