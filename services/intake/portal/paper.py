"""Following a request that was asked for by post: by what stands in the letter to the address of record."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.portal.portal import PAPER, Portal, Works, at, follows_now, said, spoken
from services.intake.portal.prove import is_reference
from services.intake.post.code import PaperCodes
from services.intake.web.forms import FormError
from services.intake.web.site import Visit
from shared.domain.sentences import say

_WRONG: Final = "paper_wrong"
_LONGEST: Final = 200


def routes(portal: Portal) -> list[BaseRoute]:
    """The page for whoever has a letter on paper."""
    works = portal.works
    codes = PaperCodes(works.services.unit_of_work, works.services.use_cases.identity.links.failures)
    return [portal.page("/{language}/follow/letter", ByPaper(works, codes).letter, sends=True)]


@dataclass(frozen=True)
class ByPaper:
    """The page for whoever has a letter on paper."""

    works: Works
    codes: PaperCodes

    async def letter(self, visit: Visit) -> Response:
        """Which reference and code stand in the letter? Whatever is wrong with the two, the answer is the same."""
        wrong = int(str(visit.session.data.get(_WRONG, 0)))
        if wrong >= self.codes.most:
            return said(visit, "portal.stopped_title", "portal.paper_stopped", "/", "portal.to_start")
        if not visit.sent:
            return visit.page("paper.html")
        reference, code = visit.form.get("reference").replace(" ", "").lower(), visit.form.get("code")
        faults = (
            [] if is_reference(reference) else [FormError("reference", spoken(visit, say("portal_error.reference")))]
        )
        if not 0 < len(code) <= _LONGEST:
            faults.append(FormError("code", spoken(visit, say("portal_error.code_missing"))))
        if faults:
            return visit.page("paper.html", faults)
        self.works.count_sending(visit.request)
        request_id = UUID(reference)
        if letter_id := await self.codes.enter(request_id, code):
            follows_now(visit, reference, **{PAPER: str(letter_id)})
            visit.session.renew()
            return at(visit, "/request")
        visit.session.data[_WRONG] = wrong + 1
        response = visit.page("paper.html", [FormError("code", spoken(visit, say("portal_error.paper_code")))])
        response.background = BackgroundTask(self.codes.failed, request_id)  # nobody learns by time if there is one
        return response
