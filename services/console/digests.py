"""Digests that recipients leave unanswered: a person asks, and enters what they say (Art. 19)."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Person, Works, local, person_of
from services.console.ids import of_path
from services.console.lists import ROWS, Link, Row, Table, at_most
from services.console.roles import Power
from services.intake.api.resources import shown_digest
from services.intake.recipients.digests import UnansweredDigest
from services.web.site import Visit


def routes(console: Console) -> list[BaseRoute]:
    """The digest itself."""

    async def show(visit: Visit) -> Response:
        """What does it say? The reading is on record."""
        return await shown_digest(of_path(visit, "digest_id"), person_of(visit).caller, console.works.services)

    return [console.private("/recipients/{digest_id}", show, Power.READ)]


def table(works: Works, person: Person, found: Sequence[UnansweredDigest], links: Sequence[Sequence[Link]]) -> Table:
    """The recipients that a person must ask."""

    def row(each: UnansweredDigest, actions: Sequence[Link]) -> Row:
        name = Link(f"/recipients/{each.digest_id}", each.recipient) if person.may(Power.READ) else each.recipient
        return Row((name, str(each.requests), local(works, each.reminded_at)), actions)

    lead = (
        "They were told and reminded, and say nothing (Art. 19): ask them. What is to be posted is among the letters."
    )
    columns = ("Digest for", "Requests", "Reminded", "Decide")
    rows = [row(each, actions) for each, actions in zip(found, links, strict=True)]
    return Table("Recipients to be asked", at_most(lead, found, ROWS), columns, rows, "None.")
