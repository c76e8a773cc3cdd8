"""Audit: who saw or did what; and one case in one file, which an outsider can check."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.api.audit import packed
from services.intake.audit import case_file, searching
from services.intake.audit.searching import Found, Page, Wanted
from services.intake.console import entries
from services.intake.console.console import Console, Works, person_of
from services.intake.console.ids import of_path
from services.intake.console.roles import Power
from services.intake.errors import BadRequest, Forbidden
from services.intake.web.site import Visit
from shared.storage.audit import Place, actions

ROWS: Final = 50
_NAMES: Final = frozenset({"reference", "holder", "action", "since", "until", "after"})


def routes(console: Console) -> list[BaseRoute]:
    """The search, and the file of a case."""
    page = AuditPage(console.works)
    return [
        console.private("/audit", page.search, Power.AUDIT),
        console.private("/requests/{request_id}/case-file", page.export, Power.AUDIT),
    ]


@dataclass(frozen=True)
class AuditPage:
    """The pages of an auditor."""

    works: Works

    async def search(self, visit: Visit) -> Response:
        """Who saw or did what? The search itself is on record, and so is not begun by a link on another site."""
        asked = visit.request.query_params
        zone = ZoneInfo(self.works.services.processing.controller.zone)
        wanted = read(asked, zone)
        led_here = _led_here(visit)
        async with self.works.services.unit_of_work.begin() as tx:
            known = await actions(tx.connection)
            page = Page((), None)
            if not led_here:
                page = await searching.search(tx, wanted, person_of(visit).caller, ROWS)
        chosen = {name: value for name, value in asked.items() if name != "after" and value}
        kinds = sorted({each.partition(".")[0] for each in known} | {*known})
        return visit.page(
            "audit.html",
            entries=[_shown(each) for each in page.entries],
            led_here=led_here,
            chosen=chosen,
            actions=[("", "anything"), *((each, each) for each in kinds)],
            following=f"?{urlencode({**chosen, 'after': str(page.following)})}" if page.following else None,
        )

    async def export(self, visit: Visit) -> Response:
        """Everything about one case, as a ZIP; the making is on record. Raises ``Forbidden`` by another site's link."""
        if _led_here(visit):
            raise Forbidden("another site has led here: open the request in the console, and take its file there")
        request_id, letters = of_path(visit), self.works.services.use_cases.letters
        async with self.works.services.unit_of_work.begin() as tx:
            content = await case_file.build(tx, letters, request_id, person_of(visit).caller)
        return packed(request_id, content)


def _shown(found: Found) -> dict[str, object]:
    by = entries.by(found.actor, found.service, found.holder)
    known = {"at": found.at, "action": found.action, "request_id": found.request_id}
    return {**known, "by": by, "said": entries.said(found.detail)}


def _led_here(visit: Visit) -> bool:
    """Whether a page of another site has led here, as far as the browser says."""
    return visit.request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def read(asked: QueryParams, zone: ZoneInfo) -> Wanted:
    """What the query of the page asks for; days are those of the zone. Raises ``BadRequest``."""
    if unknown := sorted({*asked} - _NAMES):
        raise BadRequest(f"the search has no field {unknown[0][:40]}; it has {', '.join(sorted(_NAMES))}")
    said = {name: value.strip().lower() for name, value in asked.items() if name != "after" and value.strip()}
    try:
        reference = UUID(said["reference"]) if "reference" in said else None
    except ValueError:
        raise BadRequest("a reference is a request's, a breach's or a hold's, as 019c0000-…", "reference") from None
    try:
        after = Place.read(asked["after"]) if asked.get("after") else None
    except ValueError:
        raise BadRequest("after is no place in the evidence; begin with the first page", "after") from None
    since, until = (_moment(said.get(name), name, zone) for name in ("since", "until"))
    return Wanted(reference, said.get("holder"), said.get("action"), since, until, after)


def _moment(text: str | None, name: str, zone: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    for form in ("%Y-%m-%dt%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone)
        except ValueError:
            continue
    raise BadRequest(f"write {name} as 2026-03-31, or with a time as 2026-03-31 14:30", name)
