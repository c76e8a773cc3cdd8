"""Incidents: data breaches, their 72 hours, the decision of two people, and who was notified (privacy team)."""

from operator import attrgetter
from uuid import UUID

from fastapi import APIRouter, Response

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, DryRun, Rehearsable, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.core.errors import BadRequest, NotFound, TooLarge, UnsupportedType
from services.intake.incidents import record
from services.intake.incidents.incident import Incident, IncidentRow
from services.intake.incidents.schemas import IncidentFound
from shared.domain.errors import Shredded

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], dependencies=PRIVACY_TEAM)


@router.get("")
async def list_incidents(services: UseServices, paging: Paged) -> Page[IncidentRow]:
    """List every open incident, the most urgent first, then those closed last."""
    async with services.unit_of_work.pool.acquire() as connection:
        return paging.cut(await record.listed(connection), attrgetter("incident_id"))


@router.post("", status_code=201, responses=documented(BadRequest, TooLarge, UnsupportedType))
async def open_incident(
    body: IncidentFound, caller: AnyCaller, services: Rehearsable, response: Response, *, dry_run: DryRun = False
) -> Incident:
    """Open an incident that was found elsewhere; you own it, unless you have handled its request."""
    async with services.unit_of_work.begin() as tx:
        opened = await record.enter(tx, body, caller)
    if not dry_run:
        response.headers["Location"] = f"{router.prefix}/{opened.incident_id}"
    return opened


@router.get("/{incident_id}", responses=documented(NotFound, Shredded))
async def read_incident(incident_id: UUID, caller: AnyCaller, services: UseServices) -> Incident:
    """Read the whole record of an incident, with its words; the evidence names you."""
    async with services.unit_of_work.begin() as tx:
        return await record.read(tx, incident_id, caller)
