"""The record of a breach: facts, effects, measures, and whom one has told by when (Art. 33(3), (4) and (5)).

What was stated stays: whatever is stated anew comes beside it. All words lie in the vault under the key of the breach.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake import repository
from services.intake.auth import Caller
from services.intake.breach import awareness, breaches, notices, telling
from services.intake.breach.breaches import Breach
from services.intake.breach.notices import Notice
from services.intake.breach.schemas import (
    AwarenessCorrected,
    BreachClosed,
    BreachFound,
    BreachNotified,
    BreachRecord,
    Whom,
)
from services.intake.breach.telling import Assessment, Judged, SentLetter
from services.intake.errors import BadRequest, NotReady
from services.intake.grant import Power
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing


async def must_be_no_risk(connection: Connection, breach: Breach, *, judged: bool) -> None:
    """Checks that two persons have judged that it puts nobody at risk; ``judged``: also where nobody has judged it yet.

    That its risk is not high (Art. 34) says nothing of whether there is one (Art. 33(1)).

    Raises:
        NotReady: its risk is to be judged yet, there is one, or how it was judged last waits for a second person.
    """
    last = await telling.judged_last(connection, breach.breach_id)
    if last is None and judged:
        raise NotReady(
            "nobody has judged the risk: propose that there is none (Art. 33(1)), and have a second person agree (once"
            " the 72 hours are over, also of what was none); why nobody had to be told is documented (Art. 33(5))"
        )
    if last is not None:
        _must_be_of_now(last)
    if last is not None and not (last.no_risk and last.agreed):
        raise NotReady(
            "its risk was judged, and two persons do not agree that there is none (Art. 33(1)), which is more than that"
            " it is not high (Art. 34): have them judge it anew, or tell the authority"
        )


async def must_be_settled(connection: Connection, breach: Breach, told: Sequence[str]) -> None:
    """Checks that it is decided whether the persons are told, and that each of them was.

    Raises:
        NotReady: it is not, a letter is on its way or waits for a person, or nobody has told those whom none reaches.
    """
    last = await telling.judged_last(connection, breach.breach_id)
    if last is not None:
        _must_be_of_now(last)
    if last is None or not last.agreed:
        raise NotReady("two persons have yet to decide whether the persons are told (Art. 34)")
    written = await telling.letters_of(connection, breach.breach_id)
    if under_way := [each.request_id for each in written if each.state in {"waiting", "person"}]:
        which = f"{len(under_way)} letters to the persons are not delivered, the first of request {under_way[0]}"
        raise NotReady(f"{which}: wait until they are, or see to them under Letters")
    if not last.high_risk or last.exemption in {"protected", "averted"} or "persons" in told:
        return
    reached = bool(written) and all(each.state in {"sent", None} for each in written)
    if last.exemption == "disproportionate" or not reached:
        raise NotReady("the persons were not told: note the notice to them, whoever gave it (Art. 34(1), 34(3)(c))")


def _must_be_of_now(judged: Judged) -> None:
    """Checks that the breach is still what was judged; raises ``NotReady``."""
    if judged.void_at:
        raise NotReady(
            "what has happened was stated otherwise since the risk was judged: judge it anew, and have a second person"
            " agree"
        )


_RECORD, _CLOSING = "breach_record", "breach_closing"
_ENTER = """
INSERT INTO breach (breach_id, request_id, downloads, found_at, notify_by) VALUES ($1, $2, 0, $3, $4)
"""
_STATE = "UPDATE breach SET recorded_at = $2, categories = $3, people = $4, records = $5 WHERE breach_id = $1"
_CLOSE = "UPDATE breach SET decision = $2, explanation = $3, closed_at = $4 WHERE breach_id = $1"
_DECIDES_BY: Mapping[str, Whom] = {"authority_notified": "authority", "controller_notified": "controller"}
"""Who must have been told before a breach is closed so."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that is known of a breach, in words."""

    breach: Breach
    corrections: Sequence[AwarenessCorrected]
    later: awareness.Later | None
    stated: BreachRecord | None
    notices: Sequence[tuple[Notice, BreachNotified]]
    assessment: Assessment | None
    letters: Sequence[SentLetter]
    closing: BreachClosed | None


