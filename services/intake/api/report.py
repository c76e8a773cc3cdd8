"""The report of an access: the page that is read out of its package, without unpacking that."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from services.intake import packages, unpacking
from services.intake.api.dependencies import AnyCaller, UseServices
from services.intake.errors import Expired, NotFound, NotReady, Withheld
from services.intake.grant import Power
from services.intake.problems import documented
from shared.domain.errors import Shredded
from shared.domain.release import REPORT, Fault
from shared.domain.rights import Right

router = APIRouter(tags=["results"])
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
_HEAD = 2**14
"""Bytes of a page in which its style stands."""


class Report(StreamingResponse):
    """A page that no cache keeps, and that may load and do nothing: not even be styled by what stands in it."""

    media_type = "text/html"


@router.get(
    "/v1/requests/{request_id}/report",
    response_class=Report,
    responses=documented(NotFound, NotReady, Withheld, Expired, Shredded),
)
async def read_report(request_id: UUID, caller: AnyCaller, services: UseServices) -> Report:
    """The report of an access request as a page, out of its package: who reads it has fetched that, once in a day."""
    caller.must_be("channel")
    caller.grant.must(Power.FETCH)
    request = await services.use_cases.read(request_id, caller)
    if request.package_id is None or request.right is not Right.ACCESS:
        raise NotReady("there is no report: the request is still open, nothing was found, or it asked for no access")
    unit_of_work = services.unit_of_work
    async with unit_of_work.begin() as tx:
        piece = await packages.look_into(tx, request_id, request.package_id, services.settings, caller)
    if isinstance(piece, Fault):
        raise Withheld(f"a person looks at the package before it is read: {piece.sentence}")
    packed = await unpacking.find(unit_of_work.pool, unit_of_work.vault, piece, REPORT)
    if packed is None:
        raise NotReady("this package has no report: whoever decides about the data answers the person")
    content = unpacking.content(unit_of_work.pool, unit_of_work.vault, packed)
    head = b""
    while len(head) < _HEAD and (some := await anext(content, None)) is not None:
        head += some
    headers = {"Content-Security-Policy": policy_of(head), "Cache-Control": "no-store"}
    return Report(_joined(head, content), headers=headers)


def policy_of(page: bytes) -> str:
    """What a page that begins so may do: nothing, but have the one style that stands in its head (CSP Level 3)."""
    found = _STYLE.search(page)
    style = f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'" if found else "'none'"
    nothing = ("default-src", "base-uri", "form-action", "frame-ancestors")
    return "; ".join((*(f"{each} 'none'" for each in nothing), f"style-src {style}"))


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for some in rest:
        yield some
