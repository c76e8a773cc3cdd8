"""What people do with a request after it was submitted: prove who they are, withdraw, decide, lift."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.intake import assurance, deferrals, register
from services.intake.auth import Caller
from services.intake.errors import BadRequest, NotFound
from services.intake.register import Filed
from services.intake.reopening import Reopening
from services.intake.request import Request, State
from services.intake.schemas import Assurance, Decision
from shared.domain.errors import IllegalTransition
from shared.domain.events import LiftDecided, RequestVerified, RequestWithdrawn, RetryDecided
from shared.domain.rights import Outcome, Right
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.metrics import REQUESTS

IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
"""How a restriction ended that is now in force."""


class Casework:
    """Moves one request on, in one transaction each, for a caller who may."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, required: Mapping[Right, str], reopening: Reopening) -> None:
        self._transactions = unit_of_work
        self._required = required
        self._reopening = reopening

    async def read(self, request_id: UUID, caller: Caller) -> Filed:
        """The request, for the key that submitted it and for the privacy team; raises ``NotFound`` for anybody else."""
        async with self._transactions.pool.acquire() as connection:
            filed = await register.read(connection, request_id)
        return _visible(filed, caller)

    async def verify(self, request_id: UUID, proof: Assurance, caller: Caller) -> State:
        """The requester has proved who they are: fulfilment begins, if that much proof is enough for this right.

        Proof that comes after the last notice reopens the request.
        """
        async with self._transactions.begin() as tx:
            filed = await self.hold(tx, request_id, caller)
            request = filed.request
            request.must_be_ours()
            if not assurance.suffices(proof, request.right, self._required):
                message = f"{request.right} needs level {self._required[request.right]}; {proof.level} is not enough"
                raise BadRequest(message)
            if not request.lacks_identity:
                raise IllegalTransition(f"a request that is {request.state} does not wait for proof of identity")
            tx.log_evidence(
                request_id, "identity.verified", {"level": proof.level, "method": proof.method}, caller.actor
            )
            if request.resumable:
                moved = await self._reopening.resume(tx, filed, tx.now, caller.actor)
            else:
                moved = replace(filed, request=request.to(State.IN_PROGRESS), question=None)
                register.answered(tx, filed, caller.actor)
                tx.publish(RequestVerified.about(moved.request))
            await register.write(tx, [moved])
        REQUESTS.labels(request.right, "identity_verified").inc()
        return moved.request.state

    async def withdraw(self, request_id: UUID, caller: Caller) -> State:
        """The subject no longer wants it: what has not begun will not begin, and what may be resumed no longer may."""
        async with self._transactions.begin() as tx:
            filed = await self.hold(tx, request_id, caller)
            request = filed.request
            # Before the closure: an erasure must stop working before the key that it works with is shredded.
            tx.publish(
                RequestWithdrawn(
                    request_id=request_id, occurred_at=tx.now, right=request.right, subject=request.subject_ref
                )
            )
            closed = register.close(tx, filed, Outcome.WITHDRAWN, caller.actor)
            await register.write(tx, [replace(filed, request=closed, question=None)])
        return closed.state

    async def decide(self, request_id: UUID, decision: Decision, caller: Caller) -> State:
        """A person decides about a request whose downstream failed or could not be searched: try again, or close it.

        It closes with what was done. Of a closed erasure, what is not done may be tried again: it failed, could not
        search, or nobody knew until when the data had to be kept.
        """
        async with self._transactions.begin() as tx:
            filed = await self.hold(tx, request_id, caller)
            request = filed.request
            if request.state is State.CLOSED and decision.decision == "retry" and deferrals.wait(filed.tasks or ()):
                tx.log_evidence(request_id, "decision.made", {"decision": "retry", "deferred": True}, caller.actor)
                tx.publish(retry_decided(request, tx.now))
                return request.state
            request.must_be_ours()
            if request.state is State.AWAITING_CLARIFICATION and deferrals.unsearched(filed.tasks):
                register.answered(tx, filed, caller.actor)
                filed = replace(filed, question=None)
            elif request.state is not State.AWAITING_DECISION:
                message = f"a request that is {request.state} does not wait for a decision"
                raise IllegalTransition(message)
            tx.log_evidence(request_id, "decision.made", {"decision": decision.decision}, caller.actor)
            if decision.decision == "retry":
                waits = filed.question is not None and not filed.given_up
                request = request.to(State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS)
                tx.publish(retry_decided(request, tx.now))
            else:
                request = register.close(tx, filed, Outcome.PARTIALLY_FULFILLED, caller.actor)
            await register.write(tx, [replace(filed, request=request)])
        return request.state

    async def lift(self, request_id: UUID, caller: Caller) -> State:
        """The restriction is to be lifted; the caller states that the subject has been told beforehand (Art. 18(3))."""
        async with self._transactions.begin() as tx:
            filed = await self.hold(tx, request_id, caller)
            request = filed.request
            if request.right is not Right.RESTRICTION or request.outcome not in IN_FORCE:
                message = "only a restriction that is in force can be lifted"
                raise IllegalTransition(message)
            tx.log_evidence(request_id, "restriction.lift_decided", {"subject_informed": True}, caller.actor)
            tx.publish(
                LiftDecided(
                    request_id=request_id,
                    occurred_at=tx.now,
                    right=request.right,
                    subject=request.subject_ref,
                    due_on=request.due_on,
                )
            )
        return request.state

    @staticmethod
    async def hold(tx: UnitOfWork, request_id: UUID, caller: Caller) -> Filed:
        """The request, locked, if this caller may see it; raises ``NotFound``."""
        held = await register.hold(tx, [request_id])
        return _visible(held.get(request_id), caller)


def retry_decided(request: Request, now: datetime) -> RetryDecided:
    """What is blocked goes on."""
    return RetryDecided(
        request_id=request.request_id, occurred_at=now, right=request.right, subject=request.subject_ref
    )


def _visible(filed: Filed | None, caller: Caller) -> Filed:
    if filed is None or (caller.role != "privacy" and filed.key_id != caller.key_id):
        message = "no such request for this key"
        raise NotFound(message)
    return filed
