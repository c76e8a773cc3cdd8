"""Breaches: how many of the 72 hours are left, what is documented, and who was told (Art. 33 and 34)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.breach import awaiting, breaches, record
from services.intake.breach.breaches import Breach
from services.intake.breach.record import Record
from services.intake.console.breach_facts import later_version, notice_version, version_of
from services.intake.console.breach_steps import ENTER, STEPS
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Subject
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path, ranked
from services.intake.console.lists import END, ROWS, cut
from services.intake.console.roles import Power
from services.intake.web.forms import Form
from services.intake.web.site import Visit

_HOUR: Final = 3600
_VERSIONS: Final[Mapping[str, Callable[[Record], int]]] = {
    "approve-awareness": later_version,
    "approve-notice": notice_version,
}
"""Of what a page has shown that a second person agrees with; of the assessment on every other."""


def routes(console: Console) -> list[BaseRoute]:
    """The list, the record of each, and a page for each step."""
    pages = BreachPages(console.works)
    return [
        console.private("/breaches", pages.show, Power.SEE),
        *routes_of(console, "/breaches", [ENTER], pages.nothing),
        *routes_of(console, "/breaches/{breach_id}", STEPS, pages.find),
        console.private("/breaches/{breach_id}", pages.story, Power.READ),
    ]


@dataclass(frozen=True)
class BreachPages:
    """The pages of breaches."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """How many of the 72 hours are left?"""
        after = ranked(visit, "closed")
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = [] if after else await breaches.still_open(connection)
            waiting = {each.breach_id for each in await awaiting.pending(connection)} if found else set()
            closed, more = cut(await breaches.closed(connection, ROWS + 1, after), ROWS, "?closed=", breaches.place)
        rows = [{**self._row(each), "waits": each.breach_id in waiting} for each in (*found, *closed)]
        return visit.page("breaches.html", breaches=rows, more=more, none=END if after else "No breach is known.")

    async def story(self, visit: Visit) -> Response:
        """What is documented of one? The reading is on record."""
        row, person = await self._read(visit), person_of(visit)
        subject = Subject(self.works, person, row=row)
        possible = offered(subject, f"/breaches/{row.breach.breach_id}", STEPS)
        noted = visit.session.data.pop("noted", None)
        left = self._row(row.breach)
        return visit.page("breach.html", row=row, left=left, steps=possible, noted=noted)

    async def find(self, visit: Visit) -> About:
        """The breach that a step is about; what is stated already stands in the form."""
        row = await self._read(visit)
        subject = Subject(self.works, person_of(visit), row=row)
        title = f"Breach found {local(self.works, row.breach.found_at)}"
        back = f"/breaches/{row.breach.breach_id}"
        step = visit.request.url.path.rpartition("/")[2]
        known = _known(row) if step == "record" else Form()
        version = _VERSIONS.get(step, version_of)(row)
        return About(subject, title, back, [("Breach", str(row.breach.breach_id))], version, known)

    async def nothing(self, visit: Visit) -> About:
        """Of one that is yet to be entered."""
        return About(Subject(self.works, person_of(visit)), "A breach that was found elsewhere", "/breaches")

    async def _read(self, visit: Visit) -> Record:
        async with self.works.services.unit_of_work.begin() as tx:
            return await record.read(tx, of_path(visit, "breach_id"), person_of(visit).caller)

    def _row(self, breach: Breach) -> Mapping[str, Any]:
        now = self.works.services.unit_of_work.clock.now()
        left = breach.notify_by - now
        hours = int(abs(left.total_seconds()) // _HOUR)
        late = left.total_seconds() < 0
        return {
            "breach": breach,
            "hours": hours,
            "late": late,
            "runs": breach.closed_at is None and breach.told_at is None,
        }


def _known(row: Record) -> Form:
    """What was stated last, as the form has it."""
    if row.stated is None:
        return Form()
    said = row.stated.model_dump(mode="json")
    return Form({name: value if isinstance(value, list) else [str(value)] for name, value in said.items()})
