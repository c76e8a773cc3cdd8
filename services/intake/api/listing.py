"""Listing requests: a channel's own, or for the privacy team all, by page."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.api.views import Referenced
from services.intake.core.errors import Forbidden
from services.intake.core.schemas import Instant
from services.intake.queries import listing
from services.intake.queries.listing import FIRST, Place, Wanted
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import as_told
from services.intake.store import lookup
from shared.domain.moments import Day
from shared.domain.rights import Outcome, Right

router = APIRouter(prefix="/v1/requests", tags=["listing"])


class RequestListed(Referenced):
    """Where one of the requests stands; what each system did is read with the request itself."""

    model_config = ConfigDict(from_attributes=True)

    right: Right
    state: State
    received_at: Instant
    due_on: date
    outcome: Outcome | None
    closed_at: Instant | None


@router.post("/search", dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
async def search_requests(said: lookup.Search, caller: AnyCaller, services: UseServices) -> Page[RequestListed]:
    """Find the newest 100 requests by what a person says (privacy team); the evidence has that you searched.

    Identities are compared by keyed hashes, until the key of the subject is destroyed; a reference is found after it.
    """
    async with services.unit_of_work.begin() as tx:
        found = await lookup.search(tx, caller, said.text, said.region)
    return Page(data=[RequestListed.model_validate(each) for each in found])


@router.get("")
async def list_requests(
    caller: AnyCaller,
    services: UseServices,
    paging: Paged,
    state: State | None = None,
    right: Right | None = None,
    due_before: Annotated[Day | None, Query(description="only those that are due before this day")] = None,
) -> Page[RequestListed]:
    """List the requests that this channel has submitted; the privacy team sees all."""
    caller.must_be("channel", "privacy")
    wanted = Wanted(paging.after(Place.read) or FIRST, state, right, due_before)
    async with services.unit_of_work.pool.acquire() as connection:
        page = paging.page(await listing.page(connection, caller, wanted, paging.more), listing.place)
    told = page.data if caller.role == "privacy" else map(as_told, page.data)
    return Page(data=[RequestListed.model_validate(each) for each in told], next_cursor=page.next_cursor)
