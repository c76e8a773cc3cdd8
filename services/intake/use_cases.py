"""What people do with a request after it was submitted, one unit of work each: the API calls nothing else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID

from pydantic import BaseModel, JsonValue

from services.intake import auth, concluded, correspondence, other_requests, redating, repository, schemas, versions
from services.intake.assurance import IdentityPolicy
from services.intake.auth import Caller
from services.intake.errors import BadRequest, ExtensionRefused, Forbidden, NotFound, NotReady
from services.intake.extension import Extension, flaws
from services.intake.grant import NUMBER_PROVED, Power
from services.intake.instants import Instants
from services.intake.letters import Letters
from services.intake.lifecycle import State
from services.intake.metrics import EXTENSIONS_REFUSED, REQUESTS
from services.intake.repository import Requests
from services.intake.request import Request, Transition
from services.intake.versions import Basis, Decided
from shared.domain.time_limit import Arrival, calc_version, limits
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.postgres import Connection
from shared.storage.vault import encode_identities

_PROPOSE = """
INSERT INTO extension (request_id, reason, explanation, new_due, proposed_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO UPDATE SET reason = excluded.reason, explanation = excluded.explanation,
                                       new_due = excluded.new_due, proposed_by = excluded.proposed_by
"""

Bodies = ParamSpec("Bodies")


@dataclass(frozen=True, slots=True)
class _Held:
    """The request that is decided about, locked until the unit of work ends, and who decides."""

    tx: UnitOfWork
    request: Request
    caller: Caller


def _decision(
    step: Callable[Concatenate["UseCases", _Held, Bodies], Awaitable[Transition]],
) -> Callable[Concatenate["UseCases", Basis, Bodies], Awaitable[Decided]]:
    """Makes a step a decision: taken on the version that it was made for, once; a repeat gets the first answer."""

    @wraps(step)
    async def decide(self: "UseCases", basis: Basis, /, *args: Bodies.args, **kwargs: Bodies.kwargs) -> Decided:
        bodies = [body for body in args if isinstance(body, BaseModel)]
        async with self.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, self.letters, [basis.request_id], basis.caller.actor)
            request = await _visible(tx.connection, requests.get(basis.request_id), basis.caller)
            basis.caller.grant.must(Power.SUBMIT)
            basis.caller.grant.must_handle(request.right)
            made = versions.fingerprint(tx, basis, step.__name__, bodies)
            if request.version != basis.version:
                return await versions.first_answer(tx, basis, made)
            await requests.apply(await step(self, _Held(tx, request, basis.caller), *args, **kwargs))
            requests.touch(basis.request_id)
            await requests.save()
            return await versions.remember(tx, basis, made, requests[basis.request_id])

    return decide


@dataclass(frozen=True, slots=True)
class UseCases:
    """Moves one request on, for a caller who may see it.

    Raises:
        NotFound: from every method, for any other caller.
        Forbidden: from every decision, where the key may do no such thing, or state no such proof.
        PreconditionFailed: from every decision, where the request has changed since the version it was made for.
        IllegalTransition: from every decision that moves the request, where the lifecycle has no such step.
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

    async def awaited(self, request: Request) -> list[UUID]:
        """The open requests of the same person for which a request waits."""
        if not request.postponed or request.state is State.CLOSED:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return (await other_requests.awaited_by(connection, [request.request_id])).get(request.request_id, [])

    async def read_letters(self, request_id: UUID, caller: Caller, code: str | None) -> list[dict[str, object]]:
        """The letters of a request: for who has their code, for the privacy team, and for the channel that submitted.

        A closed erasure leaves the channel nothing to know the requester by, so there it needs the code.

        Raises:
            Forbidden: an erasure is closed, and the channel has not shown the code.
            Shredded: they were kept for as long as they may be.
        """
        async with self.unit_of_work.begin() as tx:
            request = await repository.read(tx.connection, request_id)
            shown = caller.role == "channel" and correspondence.opens(tx.vault.keyring, request_id, code or "")
            if request is None or not shown:
                request = await _visible(tx.connection, request, caller)
            if request.forgets_its_subject and not shown and caller.role != "privacy":
                raise Forbidden("after an erasure the letters are read with their code, or by the privacy team")
            return await correspondence.read(tx, request, caller, by_code=shown)

    @_decision
    async def verify(self, held: _Held, proof: schemas.Assurance) -> Transition:
        """The requester has proved who they are: fulfilment begins, or begins after all if proof comes late.

        Raises:
            BadRequest: that much proof is not enough for this right.
        """
        tx, request = held.tx, held.request
        request.must_be_ours()
        held.caller.grant.must_state(proof.level)
        if not self.identity.suffices(proof, request.right):
            needed = self.identity.required_level[request.right]
            raise BadRequest(f"{request.right} needs level {needed}; {proof.level} is not enough")
        tx.after_commit(REQUESTS.labels(request.right, "identity_verified").inc)
        await other_requests.prove(tx, request, proof, self.identity.same_person)
        return request.verify(proof.model_dump(), tx.now, self.policy)

    @_decision
    async def withdraw(self, held: _Held) -> Transition:
        """The subject no longer wants it, and is told what had been done already."""
        done = await concluded.reports(held.tx.connection, held.request)
        return replace(held.request, tasks=done or held.request.tasks).withdraw(held.tx.now)

    @_decision
    async def waive(self, held: _Held) -> Transition:
        """The person does not want their erasure to wait until their other requests are answered."""
        return held.request.waive()

    @_decision
    async def decide(self, held: _Held, decision: schemas.Decision) -> Transition:
        """A person decides about a request whose downstream failed or could not be searched: try again, or close it."""
        request, now = held.request, held.tx.now
        if decision.decision == "begin":
            return request.begin("decided")
        request.must_have_begun()
        return request.retry(now) if decision.decision == "retry" else request.close_partially(now)

    @_decision
    async def confirm(self, held: _Held, confirmation: schemas.Confirmation) -> Transition:
        """One of two persons confirms that a task may touch as much as it has found; with the second it goes on."""
        return held.request.confirm(confirmation.system, confirmation.limit, held.caller.holder)

    @_decision
    async def record(self, held: _Held, result: schemas.TaskResult) -> Transition:
        """A person has done by hand what a system has no way to do."""
        tx, request, detail = held.tx, held.request, dict[str, JsonValue]()
        if result.note:
            place = await correspondence.seal(tx, request, "explanation", result.system, result.note.encode())
            detail["note"] = str(place)
        return request.record(result.system, result.found, result.changed, **detail)

    @_decision
    async def lift(self, held: _Held) -> Transition:
        """A restriction is to be lifted; the letter that says so is written before any system is asked (Art. 18(3))."""
        return held.request.lift(held.tx.now)

    @_decision
    async def forward(self, held: _Held, forwarded: schemas.Forwarded) -> Transition:
        """A customer of ours decides about the data and has the request; the subject is told who will answer."""
        tx, request, name = held.tx, held.request, forwarded.controller
        answered_by = self.letters.controller(name if forwarded.may_be_named else None)
        place = await correspondence.seal(tx, request, "controller", "forwarding", name.encode())
        detail: dict[str, JsonValue] = {"controller": str(place), "named_to_subject": forwarded.may_be_named}
        return request.forward(answered_by, tx.now, **detail)

    @_decision
    async def ask(self, held: _Held, asked: schemas.QuestionAsked) -> Transition:
        """A question is sent to the requester: who they are, or what they mean (Art. 12(6), Recital 63)."""
        recorded = asked.condition_recorded
        return await correspondence.ask(held.tx, held.request, asked.question, asked.text, recorded=recorded)

    @_decision
    async def answer(self, held: _Held, reply: schemas.QuestionReply) -> Transition:
        """The requester has answered a clarification; an answer that comes too late reopens the request.

        Raises:
            BadRequest: it cannot have come then, or names identities that nobody has asked for.
        """
        tx, request = held.tx, held.request
        asked_at = request.question.asked_at if request.question else None
        received_at = self.instants.replied(reply.received_at, asked_at, tx.now)
        answered = request.answer(received_at, tx.now, self.policy, identities=reply.subject is not None)
        if reply.subject and not request.unsearched:
            raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
        await correspondence.seal(tx, request, "reply", "requester", reply.text.encode())
        if reply.subject:
            if any(phone.proved for phone in reply.subject.phones):
                held.caller.grant.must_state(NUMBER_PROVED)
            self.instants.proved(reply.subject, tx.now)
            self.identity.numbers_proved_by(reply.subject)
            # An account that was found by less must not vouch for what is stated now.
            await tx.vault.drop_located(tx.connection, request.subject_ref)
            known = encode_identities(reply.subject.identities())
            await correspondence.seal(tx, request, "identities", "requester", known)
        return answered

    @_decision
    async def correct_arrival(self, held: _Held, correction: schemas.ArrivalCorrection) -> Transition:
        """Every date is counted anew from when and where the request really came.

        Raises:
            BadRequest: it cannot have come then, or that is what is on file.
        """
        tx, request, policy = held.tx, held.request, self.policy
        request.must_allow("redate")
        arrival = self._arrival(request, correction, tx.now)
        place = await correspondence.seal(tx, request, "explanation", "receipt", correction.reason.encode())
        why: dict[str, JsonValue] = {"reason": str(place)}
        if request.extended:  # told within the first month, as it is counted now (Art. 12(3))
            approved = "SELECT approved_at FROM extension WHERE request_id = $1"
            notified_at = await tx.connection.fetchval(approved, request.request_id)
            why["extension_told_in_time"] = notified_at < limits(arrival, policy).commit_due_instant
        due_on = redating.due_after(request, arrival, policy)
        return request.redate("receipt_corrected", arrival, due_on, calc_version(policy), **why)

    @_decision
    async def propose_extension(self, held: _Held, proposal: schemas.ExtensionProposal) -> Transition:
        """One person proposes, in the place of an earlier proposal; nothing changes for the subject yet (REQ-T5).

        Raises:
            ExtensionRefused: with everything that is wrong with it.
        """
        tx, request, key_id = held.tx, held.request, held.caller.key_id
        reason, explanation, new_due = proposal.reason, proposal.explanation, proposal.new_due
        self._judge(request, Extension(tx.now, reason, explanation, new_due, held.caller.holder, approved_by=None))
        place = await correspondence.seal(tx, request, "explanation", "extension", explanation.strip().encode())
        await tx.connection.execute(_PROPOSE, request.request_id, reason, place, new_due, key_id)
        return request.noted("extension.proposed", reason=reason, new_due=new_due.isoformat())

    @_decision
    async def approve_extension(self, held: _Held) -> Transition:
        """Another person agrees (the holder of another key): the new date holds, and the subject is told why and when.

        Raises:
            NotReady: nobody has proposed one.
            ExtensionRefused: with everything that is wrong with it by now.
        """
        tx, request, key_id = held.tx, held.request, held.caller.key_id
        row = await tx.connection.fetchrow(
            "UPDATE extension SET approved_by = $2, approved_at = $3 WHERE request_id = $1"
            " RETURNING reason, explanation, new_due, proposed_by",
            *(request.request_id, key_id, tx.now),
        )
        if row is None:
            raise NotReady("nobody has proposed an extension of this request")
        reason, place, new_due, proposed_by = row
        explanation = (await tx.vault.open_one(tx.connection, place) or b"").decode()
        proposer = await auth.holder_of(tx.connection, proposed_by) or proposed_by
        self._judge(request, Extension(tx.now, reason, explanation, new_due, proposer, held.caller.holder))
        words = {"reason": self.letters.reason(reason), "explanation": explanation}
        return request.extend(new_due, reason, words, tx.now, proposed_by)

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
