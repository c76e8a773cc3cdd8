"""The case file: one case as a ZIP that an outsider can check."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, person_of
from services.console.ids import of_path
from services.console.roles import Power
from services.intake.api.downloads import exported
from services.intake.core.errors import Forbidden
from services.web.site import Visit


def routes(console: Console) -> list[BaseRoute]:
    """The file of a case."""
    return [console.private("/requests/{request_id}/case-file", CasePage(console.works).export, Power.AUDIT)]


@dataclass(frozen=True)
class CasePage:
    """The download of an auditor."""

    works: Works

    async def export(self, visit: Visit) -> Response:
        """Exports everything about one case; the export is on record. Raises ``Forbidden`` by another site's link."""
        if visit.request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise Forbidden("another site has led here: open the request in the console, and take its file there")
        return await exported(of_path(visit), person_of(visit).caller, self.works.services)
