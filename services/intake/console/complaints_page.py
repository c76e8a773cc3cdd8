"""What others find of how requests are handled: complaints, and samples of the mail in which one was not recognised."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.console.console import Console, Works, person_of
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Subject, at_once, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import day, of_path, ranked
from services.intake.console.lists import END, ROWS, Link, Row, Table, cut, show
from services.intake.console.roles import Power
from services.intake.reviews import complaints, samples
from services.intake.reviews.complaints import Complaint
from services.intake.reviews.samples import Sample
from services.intake.reviews.schemas import ComplaintDecided, IntakeSample
from services.intake.web.site import Visit

_BACK = "/complaints"
DECIDE = Decision(
    name="decide",
    title="Enter what became of it",
    power=Power.HANDLE,
    when=lambda subject: subject.row.decision is None,
    does=saying(
        "It is entered once, and counts from then on.",
        "One that is upheld about a refusal has overturned that: what is to be done then is decided about the request.",
    ),
    body=ComplaintDecided,
    asks=(
        Asked("decision", "It was", "choose", options=lambda _: options.plain("upheld", "rejected", "withdrawn")),
        Asked("decided_on", "On which day", "day"),
        Asked("note", "Why", "area", "For the privacy team; kept sealed. May be left out"),
    ),
    do=at_once(lambda tx, subject, said: complaints.decide(tx, subject.row.complaint_id, said, subject.person.caller)),
    irreversible=True,
)
SAMPLE = Decision(
    name="sample",
    title="Enter a sample of the mail",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "It is counted as that month's, in the place of what was entered of it before.",
        "Each request that nobody had recognised is entered besides, by the day on which it came.",
    ),
    body=IntakeSample,
    asks=(
        Asked("month", "Month", hint="As 2026-03"),
        Asked("sampled", "Messages that were looked through", "number"),
        Asked("missed", "Requests among them that nobody had entered", "number"),
    ),
    do=at_once(lambda tx, subject, said: samples.enter(tx, said, subject.person.caller)),
)


def routes(console: Console) -> list[BaseRoute]:
    """The lists, and a page for each decision."""
    pages = ComplaintPages(console.works)
    return [
        console.private(_BACK, pages.show, Power.SEE),
        *routes_of(console, _BACK, [SAMPLE], pages.of_the_mail),
        *routes_of(console, "/complaints/{complaint_id}", [DECIDE], pages.find),
    ]


@dataclass(frozen=True)
class ComplaintPages:
    """The pages of complaints and samples."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Who complains, what became of it, and what was never recognised?"""
        subject = Subject(self.works, person_of(visit))
        after, before = ranked(visit, "complaints"), day(visit, "samples")
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            listed = await complaints.listed(connection, ROWS + 1, after)
            months = await samples.listed(connection, ROWS + 1, before)
        lodged, more = cut(listed, ROWS, f"{_BACK}?complaints=", complaints.place)
        sampled, earlier = cut(months, ROWS, f"{_BACK}?samples=", lambda each: each.month)
        told = Table(
            "Complaints",
            "One is entered on the page of its request. Those that are open come first.",
            ("Request", "Came", "Lodged with", "Entered by", "Was", "Decide"),
            [self._row(visit, each) for each in lodged],
            END if after else "Nobody has complained.",
            more=more,
        )
        mail = Table(
            "Samples of the mail",
            "Once a month somebody looks through a sample of what came to us, for requests that nobody had recognised.",
            ("Month", "Looked through", "Not recognised", "Entered by"),
            [*map(_sample, sampled)],
            END if before else "No month is entered yet.",
            offered(subject, _BACK, [SAMPLE]),
            earlier,
        )
        return show(visit, "Complaints", [told, mail])

    async def find(self, visit: Visit) -> About:
        """The complaint that the address names."""
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await complaints.read(connection, of_path(visit, "complaint_id"))
        facts = [("Request", str(found.request_id)), ("Came", str(found.received_on)), ("With", found.lodged_with)]
        return About(Subject(self.works, person_of(visit), row=found), "A complaint", _BACK, facts)

    async def of_the_mail(self, visit: Visit) -> About:
        """A sample that is yet to be entered."""
        return About(Subject(self.works, person_of(visit)), "What came to us in one month", _BACK)

    def _row(self, visit: Visit, each: Complaint) -> Row:
        subject = Subject(self.works, person_of(visit), row=each)
        was = f"{each.decision}, {each.decided_on}" if each.decision else "open"
        request = Link(f"/requests/{each.request_id}", str(each.request_id))
        cells = (request, str(each.received_on), each.lodged_with, each.entered_by, was)
        return Row(cells, offered(subject, f"/complaints/{each.complaint_id}", [DECIDE]))


def _sample(each: Sample) -> Row:
    return Row((f"{each.month:%Y-%m}", str(each.sampled), str(each.missed), each.entered_by))
