"""Serves other systems: teams with tasks on the bus, emitters of events, and senders of marketing."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field, JsonValue

from services.intake.api.dependencies import AnyCaller, Services, UseServices
from services.intake.api.problems import documented
from services.intake.core.errors import (
    BadRequest,
    Expired,
    NotReady,
    ResultGiven,
    TooLarge,
    TooManyCalls,
    Unauthorised,
    UnsupportedType,
)
from services.intake.core.instants import retention
from services.intake.core.schemas import Strict
from services.intake.events import subject_tokens
from services.intake.events.subject_tokens import SubjectStatement, Token
from services.intake.events.user_events import require_emitter
from services.intake.queries.suppression_check import MOST, Checked, ContactPoint
from shared.domain.assignments import AssignmentInDoubt, Register, numbers_to_stop
from shared.domain.errors import Shredded
from shared.domain.identities import (
    IdentityType,
    MalformedIdentity,
    confirmed_accounts,
    ended_identities,
    marked_as_shared,
)
from shared.domain.operations import OF_ONE_PERSON, Operation
from shared.domain.proofs import proof_policy
from shared.storage import uploads
from shared.storage.register import confirmed_by_register
from shared.storage.uploads import UploadResult
from shared.storage.vault import Sealing
from shared.systems.bus import identity_token
from shared.systems.bus.identity_token import IdentityToken, TokenExpired, TokenInvalid
from shared.systems.bus.messages import TaskIdentities
from shared.systems.bus.upload import MalformedResult, TaskResult, read_result

router = APIRouter(prefix="/v1", tags=["integrations"])

Claim = Annotated[str, Header(alias=identity_token.TOKEN_HEADER, description="`claim` of the task, as it came")]


class Taken(BaseModel):
    """An upload is sealed: now say `exported` on the bus, with as many rows."""

    records: int


def _shown(token: str, caller: AnyCaller, services: Services) -> IdentityToken:
    unit_of_work = services.unit_of_work
    shown = identity_token.verify(token, unit_of_work.vault.keyring.claims, unit_of_work.clock.now())
    caller.must_be(f"downstream:{shown.system}")
    return shown


@router.get("/tasks/identities", responses=documented(Unauthorised, TokenInvalid, TokenExpired, NotReady, Shredded))
async def identities(token: Claim, caller: AnyCaller, services: UseServices) -> TaskIdentities:
    """Fetch the identities of a task on the bus, of the types that its system needs; the fetching is on record.

    For a rectification also what is to be corrected, of the fields that the system can correct.
    """
    shown = _shown(token, caller, services)
    async with services.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [shown.subject_ref])
        if shown.subject_ref not in known:
            raise Shredded("the subject's key was destroyed: there is no subject to search for")
        proofs = proof_policy(tx.policy.overlay)
        register, known = await confirmed_by_register(tx.connection, tx.vault.keyring, known, tx.now, proofs)
        subject = known[shown.subject_ref]
        theirs, tenant = subject.identities, subject.tenant
        try:
            # No team erases one category alone: by such a task it stops marketing, and nothing else.
            stops = shown.operation is Operation.SUPPRESS
            vouched = (numbers_to_stop if stops else Register.vouched)(register, theirs, tenant, shown.level)
        except AssignmentInDoubt as doubt:
            raise NotReady(f"{doubt}; until then do nothing about this task") from None
        # A team compares nothing with what else is known: an account that is only claimed is a person's matter.
        vouched = tuple(each for each in confirmed_accounts(vouched, theirs) if not each.claimed)
        if shown.operation in OF_ONE_PERSON:
            before = [each for each in vouched if each.type in shown.needs]
            vouched = tuple(each for each in marked_as_shared(vouched, theirs) if not each.shared)
            if before and not any(each.type in shown.needs for each in vouched):
                raise NotReady("other people have what this task would be searched by; do nothing about it")
        passed_on = () if shown.periods else ended_identities(each for each in vouched if each.type in shown.needs)
        vouched = tuple(each for each in vouched if each not in passed_on)
        if passed_on and not any(each.type in shown.needs for each in vouched):
            raise NotReady("what this task would be searched by is no longer the subject's; do nothing about it")
        names = (each for each in theirs if each.type is IdentityType.NAME and each not in vouched)
        identities = tuple(each for each in (*vouched, *names) if each.type in shown.needs)
        corrected = shown.operation is Operation.RECTIFY
        changes = [each for each in subject.changes if corrected and each.field in shown.fields]
        types: list[JsonValue] = [*sorted({each.type.value for each in identities})]
        detail: dict[str, JsonValue] = {"system": shown.system, "task_id": str(shown.task_id), "types": types}
        if changes:
            detail["fields"] = [*sorted({each.field for each in changes})]
        detail["holder"] = caller.holder
        tx.log_evidence(shown.request_id, "identities.fetched", detail, caller.actor)
    return TaskIdentities.of(shown.task_id, identities, changes)


@router.put(
    "/tasks/result",
    responses=documented(
        *(BadRequest, Unauthorised, TokenInvalid, TokenExpired),
        *(ResultGiven, Expired, Shredded, TooLarge, UnsupportedType, MalformedResult),
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TaskResult"}}},
        }
    },
)
async def result(token: Claim, caller: AnyCaller, services: UseServices, request: Request) -> Taken:
    """Upload the records of the subject of an `export` on the bus: they are sealed, and handed out with the package.

    Taken while the task is open, once; the same again changes nothing. Each row has a `category` and fields that the
    system's table in the downstreams file lists, and names the subject in `matched`.
    """
    shown = _shown(token, caller, services)
    if shown.operation is not Operation.EXPORT:
        raise BadRequest(f"the task is to {shown.operation}: only an export has a result to upload")
    given, content = await asyncio.to_thread(_read, await request.body())
    sealing = Sealing(shown.subject_ref, uploads.KIND, shown.system, content, given.command_id)
    async with services.unit_of_work.begin() as tx:
        kept = await uploads.keep(tx.connection, tx.vault, sealing)
        match kept:
            case UploadResult.NOT_WAITED_FOR:
                raise Expired("the task waits for no result: it has ended, or the command is of another task")
            case UploadResult.OTHER:
                raise ResultGiven("another result was given for this command before; it stays as it is")
            case UploadResult.NEW:
                detail: dict[str, JsonValue] = {"system": shown.system, "task_id": str(shown.task_id)}
                detail |= {"records": len(given.records), "holder": caller.holder}
                tx.log_evidence(shown.request_id, "result.uploaded", detail, caller.actor)
            case UploadResult.SAME:
                pass
    return Taken(records=len(given.records))


def _read(body: bytes) -> tuple[TaskResult, bytes]:
    given = read_result(body)
    return given, given.sealed()


@router.post("/subjects", responses=documented(BadRequest, TooLarge, UnsupportedType, MalformedIdentity))
async def post_subject(body: SubjectStatement, caller: AnyCaller, services: UseServices) -> Token:
    """Post who an event will be about: it is sealed, and the event carries the token that is answered.

    The holder of the key is the emitter. What it may not state is refused here already.
    """
    caller.must_be("channel")
    caller = require_emitter(services.emitters, caller)
    services.submissions.check(body.subject, body.assurance, body.proofs, caller)
    async with services.unit_of_work.begin() as tx:
        return await subject_tokens.seal_statement(tx, caller, body, timedelta(days=retention().subject_days))


class ContactPoints(Strict):
    """Contact points that may be about to get marketing."""

    contact_points: Annotated[tuple[ContactPoint, ...], Field(min_length=1, max_length=MOST)]


@router.post("/suppression/check", responses=documented(TooLarge, TooManyCalls, UnsupportedType))
async def check_suppression(body: ContactPoints, caller: AnyCaller, services: UseServices) -> Checked:
    """Check which of up to 10,000 contact points get no marketing.

    It needs a key of a channel that was made for it (`dsr api-key new --role channel --may check`), which may ask about
    so many a minute. Nothing of what is asked is kept but the counts.
    """
    return await services.suppression.check(body.contact_points, caller)
