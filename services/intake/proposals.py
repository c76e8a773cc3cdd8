"""How one person proposes to answer a request, and another approves it (Art. 12(4)): to refuse it, or in part.

Or to end a part of it, in a system that is gone.
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.intake import auth, decision_schemas
from services.intake.auth import Caller
from services.intake.errors import NotReady, SamePerson
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request, Transition
from services.intake.request.letter_kinds import LetterField
from services.intake.request.reasons import Proposed, Reasons
from shared.domain.errors import Shredded
from shared.domain.sentences import Term, article, say
from shared.messaging.unit_of_work import UnitOfWork

_OWED = frozenset({"12(3)", "12(4)"})
"""Articles that ask us to say what is missing and why, and allow nothing to be left out."""
_READ = """
SELECT decision, system, reason, article, explanation, proposed_by, proposed_at FROM proposal WHERE request_id = $1
"""
_PROPOSE = """
INSERT INTO proposal (request_id, decision, reason, article, explanation, proposed_by, proposed_at, system)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (request_id) DO UPDATE SET
    decision = excluded.decision, reason = excluded.reason, article = excluded.article,
    explanation = excluded.explanation, proposed_by = excluded.proposed_by, proposed_at = excluded.proposed_at,
    system = excluded.system
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed, and by whose key; ``explanation``: what the subject is told besides the reason.

    ``system``: of a part that is to end, in which.
    """

    decision: Proposed
    system: str | None
    reason: str
    article: str
    explanation: str
    proposed_by: str
    proposed_at: datetime


async def propose(
    tx: UnitOfWork, request: Request, caller: Caller, said: decision_schemas.Proposing, reasons: Reasons
) -> Transition:
    """Keeps a proposal, in the place of an earlier one; raises ``BadRequest`` where its reason does not hold."""
    system = said.system if isinstance(said, decision_schemas.EndedPart) else None
    if isinstance(said, decision_schemas.EndedPart):
        proposed = request.propose_end(said.system, said.reason, said.article)
    else:
        proposed = request.propose(said.decision, said.reason, said.article)
    reasons.judged(said.decision, said.reason, said.article, request.right)
    place = await correspondence.seal(tx, request, "explanation", "decision", said.explanation.encode())
    row = (request.request_id, said.decision, said.reason, said.article, place, caller.key_id, tx.now, system)
    await tx.connection.execute(_PROPOSE, *row)
    return proposed


async def approve(tx: UnitOfWork, request: Request, caller: Caller, reasons: Reasons) -> Transition:
    """Takes the word of a second person.

    Raises:
        NotReady: nobody has proposed an answer since the request was opened.
        SamePerson: it is the word of the first.
        BadRequest: the reason does not hold any more.
    """
    found = await _row(tx, request)
    decision, reason, article, proposed_by = (found[n] for n in ("decision", "reason", "article", "proposed_by"))
    if caller.holder == (await auth.holder_of(tx.connection, proposed_by) or proposed_by):
        raise SamePerson("you have proposed this: it takes two persons, so somebody else must approve it")
    owed = reasons.judged(decision, reason, article, request.right).owed
    if decision == "end_part":
        return request.end_part(found["system"], reason, article, proposed_by, await words(tx, request))
    return request.decide(decision, reason, article, proposed_by, tx.now, owed=owed)


async def read(tx: UnitOfWork, request: Request, caller: Caller) -> Proposal:
    """What is proposed; whoever reads it is on record. Raises ``NotReady`` or ``Shredded``."""
    found = await _row(tx, request)
    explanation = await tx.vault.open_one(tx.connection, found["explanation"])
    if explanation is None:
        raise Shredded("the words of the proposal are no longer kept")
    tx.log_evidence(request.request_id, "proposal.read", {"decision": found["decision"]}, caller.actor)
    said = {name: found[name] for name in ("decision", "system", "reason", "article", "proposed_by", "proposed_at")}
    return Proposal(explanation=explanation.decode(), **said)


async def words(tx: UnitOfWork, request: Request) -> dict[str, LetterField]:
    """What the letter says of the decision that was approved; nothing, where no person has decided."""
    found = await tx.connection.fetchrow(_READ, request.request_id)
    if found is None:
        return {}
    explanation = await tx.vault.open_one(tx.connection, found["explanation"]) or b""
    # A reason that has left the policy meanwhile is still the one that two persons gave.
    reason = Term(f"reason.{found['decision']}", found["reason"])
    by = article(found["article"])
    law = say("letter.law", article=by)
    if found["article"] in _OWED:
        law = say("letter.owed")
        if request.due_on >= tx.now.date():
            law = say("letter.owed_by", day=request.due_on)
    return {"reason": reason, "article": by, "law": law, "explanation": explanation.decode()}


async def forget(tx: UnitOfWork, request: Request) -> None:
    """Drops a proposal: the request is answered without the word of a second person."""
    await tx.connection.execute("DELETE FROM proposal WHERE request_id = $1", request.request_id)


async def _row(tx: UnitOfWork, request: Request) -> asyncpg.Record:
    row = await tx.connection.fetchrow(_READ, request.request_id)
    if row is None:
        raise NotReady("nobody has proposed how to answer this request")
    return row
