"""Listing requests: a channel's own, or for the privacy team all, by page."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.intake import listing, lookup
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, UseServices
from services.intake.api.views import Referenced
from services.intake.errors import Forbidden
from services.intake.listing import Place, Wanted
from services.intake.problems import documented
from services.intake.request.as_told import as_told
from services.intake.request.lifecycle import State
from services.intake.schemas import Instant
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


class RequestList(BaseModel):
    """A page of requests, in the order of their acceptance."""

    requests: list[RequestListed]
    cursor: str | None = Field(description="send it to get the next page; null: this is the last one")


class RequestsFound(BaseModel):
    """The requests that were found, the newest first; at most 100."""

    requests: list[RequestListed]


@router.post("/search", dependencies=PRIVACY_TEAM, responses=documented(Forbidden))
async def search_requests(said: lookup.Search, caller: AnyCaller, services: UseServices) -> RequestsFound:
    """Find requests by what a person says (privacy team); that you searched is on record, and not for what.

    Identities are compared by keyed hashes, until the key of the subject is destroyed; a reference is found after it.
    """
    async with services.unit_of_work.begin() as tx:
        found = await lookup.search(tx, caller, said.text, said.region)
    return RequestsFound(requests=[RequestListed.model_validate(each) for each in found])


@router.get("")
async def list_requests(
    caller: AnyCaller,
    services: UseServices,
    state: State | None = None,
    right: Right | None = None,
    due_before: Annotated[Day | None, Query(description="only those that are due before this day")] = None,
    cursor: Annotated[
        str | None, Query(pattern=listing.CURSOR, description="of the last answer: this page follows it")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RequestList:
    """List the requests that this channel has submitted; the privacy team sees all."""
    caller.must_be("channel", "privacy")
    wanted = Wanted(Place.read(cursor) if cursor else listing.FIRST, state, right, due_before)
    async with services.unit_of_work.pool.acquire() as connection:
        found = await listing.page(connection, caller, wanted, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    told = found[:limit] if caller.role == "privacy" else [as_told(each) for each in found[:limit]]
    shown = [RequestListed.model_validate(each) for each in told]
    return RequestList(requests=shown, cursor=str(Place(last.accepted_at, last.request_id)) if last else None)
