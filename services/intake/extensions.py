"""Extensions (Art. 12(3)): one person proposes, another approves, and the subject is told why (REQ-T5)."""

from dataclasses import replace
from datetime import date
from uuid import UUID

from services.intake import correspondence, register
from services.intake.auth import Caller
from services.intake.casework import Casework
from services.intake.errors import ExtensionRefused, NotReady
from services.intake.extension import Extension, ExtensionFlaw, flaws
from services.intake.letters import Letters
from services.intake.register import Filed
from services.intake.request import State
from services.intake.schemas import ExtensionProposal
from shared.domain.errors import IllegalTransition
from shared.domain.events import RequestExtended
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.metrics import EXTENSIONS_REFUSED


class Extensions:
    """Proposes and approves, in one transaction each."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: TimeLimitPolicy, letters: Letters) -> None:
        self._transactions = unit_of_work
        self._policy = policy
        self._letters = letters

    async def propose(self, request_id: UUID, proposal: ExtensionProposal, caller: Caller) -> State:
        """Puts a proposal on file, in the place of an earlier one; nothing changes for the subject yet."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            extension = Extension(
                tx.now, proposal.reason, proposal.explanation, proposal.new_due, caller.key_id, approved_by=None
            )
            self._judge(filed, extension, ExtensionFlaw.NOT_APPROVED)
            words = proposal.explanation.strip().encode()
            place = await correspondence.seal(tx, filed.request.subject_ref, "explanation", "extension", words)
            await tx.connection.execute(
                "INSERT INTO extension (request_id, reason, explanation, new_due, proposed_by, proposed_at)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (request_id) DO UPDATE SET reason = excluded.reason,"
                " explanation = excluded.explanation, new_due = excluded.new_due,"
                " proposed_by = excluded.proposed_by, proposed_at = excluded.proposed_at",
                *(request_id, proposal.reason, place, proposal.new_due, caller.key_id, tx.now),
            )
            detail = {"reason": proposal.reason, "new_due": proposal.new_due.isoformat()}
            tx.log_evidence(request_id, "extension.proposed", detail, caller.actor)
        return filed.request.state

    async def approve(self, request_id: UUID, caller: Caller) -> date:
        """Another person agrees: the new date holds, and the letter that says so is written; that date."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            row = await tx.connection.fetchrow(
                "SELECT reason, explanation, new_due, proposed_by FROM extension WHERE request_id = $1", request_id
            )
            if row is None:
                raise NotReady("nobody has proposed an extension of this request")
            place: UUID = row["explanation"]
            new_due: date = row["new_due"]
            reason, proposed_by = str(row["reason"]), str(row["proposed_by"])
            explanation = (await tx.vault.open_one(tx.connection, place) or b"").decode()
            self._judge(filed, Extension(tx.now, reason, explanation, new_due, proposed_by, caller.key_id))
            await self._tell(tx, filed, reason, explanation, new_due)
            await register.write(tx, [replace(filed, request=replace(request, due_on=new_due), extended=True)])
            await tx.connection.execute(
                "UPDATE extension SET approved_by = $2, approved_at = $3 WHERE request_id = $1",
                *(request_id, caller.key_id, tx.now),
            )
            detail = {"reason": reason, "due_on": new_due.isoformat(), "proposed_by": f"key:{proposed_by}"}
            tx.log_evidence(request_id, "extension.approved", detail, caller.actor)
            tx.publish(
                RequestExtended(
                    request_id=request_id,
                    occurred_at=tx.now,
                    right=request.right,
                    reason=reason,
                    due_on=new_due,
                    told_at=tx.now,
                )
            )
        return new_due

    async def _tell(self, tx: UnitOfWork, filed: Filed, reason: str, explanation: str, new_due: date) -> None:
        fields = {"reason": self._letters.reason(reason), "explanation": explanation, "new_due": f"{new_due:%d %B %Y}"}
        await correspondence.write(tx, self._letters, filed, "extension", fields)

    def _judge(self, filed: Filed, extension: Extension, *allowed: ExtensionFlaw) -> None:
        """Raises ``ExtensionRefused`` with every flaw but those allowed."""
        request = filed.request
        request.must_be_ours()
        if request.state in {State.RESPONDED, State.CLOSED}:
            raise IllegalTransition("a request that is answered needs no more time")
        found = limits(Arrival(request.received_at, filed.zones, filed.calendar), self._policy)
        wrong = [
            flaw
            for flaw in flaws(extension, found, self._policy, already_extended=filed.extended)
            if flaw not in allowed
        ]
        for flaw in wrong:
            EXTENSIONS_REFUSED.labels(flaw).inc()
        if wrong:
            raise ExtensionRefused(f"the dates stay as they were: {', '.join(wrong)}")
