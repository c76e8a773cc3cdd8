"""The queue of the privacy team: what is open by its due date, what waits for what, and what was closed lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from services.intake.queries.listing import Place, microseconds, moment_at
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.store.repository import read_all
from shared.domain.rights import Right
from shared.storage.postgres import Connection


class Waits(StrEnum):
    """The cause that a request waits for; ``package``: its package is withheld, also where it is closed."""

    PERSON = "person"
    PROOF = "proof"
    REPLY = "reply"
    OTHERS = "others"
    KEY = "key"
    PACKAGE = "package"


_OPEN = ("state <> 'closed'", "unfinished")
"""Conditions of what is open: each has an index, and no request meets both."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests; None: any. ``due_before``: they are due before that day. ``system``: it reported of them."""

    waits: Waits | None = None
    state: State | None = None
    right: Right | None = None
    due_before: date | None = None
    system: str | None = None
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the queue, and where the next one begins, if there is more."""

    requests: Sequence[Request]
    following: Place | None


async def page(connection: Connection, wanted: Filters, limit: int) -> Page:
    """The next requests: what is open by the day on which it is due; what is closed, the latest first.

    What is closed and unfinished is in both: its answer has not reached the person, or a part of it is owed.
    """
    closed = wanted.state is State.CLOSED
    query, values = ids(wanted, limit)
    found_ids = [row[0] for row in await connection.fetch(query, *values)]
    found = {request.request_id: request for request in await read_all(connection, found_ids[:limit])}
    requests = [found[each] for each in found_ids[:limit] if each in found]
    return Page(requests, _place(requests[-1], closed=closed) if len(found_ids) > limit else None)


async def counts(connection: Connection, today: date, soon: date) -> Sequence[int]:
    """Returns how many requests are open, overdue, due before ``soon``, wait for a person, for proof, are withheld."""
    tallies = "count(*), count(*) FILTER (WHERE due_on < $1), count(*) FILTER (WHERE due_on < $2), "
    tallies += "count(*) FILTER (WHERE waits = 'person'), count(*) FILTER (WHERE waits = 'proof')"
    each = [f"SELECT {tallies} FROM request WHERE {condition}" for condition in _OPEN]  # noqa: S608  # ours
    rows = await connection.fetch(" UNION ALL ".join(each), today, soon)
    withheld = await connection.fetchval("SELECT count(*) FROM request WHERE waits = 'package'")
    return [*(sum(column) for column in zip(*rows, strict=True)), withheld]


def ids(wanted: Filters, limit: int) -> tuple[str, Sequence[object]]:
    """The query for the ids of a page and of the request that follows it, and its values; pure."""
    closed = wanted.state is State.CLOSED
    conditions, values = _criteria(wanted, closed=closed)
    order = "closed_at DESC, request_id DESC" if closed else "due_on, request_id"
    within = ("closed_at IS NOT NULL",) if closed else _OPEN if wanted.waits is None else ("true",)
    some = [
        f"(SELECT request_id, due_on, closed_at FROM request WHERE {' AND '.join((each, *conditions))}"  # noqa: S608
        f" ORDER BY {order} LIMIT {limit + 1:d})"
        for each in within
    ]
    found_in = " UNION ALL ".join(some)
    return f"SELECT request_id FROM ({found_in}) AS f ORDER BY {order} LIMIT {limit + 1:d}", values  # noqa: S608  # ours


def _criteria(wanted: Filters, *, closed: bool) -> tuple[Sequence[str], Sequence[object]]:
    """Conditions, each with an index, and their values in order."""
    asked: list[tuple[str, Sequence[object]]] = [
        ("waits = ${}", _given(wanted.waits)),
        ("state = ${}", _given(None if closed else wanted.state)),
        ('"right" = ${}', _given(wanted.right)),
        ("due_on < ${}", _given(wanted.due_before)),
        ("systems IS NOT NULL AND systems @> ${}", _given([wanted.system] if wanted.system else None)),
    ]
    if wanted.after and closed:
        asked.append(("(closed_at, request_id) < (${}, ${}::uuid)", (moment_at(wanted.after.at), wanted.after.row_id)))
    elif wanted.after:
        day = date.fromordinal(max(1, min(wanted.after.at, date.max.toordinal())))
        asked.append(("(due_on, request_id) > (${}, ${}::uuid)", (day, wanted.after.row_id)))
    conditions, values = list[str](), list[object]()
    for text, given in asked:
        if "$" not in text or given:
            conditions.append(text.format(*range(len(values) + 1, len(values) + len(given) + 1)))
            values += given
    return conditions, values


def _given(value: object) -> Sequence[object]:
    return () if value is None else (value,)


def _place(last: Request, *, closed: bool) -> Place:
    if closed and last.closed_at:
        return Place(microseconds(last.closed_at), last.request_id)
    return Place(last.due_on.toordinal(), last.request_id)
