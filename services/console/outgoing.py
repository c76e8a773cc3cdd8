"""Letters that nobody fetches: what waits to be sent, what to print, and what became of one that came back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, local, person_of
from services.console.decisions import acting
from services.console.ids import place
from services.console.lists import END, ROWS, Link, Row, Table, cut, show
from services.console.roles import Power
from services.intake.api.resources import printed
from services.intake.letters import delivery
from services.intake.letters.delivery import Delivery
from services.web.site import Visit

_BACK: Final = "/post"
_TITLES: Final = (
    ("For a person", "It has come back, or nobody knows where to send it.", "person", None),
    ("To be posted", "Print them, put them in the post, and mark each as posted.", "waiting", "post"),
    ("To be sent by e-mail", "They go by themselves; with the mail server away they wait.", "waiting", "email"),
)
"""Each list with what it says, and of which state and way its letters are."""


def routes(console: Console) -> list[BaseRoute]:
    """The list, and what is to be printed."""
    post = Outgoing(console.works)
    return [
        console.private(_BACK, post.show, Power.READ),
        console.private("/post/print", post.print, Power.READ),
    ]


@dataclass(frozen=True)
class Outgoing:
    """The pages of letters that are sent."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """What to print, what went out, what has come back?"""
        person, tables = person_of(visit), list[Table]()
        columns = ("Letter", "Written", "Way", "Why", "Decide")
        for title, lead, state, way in _TITLES:
            name = f"{state}-{way or 'any'}"
            after = place(visit, name)
            async with self.works.services.unit_of_work.pool.acquire() as connection:
                listed = await delivery.waiting(connection, after, ROWS + 1, state, way)
            mine, more = cut(listed, ROWS, f"{_BACK}?{name}=", lambda each: each.letter_id)
            links = await acting.offered(self.works, "letters", ((each.letter_id, each) for each in mine), person)
            rows = [self._row(each, actions) for each, actions in zip(mine, links, strict=True)]
            every = f"Print the {ROWS} that were written first" if more or after else "Print all that are to be posted"
            actions = [Link("/post/print", every)] if way == "post" and rows else []
            none = END if after else "None."
            tables.append(Table(title, lead, columns, rows, none, actions, more))
        return show(visit, "Letters", tables)

    def _row(self, letter: Delivery, actions: Sequence[Link]) -> Row:
        fault = (letter.fault or "").replace("_", " ")
        about = f"/requests/{letter.request_id}" if letter.request_id else f"/recipients/{letter.letter_id}"
        link = Link(about, letter.kind.replace("_", " "))
        cells = (link, local(self.works, letter.written_at), letter.way, fault or "–")
        return Row(cells, actions)

    async def print(self, visit: Visit) -> Response:
        """The letters that are to be posted, to be printed at 100 %; the reading is on record."""
        return await printed(person_of(visit).caller, self.works.services, ROWS)
