"""Incidents: what is left of the 72 hours, what is documented, and a form for each step (Art. 33, 34)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.console.console import Console, Person, Works, local, person_of, spelled
from services.intake.console.decisions.decision import Decision, Subject, saying
from services.intake.console.decisions.generated import fields_of, stated
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path
from services.intake.console.lists import ROWS, Link, Row, Table, at_most, show
from services.intake.console.roles import Power
from services.intake.errors import NotReady
from services.intake.incidents import record
from services.intake.incidents.incident import Incident, IncidentRow, Said
from services.intake.incidents.schemas import (
    IncidentClosed,
    IncidentFacts,
    IncidentFound,
    Notified,
    RiskApproved,
    RiskDecided,
)
from services.intake.web.forms import Form
from services.intake.web.site import Visit
from shared.storage.postgres import Connection

_HOUR: Final = 3600
_PATH: Final = "/incidents"
_KINDS: Final = {"stated": "Facts", "decided": "Decision", "notified": "Notice"}


def _open(subject: Subject) -> bool:
    return subject.row.closed_at is None


def _waits(subject: Subject) -> bool:
    return subject.row.proposed_by not in {None, subject.person.holder}


def _version(incident: Incident) -> str:
    """Of the decision that a page has shown: another one has another number."""
    return f"{incident.decision[0].entry_id.int >> 72}" if incident.decision else "0"


async def _take(subject: Subject, _: str, said: Said) -> None:
    services, incident_id = subject.works.services, subject.row.incident_id
    async with services.unit_of_work.begin() as tx:
        await record.take(tx, services.use_cases.letters, incident_id, said, subject.person.caller)


async def _enter(subject: Subject, _: str, said: IncidentFound) -> str:
    async with subject.works.services.unit_of_work.begin() as tx:
        return f"{_PATH}/{(await record.enter(tx, said, subject.person.caller)).incident_id}"


async def _approve(subject: Subject, version: str, _: None) -> None:
    decision = subject.row.decision
    if decision is None or _version(subject.row) != version:
        raise NotReady("the decision has changed since you opened the page: go back, and read it again")
    await _take(subject, version, RiskApproved(decision_id=decision[0].entry_id))


async def _proposed(subject: Subject) -> Sequence[tuple[str, str]]:
    """The decision, and the facts that it is about."""
    incident: Incident = subject.row
    said = (incident.decision[1] if incident.decision else None, incident.facts)
    shown = [named for each in said if each for named in stated(subject.works, each)]
    return [("72 hours", _clock(subject.works, incident)), *shown]


def _step(name: str, title: str, body: type[BaseModel], *does: str, **more: Any) -> Decision:
    """A step whose form is made from its body."""
    known: dict[str, Any] = {
        "power": Power.HANDLE,
        "when": _open,
        "do": _take,
        "asks": fields_of(body.model_json_schema()),
    }
    return Decision(name=name, title=title, body=body, does=saying(*does), **{**known, **more})


ENTER: Final = _step(
    "new",
    "Enter an incident",
    IncidentFound,
    "A record is opened. You own it, unless you have handled its request.",
    when=lambda _: True,
    do=_enter,
)
STEPS: Final[Sequence[Decision]] = (
    _step(
        "facts",
        "State the facts",
        IncidentFacts,
        "You own the incident from now on; people who have handled its request cannot.",
        "Earlier versions stay on record. If the facts change, the risk is decided again.",
    ),
    _step(
        "decision",
        "Propose a decision on the risk",
        RiskDecided,
        "A second person must approve it, who has not handled the request either.",
        "Then each requester that you name gets one letter, in their language (Art. 34).",
    ),
    Decision(
        name="approval",
        title="Approve the decision",
        power=Power.APPROVE,
        when=lambda subject: _open(subject) and _waits(subject),
        does=saying("The letters go out.", "If it was found later than stated at first, the 72 hours run from then."),
        reads=_proposed,
        do=_approve,
        irreversible=True,
    ),
    _step(
        "notified",
        "Note who was notified",
        Notified,
        "It is noted; nothing is sent.",
        "The first notice to the authority ends the 72 hours. Noted after them it counts as late.",
    ),
    _step(
        "close",
        "Close the incident",
        IncidentClosed,
        "Nothing can be added to it.",
        reads=_proposed,
        irreversible=True,
    ),
)


def routes(console: Console) -> list[BaseRoute]:
    """The list, the record of each, and a page for each step."""
    pages = IncidentPages(console.works)
    return [
        console.private(_PATH, pages.show, Power.SEE),
        *routes_of(console, _PATH, [ENTER], pages.nothing),
        *routes_of(console, f"{_PATH}/{{incident_id}}", STEPS, pages.find),
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
        subject = await self._read(visit)
        incident: Incident = subject.row
        entries = [
            (_KINDS.get(each.kind, each.kind.capitalize()), each, stated(self.works, each.said))
            for each in incident.entries
        ]
        return visit.page(
            "incident.html",
            incident=incident,
            clock=_clock(self.works, incident),
            steps=offered(subject, f"{_PATH}/{incident.incident_id}", STEPS),
            entries=entries,
            noted=visit.session.data.pop("noted", None),
        )

    async def find(self, visit: Visit) -> About:
        """The incident that a step is about; the facts stand in their form already."""
        subject = await self._read(visit)
        incident: Incident = subject.row
        known = Form()
        if visit.request.url.path.endswith("/facts") and incident.facts:
            said = incident.facts.model_dump(mode="json").items()
            known = Form({name: value if isinstance(value, list) else [str(value)] for name, value in said})
        title = f"Incident found {local(self.works, incident.found_at)}"
        back, facts = f"{_PATH}/{incident.incident_id}", [("Incident", str(incident.incident_id))]
        return About(subject, title, back, facts, _version(incident), known)

    async def nothing(self, visit: Visit) -> About:
        """An incident that is yet to be entered."""
        return About(Subject(self.works, person_of(visit)), "An incident that was found elsewhere", _PATH)

    async def _read(self, visit: Visit) -> Subject:
        person = person_of(visit)
        async with self.works.services.unit_of_work.begin() as tx:
            row = await record.read(tx, of_path(visit, "incident_id"), person.caller)
        return Subject(self.works, person, row=row)


async def awaiting_approval(works: Works, person: Person, connection: Connection) -> Table:
    """Decisions about incidents that wait for a second person."""
    found = [each for each in await record.listed(connection) if each.proposed_by][:ROWS]
    rows = [
        Row(
            (
                _named(each, person),
                "you" if each.proposed_by == person.holder else str(each.proposed_by),
                local(works, each.notify_by),
            ),
            [Link(f"{_PATH}/{each.incident_id}/approval", "Look, and agree")]
            if person.may(Power.APPROVE) and person.holder != each.proposed_by
            else (),
        )
        for each in found
    ]
    lead = at_most("A second person must approve, who has not handled the request; the 72 hours run on.", found, ROWS)
    columns = ("What", "Proposed by", "72 hours end", "Decide")
    return Table("Decisions on incidents", lead, columns, rows, "No decision on an incident waits.")


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