async def enter(tx: UnitOfWork, said: BreachFound, caller: Caller, notified_within: timedelta) -> Breach:
    """Opens the record of a breach that was found elsewhere; whoever is to see to it becomes its owner afterwards.

    Raises:
        Forbidden: they may enter nothing.
        BadRequest: it was found in the future, the request is none, or the policy has no such category.
    """
    caller.grant.must(Power.SUBMIT)
    if said.found_at > tx.now:
        raise BadRequest("a breach cannot have been found in the future; say when it was", "found_at")
    if said.request_id and await repository.read(tx.connection, said.request_id) is None:
        raise BadRequest("there is no such request; leave it out, if it happened in the handling of none", "request_id")
    breach_id = uuid7()
    found = (breach_id, said.request_id, said.found_at, said.found_at + notified_within)
    await tx.connection.execute(_ENTER, *found)
    await tx.vault.insert_subjects(tx.connection, [tx.vault.new_record(breach_id, b"", (), tx.now)[0]])
    breach = await breaches.read(tx.connection, breach_id)
    detail: dict[str, JsonValue] = {"breach_id": str(breach_id), "found_at": said.found_at.isoformat()}
    tx.log_evidence(breach.evidence_id, "breach.entered", detail, caller.actor)
    stated = BreachRecord.model_validate(said.model_dump(include=set(BreachRecord.model_fields)))
    return await _state(tx, breach, stated, caller)


async def state(tx: UnitOfWork, breach_id: UUID, said: BreachRecord, caller: Caller) -> Breach:
    """States what has happened, in the place of what was stated before, which stays on record.

    What was judged of it before, and agreed, counts no more where that is something else.

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        BadRequest: the policy has no such category.
    """
    return await _state(tx, await breaches.owned(tx, breach_id, caller), said, caller)


async def _state(tx: UnitOfWork, breach: Breach, said: BreachRecord, caller: Caller) -> Breach:
    if unknown := sorted({*said.categories} - tx.policy.categories.keys()):
        known = ", ".join(sorted(tx.policy.categories))
        raise BadRequest(f"the policy has no category {unknown[0]}; give some of {known}", "categories")
    before = await _words(tx, breach, _RECORD)
    if before and BreachRecord.model_validate_json(before[-1][1]) != said:
        await telling.void(tx, breach, caller)
    place = await _seal(tx, breach, _RECORD, said)
    await tx.connection.execute(_STATE, breach.breach_id, tx.now, sorted({*said.categories}), said.people, said.records)
    detail: dict[str, JsonValue] = {"record": str(place), "nature": [*said.nature]}
    detail |= {"categories": [*sorted({*said.categories})], "people": said.people, "records": said.records}
    _log(tx, breach, "breach.recorded", detail, caller)
    return await breaches.read(tx.connection, breach.breach_id)


