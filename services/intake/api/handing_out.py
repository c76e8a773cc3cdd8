"""What leaves the platform: packages, certificates, and the identities of a task."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import JsonValue

from services.intake import packages
from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.api.views import view
from services.intake.errors import Expired, NotFound, NotReady, Unauthorised, Withheld
from services.intake.grant import Power
from services.intake.problems import documented
from shared.domain.assignments import AssignmentInDoubt
from shared.domain.errors import Shredded
from shared.domain.identities import IdentityType
from shared.domain.release import Fault
from shared.downstreams.bus import identity_token
from shared.downstreams.bus.identity_token import TokenExpired, TokenForged, TokenMalformed
from shared.downstreams.bus.messages import TaskIdentities
from shared.storage import certificate, evidence
from shared.storage.register import register_for

router = APIRouter(tags=["results"])


class Zip(Response):
    """A ZIP archive that no cache keeps."""

    media_type = "application/zip"


@router.get(
    "/v1/requests/{request_id}/package",
    response_class=Zip,
    responses=documented(NotFound, NotReady, Withheld, Expired, Shredded),
)
async def download(request_id: UUID, caller: AnyCaller, services: UseServices) -> Zip:
    """The package of an access or portability request: a ZIP of JSON and CSV, kept for some days and downloads."""
    caller.grant.must(Power.FETCH)
    request = await services.use_cases.read(request_id, caller)
    if request.package_id is None:
        raise NotReady("there is no package: the request is still open, or nothing was found")
    async with services.unit_of_work.begin() as tx:
        content = await packages.hand_out(tx, request_id, request.package_id, services.settings, caller)
    if isinstance(content, Fault):
        raise Withheld(f"a person looks at the package before it is handed out: {content.sentence}")
    headers = {"Content-Disposition": f'attachment; filename="{request_id}.zip"', "Cache-Control": "no-store"}
    return Zip(content, headers=headers)


@router.get("/v1/requests/{request_id}/certificate", responses=documented(NotFound, NotReady))
async def certify(request_id: UUID, caller: AnyCaller, services: UseServices) -> dict[str, object]:
    """The certificate of a closed request: its evidence, signed.

    `dsr certificate verify FILE` checks it offline.
    """
    request = await services.use_cases.read(request_id, caller)
    if request.closed_at is None:
        raise NotReady("a request gets its certificate when it is closed")
    unit_of_work = services.unit_of_work
    today = unit_of_work.clock.now().date()
    shown = view(request, today, officer=False).model_dump(mode="json", exclude_unset=True)
    return certificate.build(shown, await evidence.entries(unit_of_work.pool, request_id), unit_of_work.vault.keyring)


@router.get(
    "/v1/tasks/identities",
    responses=documented(Unauthorised, TokenMalformed, TokenForged, TokenExpired, NotReady, Shredded),
)
async def identities(
    token: Annotated[str, Header(alias=identity_token.TOKEN_HEADER, description="`claim` of the task, as it came")],
    caller: AnyCaller,
    services: UseServices,
) -> TaskIdentities:
    """Whom a task on the bus is about, by the types that the system it was sent to needs; the fetching is on record."""
    unit_of_work = services.unit_of_work
    shown = identity_token.verify(token, unit_of_work.vault.keyring.claims, unit_of_work.clock.now())
    caller.must_be(f"downstream:{shown.system}")
    async with unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [shown.subject_ref])
        if shown.subject_ref not in known:
            raise Shredded("the subject's key was shredded: there is nobody left to search for")
        theirs, tenant = known[shown.subject_ref].identities, known[shown.subject_ref].tenant
        try:
            vouched = (await register_for(tx.connection, tx.vault.keyring, theirs)).vouched(theirs, tenant, shown.level)
        except AssignmentInDoubt as doubt:
            raise NotReady(f"{doubt}; until then do nothing about this task") from None
        names = (each for each in theirs if each.type is IdentityType.NAME and each not in vouched)
        told = tuple(each for each in (*vouched, *names) if each.type in shown.needs)
        types: list[JsonValue] = [*sorted({each.type.value for each in told})]
        detail: dict[str, JsonValue] = {"system": shown.system, "task_id": str(shown.task_id), "types": types}
        detail["holder"] = caller.holder
        tx.log_evidence(shown.request_id, "identities.fetched", detail, caller.actor)
    return TaskIdentities.of(shown.task_id, told)
