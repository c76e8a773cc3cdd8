"""What people do with a request after it was submitted, one unit of work each: the API calls nothing else."""

from dataclasses import dataclass, replace
from uuid import UUID

import orjson
from pydantic import JsonValue

from services.intake import (
    balancing,
    decision_schemas,
    forwarding,
    lookup,
    other_requests,
    package_release,
    proposals,
    question_schemas,
    repository,
    schemas,
    taking_back,
)
from services.intake.auth import Caller
from services.intake.deciding import Held, decision, visible
from services.intake.errors import BadRequest, Forbidden, SamePerson
from services.intake.identity import by_hand, on_file, stopped
from services.intake.identity.proof_links import ProofLinks
from services.intake.identity.proving import Proved
from services.intake.letters import correspondence
from services.intake.letters.rendering import Letters
from services.intake.metrics import REQUESTS
from services.intake.portal.settings import PortalSettings
from services.intake.repository import Requests
from services.intake.request import deferrals
from services.intake.request.aggregate import Request, Transition
from services.intake.request.causes.delivery import SENT_TO
from services.intake.request.causes.weighing import asks_for
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import StoredRequest
from services.intake.telling import TellingUseCases
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import NOTHING
from shared.domain.one_person import as_stated, proves_the_same_person
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.proofs import highest
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.vault import DROPPED

# What was said of some requests says nothing of others that have come since.
_CONFIRM = """
INSERT INTO wait_override (request_id, awaits, first, first_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id, awaits) DO UPDATE SET second = $3, second_at = $4
WHERE wait_override.first <> $3 RETURNING second IS NOT NULL
"""


async def begin(tx: UnitOfWork, request: Request, caller: Caller, letters: Letters) -> Transition:
    """Lets it begin with the second person's word, and ends the restrictions that it waits for.

    Raises:
        IllegalTransition: it does not wait for another request.
        SamePerson: they have said so before.
    """
    if not request.postponed:
        raise IllegalTransition("this request does not wait for another")
    awaits = (await other_requests.awaited_by(tx.connection, [request.request_id])).get(request.request_id, [])
    by_two = await tx.connection.fetchval(_CONFIRM, request.request_id, sorted(awaits), caller.holder, tx.now)
    if by_two is None:
        raise SamePerson("You have decided this. A second person must agree: a copy or a restriction ends with it.")
    if not by_two:
        return request.noted("erasure.begin_proposed", awaits=[str(other) for other in sorted(awaits)])
    others = await Requests.locked(tx, letters, awaits, caller.actor)
    for other in others.all:
        await others.apply(other.end_with_erasure(request.request_id, tx.now))
    await others.save()
    return request.begin("decided")


_CONCLUDED = """
SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded' ORDER BY at, chain, seq
"""


async def reports(connection: Connection, request: StoredRequest) -> tuple[TaskReport, ...]:
    """The reports that the request has, and those of tasks that have done something since."""
    known = {task.task_id: task for task in request.tasks or ()}
    for (detail,) in await connection.fetch(_CONCLUDED, request.request_id):
        content = orjson.loads(detail)
        if (content.get("outcome") or content.get("changed")) and content["operation"] in ANSWERING:
            report = TaskReport.model_validate({"outcome": None, **content})
            known[report.task_id] = report
    return tuple(known.values())


