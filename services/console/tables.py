"""Every list of the console: what each table reads, shows and offers, declared as data."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import actions, inbox, incidents
from services.console.actions import NEW_HOLD, NEW_INCIDENT, OWN_PAGE, New
from services.console.console import (
    NAVIGATION,
    Console,
    ConsoleContext,
    NavigationLink,
    StaffMember,
    local,
    person_of,
    spelled,
)
from services.console.roles import StaffPower
from services.intake.access import key_suspension
from services.intake.actions import approvals, execution
from services.intake.actions.action import TEXTS
from services.intake.actions.identity import WHY
from services.intake.actions.registry import KINDS
from services.intake.api.recipients import silent
from services.intake.api.resources import printed, shown_digest
from services.intake.core.errors import NotFound
from services.intake.identity import stopped
from services.intake.incidents import record
from services.intake.letters import delivery_queue
from services.intake.recipients import digests
from services.intake.reviews import rows
from services.intake.reviews.rows import AssignmentConflict, KnownSystem, Sweep
from services.web.site import Handler, Visit
from shared.domain import reference
from shared.storage import holds
from shared.storage.postgres import Connection
from shared.storage.systems import CHANGED

ROWS: Final = 200
"""The rows that a list shows at a time."""
Cells = Sequence[str | NavigationLink]
Find = Callable[["View", int], Awaitable[Sequence[Any]]]
"""Reads at most so many rows."""
_STATES: Final = {"observe": "searched, never changed", "on": "in use", "retired": "retired"}
_CHANGED: Final = (
    "its declaration differs from the accepted one. Its operator accepts the new one where its file and its password"
    " are: `dsr downstreams check FILE`, then `dsr downstreams on {name}`"
)


@dataclass(frozen=True, slots=True)
class View:
    """The person who looks at a list, and the row after which it continues."""

    context: ConsoleContext
    person: StaffMember
    after: UUID | None = None

    @property
    def failures(self) -> int:
        """Returns after how many wrong codes a link proves nothing."""
        return self.context.services.use_cases.identity.links.failures

    def at(self, moment: datetime | None) -> str:
        """Returns an instant in the zone of the controller."""
        return local(self.context, moment)


@dataclass(frozen=True, slots=True)
class ConsoleTable:
    """One table of a page.

    ``key``: the attribute with the ID of a row; ``kind``: of the registry, whose possible actions end each row.
    ``onward``: the name in the query by which the list goes on; without it the first ``most`` rows are shown.
    ``offers``: what else can be decided about each row. ``prints``: the rows can be printed.
    """

    title: str
    lead: str
    columns: Sequence[str]
    none: str
    find: Find
    cells: Callable[[View, Any], Cells]
    key: str = ""
    kind: str = ""
    onward: str = ""
    most: Callable[[], int] | None = None
    offers: Callable[[View, Any], Sequence[NavigationLink]] | None = None
    new: New | None = None
    prints: bool = False


def _stored(read: Callable[[Connection, View, int], Awaitable[Sequence[Any]]]) -> Find:
    """Reads rows with a connection that is given back before anything is decided about them."""

    async def find(view: View, most: int) -> Sequence[Any]:
        async with view.context.services.unit_of_work.pool.acquire() as connection:
            return await read(connection, view, most)

    return find


async def _blocked_runs(connection: Connection, _: View, __: int) -> Sequence[Any]:
    return [each for each in await Sweep.listed(connection) if each.state == "stopped"]


async def _proposals(view: View, most: int) -> Sequence[Any]:
    async with view.context.services.unit_of_work.pool.acquire() as connection:
        found = await approvals.waiting(connection, limit=most)
    standing = await execution.waiting(view.context.services.use_cases, KINDS, view.person.caller, found)
    return sorted(standing, key=lambda each: str(each[1] or "~"))


def _system(view: View, each: Any) -> Cells:
    why = _CHANGED.format(name=each.name) if each.reason == CHANGED else (each.reason or "–").replace("_", " ")
    return each.name, _STATES.get(each.state, each.state), why, view.at(each.since)


def _hold(_: View, each: Any) -> Cells:
    categories = ", ".join(each.categories).replace("_", " ") or "all"
    return each.case_number, each.reason.replace("_", " ").lower(), categories, each.owner, str(each.review_on)


def _incident(view: View, each: Any) -> Cells:
    word = spelled(each.fault) if each.fault else f"found elsewhere, {each.found_at:%Y-%m-%d}"
    return (
        NavigationLink(f"/incidents/{each.incident_id}", word) if view.person.may(StaffPower.READ) else word,
        incidents.clock(view.context, each),
        ", ".join(map(spelled, each.categories or ())) or "not stated",
        each.owner or "none",
        "a second person" if each.proposed_by else "",
    )


def _digest(view: View, each: Any) -> Cells:
    name = (
        NavigationLink(f"/recipients/{each.digest_id}", each.recipient)
        if view.person.may(StaffPower.READ)
        else each.recipient
    )
    return name, str(each.requests), view.at(each.reminded_at)


def _proposal(view: View, row: tuple[approvals.Proposal, date | datetime | None]) -> Cells:
    found, due = row
    title = KINDS[found.kind].actions[found.action].title
    named = NavigationLink(f"/{found.kind}/{found.subject}", title) if found.kind in OWN_PAGE else title
    by = "you" if found.proposed_by == view.person.holder else found.proposed_by
    until = view.at(due) if isinstance(due, datetime) else str(due or "–")
    return named, actions.in_words(found), by, until


def _approvals(view: View, row: tuple[approvals.Proposal, object]) -> Sequence[NavigationLink]:
    found = row[0]
    return actions.links(found, KINDS[found.kind].actions[found.action], view.person)


def _letter(view: View, each: Any) -> Cells:
    about = f"/requests/{each.request_id}" if each.request_id else f"/recipients/{each.letter_id}"
    fault = (each.fault or "–").replace("_", " ")
    return NavigationLink(about, each.kind.replace("_", " ")), view.at(each.written_at), each.way, fault


def _letters(title: str, lead: str, state: str, way: str | None) -> ConsoleTable:
    find = _stored(
        lambda connection, view, most: delivery_queue.open_deliveries(connection, view.after, most, state, way)
    )
    columns = ("Letter", "Written", "Channel", "Why", "Decide")
    onward = f"{state}-{way or 'any'}"
    return ConsoleTable(
        title, lead, columns, "None.", find, _letter, "letter_id", "letters", onward=onward, prints=way == "post"
    )


def _mails(title: str, lead: str, state: Any) -> ConsoleTable:
    async def find(view: View, most: int) -> Sequence[Any]:
        return await view.context.services.use_cases.mail.waiting(state, view.after, most)

    def cells(view: View, each: Any) -> Cells:
        return inbox.cells(view.context, each)

    return ConsoleTable(title, lead, inbox.COLUMNS, "None.", find, cells, "mail_id", onward=state)


LISTS: Final = {
    "/approvals": (
        ConsoleTable(
            "Proposed by one person",
            "Nothing of it is done before a second person approves.",
            ("What", "About", "Proposed by", "Due", "Decide"),
            "Nothing waits for a second person.",
            _proposals,
            _proposal,
            most=lambda: ROWS,
            offers=_approvals,
        ),
        ConsoleTable(
            "Recipients to be asked",
            "They were notified and reminded, and have not answered (Art. 19): ask them. Letters to post are listed"
            " under Letters.",
            ("Digest for", "Requests", "Reminded", "Decide"),
            "None.",
            _stored(lambda connection, view, most: digests.unanswered(connection, silent(view.context.services), most)),
            _digest,
            key="digest_id",
            kind="recipient-digests",
            most=lambda: ROWS,
        ),
    ),
    "/mail": (
        _mails("To be read", "The time limit runs from the moment at which it reached us.", "proposed"),
        _mails("Answers to our letters", "Enter with its request what it says, or make it a new request.", "reply"),
    ),
    "/systems": (
        ConsoleTable(
            "Known systems",
            "Nothing is done in a quarantined system; what needs it waits.",
            ("System", "Status", "Why", "Since", "Decide"),
            "No service has started yet.",
            _stored(lambda connection, *_: KnownSystem.listed(connection)),
            _system,
            key="name",
            kind="systems",
        ),
    ),
    "/stopped": (
        ConsoleTable(
            "API keys",
            "Keys that asked for more erasures in an hour than the policy allows. Their erasures wait.",
            ("Holder", "Key", "Waiting erasures", "Decide"),
            "No API key is suspended.",
            _stored(lambda connection, *_: key_suspension.read_suspended(connection)),
            lambda _, each: (each.holder, each.key_id, str(each.waiting)),
            key="key_id",
            kind="suspended-keys",
        ),
        ConsoleTable(
            "Retention runs",
            "Nightly runs that would delete a larger share of a table than the policy allows.",
            ("Table", "Ceiling", "Rows to delete", "Rows in total", "Decide"),
            "No retention run is blocked.",
            _stored(_blocked_runs),
            lambda _, each: (f"{each.system}, {each.table_name}", each.ceiling, str(each.due), str(each.of_rows)),
            key="sweep_id",
            kind="sweeps",
        ),
        ConsoleTable(
            "Disputes about numbers",
            "A system and the number register disagree about who had a number. Nothing is done there.",
            ("System", "The register says", "Met by", "Decide"),
            "No system contradicts the register.",
            _stored(lambda connection, *_: AssignmentConflict.listed(connection)),
            lambda _, each: (
                each.system,
                spelled(each.kind),
                NavigationLink(f"/requests/{each.request_id}", "request"),
            ),
            key="conflict_id",
            kind="assignment-conflicts",
            most=lambda: rows.MOST,
        ),
        ConsoleTable(
            "Proof of identity",
            "A link or code cannot prove these requesters. Ask in another way, or enter how they proved their"
            " identity.",
            ("Request", "Why", "Since"),
            "No request waits for proof by a person.",
            _stored(lambda connection, view, _: stopped.waiting(connection, view.failures)),
            lambda view, each: (
                NavigationLink(f"/requests/{each.request_id}", reference.of(each.request_id)),
                WHY[each.why],
                view.at(each.since),
            ),
            most=lambda: stopped.MOST,
        ),
    ),
    "/incidents": (
        ConsoleTable(
            "The most urgent first",
            "",
            ("Incident", "72 hours", "Data", "Owner", "Waits for"),
            "No incident is known.",
            _stored(lambda connection, *_: record.listed(connection)),
            _incident,
            most=lambda: ROWS,
            new=NEW_INCIDENT,
        ),
    ),
    "/holds": (
        ConsoleTable(
            "In force",
            "Data that a legal case needs. They are not erased until two people, or a review, lift the hold.",
            ("Case", "Reason", "Categories", "Owner", "Review", "Decide"),
            "No hold is in force.",
            _stored(lambda connection, *_: holds.in_force(connection)),
            _hold,
            key="hold_id",
            kind="holds",
            new=NEW_HOLD,
        ),
    ),
    "/post": (
        _letters("Needs attention", "It has come back, or has no usable address.", "needs_attention", None),
        _letters("To be posted", "Print them, put them in the post, and mark each as posted.", "waiting", "post"),
        _letters(
            "To be sent by e-mail",
            "They are sent automatically, once the mail server accepts them.",
            "waiting",
            "email",
        ),
    ),
}
"""The tables of each page, by its path."""


def routes(console: Console) -> list[BaseRoute]:
    """Returns every list, what can be printed, and the digest of a recipient."""
    context = console.context

    async def prints(visit: Visit) -> Response:
        return await printed(person_of(visit).caller, context.services, ROWS)

    async def digest(visit: Visit) -> Response:
        return await shown_digest(visit.request.path_params["digest_id"], person_of(visit).caller, context.services)

    pages = [page for _, place in NAVIGATION for page in place if page[0] in LISTS]
    return [
        *(console.private(path, _page(context, title, LISTS[path]), power) for path, title, power in pages),
        console.private("/post/print", prints, StaffPower.READ),
        console.private("/recipients/{digest_id:uuid}", digest, StaffPower.READ),
    ]


def _page(context: ConsoleContext, title: str, tables: Sequence[ConsoleTable]) -> Handler:
    async def show(visit: Visit) -> Response:
        noted = visit.session.data.pop("noted", None)
        return visit.page(
            "lists.html", title=title, noted=noted, tables=[await _read(context, visit, t) for t in tables]
        )

    return show


async def _read(context: ConsoleContext, visit: Visit, table: ConsoleTable) -> dict[str, Any]:
    """Reads the rows of a table, with what can be decided about each."""
    person, after = person_of(visit), _place(visit, table.onward)
    view = View(context, person, after)
    found = await table.find(view, ROWS + 1 if table.onward else ROWS)
    lead, more, most = table.lead, None, table.most() if table.most else ROWS
    if table.onward and len(found) > ROWS:
        found, here = found[:ROWS], visit.request.url.path.removeprefix(visit.site.base)
        more = NavigationLink(f"{here}?{table.onward}={getattr(found[-1], table.key)}", "Show those after these")
    elif table.most and len(found) >= most:
        lead, found = f"{lead} The first {most} are shown: decide them, and the others follow.", found[:most]
    links: Sequence[Sequence[NavigationLink]] = [table.offers(view, each) if table.offers else () for each in found]
    if table.kind:
        links = await actions.offered(context, table.kind, ((getattr(row, table.key), row) for row in found), person)
    above = (
        [NavigationLink(table.new.path, TEXTS[table.new.of].title)]
        if table.new and person.may(StaffPower.HANDLE)
        else []
    )
    if table.prints and found:
        every = f"Print the first {ROWS} letters" if more or after else "Print all letters to be posted"
        above.append(NavigationLink("/post/print", every))
    return {
        "title": table.title,
        "lead": lead,
        "columns": table.columns,
        "rows": [(table.cells(view, each), offered) for each, offered in zip(found, links, strict=True)],
        "none": "This is the end of the list." if after else table.none,
        "actions": above,
        "more": more,
    }


def _place(visit: Visit, name: str) -> UUID | None:
    """Returns the row after which a list goes on; None for its beginning."""
    said = visit.request.query_params.get(name) if name else None
    try:
        return UUID(said) if said else None
    except ValueError:
        raise NotFound("there is no such place in the list: begin with its first page") from None
