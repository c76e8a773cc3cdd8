"""The pages of all decisions about a request, and which of them can be made as it stands."""

from collections.abc import Iterator, Sequence
from typing import Final

from starlette.routing import BaseRoute

from services.intake import request_file
from services.intake.console.console import Console, Works, person_of
from services.intake.console.decisions import answering, packages, proving, recipients, timing, working
from services.intake.console.decisions.decision import Decision, Subject
from services.intake.console.decisions.page import About, Find, routes_of
from services.intake.console.ids import of_path
from services.intake.web.site import Visit
from shared.domain import reference

DECISIONS: Final[Sequence[Decision]] = (
    *proving.DECISIONS,
    *answering.DECISIONS,
    *timing.DECISIONS,
    *working.DECISIONS,
    *packages.DECISIONS,
    *recipients.DECISIONS,
)


def routes(console: Console) -> list[BaseRoute]:
    """A page for each decision."""
    return routes_of(console, "/requests/{request_id}/decide", DECISIONS, _found(console.works))


def possible(subject: Subject) -> Iterator[Decision]:
    """What can be decided about the request as it stands, by whoever may; the use cases have the last word."""
    return (decision for decision in DECISIONS if decision.when(subject))


def _found(works: Works) -> Find:
    async def find(visit: Visit) -> About:
        person = person_of(visit)
        request = await works.services.use_cases.read(of_path(visit), person.caller)
        failures = works.services.use_cases.identity.links.failures
        async with works.services.unit_of_work.pool.acquire() as connection:
            file = await request_file.read(connection, request.request_id, failures)
        subject = Subject(works, person, request, file)
        title = f"{request.right.replace('_', ' ')}, due {request.due_on}"
        facts = [("Request", reference.of(request.request_id)), ("State", request.state.replace("_", " "))]
        return About(subject, title, f"/requests/{request.request_id}", facts, request.version)

    return find
