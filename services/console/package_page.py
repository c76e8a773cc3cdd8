"""A package that is withheld, as whoever must say whether it is the subject's looks into it."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, person_of
from services.console.ids import of_path
from services.console.roles import Power
from services.intake.actions import package_release
from services.intake.api import downloads
from services.web.site import Visit
from shared.domain.release import Fault


def routes(console: Console) -> list[BaseRoute]:
    """The page, and the package itself, by a form: no link of another site can make anybody look."""
    page = PackagePage(console.works)
    return [console.private("/requests/{request_id}/package", page.inspect, Power.READ, sends=True)]


@dataclass(frozen=True)
class PackagePage:
    """The page of a package that is withheld."""

    works: Works

    async def inspect(self, visit: Visit) -> Response:
        """Why is it withheld, who has looked, and what is in it? Each look is on record."""
        services, person = self.works.services, person_of(visit)
        if visit.sent:
            link = await downloads.begin(of_path(visit), "inspection", person.caller, services)
            return await downloads.fetched(link.download_id, person.caller, services)
        request = await services.use_cases.read(of_path(visit), person.caller)
        request.must_be_withheld()
        async with services.unit_of_work.pool.acquire() as connection:
            looks = await package_release.lookers(connection, request)
        why = Fault(str(request.package_fault)).sentence
        return visit.page("package.html", request=request, why=why, looks=looks)
