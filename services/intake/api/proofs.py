"""Proof that waits for a person: links and codes that end, or that nobody has asked for (privacy team)."""

from fastapi import APIRouter
from pydantic import BaseModel

from services.intake.api.dependencies import PRIVACY_TEAM, UseServices
from services.intake.identity import stopped

router = APIRouter(prefix="/v1/proofs", tags=["proofs"], dependencies=PRIVACY_TEAM)


class StoppedProofs(BaseModel):
    """Those that wait for a person, the nearest deadline first, a thousand at most."""

    requests: list[stopped.Stopped]


@router.get("/stopped")
async def read_stopped_proofs(services: UseServices) -> StoppedProofs:
    """The requests whose proof waits for a person (privacy team).

    Ask the requester in another way, verify them by what they have shown to a person, or answer the request: then it is
    on this list no more.
    """
    async with services.unit_of_work.pool.acquire() as connection:
        found = await stopped.waiting(connection, services.use_cases.identity.links.failures)
    return StoppedProofs(requests=found)
