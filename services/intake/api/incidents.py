"""Incidents: data breaches, their 72 hours, the decision of two people, and who was notified (privacy team)."""

from operator import attrgetter
from uuid import UUID

from fastapi import APIRouter, Response

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, DryRun, Rehearsable, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.errors import BadRequest, NotFound, NotReady, SamePerson, TooLarge, UnsupportedType
from services.intake.incidents import record
from services.intake.incidents.incident import Incident, IncidentRow, Said
from services.intake.incidents.schemas import (
    IncidentClosed,
    IncidentFacts,
    IncidentFound,
    Notified,
    RiskApproved,
    RiskDecided,
)
from services.intake.problems import documented
from shared.domain.errors import IllegalTransition, Shredded

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], dependencies=PRIVACY_TEAM)
_STEP = documented(BadRequest, NotFound, IllegalTransition, Shredded, TooLarge, UnsupportedType)


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


async def _take(services: Rehearsable, incident_id: UUID, step: Said, caller: AnyCaller) -> Incident:
    async with services.unit_of_work.begin() as tx:
        return await record.take(tx, services.use_cases.letters, incident_id, step, caller)


@router.post("/{incident_id}/facts", responses=_STEP)
async def state_facts(incident_id: UUID, body: IncidentFacts, caller: AnyCaller, services: Rehearsable) -> Incident:
    """State the facts in a new version, and own the incident from now on; other facts void the decision."""
    return await _take(services, incident_id, body, caller)


@router.post("/{incident_id}/decision", responses=_STEP | documented(NotReady))
async def decide_risk(incident_id: UUID, body: RiskDecided, caller: AnyCaller, services: Rehearsable) -> Incident:
    """Propose how high the risk is and who gets a letter; it takes effect once somebody else approves it."""
    return await _take(services, incident_id, body, caller)


@router.post("/{incident_id}/decision/approval", responses=_STEP | documented(SamePerson))
async def approve_risk(incident_id: UUID, body: RiskApproved, caller: AnyCaller, services: Rehearsable) -> Incident:
    """Approve the decision as a second person who has not handled the request: the letters go out."""
    return await _take(services, incident_id, body, caller)


@router.post("/{incident_id}/notified", responses=_STEP)
async def note_notice(incident_id: UUID, body: Notified, caller: AnyCaller, services: Rehearsable) -> Incident:
    """Note that the authority, a customer, the FCC, or people whom no letter reaches were notified; nothing is sent."""
    return await _take(services, incident_id, body, caller)


@router.post("/{incident_id}/close", responses=_STEP | documented(NotReady))
async def close_incident(incident_id: UUID, body: IncidentClosed, caller: AnyCaller, services: Rehearsable) -> Incident:
    """Close an incident once two people have decided about it and everybody who must be was notified."""
    return await _take(services, incident_id, body, caller)
