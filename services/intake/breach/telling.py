"""Whether the persons are told of a breach (Art. 34): its owner proposes, somebody else approves, letters go out.

The letter is one of the letters of a request of theirs: sent as those are, in the language that they read. Whoever has
no request here, or has not shown who they are, a person tells in the same words; that is noted (``record``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake import repository
from services.intake.auth import Caller
from services.intake.breach import breaches
from services.intake.breach.breaches import Breach
from services.intake.breach.schemas import LetterWords, RiskAssessed
from services.intake.errors import BadRequest, Forbidden, NotFound, NotReady, SamePerson
from services.intake.identity.same_person import NOBODY, Person, person
from services.intake.letters import correspondence, delivery
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request
from services.intake.request.letter_kinds import LetterField
from services.intake.request.stored_request import StoredRequest
from shared.domain.errors import IllegalTransition
from shared.domain.identities import IdentityType
from shared.domain.levels import NOTHING
from shared.domain.sentences import Listed, Term
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Sealing


@dataclass(frozen=True, slots=True)
class Asker:
    """Who has asked a request, as far as it is known.

    ``case_id``: the first of the requests that came in the same message, or this one. ``addresses``: the e-mail
    addresses that they gave, proved or not. ``proved``: something of them is; also where nothing is left to tell by.
    """

    case_id: UUID
    person: Person
    addresses: frozenset[str]
    proved: bool

    def is_same(self, other: "Asker") -> bool:
        """Whether both are shown to be the same person, who need not be told twice."""
        return self.case_id == other.case_id or self.person.is_same(other.person)

    def is_of(self, other: "Asker") -> bool:
        """Whether a letter to the one may be read by the other."""
        return self.is_same(other) or not self.addresses.isdisjoint(other.addresses)


def asker_of(request: StoredRequest, known: SubjectData | None, keyring: Keyring) -> Asker:
    """Who has asked it; ``known``: None where that is gone."""
    case_id = request.case_id or request.request_id
    if known is None:
        return Asker(case_id, NOBODY, frozenset(), proved=True)
    stated = [each for each in known.identities if each.source == "requester"]
    addresses = frozenset(each.value for each in stated if each.type is IdentityType.EMAIL)
    proved = any(each.level > NOTHING for each in known.identities)
    return Asker(case_id, person(stated, keyring), addresses, proved)


_KIND = "breach_assessment"
_PROPOSE = """
INSERT INTO breach_assessment
    (assessment_id, breach_id, high_risk, no_risk, exemption, concerned, proposed_by, proposed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_LATEST = """
SELECT assessment_id, high_risk, no_risk, exemption, proposed_by, proposed_at, approved_by, approved_at, void_at
FROM breach_assessment WHERE breach_id = $1 ORDER BY assessment_id DESC LIMIT 1
"""
_APPROVE = "UPDATE breach_assessment SET approved_by = $2, approved_at = $3 WHERE assessment_id = $1"
_VOID = """
UPDATE breach_assessment SET void_at = $2 WHERE breach_id = $1 AND void_at IS NULL RETURNING assessment_id
"""
_WRITTEN = """
SELECT b.request_id, b.letter_id,
       coalesce(d.state, CASE WHEN r.channel = 'portal' THEN coalesce(n.state, 'unannounced') END)
FROM breach_letter b LEFT JOIN letter l ON l.letter_id = b.letter_id LEFT JOIN request r ON r.request_id = b.request_id
LEFT JOIN delivery d ON d.letter_id = b.letter_id
LEFT JOIN LATERAL (
    SELECT state FROM delivery m
    WHERE m.request_id = b.request_id AND m.kind = 'portal_news' AND m.written_at >= l.written_at
    ORDER BY m.state = 'sent' DESC, m.letter_id LIMIT 1
) n ON true
WHERE b.breach_id = $1 ORDER BY b.letter_id
"""
_TO_WRITE = "INSERT INTO breach_letter (breach_id, request_id, letter_id) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Judged:
    """How the risk was judged, and by whom; without the words.

    ``void_at``: when the breach that was judged was stated otherwise.
    """

    assessment_id: UUID
    high_risk: bool
    no_risk: bool
    exemption: str | None
    proposed_by: str
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    void_at: datetime | None

    @property
    def agreed(self) -> bool:
        """Whether two persons have said so of the breach as it is now."""
        return self.approved_at is not None and self.void_at is None


@dataclass(frozen=True, slots=True)
class Assessment:
    """How the risk was judged, by whom, and why."""

    judged: Judged
    said: RiskAssessed


@dataclass(frozen=True, slots=True)
class SentLetter:
    """A letter that tells somebody of a breach.

    ``state``: of its delivery, or of the mail that says that it can be read in the portal, ``unannounced`` where there
    is none; None: whoever has asked fetches it by a channel of their own.
    """

    request_id: UUID
    letter_id: UUID
    state: str | None


async def propose(tx: UnitOfWork, letters: Letters, breach_id: UUID, said: RiskAssessed, caller: Caller) -> UUID:
    """Its owner says whether the persons are told; returns the id by which somebody else approves that.

    Raises:
        NotFound, IllegalTransition, Forbidden: see ``breaches.owned``.
        NotReady: what has happened is not stated.
        BadRequest: one of those concerned cannot be told by letter, or the words of a language are missing.
    """
    breach = await breaches.owned(tx, breach_id, caller)
    if breach.recorded_at is None:
        raise NotReady("state first what has happened: the risk follows from that")
    concerned = await _concerned(tx, breach, said)
    _must_have_words(letters, concerned, said)
    assessment_id = uuid7()
    judged = (assessment_id, breach_id, said.high_risk, said.no_risk, said.exemption)
    ids = [each.request_id for each in concerned]
    await tx.connection.execute(_PROPOSE, *judged, ids, caller.holder, tx.now)
    sealing = Sealing(breach_id, _KIND, "", said.model_dump_json().encode(), assessment_id)
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    detail: dict[str, JsonValue] = {"high_risk": said.high_risk, "no_risk": said.no_risk, "concerned": len(concerned)}
    _log(tx, breach, "breach.assessed", {**detail, "exemption": said.exemption}, assessment_id, caller)
    return assessment_id


async def approve(tx: UnitOfWork, letters: Letters, breach_id: UUID, assessment_id: UUID, caller: Caller) -> int:
    """Takes the word of a second person, and writes to those concerned who were not written to; returns to how many.

    Raises:
        NotFound: there is no such breach, or it was judged anew meanwhile.
        IllegalTransition: it is closed, that is approved already, or what was judged was stated otherwise since.
        SamePerson: it is the word of the first.
        Forbidden: they own the breach, or have handled the request.
        BadRequest: one of those concerned cannot be told by letter any more.
    """
    breach = await breaches.held(tx, breach_id, caller)
    assessment = await latest(tx, breach_id)
    if assessment is None or assessment.judged.assessment_id != assessment_id:
        raise NotFound("there is no such assessment, or it was made anew meanwhile: read the breach again")
    if assessment.judged.void_at is not None:
        raise IllegalTransition("what has happened was stated otherwise since: its owner must judge the risk anew")
    if assessment.judged.approved_at is not None:
        raise IllegalTransition("this is approved already")
    if caller.holder == assessment.judged.proposed_by:
        raise SamePerson("you have proposed this: it takes two persons, so somebody else must approve it")
    if caller.holder == breach.owner:
        raise Forbidden("you own this breach: somebody else must approve what its owner proposes")
    await breaches.must_not_handle(tx, breach, caller.holder)
    await tx.connection.execute(_APPROVE, assessment_id, caller.holder, tx.now)
    told = await _write(tx, letters, breach, assessment.said)
    _log(tx, breach, "breach.assessment_approved", {"letters": told}, assessment_id, caller)
    return told


async def void(tx: UnitOfWork, breach: Breach, caller: Caller) -> None:
    """Lets no assessment of a breach count that is stated otherwise now; letters that were written stay written."""
    for row in await tx.connection.fetch(_VOID, breach.breach_id, tx.now):
        _log(tx, breach, "breach.assessment_void", {}, row["assessment_id"], caller)


async def latest(tx: UnitOfWork, breach_id: UUID) -> Assessment | None:
    """How the risk was judged last; raises ``Shredded`` where the words are gone."""
    judged = await judged_last(tx.connection, breach_id)
    if judged is None:
        return None
    said = await tx.vault.open_one(tx.connection, judged.assessment_id)
    return Assessment(judged, RiskAssessed.model_validate_json(said or b""))


async def judged_last(connection: Connection, breach_id: UUID) -> Judged | None:
    """How the risk was judged last, without the words."""
    row = await connection.fetchrow(_LATEST, breach_id)
    return Judged(*row) if row else None


async def letters_of(connection: Connection, breach_id: UUID) -> list[SentLetter]:
    """The letters that were written of it."""
    return [SentLetter(*row) for row in await connection.fetch(_WRITTEN, breach_id)]


async def _write(tx: UnitOfWork, letters: Letters, breach: Breach, said: RiskAssessed) -> int:
    concerned = await _concerned(tx, breach, said)
    told = [each.request_id for each in await letters_of(tx.connection, breach.breach_id)]
    written = await repository.read_all(tx.connection, told)
    to_write = await _once_each(tx, [each for each in concerned if each.request_id not in told], written)
    _must_have_words(letters, to_write, said)
    kept = []
    for request in to_write:
        words = said.words[letters.reader(request).language]
        letter = correspondence.write(letters, request, ("breach", _fields(breach, words)), tx.now)
        kept.append(delivery.Written(request, letter))
        tx.log_evidence(request.request_id, "letter.written", correspondence.named(letter))
    rows = [(breach.breach_id, each.request.request_id, each.sealing.sealed_id) for each in kept]
    await delivery.keep(tx, letters, kept)
    await tx.connection.executemany(_TO_WRITE, rows)
    return len(rows)


def _fields(breach: Breach, words: LetterWords) -> Mapping[str, LetterField]:
    return {
        "found_on": breach.found_at,
        "categories": Listed(tuple(Term("category", each) for each in breach.categories or ())),
        **words.model_dump(),
    }


async def _concerned(tx: UnitOfWork, breach: Breach, said: RiskAssessed) -> list[Request]:
    """The requests of those who are told, in their order, held until the end.

    Raises:
        BadRequest: one of them cannot be told by a letter of that request, and why.
    """
    ids = sorted({*said.concerned})
    held = "SELECT FROM request WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"
    await tx.connection.execute(held, ids)
    found = await repository.read_all(tx.connection, ids)
    if missing := {*ids} - {each.request_id for each in found}:
        raise BadRequest(f"there is no request {min(missing)}; name those of the persons concerned", "concerned")
    keys = await tx.vault.unshredded(tx.connection, ids)
    wrong = await repository.read_all(tx.connection, [breach.request_id] if breach.request_id else [])
    known = await _askers(tx, [*found, *wrong])
    for request in found:
        asker = known[request.request_id]
        theirs = any(asker.is_of(known[each.request_id]) for each in wrong)
        if fault := _why_not(request, asker, theirs=theirs, reachable=request.request_id in keys):
            raise BadRequest(f"request {request.request_id}: {fault}; tell them otherwise, and note that", "concerned")
    return found


def _why_not(request: Request, asker: Asker, *, theirs: bool, reachable: bool) -> str | None:
    """Why a letter of that request does not reach the person concerned, if it does not; pure.

    ``theirs``: whoever has asked it has asked that in whose handling it happened, so may have got what is another's.
    """
    if request.tenant or request.role == "processor":
        return "a customer of ours decides about these data, and tells the person"
    if theirs:
        return "its letters go to whoever has asked what this happened with, who may be the one who got the data"
    if request.anonymous or not asker.proved:
        return "whoever has asked has not shown who they are"
    return None if reachable else "its correspondence has expired"


async def _askers(tx: UnitOfWork, requests: Sequence[Request]) -> Mapping[UUID, Asker]:
    """Who has asked each request, by its id."""
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in requests])
    return {each.request_id: asker_of(each, known.get(each.subject_ref), tx.vault.keyring) for each in requests}


async def _once_each(tx: UnitOfWork, to_write: Sequence[Request], written: Sequence[Request]) -> list[Request]:
    """One request of each person who has none that was written to; of several that by which most is known of them."""
    known = await _askers(tx, [*to_write, *written])
    told = [known[each.request_id] for each in written]
    chosen = []
    for request in sorted(to_write, key=lambda each: known[each.request_id].person.account is None):
        asker = known[request.request_id]
        if not any(asker.is_same(each) for each in told):
            told.append(asker)
            chosen.append(request)
    return chosen


def _must_have_words(letters: Letters, concerned: Sequence[Request], said: RiskAssessed) -> None:
    read = {letters.reader(request).language for request in concerned}
    if missing := sorted(read - said.words.keys()):
        raise BadRequest(f"one of those concerned reads {missing[0]}: say what they are told in that language", "words")


def _log(
    tx: UnitOfWork, breach: Breach, action: str, detail: dict[str, JsonValue], assessment_id: UUID, caller: Caller
) -> None:
    known: dict[str, JsonValue] = {"breach_id": str(breach.breach_id), "assessment": str(assessment_id)}
    tx.log_evidence(breach.evidence_id, action, {**known, **detail}, caller.actor)
