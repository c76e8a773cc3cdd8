"""Systems: where each stands, and quarantine: one person stops one, two let it be worked again."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import quarantines
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Decision, Subject, by_word, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.lists import Row, Table, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.quarantines import KnownSystem
from services.intake.web.site import Visit
from shared.storage.systems import CHANGED

_BACK = "/systems"
_STANDS = {
    "observe": "asked, and counts for nothing yet",
    "on": "worked",
    "quarantined": "quarantined",
    "retired": "gone",
}


QUARANTINE = Decision(
    name="quarantine",
    title="Quarantine the system",
    power=Power.RELEASE,
    when=lambda subject: subject.row.state == "on",
    does=saying(
        "Nothing is done in it from now on; what needs it waits, and may be answered in part without it.",
        "It takes two persons to let it be worked again.",
    ),
    do=by_word(quarantines.stop, lambda row: row.name),
)
RELEASE_SYSTEM = Decision(
    name="release",
    title="Let the system be worked again",
    power=Power.RELEASE,
    when=lambda subject: subject.row.may_be_released,
    does=saying("It takes two persons. With the second, what waits for it goes on by itself."),
    do=by_word(quarantines.release, lambda row: row.name),
    irreversible=True,
)
_DECISIONS = (QUARANTINE, RELEASE_SYSTEM)


def routes(console: Console) -> list[BaseRoute]:
    """The list, and a page for each decision."""
    pages = SystemPages(console.works)
    return [
        console.private(_BACK, pages.show, Power.SEE),
        *routes_of(console, "/systems/{system}", _DECISIONS, pages.find),
    ]


@dataclass(frozen=True)
class SystemPages:
    """The pages of systems."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Which system is worked, which waits, and why?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await quarantines.listed(connection)
        rows = [
            Row(
                (
                    each.name,
                    _stands(each),
                    _why(each),
                    local(self.works, each.since),
                    ", ".join(each.released_by) or "–",
                ),
                offered(Subject(self.works, person, row=each), f"/systems/{each.name}", _DECISIONS),
            )
            for each in found
        ]
        columns = ("System", "Stands", "Why", "Since", "Released by", "Decide")
        lead = "In a system that is quarantined nothing is done; what needs it waits."
        return show(visit, "Systems", [Table("Known systems", lead, columns, rows, "No service has started yet.")])

    async def find(self, visit: Visit) -> About:
        """The system that the address names."""
        name = visit.request.path_params["system"]
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = next((each for each in await quarantines.listed(connection) if each.name == name), None)
        if found is None:
            raise NotFound("no service knows a system of that name")
        facts = [
            ("Stands", _stands(found)),
            ("Why", _why(found)),
            ("Released by", ", ".join(found.released_by) or "–"),
        ]
        return About(Subject(self.works, person_of(visit), row=found), found.name, _BACK, facts)


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
