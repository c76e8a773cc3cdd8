"""Deciding about a request: who asks, whether they still want it, and what a person must decide."""

from fastapi import APIRouter

from services.intake.api.dependencies import DECIDING, PRIVACY_TEAM, MadeFor, UseServices
from services.intake.api.views import StateView
from services.intake.schemas import Confirmation, Decision, Forwarded, TaskResult, Verification
from services.intake.versions import Decided

router = APIRouter(prefix="/v1/requests/{request_id}", tags=["decisions"], responses=DECIDING)


@router.post("/verify", response_model=StateView)
async def verify(body: Verification, basis: MadeFor, services: UseServices) -> Decided:
    """State how the requester proved who they are; work begins, or begins after all, if that is enough."""
    return await services.use_cases.verify(basis, body.assurance)


@router.post("/withdraw", response_model=StateView)
async def withdraw(basis: MadeFor, services: UseServices) -> Decided:
    """Withdraw a request; what was done already stays done."""
    return await services.use_cases.withdraw(basis)


@router.post("/at-once", response_model=StateView)
async def waive(basis: MadeFor, services: UseServices) -> Decided:
    """State that the person does not want their erasure to wait until their other requests are answered."""
    return await services.use_cases.waive(basis)


@router.post("/decision", response_model=StateView, dependencies=PRIVACY_TEAM)
async def decide(body: Decision, basis: MadeFor, services: UseServices) -> Decided:
    """Decide about a request whose downstream failed for good (privacy team)."""
    return await services.use_cases.decide(basis, body)


@router.post("/confirmation", response_model=StateView, dependencies=PRIVACY_TEAM)
async def confirm(body: Confirmation, basis: MadeFor, services: UseServices) -> Decided:
    """Confirm that a system may touch as much as `exceeded` says was found there (privacy team).

    It takes two persons: two keys of different holders. With the second the task goes on; if it finds more by then, it
    waits again.
    """
    return await services.use_cases.confirm(basis, body)


@router.post("/task-result", response_model=StateView, dependencies=PRIVACY_TEAM)
async def record(body: TaskResult, basis: MadeFor, services: UseServices) -> Decided:
    """Enter what a person did by hand in a system that has no way to do it (privacy team).

    Until then the request cannot close as fulfilled; once nothing waits any more it goes on by itself.
    """
    return await services.use_cases.record(basis, body)


@router.post("/lift", response_model=StateView, dependencies=PRIVACY_TEAM)
async def lift(basis: MadeFor, services: UseServices) -> Decided:
    """Lift a restriction; the letter that informs the subject is written before any system is asked (privacy team)."""
    return await services.use_cases.lift(basis)


@router.post("/forward", response_model=StateView, dependencies=PRIVACY_TEAM)
async def forward(body: Forwarded, basis: MadeFor, services: UseServices) -> Decided:
    """State that a request was passed on to the customer who decides about the data (privacy team)."""
    return await services.use_cases.forward(basis, body)
