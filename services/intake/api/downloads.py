"""Hands out packages and their reports by short-lived links, certificates and case files."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions.use_cases import visible
from services.intake.api import case_file
from services.intake.api.dependencies import PRIVACY_TEAM, AnyCaller, Services, UseServices
from services.intake.api.problems import documented
from services.intake.core.errors import Expired, NotFound, NotReady, Withheld
from services.intake.core.schemas import Strict
from services.intake.packages import downloads, unpacking
from services.intake.packages.downloads import Link, What
from services.intake.store.repository import read
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.release import REPORT, ReleaseFault
from shared.domain.rights import Right
from shared.storage import certificate, evidence
from shared.storage.chunks import Chunked

T = TypeVar("T")
router = APIRouter(prefix="/v1", tags=["results"])
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
_HEAD = 2**14
"""Bytes of a page in which its style stands."""
_HOLD = {"Cache-Control": "no-store"}
_FETCHED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The package as a ZIP archive, or the report as a page",
        "content": {"application/zip": {}, "text/html": {}},
    },
}


class Wanted(Strict):
    """The document that a link is for."""

    what: What = Field(
        default="package",
        description="`report`: the page in the package of an access request; read often, it counts once a day."
        " `inspection`: a package that is withheld, for two people who must say whether it is the subject's (privacy"
        " team); it counts as no download",
    )


@router.post(
    "/requests/{request_id}/downloads",
    status_code=201,
    responses=documented(NotFound, NotReady, Withheld, Expired, IllegalTransition, Shredded),
)
async def make_link(
    request_id: UUID, body: Wanted, caller: AnyCaller, services: UseServices, response: Response
) -> Link:
    """Make a link to the package of an access or portability request; it is one download, and good for a day."""
    link = await begin(request_id, body.what, caller, services)
    response.headers["Location"] = link.url
    return link


async def begin(request_id: UUID, what: What, caller: Caller, services: Services) -> Link:
    """Makes a link for a caller who may fetch.

    Raises ``Expired``, ``Forbidden``, ``IllegalTransition``, ``NotFound``, ``NotReady``, ``Shredded``, ``Withheld``.
    """
    _must_fetch(caller, what)
    request = await services.use_cases.read(request_id, caller)
    if what == "inspection":
        request.must_be_withheld()
    if what == "report" and request.right is not Right.ACCESS:
        raise NotReady("there is no report: it asked for no access")
    async with services.unit_of_work.begin() as tx:
        found = await downloads.begin(tx, request, what, services.settings, caller)
    return _handed(found)


@router.get(
    "/downloads/{download_id}",
    response_class=Response,
    responses=_FETCHED | documented(NotFound, Withheld, Expired, IllegalTransition, Shredded),
)
async def download(download_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """Fetch what a link is for, with the key by which it was made; what breaks off can be fetched again."""
    return await fetched(download_id, caller, services)


async def fetched(download_id: UUID, caller: Caller, services: Services) -> Response:
    """Answers with the document of a link.

    Raises ``Expired``, ``Forbidden``, ``IllegalTransition``, ``NotReady``, ``Shredded``, ``Withheld``.
    """
    unit_of_work = services.unit_of_work
    async with unit_of_work.begin() as tx:
        link = await downloads.find(tx.connection, download_id, caller, tx.now)
        _must_fetch(caller, link.what)
        request = await visible(tx.connection, await read(tx.connection, link.request_id), caller)
        if link.what == "inspection":
            request.must_be_withheld()
        found = await downloads.hand_out(tx, link, services.settings, caller)
    piece = _handed(found)
    if link.what == "report":
        return await _report(services, piece)
    name = f"{link.request_id}{'-withheld' if link.what == 'inspection' else ''}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(piece.size)}
    content = downloads.content(unit_of_work, link, piece, services.settings)
    return StreamingResponse(content, headers=headers | _HOLD, media_type="application/zip")


def _must_fetch(caller: Caller, what: What) -> None:
    caller.must_be("privacy" if what == "inspection" else "channel")
    caller.grant.must(Power.FETCH)


async def _report(services: Services, piece: Chunked) -> Response:
    """The page, read out of its package without unpacking that; it may load and do nothing."""
    pool, vault = services.unit_of_work.pool, services.unit_of_work.vault
    packed = await unpacking.find(pool, vault, piece, REPORT)
    if packed is None:
        raise NotReady("this package has no report: the customer who decides about the data answers the person")
    content = unpacking.content(pool, vault, packed)
    head = b""
    while len(head) < _HEAD and (some := await anext(content, None)) is not None:
        head += some
    headers = {"Content-Security-Policy": policy_of(head)} | _HOLD
    return StreamingResponse(_joined(head, content), headers=headers, media_type="text/html")


def policy_of(page: bytes) -> str:
    """The policy of a page: it may do nothing but use the one style in its head (CSP Level 3)."""
    found = _STYLE.search(page)
    style = f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'" if found else "'none'"
    nothing = ("default-src", "base-uri", "form-action", "frame-ancestors")
    return "; ".join((*(f"{each} 'none'" for each in nothing), f"style-src {style}"))


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for some in rest:
        yield some


def _handed(found: T | ReleaseFault) -> T:
    if isinstance(found, ReleaseFault):
        raise Withheld(f"a person looks at the package before it is handed out: {found.sentence}")
    return found


@router.get("/requests/{request_id}/certificate", responses=documented(NotFound, NotReady))
async def certify(request_id: UUID, caller: AnyCaller, services: UseServices) -> dict[str, object]:
    """Read the certificate of a closed request: its signed evidence; if the requester is unknown, privacy team alone.

    `dsr certificate verify FILE` checks it offline.
    """
    request = await services.use_cases.read(request_id, caller)
    officer = caller.role == "privacy"
    if request.anonymous and not officer:
        raise NotReady("the requester has not proved who they are: only the privacy team gets the certificate")
    if request.closed_at is None:
        raise NotReady("a request gets its certificate when it is closed")
    unit_of_work = services.unit_of_work
    shown = case_file.certified(request, unit_of_work.clock.now().date(), services.use_cases.letters)
    entries = await evidence.entries(unit_of_work.pool, request_id)
    proofs = await evidence.proofs(unit_of_work.pool, entries)
    return certificate.build(shown, entries, proofs, unit_of_work.vault.keyring)


@router.get(
    "/requests/{request_id}/case-file",
    response_class=Response,
    dependencies=PRIVACY_TEAM,
    responses={200: {"description": "A ZIP archive", "content": {"application/zip": {}}}, **documented(NotFound)},
)
async def export_case(request_id: UUID, caller: AnyCaller, services: UseServices) -> Response:
    """Everything about one case as a ZIP, with a certificate that anyone can check offline; the making is on record."""
    return await exported(request_id, caller, services)


async def exported(request_id: UUID, caller: Caller, services: Services) -> Response:
    """The file of a case, as it is handed out."""
    await services.use_cases.have_texts(request_id, caller)
    async with services.unit_of_work.begin() as tx:
        content = await case_file.build(tx, services.use_cases.letters, request_id, caller)
    headers = {"Content-Disposition": f'attachment; filename="case-{request_id}.zip"'} | _HOLD
    return Response(content, headers=headers, media_type="application/zip")
