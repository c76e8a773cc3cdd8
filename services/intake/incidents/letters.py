"""Letters that notify people of an incident (Art. 34), as two people have decided.

Each is a letter of a request of theirs. People whom no letter reaches are notified otherwise, and that is noted.
"""

from collections.abc import Sequence
from uuid import UUID

from services.intake.core.errors import BadRequest
from services.intake.incidents.incident import Incident, IncidentFacts, IncidentLetter, RiskDecided
from services.intake.letters import correspondence, delivery
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request
from services.intake.request.same_person import Person
from services.intake.store import repository
from shared.domain.rights import NOTHING
from shared.domain.sentences import Listed, Term
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

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
_LOCK = "SELECT FROM request WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"
_NOTE = "INSERT INTO incident_letter (incident_id, request_id, letter_id) VALUES ($1, $2, $3)"
# Who asks, by message, account and address; and whether they state what the requester of $2 states.
_REQUESTERS = """
SELECT request_id, coalesce(case_id, request_id), proved_account, proved_email, EXISTS (
    SELECT FROM request_lookup a JOIN request_lookup b USING (hash)
    WHERE a.request_id = r.request_id AND b.request_id = $2)
FROM request r WHERE request_id = ANY($1)
"""
_CUSTOMERS = "a customer decides about these data, and tells the person"
_SUSPECT = "its letters go to the requester with whose request this happened, who may have got the data"


async def written(connection: Connection, incident_id: UUID) -> list[IncidentLetter]:
    """The letters of an incident."""
    return [IncidentLetter(**row) for row in await connection.fetch(_WRITTEN, incident_id)]


async def write(tx: UnitOfWork, texts: Letters, incident: Incident, facts: IncidentFacts, said: RiskDecided) -> int:
    """Writes to those concerned who have no letter of this incident; returns to how many."""
    kept = list[delivery.Written]()
    categories = Listed(tuple(Term("category", each) for each in sorted({*facts.categories})))
    for request in await _concerned(tx, incident, said):
        if (words := said.words.get(language := texts.reader(request).language)) is None:
            raise BadRequest(f"one of those concerned reads {language}: write the letter in that language", "words")
        fields = {"found_on": facts.found_at, "categories": categories, **words.model_dump()}
        letter = correspondence.write(texts, request, ("breach", fields), tx.now)
        kept.append(delivery.Written(request, letter))
        tx.log_evidence(request.request_id, "letter.written", correspondence.named(letter))
    await delivery.keep(tx, texts, kept)
    rows = [(incident.incident_id, each.request.request_id, each.sealing.sealed_id) for each in kept]
    await tx.connection.executemany(_NOTE, rows)
    return len(rows)


async def _concerned(tx: UnitOfWork, incident: Incident, said: RiskDecided) -> Sequence[Request]:
    """One request of each person who has no letter yet, all of them locked until the end; raises ``BadRequest``."""
    ids, told = sorted({*said.concerned}), [each.request_id for each in incident.letters]
    await tx.connection.execute(_LOCK, ids)
    found = await repository.read_all(tx.connection, ids)
    if missing := {*ids} - {each.request_id for each in found}:
        raise BadRequest(f"there is no request {min(missing)}; name those of the people concerned", "concerned")
    rows = await tx.connection.fetch(_REQUESTERS, [*ids, *told, incident.request_id], incident.request_id)
    who = {row[0]: (row[1], Person(row[2], row[3])) for row in rows}
    sharing = {row[0] for row in rows if row[4]}
    reachable = await tx.vault.unshredded(tx.connection, ids)
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in found])

    def same(one: UUID | None, other: UUID) -> bool:
        if one not in who:
            return False
        (case, person), (other_case, other_person) = who[one], who[other]
        return case == other_case or person.is_same(other_person)

    chosen = list[Request]()
    # Of several requests of a person, that by which most is known of them.
    for request in sorted(found, key=lambda each: who[each.request_id][1].account is None):
        request_id, stated = request.request_id, known.get(request.subject_ref)
        unproved = stated is not None and all(each.level == NOTHING for each in stated.identities)
        suspect = request_id in sharing or same(incident.request_id, request_id)
        faults = (
            (request.tenant or request.role == "processor", _CUSTOMERS),
            (suspect, _SUSPECT),
            (request.anonymous or unproved, "its requester has not shown who they are"),
            (request_id not in reachable, "its correspondence has expired"),
        )
        if fault := next((words for holds, words in faults if holds), None):
            raise BadRequest(f"request {request_id}: {fault}; tell them otherwise, and note that", "concerned")
        if not any(same(each, request_id) for each in (*told, *(each.request_id for each in chosen))):
            chosen.append(request)
    return chosen
