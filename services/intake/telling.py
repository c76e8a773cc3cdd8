"""What people enter of recipients: that they were told, what they have said, that they cannot be told (Art. 19)."""

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
from shared.domain.events import RecipientSettled, RecipientTold
from shared.domain.rights import Outcome
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_UNTOLD = frozenset({NoticeState.UNDERWAY, NoticeState.TO_BE_TOLD})
_PROMISED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
"""How a request has ended whose letter names who is told."""
_TOLD = """
UPDATE recipient_notice
SET state = 'told', told_at = $3, overdue_at = NULL, waiver = NULL, explanation = NULL, proposed_by = NULL
WHERE request_id = $1 AND recipient = $2
"""
_SETTLED = """
UPDATE recipient_notice SET state = $3, settled_at = $4, overdue_at = NULL, approved_by = $5
WHERE request_id = $1 AND recipient = $2
"""
_PROPOSED = """
UPDATE recipient_notice SET waiver = $3, explanation = $4, proposed_by = $5 WHERE request_id = $1 AND recipient = $2
"""


@dataclass(frozen=True, slots=True)
class TellingUseCases(DeliveringUseCases):
    """Follows the notices of one request."""

    @decision
    async def tell_recipient(self, held: Held, said: recipient_schemas.RecipientByHand) -> Transition:
        """A person has told a recipient; from now on their word is awaited.

        Raises:
            NotFound: the request concerns no such recipient.
            IllegalTransition: they were told before.
        """
        tx, request = held.tx, held.request
        if (await _open(tx, request.request_id, said.recipient)).state not in _UNTOLD:
            raise IllegalTransition(f"{said.recipient} was told before: enter what they have said")
        await tx.connection.execute(_TOLD, request.request_id, said.recipient, tx.now)
        event = RecipientTold.about(request, recipient=said.recipient, told_at=tx.now)
        return request.noted("recipient.told_by_hand", event, recipient=said.recipient)

    @decision
    async def hear_recipient(self, held: Held, said: recipient_schemas.RecipientReply) -> Transition:
        """A recipient has said that they have the notice, or have done the same; nobody reminds them any more.

        Raises:
            NotFound: the request concerns no such recipient.
            IllegalTransition: nobody has told them.
        """
        notice = await _of(held.tx.connection, held.request.request_id, said.recipient)
        later = notice.state is NoticeState.ACKNOWLEDGED and said.reply == "done"
        if notice.state is not NoticeState.TOLD and not later:
            raise IllegalTransition(
                f"{said.recipient} is {notice.state.replace('_', ' ')}: no word of theirs is awaited"
            )
        return await self._settle(held, said.recipient, NoticeState(said.reply), f"recipient.{said.reply}")

    @decision
    async def propose_waiver(self, held: Held, said: recipient_schemas.Waiver) -> Transition:
        """One person proposes that a recipient is not told, in the place of an earlier proposal (Art. 19).

        Raises:
            NotFound: the request concerns no such recipient.
            IllegalTransition: they were told, or have said something.
        """
        tx, request = held.tx, held.request
        await _untold(tx, request.request_id, said.recipient)
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
        notice = await _untold(tx, held.request.request_id, said.recipient)
        if notice.waiver is None or notice.proposed_by is None:
            raise IllegalTransition(f"nobody has proposed not to tell {said.recipient}: propose it, with the reason")
        proposer = await auth.holder_of(tx.connection, notice.proposed_by) or notice.proposed_by
        if proposer == held.caller.holder:
            raise SamePerson("you have proposed it: somebody else must approve it")
        by = actor_of(notice.proposed_by)
        waived = await self._settle(held, said.recipient, NoticeState(notice.waiver), "recipient.notice_waived", by)
        promised = held.request.state is State.CLOSED and held.request.outcome in _PROMISED
        return replace(waived, letters=later_letter(held.request)) if promised else waived

    async def proposed_step(
        self, request_id: UUID, caller: Caller, matter: proposed.Matter, recipient: str | None = None
    ) -> proposed.ProposedStep:
        """What somebody has proposed besides an answer, for whoever is to agree; raises as ``proposed.read``."""
        async with self.unit_of_work.begin() as tx:
            request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
            return await proposed.read(tx, request, caller, matter, recipient)

    async def _settle(
        self, held: Held, recipient: str, how: NoticeState, action: str, proposed_by: str | None = None
    ) -> Transition:
        tx, request = held.tx, held.request
        approved_by = held.caller.key_id if proposed_by else None
        await tx.connection.execute(_SETTLED, request.request_id, recipient, how, tx.now, approved_by)
        event = RecipientSettled.about(request, recipient=recipient, how=how.value, settled_at=tx.now)
        more = {"proposed_by": proposed_by, "cause": how.value} if proposed_by else {}
        return request.noted(action, event, recipient=recipient, **more)


async def _of(connection: Connection, request_id: UUID, recipient: str) -> Notice:
    notices = await recipients.of_request(connection, request_id)
    found = next((each for each in notices if each.recipient == recipient), None)
    if found is None:
        known = ", ".join(each.recipient for each in notices) or "none"
        raise NotFound(f"the request concerns no such recipient; those whom it concerns: {known}")
    return found


async def _open(tx: UnitOfWork, request_id: UUID, recipient: str) -> Notice:
    notice = await _of(tx.connection, request_id, recipient)
    if notice.settled_at is not None:
        raise IllegalTransition(f"{recipient} is settled: {notice.state.replace('_', ' ')}")
    return notice


async def _untold(tx: UnitOfWork, request_id: UUID, recipient: str) -> Notice:
    """The notice of a recipient whom nobody has told: of another nobody can say that they are not told."""
    notice = await _open(tx, request_id, recipient)
    if notice.state not in _UNTOLD:
        raise IllegalTransition(f"{recipient} was told: that cannot be waived any more; enter what they have said")
    return notice
