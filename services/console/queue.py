"""The worklist: what is due next, what it waits for, and the next step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, person_of
from services.console.roles import Power
from services.intake.actions.approvals import REQUESTS
from services.intake.actions.registry import KINDS
from services.intake.core.errors import BadRequest
from services.intake.queries import worklist
from services.intake.queries.listing import Place
from services.intake.queries.worklist import Filters, Waits
from services.intake.request.aggregate import Request
from services.intake.request.blockers import blocked_by
from services.intake.request.lifecycle import State
from services.intake.store import lookup
from services.web.site import Visit
from shared.domain.rights import Right

ROWS: Final = 50
_SOON: Final = 7
_LONGEST: Final = 100
WAITS: Final = {
    Waits.PERSON: "a decision of ours",
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
_NAMES: Final = frozenset({"waits", "state", "right", "due", "system", "after"})
E = TypeVar("E", Waits, State, Right)


def routes(console: Console) -> list[BaseRoute]:
    """Returns the worklist and its search."""
    listed = Worklist(console.works)
    return [
        console.private("/", listed.show, Power.SEE),
        console.private("/search", listed.search, Power.SEE, sends=True),
    ]


@dataclass(frozen=True)
class Worklist:
    """The list of requests."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """What is due next?"""
        asked = visit.request.query_params
        today = self.today
        wanted = filters(asked, today)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
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
        """Whose request is it? What is searched for stands in no address and in no log."""
        if not visit.sent or not (text := visit.form.get("text").strip()):
            return visit.go("/")
        async with self.works.services.unit_of_work.begin() as tx:
            found = await lookup.search(tx, person_of(visit).caller, text)
        if len(found) == 1:
            return visit.go(f"/requests/{found[0].request_id}")
        return visit.page("search.html", rows=[_row(each, self.today, None) for each in found])

    @property
    def today(self) -> date:
        """The day of the controller."""
        return self.works.services.unit_of_work.clock.now().astimezone(self.works.zone).date()


def filters(asked: QueryParams, today: date) -> Filters:
    """What the query of the page asks for; raises ``BadRequest`` for what the page does not have."""
    if unknown := sorted({*asked} - _NAMES):
        raise BadRequest(f"the worklist has no filter {unknown[0][:40]}; it has {', '.join(sorted(_NAMES))}")
    system = asked.get("system", "").strip().lower()
    if not system.isprintable() or len(system) > _LONGEST:
        raise BadRequest("system is the name of a system, as in the catalogue", "system")
    due = asked.get("due", "")
    days = {"overdue": today, "soon": today + timedelta(days=_SOON)}
    if due and due not in days:
        raise BadRequest("due is overdue or soon", "due")
    found = Filters(
        waits=_one(Waits, asked, "waits"),
        state=_one(State, asked, "state"),
        right=_one(Right, asked, "right"),
        due_before=days.get(due),
        system=system or None,
    )
    if not (after := asked.get("after")):
        return found
    try:
        return replace(found, after=Place.read(after))
    except ValueError:
        raise BadRequest("after is no place in the list; begin with its first page", "after") from None


def _one(kind: type[E], asked: QueryParams, name: str) -> E | None:
    if not (value := asked.get(name)):
        return None
    try:
        return kind(value)
    except ValueError:
        raise BadRequest(f"{name} is one of {', '.join(kind)}", name) from None


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
