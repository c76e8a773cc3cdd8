"""Proof that waits for a person: links and codes that end, or that nobody has asked for (privacy team)."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.intake.api.dependencies import PRIVACY_TEAM, UseServices
from services.intake.identity import stopped
from services.intake.schemas import Instant

router = APIRouter(prefix="/v1/proofs", tags=["proofs"], dependencies=PRIVACY_TEAM)


class StoppedProof(BaseModel):
    """A request whose proof waits for a person, as no link or code can give it."""

    request_id: UUID
    why: stopped.Why = Field(
        description="wrong_codes: so many were wrong that none is accepted any more; disowned: whoever got the link"
        " says that they have asked for nothing, so it may be somebody else's doing; withheld: too many were sent to"
        " that mailbox in an hour, or asked for from one place, so the last one was not sent"
    )
    since: Instant


class StoppedProofs(BaseModel):
    """Those that wait for a person, the nearest deadline first, a thousand at most."""

    requests: list[StoppedProof]


@router.get("/stopped")
async def read_stopped_proofs(services: UseServices) -> StoppedProofs:
    """The requests whose proof waits for a person (privacy team).

    Ask the requester in another way, verify them by what they have shown to a person, or answer the request: then it is
    on this list no more.
    """
    async with services.unit_of_work.pool.acquire() as connection:
        found = await stopped.waiting(connection, services.use_cases.identity.links.failures)
    return StoppedProofs(requests=[StoppedProof(request_id=e.request_id, why=e.why, since=e.since) for e in found])
