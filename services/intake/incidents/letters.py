"""Letters that notify people of an incident (Art. 34), as two people have decided.

Each is a letter of a request of theirs, sent as those are. People without a request here, or who have not shown who
they are, are notified otherwise, and that is noted.
"""

from typing import NamedTuple
from uuid import UUID

from services.intake.core.errors import BadRequest
from services.intake.incidents.incident import Incident, IncidentLetter
from services.intake.incidents.schemas import IncidentFacts, RiskDecided
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
# ``shares``: its requester states something that the requester states with whose request it happened.
_REQUESTERS = """
SELECT request_id, coalesce(case_id, request_id), proved_account, proved_email, EXISTS (
    SELECT FROM request_lookup a JOIN request_lookup b USING (hash)
    WHERE a.request_id = r.request_id AND b.request_id = $2)
FROM request r WHERE request_id = ANY($1)
"""


class _Requester(NamedTuple):
    case_id: UUID
    account: bytes | None
    email: bytes | None
    shares: bool

    def is_same(self, other: "_Requester") -> bool:
        """Whether both are shown to be the same person, or wrote the same message."""
        one, another = Person(self.account, self.email), Person(other.account, other.email)
        return self.case_id == other.case_id or one.is_same(another)


async def written(connection: Connection, incident_id: UUID) -> list[IncidentLetter]:
    """The letters of an incident."""
    return [IncidentLetter(**row) for row in await connection.fetch(_WRITTEN, incident_id)]


async def write(tx: UnitOfWork, texts: Letters, incident: Incident, facts: IncidentFacts, said: RiskDecided) -> int:
    """Writes to those concerned who have no letter of this incident; returns to how many."""
    kept = list[delivery.Written]()
    categories = Listed(tuple(Term("category", each) for each in sorted({*facts.categories})))
    for request in await to_write(tx, texts, incident, said):
        words = said.words[texts.reader(request).language].model_dump()
        fields = {"found_on": facts.found_at, "categories": categories, **words}
        letter = correspondence.write(texts, request, ("breach", fields), tx.now)
        kept.append(delivery.Written(request, letter))
        tx.log_evidence(request.request_id, "letter.written", correspondence.named(letter))
    rows = [(incident.incident_id, each.request.request_id, each.sealing.sealed_id) for each in kept]
    await delivery.keep(tx, texts, kept)
    await tx.connection.executemany(_NOTE, rows)
    return len(rows)


async def to_write(tx: UnitOfWork, texts: Letters, incident: Incident, said: RiskDecided) -> list[Request]:
    """One request of each person who has no letter yet, all of them locked until the end.

    Raises:
        BadRequest: a letter of one of them does not reach the person concerned, or the words of a language are missing.
    """
    ids, told = sorted({*said.concerned}), [each.request_id for each in incident.letters]
    await tx.connection.execute(_LOCK, ids)
    found = await repository.read_all(tx.connection, ids)
    if missing := {*ids} - {each.request_id for each in found}:
        raise BadRequest(f"there is no request {min(missing)}; name those of the people concerned", "concerned")
    asked = [*ids, *told, incident.request_id]
    rows = await tx.connection.fetch(_REQUESTERS, asked, incident.request_id)
    requesters = {row[0]: _Requester(*row[1:]) for row in rows}
    wrong = requesters.get(incident.request_id) if incident.request_id else None
    reachable = await tx.vault.unshredded(tx.connection, ids)
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in found])
    reached, chosen = [requesters[each] for each in told], list[Request]()
    # Of several requests of a person, that by which most is known of them.
    for request in sorted(found, key=lambda each: requesters[each.request_id].account is None):
        requester, stated = requesters[request.request_id], known.get(request.subject_ref)
        fault = None
        if request.tenant or request.role == "processor":
            fault = "a customer of ours decides about these data, and tells the person"
        elif requester.shares or (wrong and requester.is_same(wrong)):
            fault = "its letters go to the requester with whose request this happened, who may have got the data"
        elif request.anonymous or (stated and all(each.level == NOTHING for each in stated.identities)):
            fault = "its requester has not shown who they are"
        elif request.request_id not in reachable:
            fault = "its correspondence has expired"
        if fault:
            raise BadRequest(f"request {request.request_id}: {fault}; tell them otherwise, and note that", "concerned")
        if not any(requester.is_same(each) for each in reached):
            reached.append(requester)
            chosen.append(request)
    if missing_in := sorted({texts.reader(each).language for each in chosen} - said.words.keys()):
        raise BadRequest(f"one of those concerned reads {missing_in[0]}: write the letter in that language", "words")
    return chosen
