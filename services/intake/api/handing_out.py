"""What leaves the platform: packages and certificates."""

from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Response

from services.intake import packages
from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.api.views import view
from services.intake.errors import Expired, NotFound, NotReady, Withheld
from services.intake.grant import Power
from services.intake.problems import documented
from shared.domain.errors import Shredded
from shared.domain.release import Fault
from shared.storage import certificate, evidence

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
    """The certificate of a closed request: its evidence, signed; of one by somebody unknown, for the privacy team.

    `dsr certificate verify FILE` checks it offline.
    """
    request = await services.use_cases.read(request_id, caller)
    officer = caller.role == "privacy"
    if request.anonymous and not officer:
        raise NotReady("whoever has asked has not shown who they are: its certificate is for the privacy team")
    if request.closed_at is None:
        raise NotReady("a request gets its certificate when it is closed")
    unit_of_work = services.unit_of_work
    today = unit_of_work.clock.now().date()
    shown = view(replace(request, anonymous=False), today, officer=False).model_dump(mode="json", exclude_unset=True)
    return certificate.build(shown, await evidence.entries(unit_of_work.pool, request_id), unit_of_work.vault.keyring)
