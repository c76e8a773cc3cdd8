"""Who is signed in, for an administrator, who can end their sessions."""

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.auth import HOLDER
from services.intake.console import on_record
from services.intake.console.console import Console, local, person_of
from services.intake.console.decisions.decision import Decision, Subject, saying
from services.intake.console.decisions.page import About, routes_of
from services.intake.console.lists import Link, Row, Table, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.web.site import Visit

_BACK = "/people"


def routes(console: Console) -> list[BaseRoute]:
    """The list, and the page that signs somebody out."""
    people = People(console)
    sign_out = Decision(
        name="sign-out",
        title="Sign them out everywhere",
        power=Power.ADMINISTER,
        when=lambda _: True,
        does=saying(
            "Every session of theirs ends at once; what they have not confirmed is lost. Who has done so is on record.",
            "Take their role at the identity provider first: they can sign in again with what it says of them.",
        ),
        do=people.end,
    )
    return [
        console.private(_BACK, people.show, Power.ADMINISTER),
        *routes_of(console, "/people/{holder}", [sign_out], people.find),
    ]


@dataclass(frozen=True)
class People:
    """The pages about who is signed in."""

    console: Console

    async def show(self, visit: Visit) -> Response:
        """Who is signed in, in how many browsers, until when?"""
        rows = [
            Row(
                (principal, str(number), local(self.console.works, until)),
                [Link(f"/people/{principal}/sign-out", "Sign them out everywhere")],
            )
            for principal, number, until in await self.console.sessions.open()
        ]
        lead = "A session also ends when it is not used, and after some hours."
        return show(
            visit, "People", [Table("Signed in", lead, ("Who", "Sessions", "Until", "Decide"), rows, "Nobody.")]
        )

    async def end(self, subject: Subject, _: int, __: None) -> None:
        """Ends every session of that person."""
        async with subject.works.services.unit_of_work.begin() as tx:
            await self.console.sessions.end_all(subject.row, tx.connection)
            on_record.signed_out(tx, subject.row, "everywhere", subject.person.holder)

    async def find(self, visit: Visit) -> About:
        """The person whom the address names."""
        holder = visit.request.path_params["holder"]
        if HOLDER.fullmatch(holder) is None:
            raise NotFound("nobody has such an account")
        return About(Subject(self.console.works, person_of(visit), row=holder), holder, _BACK)
