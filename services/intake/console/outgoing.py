"""Letters that nobody fetches: what waits to be sent, what to print, and what became of one that came back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.api.letters import printed
from services.intake.console import undelivered
from services.intake.console.console import Console, Person, Works, local, person_of
from services.intake.console.decisions.decision import Asked, Decision, Do, Subject, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path, place
from services.intake.console.lists import END, ROWS, Link, Row, Table, cut, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.letters import delivery
from services.intake.letters.delivery import Delivery
from services.intake.letters.schemas import AnotherWay, GivenUp
from services.intake.use_cases import UseCases
from services.intake.web.site import Visit
from shared.domain import reference

_BACK: Final = "/post"
_TITLES: Final = (
    ("For a person", "It has come back, or nobody knows where to send it.", "person", None),
    ("To be posted", "Print them, put them in the post, and mark each as posted.", "waiting", "post"),
    ("To be sent by e-mail", "They go by themselves; with the mail server away they wait.", "waiting", "email"),
)
"""Each list with what it says, and of which state and way its letters are."""


def _letter(step: Callable[..., Awaitable[None]]) -> Do:
    """Does it with the letter, by a use case."""
    return lambda subject, _, said: step(
        subject.works.services.use_cases, subject.row.letter_id, *([said] if said else []), subject.person.caller
    )


def _where_it_goes(subject: Subject) -> list[str]:
    if subject.row.kind in delivery.BY_ADDRESS:
        return ["It goes once more to the address that it was written for, and to nobody else."]
    return [
        "By e-mail it goes once more, to an address that is proved; on paper to the address of record.",
        "Enter that address with its request first, if there is none.",
    ]


def _given_up(subject: Subject) -> list[str]:
    tells = {str(each["what"]): each for each in subject.row.awaited}
    means = ["Nobody tries to deliver it any more; what was tried stays on record."]
    if "answer" in tells:
        means.append("The answer counts as given from now on.")
    if "question" in tells:
        means.append("Who they are can be asked anew then; what they mean stays open until somebody enters an answer.")
    if "lift" in tells:
        means.append("The restriction that it was to lift stays, since nobody was told (Art. 18(3)).")
    return means


def _ways(subject: Subject) -> list[tuple[str, str]]:
    on_paper = [] if subject.row.kind in delivery.BY_ADDRESS else [("post", "on paper")]
    return [("email", "by e-mail"), *on_paper]


POSTED = Decision(
    name="posted",
    title="Mark it as posted",
    power=Power.HANDLE,
    when=lambda subject: subject.row.way == "post" and subject.row.state == "waiting",
    does=saying(
        "The person counts as told from today: an answer is given, a time limit stops, a restriction may be lifted."
    ),
    do=_letter(UseCases.posted),
    irreversible=True,
)
DELIVER = Decision(
    name="delivery",
    title="Have it delivered again, or another way",
    power=Power.HANDLE,
    when=lambda subject: subject.row.state == "person",
    does=_where_it_goes,
    body=AnotherWay,
    asks=(Asked("way", "Way", "choose", options=_ways),),
    do=_letter(UseCases.deliver_by),
)
GIVE_UP = Decision(
    name="given-up",
    title="Give it up",
    power=Power.HANDLE,
    when=lambda subject: subject.row.state == "person",
    does=_given_up,
    body=GivenUp,
    asks=(Asked("explanation", "What was tried", "area", "Kept sealed"),),
    do=_letter(UseCases.give_up),
    irreversible=True,
)
_DECISIONS: Final = (POSTED, DELIVER, GIVE_UP)


def routes(console: Console) -> list[BaseRoute]:
    """The list, what is to be printed, and a page for each decision."""
    post = Outgoing(console.works)
    return [
        console.private(_BACK, post.show, Power.READ),
        console.private("/post/print", post.print, Power.READ),
        *routes_of(console, "/post/{letter_id}", _DECISIONS, post.find),
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
            listed = await self.works.services.use_cases.open_letters(after, ROWS + 1, state, way)
            mine, more = cut(listed, ROWS, f"{_BACK}?{name}=", lambda each: each.letter_id)
            rows = [self._row(each, person) for each in mine]
            every = f"Print the {ROWS} that were written first" if more or after else "Print all that are to be posted"
            actions = [Link("/post/print", every)] if way == "post" and rows else []
            none = END if after else "None."
            tables.append(Table(title, lead, columns, rows, none, actions, more))
        return show(visit, "Letters", tables)

    def _row(self, letter: Delivery, person: Person) -> Row:
        subject = Subject(self.works, person, row=letter)
        fault = (letter.fault or "").replace("_", " ")
        about = f"/requests/{letter.request_id}" if letter.request_id else f"/recipients/{letter.letter_id}"
        link = Link(about, letter.kind.replace("_", " "))
        cells = (link, local(self.works, letter.written_at), letter.way, fault or "–")
        return Row(cells, offered(subject, f"/post/{letter.letter_id}", _DECISIONS))

    async def print(self, visit: Visit) -> Response:
        """The letters that are to be posted, to be printed at 100 %; the reading is on record."""
        return await printed(person_of(visit).caller, self.works.services, ROWS)

    async def find(self, visit: Visit) -> About:
        """The letter that the address names."""
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            letter = await delivery.read(connection, of_path(visit, "letter_id"))
        if letter is None:
            raise NotFound("no such letter, or one that is fetched by whoever it is for")
        facts = [
            ("Request", reference.of(letter.request_id) if letter.request_id else "those that it tells of"),
            ("For", "another person, named in the letter" if letter.kind in delivery.TO_STRANGERS else "the requester"),
            ("Written", local(self.works, letter.written_at)),
            ("Way", letter.way),
        ]
        means = " ".join(undelivered.why(letter.state, letter.awaited))
        facts += [("Until it is delivered", means)] if means else []
        title = f"Letter: {letter.kind.replace('_', ' ')}"
        return About(Subject(self.works, person_of(visit), row=letter), title, _BACK, facts)
