"""What people do with a request after it was submitted, one unit of work each: the API calls nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from pydantic import JsonValue

from services.intake import auth, correspondence, redating, repository, schemas
from services.intake.assurance import IdentityPolicy
from services.intake.auth import Caller
from services.intake.errors import BadRequest, ExtensionRefused, NotFound, NotReady
from services.intake.extension import Extension, flaws
from services.intake.instants import Instants
from services.intake.letters import Letters
from services.intake.lifecycle import State
from services.intake.metrics import EXTENSIONS_REFUSED, REQUESTS
from services.intake.repository import Requests
from services.intake.request import Request
from shared.domain.time_limit import Arrival, calc_version, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.postgres import Connection
from shared.storage.vault import encode_identities

_PROPOSE = """
INSERT INTO extension (request_id, reason, explanation, new_due, proposed_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO UPDATE SET reason = excluded.reason, explanation = excluded.explanation,
                                       new_due = excluded.new_due, proposed_by = excluded.proposed_by
"""


@dataclass(frozen=True, slots=True)
class UseCases:
    """Moves one request on, for a caller who may see it.

    Raises:
        NotFound: from every method, for any other caller.
        IllegalTransition: from every method that moves the request, where the lifecycle has no such step.
    """

    unit_of_work: UnitOfWorkFactory
    policy: TimeLimitPolicy
    letters: Letters
    identity: IdentityPolicy
    instants: Instants

    async def read(self, request_id: UUID, caller: Caller) -> Request:
        """The request, for the channel that submitted it and for the privacy team."""
        async with self.unit_of_work.pool.acquire() as connection:
            return await _visible(connection, await repository.read(connection, request_id), caller)

    async def verify(self, request_id: UUID, proof: schemas.Assurance, caller: Caller) -> State:
        """The requester has proved who they are: fulfilment begins, or begins after all if proof comes late.

        Raises:
            BadRequest: that much proof is not enough for this right.
        """
        async with self._held(request_id, caller) as (requests, request):
            request.must_be_ours()
            if not self.identity.suffices(proof, request.right):
                needed = self.identity.required_level[request.right]
                raise BadRequest(f"{request.right} needs level {needed}; {proof.level} is not enough")
            verified = await requests.apply(request.verify(proof.model_dump(), requests.tx.now, self.policy))
        REQUESTS.labels(verified.right, "identity_verified").inc()
        return verified.state

    async def withdraw(self, request_id: UUID, caller: Caller) -> State:
        """The subject no longer wants it."""
        async with self._held(request_id, caller) as (requests, request):
            return (await requests.apply(request.withdraw(requests.tx.now))).state

    async def decide(self, request_id: UUID, decision: schemas.Decision, caller: Caller) -> State:
        """A person decides about a request whose downstream failed or could not be searched: try again, or close it."""
        async with self._held(request_id, caller) as (requests, request):
            decide = request.retry if decision.decision == "retry" else request.close_partially
            return (await requests.apply(decide(requests.tx.now))).state

    async def lift(self, request_id: UUID, caller: Caller) -> State:
        """A restriction is to be lifted; the caller states that the subject has been told beforehand (Art. 18(3))."""
        async with self._held(request_id, caller) as (requests, request):
            return (await requests.apply(request.lift())).state

    async def forward(self, request_id: UUID, forwarded: schemas.Forwarded, caller: Caller) -> State:
        """A customer of ours decides about the data and has the request; the subject is told who will answer."""
        async with self._held(request_id, caller) as (requests, request):
            name = forwarded.controller
            answered_by = self.letters.controller(name if forwarded.may_be_named else None)
            place = await correspondence.seal(requests.tx, request, "controller", "forwarding", name.encode())
            detail: dict[str, JsonValue] = {"controller": str(place), "named_to_subject": forwarded.may_be_named}
            return (await requests.apply(request.forward(answered_by, requests.tx.now, **detail))).state

    async def ask(self, request_id: UUID, asked: schemas.QuestionAsked, caller: Caller) -> State:
        """A question is sent to the requester: who they are, or what they mean (Art. 12(6), Recital 63)."""
        async with self._held(request_id, caller) as (requests, request):
            recorded = asked.condition_recorded
            return (await requests.ask(request, asked.question, asked.text, recorded=recorded)).state

    async def answer(self, request_id: UUID, reply: schemas.QuestionReply, caller: Caller) -> State:
        """The requester has answered a clarification; an answer that comes too late reopens the request.

        Raises:
            BadRequest: it cannot have come then, or names identities that nobody has asked for.
        """
        async with self._held(request_id, caller) as (requests, request):
            tx, asked_at = requests.tx, request.question.asked_at if request.question else None
            received_at = self.instants.replied(reply.received_at, asked_at, tx.now)
            answered = request.answer(received_at, tx.now, self.policy, identities=reply.subject is not None)
            if reply.subject and not request.unsearched:
                raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
            await correspondence.seal(tx, request, "reply", "requester", reply.text.encode())
            if reply.subject:
                self.instants.theirs(reply.subject, tx.now)
                # An account that was found by less must not vouch for what is stated now.
                await tx.vault.drop_located(tx.connection, request.subject_ref)
                known = encode_identities(reply.subject.identities())
                await correspondence.seal(tx, request, "identities", "requester", known)
            return (await requests.apply(answered)).state

    async def correct_arrival(self, request_id: UUID, correction: schemas.ArrivalCorrection, caller: Caller) -> date:
        """Every date is counted anew from when and where the request really came; returns when it is due now.

        Raises:
            BadRequest: it cannot have come then, or that is what is on file.
        """
        async with self._held(request_id, caller) as (requests, request):
            request.must_allow("redate")
            tx, policy = requests.tx, self.policy
            arrival = self._arrival(request, correction, tx.now)
            place = await correspondence.seal(tx, request, "explanation", "receipt", correction.reason.encode())
            why: dict[str, JsonValue] = {"reason": str(place)}
            if request.extended:  # told within the first month, as it is counted now (Art. 12(3))
                approved = "SELECT approved_at FROM extension WHERE request_id = $1"
                notified_at = await tx.connection.fetchval(approved, request_id)
                why["extension_told_in_time"] = notified_at < limits(arrival, policy).commit_due_instant
            due_on = redating.due_after(request, arrival, policy)
            redated = request.redate("receipt_corrected", arrival, due_on, calc_version(policy), **why)
            return (await requests.apply(redated)).due_on

    async def propose_extension(self, request_id: UUID, proposal: schemas.ExtensionProposal, caller: Caller) -> State:
        """One person proposes, in the place of an earlier proposal; nothing changes for the subject yet (REQ-T5).

        Raises:
            ExtensionRefused: with everything that is wrong with it.
        """
        async with self._held(request_id, caller) as (requests, request):
            tx, reason, explanation, new_due = requests.tx, proposal.reason, proposal.explanation, proposal.new_due
            self._judge(request, Extension(tx.now, reason, explanation, new_due, caller.key_id, approved_by=None))
            place = await correspondence.seal(tx, request, "explanation", "extension", explanation.strip().encode())
            await tx.connection.execute(_PROPOSE, request_id, reason, place, new_due, caller.key_id)
            proposed = request.noted("extension.proposed", reason=reason, new_due=new_due.isoformat())
            return (await requests.apply(proposed)).state

    async def approve_extension(self, request_id: UUID, caller: Caller) -> date:
        """Another person agrees: the new date holds, and the subject is told why and until when; that date.

        Raises:
            NotReady: nobody has proposed one.
            ExtensionRefused: with everything that is wrong with it by now.
        """
        async with self._held(request_id, caller) as (requests, request):
            tx = requests.tx
            row = await tx.connection.fetchrow(
                "UPDATE extension SET approved_by = $2, approved_at = $3 WHERE request_id = $1"
                " RETURNING reason, explanation, new_due, proposed_by",
                *(request_id, caller.key_id, tx.now),
            )
            if row is None:
                raise NotReady("nobody has proposed an extension of this request")
            reason, place, new_due, proposed_by = row
            explanation = (await tx.vault.open_one(tx.connection, place) or b"").decode()
            self._judge(request, Extension(tx.now, reason, explanation, new_due, proposed_by, caller.key_id))
            words = {"reason": self.letters.reason(reason), "explanation": explanation}
            return (await requests.apply(request.extend(new_due, reason, words, tx.now, proposed_by))).due_on

    @asynccontextmanager
    async def _held(self, request_id: UUID, caller: Caller) -> AsyncIterator[tuple[Requests, Request]]:
        """The request, locked; written when the block ends."""
        async with self.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, self.letters, [request_id], caller.actor)
            yield requests, await _visible(tx.connection, requests.get(request_id), caller)
            await requests.save()

    def _arrival(self, request: Request, correction: schemas.ArrivalCorrection, now: datetime) -> Arrival:
        country = correction.country
        received_at = self.instants.entered(correction.received_at, request.accepted_at, now)
        zones = self.policy.zones_of(country) if country else request.zones
        arrival = Arrival(received_at, zones, self.policy.calendar_of(country) if country else request.calendar)
        if arrival == request.arrival:
            raise BadRequest("nothing would change: this is the arrival that is on file")
        return arrival

    def _judge(self, request: Request, extension: Extension) -> None:
        """Raises ``ExtensionRefused`` with every flaw."""
        request.must_be_ours()
        request.must_allow("extend")
        wrong = flaws(extension, limits(request.arrival, self.policy), self.policy, already_extended=request.extended)
        for flaw in wrong:
            EXTENSIONS_REFUSED.labels(flaw).inc()
        if wrong:
            raise ExtensionRefused(f"the dates stay as they were: {', '.join(wrong)}")


async def _visible(connection: Connection, request: Request | None, caller: Caller) -> Request:
    """The request, for the privacy team and for the channel that submitted it, by whichever key."""
    if request and (caller.role == "privacy" or await auth.same_channel(connection, caller, request.key_id)):
        return request
    raise NotFound("no such request for this key")