@dataclass(frozen=True, slots=True)
class UseCases(TellingUseCases):
    """Moves one request on, for a caller who may see it.

    Raises:
        NotFound: from every method, for any other caller.
        Forbidden: from every decision, where the key may do no such thing, or state no such proof.
        PreconditionFailed: from every decision, where the request has changed since the version it was made for.
        IllegalTransition: from every decision that moves the request, where the lifecycle has no such step.
    """

    async def read(self, request_id: UUID, caller: Caller) -> Request:
        """The request, for the channel that submitted it and for the privacy team."""
        async with self.unit_of_work.pool.acquire() as connection:
            return await visible(connection, await repository.read(connection, request_id), caller)

    async def awaited(self, request: Request) -> list[UUID]:
        """The open requests of the same person for which an erasure, or what goes with a consent, waits."""
        may_wait = request.postponed or request.right is Right.CONSENT_WITHDRAWAL
        if not may_wait or request.state is State.CLOSED:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return (await other_requests.awaited_by(connection, [request.request_id])).get(request.request_id, [])

    async def repeated(self, request: Request) -> list[other_requests.SameAsked]:
        """The other open requests by which the same person asks for the same, where it is open."""
        if request.state is State.CLOSED:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return await other_requests.repeated(connection, request.request_id)

    async def case_of(self, request: Request) -> list[Request]:
        """What came in the same message, itself included; nothing, where it came alone."""
        if request.case_id is None:
            return []
        async with self.unit_of_work.pool.acquire() as connection:
            return await repository.read_case(connection, request.case_id)

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
            shown = shown and request is not None and request.tenant == caller.grant.tenant
            shown = shown and request is not None and request.channel not in SENT_TO  # whose code nobody was told
            shown = shown or caller.follows == request_id
            if request is None or not shown:
                request = await visible(tx.connection, request, caller)
            if request.forgets_its_subject and not shown and caller.role != "privacy":
                raise Forbidden("after an erasure the letters are read with their code, or by the privacy team")
            return await correspondence.read(tx, request, caller, by_code=shown)

    def _links(self) -> ProofLinks:
        if not (url := PortalSettings().url):
            raise BadRequest("there is no portal where a link is opened: verify by hand (/verify)", "contact_on_file")
        return ProofLinks(self.unit_of_work, self.letters, self.identity.links, f"{url}/portal")

    @decision
    async def confirm_on_file(self, held: Held, contact: Identity) -> Transition:
        """Counts the request as the contact's on file: answers go there, the asker's unproved address is dropped."""
        proof = schemas.IdentityProof(identity="account_id", method=on_file.METHOD)
        verified = await self._verify(held, schemas.Verification(proofs=(proof,)))
        theirs = replace(contact, level=self.identity.methods[on_file.METHOD].level)
        subject = held.request.subject_ref
        known = (await held.tx.vault.subject_data(held.tx.connection, [subject]))[subject].identities
        unproved = [i for i in known if i.source == "requester" and i.type is IdentityType.EMAIL and i.level == NOTHING]
        await correspondence.seal(held.tx, held.request, "identities", DROPPED, encode_identities(unproved))
        await correspondence.seal(held.tx, held.request, "identities", "requester", encode_identities([theirs]))
        await lookup.enter(held.tx, [(held.request.request_id, [theirs])])
        return verified

    @decision
    async def verify(self, held: Held, said: schemas.Verification) -> Transition:
        """The requester has proved who they are: fulfilment begins, or goes on with what had waited for that.

        Proof by hand of what hands out, erases or corrects data counts once a second person has entered the same.

        Raises:
            BadRequest: that much proof is not enough for anything of it.
            IllegalTransition: another person has proved a part of it before.
            SamePerson: they have entered this proof by hand before.
        """
        return await self._verify(held, said)

    async def _verify(self, held: Held, said: schemas.Verification) -> Transition:
        tx, request = held.tx, held.request
        request.must_be_ours()
        known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
        if known is None:
            raise Shredded("the subject's key is gone, and nobody can tell any more who has asked")
        stated = [each for each in known.identities if each.source == "requester"]
        grant = held.caller.grant
        proved = self.proving.prove(stated, said.assurance, said.proofs, grant, tx.now)
        alone = self.proving.prove(as_stated(stated), said.assurance, said.proofs, grant, tx.now)
        _must_be_the_same_person(known, alone)
        needed = request.lacks or self.identity.least(asks_for(request.right, request.scope, known.changes))
        if (most := highest(proved.identities)) < needed:
            raise BadRequest(f"{request.right} needs level {needed}; {most} is not enough")
        detail: dict[str, JsonValue] = dict(said.assurance) if said.assurance else {}
        detail["proofs"] = [*proved.evidence]
        verified = request.verify(detail, tx.now, self.policy)
        if not await by_hand.agreed(held, said, stated):
            return request.noted("proof.proposed", **detail, holder=held.caller.holder)
        tx.after_commit(REQUESTS.labels(request.right, "identity_verified").inc)
        await correspondence.seal(tx, request, "identities", "requester", encode_identities(proved.identities))
        await other_requests.prove(tx, request, proved.identities)
        return verified

    @decision
    async def lift_proof(self, held: Held, said: decision_schemas.ProofLifted) -> Transition:
        """One person knows that stopped links and codes are the requester's after all: they are good again.

        A package that was withheld meanwhile is checked again.

        Raises:
            BadRequest: no link or code has ended, or the key is gone under which the note would be kept.
        """
        tx, request = held.tx, held.request
        if not await stopped.lift(tx, self.identity.links.failures, request.request_id):
            raise BadRequest("no link and no code of it has ended; a wrong proof is taken back by /proof-withdrawal")
        detail: dict[str, JsonValue] = {"holder": held.caller.holder}
        if said.note:
            if not await tx.vault.unshredded(tx.connection, [request.subject_ref]):
                raise BadRequest("the key of that person is gone, so no note can be kept: leave it out", "note")
            place = await correspondence.seal(tx, request, "explanation", "proof_lift", said.note.encode())
            detail["note"] = str(place)
        if request.state is State.CLOSED and request.package_fault is not None:
            request = replace(request, package_fault=await taking_back.look_again(tx, request))
        return request.noted("proof.lifted", **detail)

    @decision
    async def take_back(self, held: Held, said: decision_schemas.ProofTakenBack) -> Transition:
        """What was said to prove an identity was wrong; of an answered request two persons must say so."""
        return await taking_back.take_back(held, said)

    @decision
    async def withdraw(self, held: Held) -> Transition:
        """The subject no longer wants it, and is told what had been done already."""
        done = await reports(held.tx.connection, held.request)
        return replace(held.request, tasks=done or held.request.tasks).withdraw(held.tx.now)

    @decision
    async def weigh(self, held: Held, said: balancing.Balancing) -> Transition:
        """One person proposes what the weighing of an objection finds."""
        return await balancing.propose(held.tx, held.request, held.caller, said)

    @decision
    async def approve_weighing(self, held: Held) -> Transition:
        """Another person agrees with what is proposed."""
        return await balancing.approve(held.tx, held.request, held.caller)

    @decision
    async def waive_packages(self, held: Held) -> Transition:
        """The person wants their erasure to remove the packages of their earlier requests, whose days are not over."""
        return held.request.waive_packages()

    @decision
    async def decide(self, held: Held, decision: decision_schemas.Decision) -> Transition:
        """A person has what is not done tried again, or proposes how to answer the request, which another approves.

        Raises:
            BadRequest: that is no reason for it.
        """
        request = held.request
        if isinstance(decision, decision_schemas.Begin):
            return await begin(held.tx, request, held.caller, self.letters)
        request.must_not_wait_for_weighing()
        if isinstance(decision, decision_schemas.Retry):
            request.must_have_begun()
            return request.retry()
        return await proposals.propose(held.tx, request, held.caller, decision, self.reasons)

    @decision
    async def approve(self, held: Held) -> Transition:
        """Another person agrees (the holder of another key): it is answered so as soon as it is known what is done.

        Raises:
            NotReady: nobody has proposed an answer.
            SamePerson: whoever agrees has proposed it.
            BadRequest: that is no reason for it any more.
        """
        return await proposals.approve(held.tx, held.request, held.caller, self.reasons)

    async def proposed(self, request_id: UUID, caller: Caller) -> proposals.Proposal:
        """How somebody has proposed to answer the request, for whoever is to approve it; the reading is on record.

        Raises:
            NotReady: nobody has proposed an answer.
            Shredded: the subject's key is gone.
        """
        request = await self.read(request_id, caller)
        async with self.unit_of_work.begin() as tx:
            return await proposals.read(tx, request, caller)

    @decision
    async def confirm(self, held: Held, confirmation: decision_schemas.Confirmation) -> Transition:
        """One of two persons confirms that a task may touch as much as it has found; with the second it goes on."""
        return held.request.confirm(confirmation.system, confirmation.limit, held.caller.holder)

    @decision
    async def record(self, held: Held, result: decision_schemas.ResultByHand) -> Transition:
        """A person has done by hand what a system has no way to do."""
        tx, request, detail = held.tx, held.request, dict[str, JsonValue]()
        if result.note:
            place = await correspondence.seal(tx, request, "explanation", result.system, result.note.encode())
            detail["note"] = str(place)
        return request.record(result.system, result.found, result.changed, **detail)

    @decision
    async def release_package(self, held: Held) -> Transition:
        """One of two persons has looked at a package that is withheld, and says that it is the subject's."""
        return await package_release.confirm(held.tx, held.request, held.caller)

    @decision
    async def renew_package(self, held: Held) -> Transition:
        """A person has a package that is withheld made anew, by what is known and vouched for now."""
        renewed = held.request.renew()
        await held.tx.vault.drop_located(held.tx.connection, held.request.subject_ref)
        return renewed

    @decision
    async def lift(self, held: Held) -> Transition:
        """A restriction is to be lifted; the letter that says so is written before any system is asked (Art. 18(3))."""
        return held.request.lift(held.tx.now)

    @decision
    async def forward(self, held: Held, forwarded: decision_schemas.Forwarded) -> Transition:
        """A customer of ours decides about the data, and has the request; the subject is told who answers."""
        tx, request = held.tx, held.request
        detail = await forwarding.note(tx, request, forwarded)
        answered_by = forwarding.by_name(forwarded.controller if forwarded.may_be_named else None)
        return request.forward(answered_by, tx.now, **detail)

    @decision
    async def hear_controller(self, held: Held, reply: decision_schemas.ControllerReply) -> Transition:
        """The customer to whom a request was passed on has said how they go on; nobody reminds them any more."""
        place = await correspondence.seal(held.tx, held.request, "reply", "controller", reply.text.encode())
        return held.request.hear_controller(held.tx.now, reply=str(place))

    @decision
    async def ask(self, held: Held, asked: question_schemas.QuestionAsked) -> Transition:
        """Sends a question to the requester: who they are, or what they mean (Art. 12(6), Recital 63).

        Raises:
            BadRequest: a contact on file is named, and the request names no account, or there is no portal.
            IllegalTransition: a contact on file is named, and a part of the request is proved.
            SamePerson: they have entered that contact on file before.
        """
        recorded = asked.condition_recorded
        if asked.contact_on_file and not await on_file.ask(held, self._links(), asked.contact_on_file):
            proofs: list[JsonValue] = [{"type": IdentityType.ACCOUNT_ID, "method": on_file.METHOD}]
            return held.request.noted("proof.proposed", proofs=proofs, holder=held.caller.holder)
        return await correspondence.ask(held.tx, held.request, asked.question, asked.text, recorded=recorded, own=True)

    @decision
    async def answer(self, held: Held, reply: question_schemas.QuestionReply) -> Transition:
        """The requester has answered a question; an answer that comes too late reopens the request.

        Raises:
            BadRequest: it cannot have come then, or names identities that nobody has asked for.
        """
        tx, request = held.tx, held.request
        held.caller.grant.must_not_vouch(reply.proofs)
        asked_at = request.question.asked_at if request.question else None
        received_at = self.instants.replied(reply.received_at, asked_at, tx.now)
        answered = request.answer(received_at, tx.now, self.policy, identities=reply.subject is not None)
        if reply.subject and not deferrals.answerable(request.tasks):
            raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
        await correspondence.seal(tx, request, "reply", "requester", reply.text.encode())
        if reply.subject:
            stated = tuple(reply.subject.identities())
            known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
            before = [each for each in known.identities if each.source == "requester"] if known else []
            grant = held.caller.grant
            proved = self.proving.prove(stated, None, reply.proofs, grant, tx.now, before)
            alone = self.proving.prove(stated, None, reply.proofs, grant, tx.now)
            if known:
                _must_be_the_same_person(known, alone)
            # An account that was found by less must not vouch for what is stated now.
            await tx.vault.drop_located(tx.connection, request.subject_ref)
            await lookup.enter(tx, [(request.request_id, stated)])
            await correspondence.seal(tx, request, "identities", "requester", encode_identities(proved.identities))
        return answered


def _must_be_the_same_person(known: SubjectData, alone: Proved) -> None:
    """Raises ``IllegalTransition`` for a proof that is not shown to be the first prover's.

    ``alone``: as well as the identities are proved by nothing else.
    """
    if not proves_the_same_person(known.identities, alone.identities):
        raise IllegalTransition(
            "a part of this request was proved before, and nothing shows that this proof is the same person's: prove an"
            " identity that was proved before in the same call, or submit a request of their own for this person; take"
            " back a proof that was wrong (/proof-withdrawal)"
        )
