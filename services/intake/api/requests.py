"""Listing and searching requests, and following one: its state, timeline and letters."""

from datetime import date
from operator import attrgetter
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Response
from pydantic import ConfigDict

from services.intake.api import case_sheet
from services.intake.api.case_sheet import Statement
from services.intake.api.dependencies import PRIVACY_TEAM, TAGGED, AnyCaller, UseServices, etag
from services.intake.api.paging import Page, Paged
from services.intake.api.problems import documented
from services.intake.api.views import (
    LetterView,
    ManualSteps,
    Referenced,
    RequestView,
    StepsInSystem,
    TimelineEntry,
    view,
)
from services.intake.core.errors import Forbidden, NotFound
from services.intake.core.schemas import Instant
from services.intake.queries import worklist
from services.intake.queries.worklist import Cursor, Filters
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import for_requester
from services.intake.store import lookup
from shared.domain.clock import Day
from shared.domain.errors import Shredded
from shared.domain.rights import Outcome, Right
from shared.storage import evidence
from shared.storage.vault import MANUAL_STEPS

router = APIRouter(prefix="/v1/requests", tags=["requests"])
_ONE = documented(NotFound)


@router.get("/{request_id}", response_model_exclude_unset=True, responses=TAGGED)
async def read(request_id: UUID, caller: AnyCaller, services: UseServices, response: Response) -> RequestView:
    """Read where a request stands, what each system did in counts, and the answer in plain words."""
    request = await services.use_cases.read(request_id, caller)
    response.headers["ETag"] = etag(request.version)
    awaited = await services.use_cases.awaited(request)
    case = await services.use_cases.case_of(request)
    today, letters = services.unit_of_work.clock.now().date(), services.use_cases.letters
    officer = caller.role == "privacy"
    repeated = await services.use_cases.repeated(request) if officer else ()
    return view(request, today, letters, awaited, case, repeated, officer=officer)


@router.get("/{request_id}/statement", dependencies=PRIVACY_TEAM, responses=documented(Forbidden, Shredded))
async def read_statement(request_id: UUID, caller: AnyCaller, services: UseServices, response: Response) -> Statement:
    """Open the case sheet (privacy team): who asks and how that was proved, what they ask for, what systems found.

    It is opened from the vault for this answer alone, and the opening is on record.
    """
    response.headers["Cache-Control"] = "no-store"
    return await case_sheet.read(services.unit_of_work, services.use_cases.mail, request_id, caller)


@router.get("/{request_id}/timeline")
async def read_timeline(
    request_id: UUID, caller: AnyCaller, services: UseServices, paging: Paged
) -> Page[TimelineEntry]:
    """Read everything that was done about a request, in order, from the evidence.

    If the requester has not proved who they are, only the privacy team reads more than the receipt of an objection.
    """
    request = await services.use_cases.read(request_id, caller)
    said = await evidence.entries(services.unit_of_work.pool, request_id)
    hidden = request.anonymous and caller.role != "privacy"
    shown = [each for each in said if not hidden or each["action"] == "request.received"]
    page = paging.cut(shown, lambda entry: f"{entry['chain']}.{entry['seq']}")
    entries = [{**each, "service": each["chain"], "detail": orjson.loads(each["detail"])} for each in page.data]
    return Page(data=[TimelineEntry.model_validate(each) for each in entries], next_cursor=page.next_cursor)


@router.get("/{request_id}/letters", responses=documented(Forbidden, Shredded))
async def read_letters(
    request_id: UUID,
    caller: AnyCaller,
    services: UseServices,
    paging: Paged,
    code: Annotated[
        str | None,
        Header(
            alias="Letter-Code",
            description="`letter_code` of the request, by which the requester reads through whichever channel. Without"
            " it the channel that submitted reads them until an erasure is closed, and the privacy team at any time.",
        ),
    ] = None,
) -> Page[LetterView]:
    """Read the letters to the subject about this request; the reading is on record."""
    found = await services.use_cases.read_letters(request_id, caller, code)
    return paging.cut([LetterView.model_validate(each) for each in found], attrgetter("letter_id"))


@router.get("/{request_id}/manual-steps", dependencies=PRIVACY_TEAM, responses=documented(NotFound, Shredded))
async def read_manual_steps(request_id: UUID, caller: AnyCaller, services: UseServices) -> ManualSteps:
    """Read the steps to do by hand, as systems give them: commands with ids of records (privacy team).

    When they have, the action `retry` has it looked for again, or `record-result` enters what they did.
    The reading is on record.
    """
    request = await services.use_cases.read(request_id, caller)
    async with services.unit_of_work.begin() as tx:
        sealed = await tx.vault.open_kind(tx.connection, request.subject_ref, MANUAL_STEPS)
        if sealed:
            tx.log_evidence(request_id, "manual_steps.read", {"holder": caller.holder}, caller.actor)
    steps = [StepsInSystem(system=system, do=orjson.loads(steps_json)) for _, system, steps_json in sealed]
    return ManualSteps(request_id=request_id, systems=steps)


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
async def search_requests(search: lookup.Search, caller: AnyCaller, services: UseServices) -> Page[RequestListed]:
    """Find the newest 100 requests by what a person says (privacy team); the evidence has that you searched.

    Identities are compared by keyed hashes, until the key of the subject is destroyed; a reference is found after it.
    """
    async with services.unit_of_work.begin() as tx:
        found = await lookup.search(tx, caller, search.text, search.region)
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
    wanted = Filters(state=state, right=right, due_before=due_before, after=paging.after(Cursor.read))
    async with services.unit_of_work.pool.acquire() as connection:
        page = paging.page(await worklist.accepted(connection, caller, wanted, paging.more), worklist.accepted_at)
    shown = page.data if caller.role == "privacy" else map(for_requester, page.data)
    return Page(data=[RequestListed.model_validate(each) for each in shown], next_cursor=page.next_cursor)
