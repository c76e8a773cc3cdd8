"""Systems: where each stands, and quarantine: one person stops one, two let it be worked again."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, local, person_of
from services.console.decisions import acting
from services.console.lists import Row, Table, show
from services.console.roles import Power
from services.intake.reviews import quarantines
from services.intake.reviews.quarantines import KnownSystem
from services.web.site import Visit
from shared.storage.systems import CHANGED

_STANDS = {
    "observe": "searched, and never changed",
    "on": "worked",
    "quarantined": "quarantined",
    "retired": "gone",
}


def routes(console: Console) -> list[BaseRoute]:
    """The list, and a page for each decision."""
    pages = SystemPages(console.works)
    return [console.private("/systems", pages.show, Power.SEE)]


@dataclass(frozen=True)
class SystemPages:
    """The pages of systems."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Which system is worked, which waits, and why?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await quarantines.listed(connection)
        links = await acting.offered(self.works, "systems", ((each.name, each) for each in found), person)
        rows = [
            Row(
                (
                    each.name,
                    _stands(each),
                    _why(each),
                    local(self.works, each.since),
                ),
                actions,
            )
            for each, actions in zip(found, links, strict=True)
        ]
        columns = ("System", "Stands", "Why", "Since", "Decide")
        lead = "In a system that is quarantined nothing is done; what needs it waits."
        return show(visit, "Systems", [Table("Known systems", lead, columns, rows, "No service has started yet.")])


def _stands(system: KnownSystem) -> str:
    return _STANDS.get(system.state, system.state)


def _why(system: KnownSystem) -> str:
    if system.reason == CHANGED:
        return (
            "it is declared otherwise than it was accepted. Whoever operates it accepts it where its file and its"
            " password are, since that looks into the system, and the console has neither: `dsr downstreams check"
            f" FILE`, then `dsr downstreams on {system.name}`"
        )
    return (system.reason or "–").replace("_", " ")
