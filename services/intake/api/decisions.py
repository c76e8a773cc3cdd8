"""Deciding about a request: who asks, whether they still want it, and what a person must decide."""

from uuid import UUID

import orjson
from fastapi import APIRouter

from services.intake.api.dependencies import DECIDING, PRIVACY_TEAM, AnyCaller, MadeFor, Rehearsable, UseServices
from services.intake.api.views import ManualSteps, ProposalView, StateView, StepsInSystem
from services.intake.balancing import Balancing
from services.intake.decision_schemas import (
    Confirmation,
    ControllerReply,
    Decision,
    Forwarded,
    ProofLifted,
    ProofTakenBack,
    ResultByHand,
)
from services.intake.errors import NotFound, NotReady, SamePerson
from services.intake.problems import documented
from services.intake.proposals import Proposal
from services.intake.proposed import ProposedStep
from services.intake.schemas import Verification
from services.intake.versions import Decided
from shared.domain.errors import IllegalTransition, Shredded
from shared.storage.vault import MANUAL_STEPS

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["decisions"], responses=DECIDING)


@router.post("/verify", response_model=StateView)
async def verify(body: Verification, basis: MadeFor, services: Rehearsable) -> Decided:
    """State how the requester proved who they are; work begins, or begins after all, if that is enough.

    What is proved in one call is one person's by your word. The first accepted proof determines who asks: a later call
    counts only if it proves some of that again, or a system has filed it under the person it has found. Any other proof
    is refused (409), since the request may state what is somebody else's. The privacy team enters only methods that a
    person can observe; for a copy, an erasure or a correction a second person must enter the same before it counts.
    """
    return await services.use_cases.verify(basis, body)


@router.post("/proof-lift", response_model=StateView, dependencies=PRIVACY_TEAM)
async def lift_proof(body: ProofLifted, basis: MadeFor, services: Rehearsable) -> Decided:
    """Say that stopped links and codes of a request are the requester's after all: they are good again (privacy team).

    That a proof was somebody else's is said by `/proof-withdrawal`.
    """
    return await services.use_cases.lift_proof(basis, body)


@router.post("/proof-withdrawal", response_model=StateView)
async def take_back(body: ProofTakenBack, basis: MadeFor, services: Rehearsable) -> Decided:
    """Take back a proof that was wrong: what is not fetched by it is withheld, and what was fetched is an incident.

    While nothing is answered one word is enough, and work goes on by what is proved still. After that it takes two
    persons, two keys of different holders; from the first word on its package is withheld.
    """
    return await services.use_cases.take_back(basis, body)


@router.post("/withdraw", response_model=StateView)
async def withdraw(basis: MadeFor, services: Rehearsable) -> Decided:
    """Withdraw a request; what was done already stays done."""
    return await services.use_cases.withdraw(basis)


@router.post("/balancing", response_model=StateView, dependencies=PRIVACY_TEAM)
async def weigh(body: Balancing, basis: MadeFor, services: Rehearsable) -> Decided:
    """Propose what the weighing of an objection to legitimate interests finds (privacy team).

    Until then its data are restricted. It takes two persons: two keys of different holders.
    """
    return await services.use_cases.weigh(basis, body)


@router.get("/balancing", dependencies=PRIVACY_TEAM, responses=documented(NotReady, Shredded))
async def read_weighing(request_id: UUID, caller: AnyCaller, services: UseServices) -> ProposedStep:
    """What somebody has proposed that the weighing finds, in the words that the person would read (privacy team)."""
    return await services.use_cases.proposed_step(request_id, caller, "weighing")


@router.post("/balancing/approval", response_model=StateView, dependencies=PRIVACY_TEAM)
async def approve_weighing(basis: MadeFor, services: Rehearsable) -> Decided:
    """Agree with what another person proposes (privacy team): upheld, or told why not, and the restriction lifted."""
    return await services.use_cases.approve_weighing(basis)


@router.post("/packages-waiver", response_model=StateView)
async def waive_packages(basis: MadeFor, services: Rehearsable) -> Decided:
    """State that the erasure is also to remove the packages made for earlier requests of the same person.

    Without it they are kept for their days, so that what was asked for can still be fetched.
    """
    return await services.use_cases.waive_packages(basis)


@router.post("/decision", response_model=StateView, dependencies=PRIVACY_TEAM)
async def decide(body: Decision, basis: MadeFor, services: Rehearsable) -> Decided:
    """Try again what is not done, or propose how to answer the request: to refuse it, or in part (privacy team).

    A proposal says why, by a reason of the policy and an article; it takes the place of an earlier one, and changes
    nothing for the subject until somebody else approves it. In part is possible while a system is merely away.
    """
    return await services.use_cases.decide(basis, body)