async def close(tx: UnitOfWork, breach_id: UUID, said: BreachClosed, caller: Caller) -> Breach:
    """Its owner closes it, and says why.

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        NotReady: what has happened is not stated, who must be told was not, or the persons are yet to be decided about;
            or it is to be closed as none, its 72 hours are over, and two persons have not said that nobody is at risk.
        IllegalTransition: somebody was told of it because of its risk, and it is to be closed as without one.
    """
    breach = await breaches.owned(tx, breach_id, caller)
    if breach.recorded_at is None:
        raise NotReady("nobody has stated what has happened: that is documented of every breach (Art. 33(5))")
    noted = await notices.noted(tx.connection, breach)
    if whom := _DECIDES_BY.get(said.decision):
        # Whom we have written to by ourselves is ours, and of their data the authority is told too.
        owed = {whom, "authority"} if await telling.letters_of(tx.connection, breach_id) else {whom}
        _must_be_told(owed, noted)
        await must_be_settled(tx.connection, breach, [each.whom for each in noted])
    else:
        late = breach.told_at is None and tx.now > breach.notify_by  # entered anew, it would have 72 hours again
        await must_be_no_risk(tx.connection, breach, judged=late or said.decision == "no_risk")
        if said.decision == "no_risk" and any(each.whom != "persons" for each in noted):
            raise IllegalTransition("somebody was told of it because of its risk; say which of them decides")
    place = await _seal(tx, breach, _CLOSING, said)
    await tx.connection.execute(_CLOSE, breach_id, said.decision, place, tx.now)
    told_at = breach.told_at or (whom and notices.first_of(whom, noted)) or tx.now
    in_time = told_at <= breach.notify_by
    _log(tx, breach, "breach.closed", {"decision": said.decision, "in_time": in_time}, caller)
    return await breaches.read(tx.connection, breach_id)


def _must_be_told(owed: Collection[Whom], noted: Sequence[Notice]) -> None:
    """Checks that each of them was told everything, at an hour that needs no second person, or has had one."""
    complete = [each for each in noted if each.phase == "complete"]
    if missing := sorted({*owed} - {each.whom for each in complete if not each.waits}):
        if any(each.whom == missing[0] for each in complete):
            raise NotReady(
                f"that the {missing[0]} was told then waits for a second person: its date alone makes it timely, or is"
                " before the breach was on record"
            )
        raise NotReady(f"no notice to the {missing[0]} is on record in which they were told everything; note it first")


async def read(tx: UnitOfWork, breach_id: UUID, caller: Caller) -> Record:
    """The whole record; whoever reads it is on record.

    Raises:
        NotFound: there is no such breach.
        Shredded: it is closed for so long that its words are gone.
    """
    breach = await breaches.read(tx.connection, breach_id)
    stated = await _words(tx, breach, _RECORD)
    words = dict(await _words(tx, breach, notices.KIND))
    closing = await _words(tx, breach, _CLOSING)
    noted = await notices.noted(tx.connection, breach)
    _log(tx, breach, "breach.read", {"holder": caller.holder}, caller)
    return Record(
        breach,
        await awareness.corrections(tx, breach_id),
        await awareness.later(tx, breach_id),
        BreachRecord.model_validate_json(stated[-1][1]) if stated else None,
        [(each, BreachNotified.model_validate_json(words[each.notice_id])) for each in noted],
        await telling.latest(tx, breach_id),
        await telling.letters_of(tx.connection, breach_id),
        BreachClosed.model_validate_json(closing[-1][1]) if closing else None,
    )


async def forget(tx: UnitOfWork, before: datetime) -> int:
    """Ends the records that were closed before then, with their keys; returns how many."""
    ended = await tx.connection.fetch("DELETE FROM breach WHERE closed_at < $1 RETURNING breach_id, request_id", before)
    ids = [row[0] for row in ended]
    await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = ANY($1)", ids)
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", ids)
    for breach_id, request_id in ended:
        tx.log_evidence(request_id or breach_id, "evidence.tier_expired", {"tier": "breaches"})
    return len(ended)


async def _words(tx: UnitOfWork, breach: Breach, kind: str) -> list[tuple[UUID, bytes]]:
    return [(place, content) for place, _, content in await tx.vault.open_kind(tx.connection, breach.breach_id, kind)]


async def _seal(tx: UnitOfWork, breach: Breach, kind: str, said: BreachRecord | BreachClosed) -> UUID:
    sealing = Sealing(breach.breach_id, kind, "", said.model_dump_json().encode())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    return sealing.sealed_id


def _log(tx: UnitOfWork, breach: Breach, action: str, detail: dict[str, JsonValue], caller: Caller) -> None:
    tx.log_evidence(breach.evidence_id, action, {"breach_id": str(breach.breach_id), **detail}, caller.actor)
