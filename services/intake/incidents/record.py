"""The record of an incident: facts in versions, its 72 hours, the decision of two people, and who was notified.

One opens where a package was handed out that should not have been. A handler of the request does
nothing with its incident (REQ-S9). All text is in the vault, under a key with the id of the incident.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import READ_ACTIONS, Caller
from services.intake.access.grant import Power
from services.intake.core.errors import BadRequest, Forbidden, NotFound, NotReady
from services.intake.incidents.incident import (
    Entry,
    Incident,
    IncidentClosed,
    IncidentFacts,
    IncidentFound,
    IncidentLetter,
    IncidentRow,
    Notified,
    RiskDecided,
    Said,
    Whom,
    owed,
)
from services.intake.letters import delivery_queue, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request
from services.intake.store import repository
from shared.domain.errors import IllegalTransition
from shared.domain.release import ReleaseFault
from shared.domain.rights import NOTHING
from shared.domain.sentences import FactList, Term
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

_CLEAR: Final = {
    *("found_at", "nature", "categories", "people", "records", "controllers", "us_customers"),
    *("risk", "exemption", "whom", "notified_at", "complete"),
}
"""Fields that the evidence has in clear."""
_NEW = """
INSERT INTO incident (incident_id, opened_at, found_at, request_id, package_id, fault, downloads)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (package_id) DO NOTHING RETURNING incident_id
"""
_READ = """
SELECT incident_id, request_id, fault, downloads, opened_at, found_at, owner, categories, people,
       notified_at, closed_at,
       (SELECT a.proposed_by FROM approval a
        WHERE a.kind = 'incidents' AND a.subject = incident_id::text AND a.state = 'proposed') AS proposed_by
FROM incident
"""
_CHANGE = """
UPDATE incident SET found_at = $2, owner = $3, categories = $4, people = $5, notified_at = $6, closed_at = $7
WHERE incident_id = $1
"""
_VOID = "UPDATE approval SET state = 'replaced' WHERE kind = 'incidents' AND subject = $1 AND state = 'proposed'"
# Who has done something about the request but look at it, or see to its incident.
_HANDLERS = """
SELECT DISTINCT coalesce(k.holder, substr(e.actor, 8)) FROM evidence.entry e
LEFT JOIN api_key k ON e.actor = 'key:' || k.key_id
WHERE e.request_id = $1 AND e.action NOT LIKE 'incident.%' AND NOT e.action LIKE ANY($2)
  AND (k.holder IS NOT NULL OR e.actor LIKE 'person:%')
"""
# Decisions lock the request: of one and a new owner at the same time, the later sees the earlier.
_LOCK = "SELECT FROM request WHERE request_id = $1 FOR UPDATE"
_OWNS = "SELECT EXISTS (SELECT FROM incident WHERE request_id = $1 AND owner = $2)"
_WRITTEN = """
SELECT b.request_id, b.letter_id,
       coalesce(d.state, CASE WHEN r.channel = 'portal' THEN coalesce(n.state, 'unannounced') END) AS state
FROM incident_letter b
LEFT JOIN letter l ON l.letter_id = b.letter_id LEFT JOIN request r ON r.request_id = b.request_id
LEFT JOIN delivery d ON d.letter_id = b.letter_id
LEFT JOIN LATERAL (
    SELECT state FROM delivery m
    WHERE m.request_id = b.request_id AND m.kind = 'portal_news' AND m.written_at >= l.written_at
    ORDER BY m.state = 'sent' DESC, m.letter_id LIMIT 1
) n ON true
WHERE b.incident_id = $1 ORDER BY b.letter_id
"""
_LOCK_ALL = "SELECT FROM request WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"
_NOTE = "INSERT INTO incident_letter (incident_id, request_id, letter_id) VALUES ($1, $2, $3)"
# Requests of the requester of $2, who may have got the data: by message, by what they state, or by what they proved.
_SUSPECTS = """
SELECT r.request_id FROM request r JOIN request h ON h.request_id = $2
WHERE r.request_id = ANY($1) AND (r.request_id = $2 OR r.case_id = h.case_id OR EXISTS (
    SELECT FROM request_lookup a JOIN request_lookup b USING (hash)
    WHERE a.request_id = r.request_id AND b.request_id = $2))