@router.get(
    "/decision", response_model=ProposalView, dependencies=PRIVACY_TEAM, responses=documented(NotReady, Shredded)
)
async def read_proposal(request_id: UUID, caller: AnyCaller, services: UseServices) -> Proposal:
    """How somebody has proposed to answer the request, in the words that the subject would read (privacy team)."""
    return await services.use_cases.proposed(request_id, caller)


@router.post(
    "/decision/approval",
    response_model=StateView,
    dependencies=PRIVACY_TEAM,
    responses=documented(IllegalTransition, NotReady, SamePerson),
)
async def approve_decision(basis: MadeFor, services: Rehearsable) -> Decided:
    """Approve what was proposed, with the key of another holder: the request is answered so, and its letter written.

    It is closed in a moment, when whoever works on it has said what is done.
    """
    return await services.use_cases.approve(basis)


@router.post("/confirmation", response_model=StateView, dependencies=PRIVACY_TEAM)
async def confirm(body: Confirmation, basis: MadeFor, services: Rehearsable) -> Decided:
    """Confirm that a system may touch as much as `exceeded` says was found there (privacy team).

    It takes two persons: two keys of different holders. With the second the task goes on; if it finds more by then, it
    waits again.
    """
    return await services.use_cases.confirm(basis, body)


@router.post("/task-result", response_model=StateView, dependencies=PRIVACY_TEAM)
async def record(body: ResultByHand, basis: MadeFor, services: Rehearsable) -> Decided:
    """Enter what a person did by hand in a system that has no way to do it (privacy team).

    Until then the request cannot close as fulfilled; once nothing waits any more it goes on by itself.
    """
    return await services.use_cases.record(basis, body)


@router.get("/manual-steps", dependencies=PRIVACY_TEAM, responses=documented(NotFound, Shredded))
async def read_manual_steps(request_id: UUID, caller: AnyCaller, services: UseServices) -> ManualSteps:
    """What a person does by hand, in systems that say how: commands, with the ids of the records (privacy team).

    When they have, `retry` (POST …/decision) has it looked for again, or the result is entered (POST …/task-result).
    The reading is on record.
    """
    request = await services.use_cases.read(request_id, caller)
    async with services.unit_of_work.begin() as tx:
        sealed = await tx.vault.open_kind(tx.connection, request.subject_ref, MANUAL_STEPS)
        if sealed:
            tx.log_evidence(request_id, "manual_steps.read", {"holder": caller.holder}, caller.actor)
    told = [StepsInSystem(system=system, do=orjson.loads(said)) for _, system, said in sealed]
    return ManualSteps(request_id=request_id, systems=told)


@router.post("/package/release", response_model=StateView, dependencies=PRIVACY_TEAM)
async def release_package(basis: MadeFor, services: Rehearsable) -> Decided:
    """Say that a package that is withheld is the subject's, having looked at it (privacy team).

    It takes two persons, each of whom has looked (`inspection` of POST …/downloads). With the
    second it can be fetched again, and the subject is told. It holds for the reason for which it is withheld now.
    """
    return await services.use_cases.release_package(basis)


@router.post("/package/renewal", response_model=StateView, dependencies=PRIVACY_TEAM)
async def renew_package(basis: MadeFor, services: Rehearsable) -> Decided:
    """Have a package that is withheld made anew, by what is known and vouched for now (privacy team)."""
    return await services.use_cases.renew_package(basis)


@router.post("/lift", response_model=StateView, dependencies=PRIVACY_TEAM)
async def lift(basis: MadeFor, services: Rehearsable) -> Decided:
    """Lift a restriction; the letter that informs the subject is written before any system is asked (privacy team)."""
    return await services.use_cases.lift(basis)


@router.post("/forward", response_model=StateView, dependencies=PRIVACY_TEAM)
async def forward(body: Forwarded, basis: MadeFor, services: Rehearsable) -> Decided:
    """State that a request was passed on to the customer who decides about the data (privacy team)."""
    return await services.use_cases.forward(basis, body)


@router.post("/controller-replied", response_model=StateView, dependencies=PRIVACY_TEAM)
async def hear_controller(body: ControllerReply, basis: MadeFor, services: Rehearsable) -> Decided:
    """State that the customer to whom a request was passed on has replied (privacy team).

    Until then they are reminded, and at last a ticket asks the privacy team to look.
    """
    return await services.use_cases.hear_controller(basis, body)
