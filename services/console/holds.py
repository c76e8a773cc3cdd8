"""Legal holds: which are in force, and who places, reviews and lifts them (REQ-R9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, person_of
from services.console.decisions import acting
from services.console.decisions.decision import Decision, Subject, at_once, saying
from services.console.decisions.generated import fields_of
from services.console.decisions.page import About, offered, routes_of
from services.console.lists import Row, Table, show
from services.console.roles import Power
from services.intake.reviews.holds import HoldPlaced, Holds
from services.web.site import Visit
from shared.domain.holds import hold_policy
from shared.storage import holds as stored

_BACK = "/holds"


def _holds(subject: Subject) -> Holds:
    return subject.works.services.use_cases.holds


PLACE = Decision(
    name="place",
    title="Place a hold",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "No erasure and no retention run touches these data until two people, or a review, lift the hold.",
        "You own it. Whom it is about is kept sealed, and nobody can read it again.",
    ),
    body=HoldPlaced,
    asks=fields_of(HoldPlaced.model_json_schema(), {"reason": lambda _: [*hold_policy().reasons.items()]}),
    do=at_once(lambda tx, subject, said: _holds(subject).place(tx, said, subject.person.caller)),
)


def routes(console: Console) -> list[BaseRoute]:
    """The list, and a page for each decision."""
    holds = HoldPages(console.works)
    return [
        console.private(_BACK, holds.show, Power.SEE),
        *routes_of(console, _BACK, [PLACE], holds.new),
    ]


@dataclass(frozen=True)
class HoldPages:
    """The pages of holds."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Which data are held, for which case, until which review?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await stored.in_force(connection)
        links = await acting.offered(self.works, "holds", ((each.hold_id, each) for each in found), person)
        rows = [
            Row(
                (
                    each.case_number,
                    each.reason.replace("_", " ").lower(),
                    ", ".join(each.categories).replace("_", " ") or "all",
                    each.owner,
                    str(each.review_on),
                ),
                decisions,
            )
            for each, decisions in zip(found, links, strict=True)
        ]
        columns = ("Case", "Reason", "Categories", "Owner", "Review", "Decide")
        actions = offered(Subject(self.works, person), _BACK, [PLACE])
        lead = "Data that a legal case needs. They are not erased until two people, or a review, lift the hold."
        table = Table("In force", lead, columns, rows, "No hold is in force.", actions)
        return show(visit, "Legal holds", [table])

    async def new(self, visit: Visit) -> About:
        """A hold that is not placed yet."""
        return self._about(visit, None, "Data of a person that a case needs", [])

    def _about(self, visit: Visit, row: Any, title: str, facts: Sequence[tuple[str, str]]) -> About:
        return About(Subject(self.works, person_of(visit), row=row), title, _BACK, facts)
