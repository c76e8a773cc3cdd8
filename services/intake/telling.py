"""Recipients who are not told since that is impossible or out of proportion: two persons decide it (Art. 19)."""

from dataclasses import dataclass, replace
from uuid import UUID

from services.intake import auth, proposed, recipient_schemas, recipients, repository
from services.intake.actors import actor_of
from services.intake.auth import Caller
from services.intake.deciding import Held, decision, visible
from services.intake.errors import NotFound, SamePerson
from services.intake.letters import correspondence
from services.intake.letters.delivering import DeliveringUseCases
from services.intake.recipients import Notice, NoticeState
from services.intake.request.aggregate import Transition
from services.intake.request.closing import later_letter
from services.intake.request.lifecycle import State
from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome
from shared.storage.postgres import Connection

_PROMISED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
"""How a request has ended whose letter names who is told."""
_LOCK = "SELECT FROM recipient_notice WHERE request_id = $1 AND recipient = $2 FOR UPDATE"
_WAIVED = """
UPDATE recipient_notice SET state = $3, settled_at = $4, approved_by = $5 WHERE request_id = $1 AND recipient = $2
"""
_PROPOSED = """
UPDATE recipient_notice SET waiver = $3, explanation = $4, proposed_by = $5 WHERE request_id = $1 AND recipient = $2
"""


@dataclass(frozen=True, slots=True)
class TellingUseCases(DeliveringUseCases):
    """Waives the notices of one request."""

    @decision
    async def propose_waiver(self, held: Held, said: recipient_schemas.Waiver) -> Transition:
        """One person proposes that a recipient is not told, in the place of an earlier proposal (Art. 19).

        Raises:
            NotFound: the request concerns no such recipient.
            IllegalTransition: they were told, or have said something.
        """
        tx, request = held.tx, held.request
        await _untold(tx.connection, request.request_id, said.recipient)
        place = await correspondence.seal(tx, request, "explanation", said.cause, said.explanation.encode())
        given = (request.request_id, said.recipient, said.cause, place, held.caller.key_id)
        await tx.connection.execute(_PROPOSED, *given)
        return request.noted("recipient.waiver_proposed", recipient=said.recipient, cause=said.cause)

    @decision
    async def approve_waiver(self, held: Held, said: recipient_schemas.WaiverApproval) -> Transition:
        """Another person (the holder of another key) agrees: the recipient is not told, and the person reads that.

        Raises:
            NotFound: the request concerns no such recipient.
            IllegalTransition: nobody has proposed it, or they were told, or have said something.
            SamePerson: the same person has proposed it.
        """
        tx = held.tx
        notice = await _untold(tx.connection, held.request.request_id, said.recipient)
        if notice.waiver is None or notice.proposed_by is None:
            raise IllegalTransition(f"nobody has proposed not to tell {said.recipient}: propose it, with the reason")
        proposer = await auth.holder_of(tx.connection, notice.proposed_by) or notice.proposed_by
        if proposer == held.caller.holder:
            raise SamePerson("you have proposed it: somebody else must approve it")
        given = (held.request.request_id, said.recipient, notice.waiver, tx.now, held.caller.key_id)
        await tx.connection.execute(_WAIVED, *given)
        more = {"proposed_by": actor_of(notice.proposed_by), "cause": notice.waiver}
        waived = held.request.noted("recipient.notice_waived", recipient=said.recipient, **more)
        promised = held.request.state is State.CLOSED and held.request.outcome in _PROMISED
        return replace(waived, letters=later_letter(held.request)) if promised else waived

    async def proposed_step(
        self, request_id: UUID, caller: Caller, matter: proposed.Matter, recipient: str | None = None
    ) -> proposed.ProposedStep:
        """What somebody has proposed besides an answer, for whoever is to agree; raises as ``proposed.read``."""
        async with self.unit_of_work.begin() as tx:
            request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
            return await proposed.read(tx, request, caller, matter, recipient)


async def _untold(connection: Connection, request_id: UUID, recipient: str) -> Notice:
    """The notice of a recipient who was not told: of another it is too late to say that they are not."""
    await connection.execute(_LOCK, request_id, recipient)
    notices = {each.recipient: each for each in await recipients.of_request(connection, request_id)}
    if (notice := notices.get(recipient)) is None:
        known = ", ".join(notices) or "none"
        raise NotFound(f"the request concerns no such recipient; those whom it concerns: {known}")
    if notice.settled_at is not None:
        raise IllegalTransition(f"{recipient} is settled: {notice.state.replace('_', ' ')}")
    if notice.state is not NoticeState.UNDERWAY:
        raise IllegalTransition(f"{recipient} was told: that cannot be waived any more; enter what they have said")
    return notice
