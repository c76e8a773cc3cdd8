"""Entering what no mailbox of ours has: a letter, a mail to somebody else, a call; by the day on which it came."""

from starlette.routing import BaseRoute

from services.console.console import Console, Works, person_of
from services.console.decisions.decision import Decision, Subject, saying
from services.console.decisions.generated import fields_of
from services.console.decisions.page import About, Find, routes_of
from services.console.roles import Power
from services.intake.submission.entered import EnteredByHand, enter
from services.web.site import Visit


async def _enter(subject: Subject, _: str, said: EnteredByHand) -> str:
    services = subject.works.services
    stored = await enter(services.unit_of_work, services.submissions, said, subject.person.caller)
    return f"/requests/{stored[0].request_id}"


ENTER = Decision(
    name="new",
    title="Enter a request",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "It becomes a request, or several as one case, dated by the day on which it came.",
        "The person gets an acknowledgement. Nothing is proved by it: who asks is asked as of any other request.",
    ),
    body=EnteredByHand,
    asks=fields_of(EnteredByHand.model_json_schema()),
    do=_enter,
)


def routes(console: Console) -> list[BaseRoute]:
    """The page."""
    return routes_of(console, "", [ENTER], _new(console.works))


def _new(works: Works) -> Find:
    async def find(visit: Visit) -> About:
        return About(Subject(works, person_of(visit)), "A letter, a mail or a call", "/")

    return find
