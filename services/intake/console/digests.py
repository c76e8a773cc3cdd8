"""Digests for recipients: what a person tells or asks them (Art. 19)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import recipient_digests, recipients
from services.intake.api.recipients import shown_digest
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Asked, Decision, Do, Subject, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path
from services.intake.console.lists import ROWS, Link, Row, Table, at_most
from services.intake.console.roles import Power
from services.intake.recipient_schemas import RecipientReply
from services.intake.recipients import OpenNotices, Patience
from services.intake.web.site import Visit


def _digest(step: Callable[..., Awaitable[None]]) -> Do:
    async def do(subject: Subject, _: int, said: RecipientReply | None) -> None:
        async with subject.works.services.unit_of_work.begin() as tx:
            more = [said.reply] if said else []
            await step(tx, subject.row.digest_id, *more, subject.person.caller)

    return do


TOLD: Final = Decision(
    name="told",
    title="Enter that the recipient was told",
    power=Power.HANDLE,
    when=lambda subject: subject.row.told_at is None,
    does=saying("Their word is awaited from now on. What to tell them is the digest."),
    do=_digest(recipient_digests.tell),
)
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
    do=_digest(recipient_digests.hear),
)


def routes(console: Console) -> list[BaseRoute]:
    """The digest itself, and a page for each decision."""
    pages = Digests(console.works)
    return [
        console.private("/recipients/{digest_id}", pages.show, Power.READ),
        *routes_of(console, "/recipients/{digest_id}", [TOLD, REPLY], pages.find),
    ]


async def table(works: Works, visit: Visit) -> Table:
    """The recipients that a person must tell or ask."""
    services, person = works.services, person_of(visit)
    patience = Patience.of(services.unit_of_work.policy, services.use_cases.policy, services.unit_of_work.clock.now())
    async with services.unit_of_work.pool.acquire() as connection:
        found = await recipients.for_a_person(connection, patience, ROWS)

    def row(each: OpenNotices) -> Row:
        path, late = f"/recipients/{each.digest_id}", " (overdue)" if patience.is_over(each) else ""
        cells = (
            Link(path, each.recipient) if person.may(Power.READ) else each.recipient,
            str(each.requests),
            f"{each.state.replace('_', ' ')}{late}",
            local(works, each.concerned_at),
        )
        return Row(cells, offered(Subject(works, person, row=each), path, [TOLD, REPLY]))

    return Table(
        "Recipients to be told or asked",
        at_most("No channel reaches them, or they are silent (Art. 19).", found, ROWS),
        ("Digest for", "Requests", "Stands", "Since", "Decide"),
        [row(each) for each in found],
        "None.",
    )


@dataclass(frozen=True)
class Digests:
    """The pages of digests."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """The digest, to be printed or read out; the reading is on record."""
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