UNION SELECT other FROM same_person WHERE request_id = $2
"""


async def open_one(tx: UnitOfWork, request_id: UUID, package_id: UUID, fault: ReleaseFault, downloads: int) -> None:
    """Opens the incident of a package that was handed out so often, unless there is one."""
    if incident_id := await _insert(tx, tx.now, request_id, package_id, fault, downloads):
        detail = {"incident_id": str(incident_id), "fault": fault.value, "downloads": downloads}
        tx.log_evidence(request_id, "incident.opened", detail)


async def enter(tx: UnitOfWork, statement: IncidentFound, caller: Caller) -> Incident:
    """Opens an incident that was found elsewhere, without an owner if the caller has handled its request.

    Raises ``Forbidden``, ``BadRequest``.
    """
    caller.grant.must(Power.SUBMIT)
    if statement.request_id and await repository.read(tx.connection, statement.request_id) is None:
        raise BadRequest("there is no such request; leave it out if it happened in the handling of none", "request_id")
    incident_id = await _insert(tx, statement.found_at, statement.request_id, None, None, 0)
    incident = await load(tx, incident_id or uuid7())
    _log(tx, incident, "entered", {}, caller)
    await state(tx, incident, IncidentFacts(**statement.model_dump(exclude={"request_id"})), caller)
    return await load(tx, incident.incident_id)


async def must_not_have_handled(tx: UnitOfWork, incident: Incident, caller: Caller) -> None:
    """Raises ``Forbidden`` to a caller who has handled the request of the incident."""
    if await _has_handled(tx, incident, caller):
        raise Forbidden("you have handled this request: another person must see to its incident")


async def state(tx: UnitOfWork, incident: Incident, statement: IncidentFacts, caller: Caller) -> None:
    """States the facts, in a new version; other facts void the decision. Raises ``BadRequest``."""
    _must_be_open(incident)
    if unknown := sorted({*statement.categories} - tx.policy.categories.keys()):
        known = ", ".join(sorted(tx.policy.categories))
        raise BadRequest(f"the policy has no category {unknown[0]}; give some of {known}", "categories")
    if statement.found_at > min([incident.opened_at, *(each.notified_at for _, each in incident.notices)]):
        raise BadRequest("it was on record, or a notice went out, before then; say when we knew", "found_at")
    owner = None if await _has_handled(tx, incident, caller) else caller.holder
    stated: dict[str, object] = {
        "owner": owner,
        "categories": sorted({*statement.categories}),
        "people": statement.people,
    }
    # One person cannot lengthen the 72 hours: a later time counts with the decision of two.
    stated |= {"found_at": min(incident.found_at, statement.found_at)}
    if incident.facts != statement:
        await tx.connection.execute(_VOID, str(incident.incident_id))
    await _put(tx, incident, statement, caller, stated)


async def decide(
    tx: UnitOfWork, texts: LetterFacts, incident: Incident, statement: RiskDecided, caller: Caller, proposer: str
) -> None:
    """Takes the decision that a second person approves: the letters go out, and a later discovery counts.

    Raises ``NotReady``, ``BadRequest``, ``IllegalTransition``.
    """
    _must_be_open(incident)
    facts = incident.facts
    if facts is None:
        raise NotReady("state the facts first (Art. 33(5)): the risk follows from them")
    if statement.concerned and "us" not in facts.controllers:
        raise BadRequest("only the customer decides about these data, and notifies the data subjects", "concerned")
    written = await _write(tx, texts, incident, facts, statement)
    more: dict[str, JsonValue] = {"proposed_by": proposer, "concerned": len(statement.concerned), "letters": written}
    await _put(tx, incident, statement, caller, {"found_at": facts.found_at}, proposer, **more)


async def _write(
    tx: UnitOfWork, texts: LetterFacts, incident: Incident, facts: IncidentFacts, statement: RiskDecided
) -> int:
    """Writes by each named request that has no letter of this incident (Art. 34); returns how many."""
    kept = list[delivery_queue.NewLetter]()
    categories = FactList(tuple(Term("category", each) for each in sorted({*facts.categories})))
    for request in await _concerned(tx, incident, statement):
        if (words := statement.words.get(language := texts.reader(request).language)) is None:
            raise BadRequest(f"one of those concerned reads {language}: write the letter in that language", "words")
        fields = {"found_on": facts.found_at, "categories": categories, **words.model_dump()}
        letter = sealed_letters.compose(texts, request, ("breach", fields), tx.now)
        kept.append(delivery_queue.NewLetter(request, letter))
        tx.log_evidence(request.request_id, "letter.written", sealed_letters.letter_evidence(letter))
    await delivery_queue.store_letters(tx, texts, kept)
    rows = [(incident.incident_id, each.request.request_id, each.sealing.sealed_id) for each in kept]
    await tx.connection.executemany(_NOTE, rows)
    return len(rows)


async def _concerned(tx: UnitOfWork, incident: Incident, statement: RiskDecided) -> Sequence[Request]:
    """The named requests that have no letter yet, locked until the end; raises ``BadRequest``."""
    ids, notified = sorted({*statement.concerned}), {each.request_id for each in incident.letters}
    await tx.connection.execute(_LOCK_ALL, ids)
    found = await repository.read_all(tx.connection, ids)
    if missing := {*ids} - {each.request_id for each in found}:
        raise BadRequest(f"there is no request {min(missing)}; name those of the people concerned", "concerned")
    suspects = {row[0] for row in await tx.connection.fetch(_SUSPECTS, ids, incident.request_id)}
    reachable = await tx.vault.unshredded(tx.connection, ids)
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in found])
    for request in found:
        request_id, stated = request.request_id, known.get(request.subject_ref)
        unproved = stated is not None and all(each.level == NOTHING for each in stated.identities)
        faults = (
            (
                request.tenant or request.role == "processor",
                "a customer decides about these data, and tells the person",
            ),
            (request_id in suspects, "its requester may have got the data"),
            (request.anonymous or unproved, "its requester has not shown who they are"),
            (request_id not in reachable, "its correspondence has expired"),
        )
        if fault := next((words for holds, words in faults if holds), None):
            raise BadRequest(f"request {request_id}: {fault}; tell them otherwise, and note that", "concerned")
    return [each for each in found if each.request_id not in notified]


async def note(tx: UnitOfWork, incident: Incident, statement: Notified, caller: Caller) -> None:
    """Notes a notification; one that is noted after the 72 hours is late, whatever its date."""
    _must_be_open(incident)
    if not incident.found_at <= statement.notified_at <= tx.now:
        raise BadRequest(
            "a notice is neither earlier than the discovery nor in the future; say when it was", "notified_at"
        )
    first = statement.whom in {"authority", "controller"} and statement.whom not in {
        each.whom for _, each in incident.notices
    }
    late = first and tx.now > incident.notify_by
    if late and statement.delay is None:
        raise BadRequest("after the 72 hours say why it is late (Art. 33(1)), or why it is noted late", "delay")
    notified_at = (
        min(filter(None, [incident.notified_at, statement.notified_at]))
        if statement.whom == "authority"
        else incident.notified_at
    )
    await _put(tx, incident, statement, caller, {"notified_at": notified_at}, late=late)


async def close(tx: UnitOfWork, incident: Incident, statement: IncidentClosed, caller: Caller) -> None:
    """Closes an incident once two people have decided about it and everybody who must be was notified.

    Raises ``NotReady``, ``IllegalTransition``.
    """
    _must_be_open(incident)
    facts, decision = incident.facts, incident.decision
    if not (facts and decision):
        raise NotReady(
            "two people must first decide how high the risk of these facts is (Art. 33(1), 34), and why no notice is"
            " needed where there is none: propose that, and have another person approve it"
        )
    risk, sent = decision, [each.state for each in incident.letters]
    whom, noted = owed(facts, risk), {each.whom: at for at, each in reversed(incident.notices)}
    missing: set[Whom] = whom - {each.whom for _, each in incident.notices if each.complete}
    if first := sorted(missing - {"subjects"}):
        raise NotReady(f"no complete notice to the {first[0]} is on record; note it first")
    if waiting := sum(each in {"waiting", "needs_attention"} for each in sent):
        raise NotReady(f"{waiting} letters are not delivered: wait, or see to them under Letters")
    reached = sent and all(each in {"sent", None} for each in sent)
    if "subjects" in missing and (risk.exemption or not reached):
        raise NotReady("data subjects were not notified: note the notice to them (Art. 34(1), 34(3)(c))")
    clocked = whom & {"authority", "controller"} or {"authority"}
    in_time = all(noted.get(each, tx.now) <= incident.notify_by for each in clocked)
    await _put(tx, incident, statement, caller, {"closed_at": tx.now}, risk=risk.risk, in_time=in_time)


async def read(tx: UnitOfWork, incident_id: UUID, caller: Caller) -> Incident:
    """The whole record; the evidence names the reader. Raises ``NotFound``, ``Shredded``."""
    incident = await load(tx, incident_id)
    note_reader(tx, incident, caller)
    return incident


def note_reader(tx: UnitOfWork, incident: Incident, caller: Caller) -> None:
    """Puts on record who has read it."""
    _log(tx, incident, "read", {"holder": caller.holder}, caller)


async def load(tx: UnitOfWork, incident_id: UUID) -> Incident:
    """The whole record. Raises ``NotFound``, ``Shredded``."""
    row = await tx.connection.fetchrow(f"{_READ} WHERE incident_id = $1", incident_id)
    if row is None:
        raise NotFound("there is no such incident")
    found = await tx.vault.open_kind(tx.connection, incident_id, "incident")
    entries = [Entry.model_validate_json(content) for _, _, content in found]
    letters = [IncidentLetter(**each) for each in await tx.connection.fetch(_WRITTEN, incident_id)]
    return Incident(**row, entries=entries, letters=letters)


async def listed(connection: Connection) -> list[IncidentRow]:
    """Every incident: the open ones, the most urgent first, then those closed last."""
    order = "closed_at DESC NULLS FIRST, found_at, incident_id"
    return [IncidentRow(**row) for row in await connection.fetch(f"{_READ} ORDER BY {order}")]


async def must_not_own(connection: Connection, request_id: UUID, holder: str) -> None:
    """Checks that the handler of a request owns no incident of it; raises ``Forbidden``."""
    if await connection.fetchval(_OWNS, request_id, holder):
        raise Forbidden("you own the incident of this request, and judge its handling: another person must do this")


async def forget(tx: UnitOfWork, before: datetime) -> int:
    """Deletes the incidents that were closed before then, with their keys; returns how many."""
    query = "DELETE FROM incident WHERE closed_at < $1 RETURNING incident_id, request_id"
    ended = await tx.connection.fetch(query, before)
    ids = [row[0] for row in ended]
    query = "DELETE FROM approval WHERE kind = 'incidents' AND subject = ANY($1)"
    await tx.connection.execute(query, [str(each) for each in ids])
    await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = ANY($1)", ids)
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", ids)
    for incident_id, request_id in ended:
        tx.log_evidence(request_id or incident_id, "evidence.tier_expired", {"tier": "incidents"})
    return len(ended)


def _must_be_open(incident: Incident) -> None:
    if incident.closed_at is not None:
        raise IllegalTransition("this incident is closed")


async def _insert(tx: UnitOfWork, *found: object) -> UUID | None:
    incident_id: UUID | None = await tx.connection.fetchval(_NEW, uuid7(), tx.now, *found)
    if incident_id:
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_record(incident_id, b"", (), tx.now)[0]])
    return incident_id


async def _put(
    tx: UnitOfWork,
    incident: Incident,
    statement: Said,
    caller: Caller,
    changed: Mapping[str, object],
    proposer: str | None = None,
    **more: JsonValue,
) -> None:
    """Keeps what was said as an entry, and what it changes."""
    by, approver = proposer or caller.holder, caller.holder if proposer else None
    entry = Entry(
        entry_id=uuid7(), kind=statement.KIND, said_by=by, approved_by=approver, said_at=tx.now, said=statement
    )
    sealing = Sealing(incident.incident_id, "incident", "", entry.model_dump_json().encode(), entry.entry_id)
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    now = incident.model_copy(update=changed)
    row = (now.found_at, now.owner, now.categories, now.people, now.notified_at, now.closed_at)
    await tx.connection.execute(_CHANGE, incident.incident_id, *row)
    clear = statement.model_dump(mode="json", include=_CLEAR)
    _log(tx, incident, statement.KIND, {"entry": str(entry.entry_id), **clear, **more}, caller)


def _log(tx: UnitOfWork, incident: Incident, what: str, detail: dict[str, JsonValue], caller: Caller) -> None:
    detail = {"incident_id": str(incident.incident_id), **detail}
    tx.log_evidence(incident.request_id or incident.incident_id, f"incident.{what}", detail, caller.actor)


async def _has_handled(tx: UnitOfWork, incident: Incident, caller: Caller) -> bool:
    """Whether the caller has handled the request of the incident, which is locked until the end."""
    if incident.request_id is None:
        return False
    await tx.connection.execute(_LOCK, incident.request_id)
    looks = [f"%{each}" for each in READ_ACTIONS]
    return caller.holder in {row[0] for row in await tx.connection.fetch(_HANDLERS, incident.request_id, looks)}
