"""The page of an incident: what is left of the 72 hours, what is documented, and the next steps (Art. 33, 34)."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import actions
from services.console.console import Console, ConsoleContext, local, person_of
from services.console.form import stated
from services.console.roles import StaffPower
from services.intake.incidents import record
from services.intake.incidents.incident import IncidentRow
from services.web.site import Visit

_HOUR: Final = 3600
_KINDS: Final = {"stated": "Facts", "decided": "Decision", "notified": "Notice"}


def routes(console: Console) -> list[BaseRoute]:
    """Returns the page of an incident."""
    context = console.context

    async def story(visit: Visit) -> Response:
        """Shows what is documented; the reading is on record."""
        person = person_of(visit)
        async with context.services.unit_of_work.begin() as tx:
            incident = await record.read(tx, visit.request.path_params["incident_id"], person.caller)
        entries = [
            (_KINDS.get(each.kind, each.kind.capitalize()), each, stated(context, each.said))
            for each in incident.entries
        ]
        [steps] = await actions.offered(context, "incidents", [(incident.incident_id, incident)], person)
        return visit.page(
            "incident.html",
            incident=incident,
            clock=clock(context, incident),
            steps=steps,
            entries=entries,
            noted=visit.session.data.pop("noted", None),
        )

    return [console.private("/incidents/{incident_id:uuid}", story, StaffPower.READ)]


def clock(context: ConsoleContext, incident: IncidentRow) -> str:
    """Returns what is left of the 72 hours, in full hours."""
    if incident.closed_at:
        return f"closed {local(context, incident.closed_at)}"
    if incident.notified_at:
        return f"authority notified {local(context, incident.notified_at)}"
    left = (incident.notify_by - context.services.unit_of_work.clock.now()).total_seconds()
    hours, until = int(abs(left) // _HOUR), local(context, incident.notify_by)
    return (
        f"{hours or '< 1'} h {'late' if left < 0 else 'left'}: notify the authority by {until}, unless there is no risk"
    )
