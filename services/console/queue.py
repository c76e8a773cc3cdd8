"""The worklist: what is due next, what it waits for, and the next step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, Field, PlainValidator, ValidationError
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, ConsoleContext, person_of
from services.console.roles import StaffPower
from services.intake.actions.approvals import REQUESTS
from services.intake.actions.registry import KINDS
from services.intake.core.errors import BadRequest
from services.intake.queries import worklist
from services.intake.queries.worklist import Cursor, Filters
from services.intake.request.aggregate import Request
from services.intake.request.blockers import blocked_by
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import Waits
from services.intake.store import lookup
from services.web.site import Visit
from shared.domain.rights import Right

ROWS: Final = 50
_SOON: Final = 7
_LONGEST: Final = 100
WAITS: Final = {
    Waits.PERSON: "our decision",
    Waits.PROOF: "proof of who asks",
    Waits.REPLY: "an answer of the person",
    Waits.OTHERS: "other requests of the same person",
    Waits.KEY: "the release of an API key",
    Waits.PACKAGE: "the release of a package",
}
_VIEWS: Final[Sequence[tuple[str, Mapping[str, str]]]] = (
    ("All open", {}),
    ("Overdue", {"due": "overdue"}),
    ("Due in 7 days", {"due": "soon"}),
    ("Needs a decision", {"waits": "person"}),
    ("Identity not proved", {"waits": "proof"}),
    ("Package withheld", {"waits": "package"}),
    ("Closed", {"state": "closed"}),
)


class _Query(BaseModel, extra="forbid"):
    """The query of the worklist."""

    waits: Waits | None = None
    state: State | None = None
    right: Right | None = None
    due: Literal["overdue", "soon"] | None = None
    system: Annotated[str, Field(max_length=_LONGEST, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    after: Annotated[Cursor, PlainValidator(Cursor.read)] | None = None


def routes(console: Console) -> list[BaseRoute]:
    """Returns the worklist and its search."""
    listed = Worklist(console.context)
    return [
        console.private("/", listed.show, StaffPower.SEE),
        console.private("/search", listed.search, StaffPower.SEE, sends=True),
    ]


@dataclass(frozen=True)
class Worklist:
    """The list of requests."""

    context: ConsoleContext

    async def show(self, visit: Visit) -> Response:
        """Shows what is due next."""
        asked = visit.request.query_params
        today = self.today
        wanted = filters(asked, today)
        async with self.context.services.unit_of_work.pool.acquire() as connection:
            page = await worklist.page(connection, wanted, ROWS)
            counts = await worklist.counts(connection, today, today + timedelta(days=_SOON))
        chosen = {name: value for name, value in asked.items() if name != "after" and value}
        following = f"?{urlencode({**chosen, 'after': str(page.following)})}" if page.following else None
        return visit.page(
            "queue.html",
            rows=[_row(each, today, wanted.state) for each in page.requests],
            chosen=chosen,
            following=following,
            first=wanted.after is None,
            views=[
                (word, f"?{urlencode(query)}" if query else "", query == chosen, number)
                for (word, query), number in zip(_VIEWS, (*counts, None), strict=True)
            ],
            waits=[("", "anything"), *((each.value, WAITS[each]) for each in Waits)],
            states=[("", "any open state"), *((each.value, each.replace("_", " ")) for each in State)],
            rights=[("", "any right"), *((each.value, each.replace("_", " ")) for each in Right)],
            dues=[("", "any day"), ("overdue", "overdue"), ("soon", f"in {_SOON} days")],
        )

    async def search(self, visit: Visit) -> Response:
        """Finds requests of a person; the search text goes into no address and no log."""
        if not visit.sent or not (text := visit.form.get("text").strip()):
            return visit.go("/")
        async with self.context.services.unit_of_work.begin() as tx:
            found = await lookup.search(tx, person_of(visit).caller, text)
        if len(found) == 1:
            return visit.go(f"/requests/{found[0].request_id}")
        return visit.page("search.html", rows=[_row(each, self.today, None) for each in found])

    @property
    def today(self) -> date:
        """Returns today, in the zone of the controller."""
        return self.context.services.unit_of_work.clock.now().astimezone(self.context.zone).date()


def filters(asked: Mapping[str, str], today: date) -> Filters:
    """Reads the filters from the query; raises ``BadRequest`` for an unknown or invalid one."""
    try:
        said = _Query.model_validate({name: value for name, value in asked.items() if value})
    except ValidationError as error:
        wrong = str(error.errors()[0]["loc"][0])[:_LONGEST]
        raise BadRequest(f"the worklist has no such filter: {wrong}", wrong) from None
    days = {"overdue": today, "soon": today + timedelta(days=_SOON)}
    system = said.system.strip().lower() if said.system else None
    return Filters(said.waits, said.state, said.right, days.get(said.due or ""), system, said.after)


def _row(request: Request, today: date, listed: State | None) -> dict[str, object]:
    days, blocked, titles = (request.due_on - today).days, blocked_by(request), KINDS[REQUESTS].actions
    return {
        "id": request.request_id,
        "right": request.right,
        "state": request.state,
        "received_at": request.received_at,
        "channel": request.channel,
        "due_on": request.due_on,
        "days": days,
        "closed": None if request.unfinished and listed is not State.CLOSED else request.closed_at,
        "outcome": request.outcome,
        "waits": " ".join(each.message for each in blocked),
        "next": next(((name, titles[name].title) for each in blocked for name in each.actions if name in titles), None),
    }
