"""Digests that recipients leave unanswered: a person asks, and enters what they say (Art. 19)."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import recipient_digests, recipients
from services.intake.api.recipients import shown_digest, silent
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Asked, Decision, Subject, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path
from services.intake.console.lists import ROWS, Link, Row, Table, at_most
from services.intake.console.roles import Power
from services.intake.recipient_digests import RecipientReply, UnansweredDigest
from services.intake.web.site import Visit


async def _reply(subject: Subject, _: str, said: RecipientReply) -> None:
    async with subject.works.services.unit_of_work.begin() as tx:
        await recipient_digests.hear(tx, subject.row.digest_id, said.reply, subject.person.caller)


REPLY: Final = Decision(
    name="reply",
    title="Enter what the recipient has said",
    power=Power.HANDLE,
    when=lambda subject: subject.row.told_at is not None,
    does=saying("It holds for every request that the digest tells of. They are reminded no more."),
    body=RecipientReply,
    asks=(
        Asked(
            "reply",
            "They say",
            "choose",
            options=lambda _: [("acknowledged", "they have the digest"), ("done", "they have done the same")],
        ),
    ),
    do=_reply,
)


def routes(console: Console) -> list[BaseRoute]:
    """The digest itself, and the page by which a reply is entered."""
    pages = Digests(console.works)
    return [
        console.private("/recipients/{digest_id}", pages.show, Power.READ),
        *routes_of(console, "/recipients/{digest_id}", [REPLY], pages.find),
    ]


async def table(works: Works, visit: Visit) -> Table:
    """The recipients that a person must ask."""
    person = person_of(visit)
    async with works.services.unit_of_work.pool.acquire() as connection:
        found = await recipient_digests.unanswered(connection, silent(works.services), ROWS)

    def row(each: UnansweredDigest) -> Row:
        path = f"/recipients/{each.digest_id}"
        name = Link(path, each.recipient) if person.may(Power.READ) else each.recipient
        cells = (name, str(each.requests), local(works, each.reminded_at))
        return Row(cells, offered(Subject(works, person, row=each), path, [REPLY]))

    lead = (
        "They were told and reminded, and say nothing (Art. 19): ask them. What is to be posted is among the letters."
    )
    columns = ("Digest for", "Requests", "Reminded", "Decide")
    return Table("Recipients to be asked", at_most(lead, found, ROWS), columns, [row(each) for each in found], "None.")


@dataclass(frozen=True)
class Digests:
    """The pages of digests."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """What does it say? The reading is on record."""
        return await shown_digest(of_path(visit, "digest_id"), person_of(visit).caller, self.works.services)

    async def find(self, visit: Visit) -> About:
        """The digest that the address names."""
        async with self.works.services.unit_of_work.begin() as tx:
            digest = await recipient_digests.find(tx, of_path(visit, "digest_id"))
        known = self.works.services.unit_of_work.policy.recipients.get(digest.recipient)
        facts = [
            ("Recipient", known.name if known else digest.recipient),
            ("Reached by", recipients.address(known) if known else "the policy names them no more"),
            ("Written", local(self.works, digest.written_at)),
        ]
        return About(Subject(self.works, person_of(visit), row=digest), "Digest for a recipient", "/approvals", facts)
