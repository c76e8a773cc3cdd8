"""What leaves the platform: packages and certificates."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from services.intake import package_release, packages
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, Services, UseServices
from services.intake.audit import case_file
from services.intake.auth import Caller
from services.intake.errors import Expired, NotFound, NotReady, RangeNotSatisfiable, Withheld
from services.intake.grant import Power
from services.intake.problems import documented
from services.intake.ranges import asked
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.release import Fault
from shared.storage import certificate, evidence

router = APIRouter(tags=["results"])


class Zip(StreamingResponse):
    """A ZIP archive, or a part of it, that no cache keeps."""

    media_type = "application/zip"


_PARTLY: dict[int | str, dict[str, Any]] = {
    206: {"description": "The bytes that `Range` asks for", "content": {"application/zip": {}}}
}


@router.get(
    "/v1/requests/{request_id}/package",
    response_class=Zip,
    responses=_PARTLY | documented(NotFound, NotReady, Withheld, Expired, Shredded, RangeNotSatisfiable),
)
async def download(
    request_id: UUID,
    caller: AnyCaller,
    services: UseServices,
    range_: Annotated[
        str | None, Header(alias="Range", description="one range of bytes, to continue a download")
    ] = None,
    if_range: Annotated[str | None, Header(alias="If-Range", description="the `ETag` of what was begun")] = None,
) -> Zip:
    """The package of an access or portability request: a ZIP, kept for some days and downloads.

    A download that broke off can be continued for a day by the same holder, and is counted once.
    """
    handed_out = await hand_out(request_id, caller, services, (range_, if_range))
    if handed_out is None:
        raise NotReady("that download has begun already")
    return handed_out


async def hand_out(
    request_id: UUID,
    caller: Caller,
    services: Services,
    asked_for: tuple[str | None, str | None],
    link: packages.Link | None = None,
) -> Zip | None:
    """The package; ``asked_for``: ``Range`` and ``If-Range``. None: the link was used, and no download of it goes on.

    Raises:
        Expired, Forbidden, NotFound, NotReady, RangeNotSatisfiable, Shredded, Withheld: it is not handed out.
    """
    caller.must_be("channel")
    caller.grant.must(Power.FETCH)
    request = await services.use_cases.read(request_id, caller)
    if request.package_id is None:
        raise NotReady("there is no package: the request is still open, or nothing was found")
    tag = f'"{request.package_id}"'
    span = asked(*asked_for, tag)
    async with services.unit_of_work.begin() as tx:
        about = (request_id, request.package_id)
        handed = await packages.hand_out(tx, about, span, services.settings, caller, link)
    if handed is None:
        return None
    if isinstance(handed, Fault):
        raise Withheld(f"a person looks at the package before it is handed out: {handed.sentence}")
    headers = {
        "Content-Disposition": f'attachment; filename="{request_id}.zip"',
        "Content-Length": str(handed.end - handed.first),
        "Cache-Control": "no-store",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    if span:
        headers["Content-Range"] = f"bytes {handed.first}-{handed.end - 1}/{handed.piece.size}"
    content = packages.content(services.unit_of_work, handed, services.settings)
    return Zip(content, 206 if span else 200, headers)


@router.get(
    "/v1/requests/{request_id}/package/inspection",
    response_class=Zip,
    dependencies=PRIVACY_TEAM,
    responses=documented(NotFound, IllegalTransition, Expired, Shredded),
)
async def inspect(request_id: UUID, caller: AnyCaller, services: UseServices) -> Zip:
    """A package that is withheld, for who must say whether it is the subject's (privacy team).

    It is the package itself, and counts as no download of it. Each look is on record.
    """
    async with services.unit_of_work.begin() as tx:
        look = await package_release.look(tx, request_id, caller)
    headers = {
        "Content-Disposition": f'attachment; filename="{request_id}-withheld.zip"',
        "Content-Length": str(look.piece.size),
        "Cache-Control": "no-store",
    }
    return Zip(package_release.content(services.unit_of_work, look, caller), headers=headers)


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
    shown = case_file.certified(request, unit_of_work.clock.now().date(), services.use_cases.letters)
    return certificate.build(shown, await evidence.entries(unit_of_work.pool, request_id), unit_of_work.vault.keyring)
