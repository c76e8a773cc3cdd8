"""Incidents: what is left of the 72 hours, what is documented, and a form for each step (Art. 33, 34)."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Person, Works, local, person_of, spelled
from services.console.decisions import acting
from services.console.decisions.decision import Decision, Subject, saying
from services.console.decisions.generated import fields_of, stated
from services.console.decisions.page import About, offered, routes_of
from services.console.ids import of_path
from services.console.lists import ROWS, Link, Row, Table, at_most, show
from services.console.roles import Power
from services.intake.incidents import record
from services.intake.incidents.incident import IncidentFound, IncidentRow
from services.web.site import Visit

_HOUR: Final = 3600
_PATH: Final = "/incidents"
_KINDS: Final = {"stated": "Facts", "decided": "Decision", "notified": "Notice"}


async def _enter(subject: Subject, _: str, said: IncidentFound) -> str:
    async with subject.works.services.unit_of_work.begin() as tx:
        return f"{_PATH}/{(await record.enter(tx, said, subject.person.caller)).incident_id}"


ENTER: Final = Decision(
    name="new",
    title="Enter an incident",
    power=Power.HANDLE,
    when=lambda _: True,
    body=IncidentFound,
    asks=fields_of(IncidentFound.model_json_schema()),
    does=saying("A record is opened. You own it, unless you have handled its request."),
    do=_enter,
)


def routes(console: Console) -> list[BaseRoute]:
    """The list, the record of each, and a page for each step."""
    pages = IncidentPages(console.works)
    return [
        console.private(_PATH, pages.show, Power.SEE),
        *routes_of(console, _PATH, [ENTER], pages.nothing),
        console.private(f"{_PATH}/{{incident_id}}", pages.story, Power.READ),
    ]


@dataclass(frozen=True)
class IncidentPages:
    """The pages of incidents."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """How many of the 72 hours are left?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await record.listed(connection)
        rows = [
            Row(
                (
                    _named(each, person),
                    _clock(self.works, each),
                    ", ".join(map(spelled, each.categories or ())) or "not stated",
                    each.owner or "nobody",
                    "a second person" if each.proposed_by else "",
                )
            )
            for each in found[:ROWS]
        ]
        columns = ("Incident", "72 hours", "Data", "Owner", "Waits for")
        actions = offered(Subject(self.works, person), _PATH, [ENTER])
        lead = at_most("", found, ROWS)
        return show(
            visit, "Incidents", [Table("The most urgent first", lead, columns, rows, "No incident is known.", actions)]
        )

    async def story(self, visit: Visit) -> Response:
        """What is documented of one? The reading is on record."""
        person = person_of(visit)
        async with self.works.services.unit_of_work.begin() as tx:
            incident = await record.read(tx, of_path(visit, "incident_id"), person.caller)
        entries = [
            (_KINDS.get(each.kind, each.kind.capitalize()), each, stated(self.works, each.said))
            for each in incident.entries
        ]
        [steps] = await acting.offered(self.works, "incidents", [(incident.incident_id, incident)], person)
        return visit.page(
            "incident.html",
            incident=incident,
            clock=_clock(self.works, incident),
            steps=steps,
            entries=entries,
            noted=visit.session.data.pop("noted", None),
        )

    async def nothing(self, visit: Visit) -> About:
        """An incident that is yet to be entered."""
        return About(Subject(self.works, person_of(visit)), "An incident that was found elsewhere", _PATH)


def _named(incident: IncidentRow, person: Person) -> str | Link:
    word = spelled(incident.fault) if incident.fault else f"found elsewhere, {incident.found_at:%Y-%m-%d}"
    return Link(f"{_PATH}/{incident.incident_id}", word) if person.may(Power.READ) else word


def _clock(works: Works, incident: IncidentRow) -> str:
    """What is left of the 72 hours, in full hours."""
    if incident.closed_at:
        return f"closed {local(works, incident.closed_at)}"
    if incident.told_at:
        return f"authority notified {local(works, incident.told_at)}"
    left = (incident.notify_by - works.services.unit_of_work.clock.now()).total_seconds()
    hours, until = int(abs(left) // _HOUR), local(works, incident.notify_by)
    return (
        f"{hours or '< 1'} h {'late' if left < 0 else 'left'}: notify the authority by {until}, unless there is no risk"
    )
