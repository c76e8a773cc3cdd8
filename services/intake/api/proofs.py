"""Proof that waits for a person: links and codes that end, or that nobody has asked for (privacy team)."""

from operator import attrgetter

from fastapi import APIRouter

from services.intake.api.dependencies import PRIVACY_TEAM, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.identity import stopped

router = APIRouter(prefix="/v1/proofs", tags=["proofs"], dependencies=PRIVACY_TEAM)


@router.get("/stopped")
async def list_stopped_proofs(services: UseServices, paging: Paged) -> Page[stopped.Stopped]:
    """List the first 1,000 requests whose proof needs manual review, the nearest deadline first (privacy team).

    Ask the requester in another way, verify them by what they have shown to a person, or answer the request: then it is
    on this list no more.
    """
    async with services.unit_of_work.pool.acquire() as connection:
        found = await stopped.waiting(connection, services.use_cases.identity.links.failures)
    return paging.cut(found, attrgetter("request_id"))
