"""Looking without touching: what a subject has in a store, and why a task must not go on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.assignments import NUMBERS, lacking
from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.downstreams.contract import NotSearched, Receipt, Result, Task
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding import claimed, sharing
from shared.downstreams.sql.finding.attribution import attribute, owners_of
from shared.downstreams.sql.finding.search_keys import Wanted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

UNATTRIBUTED_AT_MOST = 100_000
_ACCOUNT = frozenset({IdentityType.ACCOUNT_ID})


def covered(tables: Sequence[Statements], tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
    """The results with the categories that were searched, and what could not be: never the same as nothing found."""

    def said(task: Task, result: Result) -> Result:
        if not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
            return result
        categories = {table.table.category for table in tables if table.keys(task)}
        reason = unsearched(task, tables)
        if reason is not None and not categories:
            return NotSearched(task.task_id, reason)
        # Of a store that was replaced nobody knows in which of them anything was found.
        said = None if result.uncounted else tuple(sorted(categories))
        by_account = tuple(
            sorted({t.table.category for t in tables if {*t.table.types} == _ACCOUNT and not t.keys(task)})
        )
        return replace(result, not_searched=reason, categories=said, by_account=by_account or None)

    return [said(task, result) for task, result in zip(tasks, results, strict=True)]


async def with_unattributed(session: Session, tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
    """The results, each with the rows of which nobody can tell whether they are the subject's, who has a number.

    They are counted now, after the work, up to a limit and once for all of the tasks: an answer must not rest on what
    the store held before.
    """
    counts = [(table, count) for table in session.tables if (count := table.unattributed)]
    types = {kind for table, _ in counts for kind in table.table.types}
    asked = types.intersection(each.type for task in tasks for each in task.identities)
    query = session.connection.fetchval
    rows = sum([await query(count, UNATTRIBUTED_AT_MOST) for _, count in counts]) if asked else 0
    return [
        replace(result, unattributed=rows)
        if rows and isinstance(result, Receipt) and any(each.type in types for each in task.identities)
        else result
        for task, result in zip(tasks, results, strict=True)
    ]


def unsearched(task: Task, tables: Sequence[Statements]) -> Unsearched | None:
    """Why a table could not be searched by everything that is known of the subject, or None if all could.

    A number without its period finds nobody where rows have times (REQ-N1, REQ-N2). What a searched table yields
    reaches the other tables of the same store. What stops marketing needs the tables that it changes, and no others.
    """
    known = {identity.type for identity in task.identities}
    numbers = [identity for identity in task.identities if identity.type in NUMBERS]
    dated = {(number.type, number.value) for number in numbers if number.valid_from is not None}
    undated = {number.type for number in numbers if (number.type, number.value) not in dated}
    changed = _changed(task, tables)
    dates = [each.table for each in changed if each.table.occurred]
    if any(undated.intersection(table.types) for table in dates):
        return Unsearched.NUMBER_WITHOUT_PERIOD
    searched = (table.table for table in tables if known.intersection(table.table.types))
    known |= {c.identity for table in searched for c in table.columns.values() if c.yields and c.identity is not None}
    needed = [table.table.types for table in changed if table.table.types and not known.intersection(table.table.types)]
    return lacking(frozenset().union(*needed)) if needed else None


def _changed(task: Task, tables: Sequence[Statements]) -> Sequence[Statements]:
    """The tables that a task may change, or all where joins lead to one of them: a stop of marketing changes few."""
    if task.operation is not Operation.SUPPRESS:
        return tables
    named = task.details.get("ends")
    ends = named if isinstance(named, list) else []
    changed = [each for each in tables if each.table.marketing or each.table.category in ends]
    return tables if any(each.table.via for each in changed) else changed


async def refusals(session: Session, tasks: Sequence[Task], whole: Session | None = None) -> dict[UUID, Refused]:
    """Tasks whose search would find other people's rows, or more people than one request may touch.

    ``whole``: the store with what stays of it: that too may show whose the rows of an account are.
    """
    refused: dict[UUID, Refused] = {}
    people: dict[int, dict[str, set[str]]] = {}
    for table in (table for table in session.tables if table.foreign or table.table.told_apart_by is not None):
        asked = table.wanted(tasks)
        if not asked:
            continue
        for position in await _finding_others(session, table, asked):
            refused[tasks[position].task_id] = ForeignHit(
                f"{table.name}: the search also finds rows of other people; nothing was done"
            )
        if (by := table.table.told_apart_by) is not None:
            for row in await session.connection.fetch(table.select([by]), *asked.arrays):
                for position in owners_of(row, 1, table, asked):
                    if (who := told_apart(table.name, table.table, row[0])) is not None:
                        people.setdefault(position, {}).setdefault(who[0], set()).add(who[1])
    refused |= await sharing.refusals(session, [task for task in tasks if task.task_id not in refused])
    refused |= await _claiming(session, [task for task in tasks if task.task_id not in refused], whole)
    for position, found in people.items():
        if excess := session.settings.excess(tasks[position], people=max(map(len, found.values()))):
            refused[tasks[position].task_id] = excess
    return refused


async def _claiming(session: Session, tasks: Sequence[Task], whole: Session | None) -> dict[UUID, Refused]:
    refused = await claimed.refusals(session, tasks)
    if not refused or whole is None:
        return refused
    return await claimed.refusals(whole, [task for task in tasks if task.task_id in refused])


def told_apart(name: str, table: Table, value: object) -> tuple[str, str] | None:
    """Who a row is about, beside others of whom that is told in the same way; None where it says nothing.

    Of tables that declare it all are one list; what a table shows by itself is its own.
    """
    if table.person is not None:
        return "", str(value)
    said = " ".join(str("" if value is None else value).casefold().split())
    return (name, said) if said else None


async def _finding_others(session: Session, table: Statements, asked: Wanted) -> set[int]:
    found = [await session.connection.fetch(statement, *asked.arrays) for statement in table.foreign]
    values = {value for rows in found for (value,) in rows}
    return {p for owners in asked.owners.values() for value in values for p, _ in owners.get(value, ())}


async def count(session: Session, tasks: Sequence[Task], but: Collection[str] = ()) -> Mapping[UUID, int]:
    """Rows of each task now, by every one of its identities, in all tables ``but`` those of these names."""
    rows = {task.task_id: 0 for task in tasks}
    for table in (table for table in session.tables if table.name not in but):
        asked = table.wanted(tasks)
        alone = {0} if len(tasks) == 1 else set()
        if asked and len(alone) < len(tasks):
            whose = attribute(await session.connection.fetch(table.count, *asked.arrays), table, asked)
            # A row that leads to several is met once for each of them.
            alone |= whose.mixed if table.to_one else whose.mixed | whose.rows.keys()
            for position in whose.rows.keys() - alone:
                rows[tasks[position].task_id] += whose.rows[position]
        for position in (position for position in alone if table.keys(tasks[position])):
            count_one = table.count_one(table.keys(tasks[position]))
            rows[tasks[position].task_id] += await session.connection.fetchval(*count_one)
    return rows


async def extent(session: Session, task: Task) -> tuple[datetime | None, datetime | None, int]:
    """From when to when (UTC) a subject has rows, and how many."""
    moments: list[datetime] = []
    rows = 0
    for table in session.tables:
        if keys := table.keys(task):
            n, *times, _undated = (await session.connection.fetch(*table.count_one(keys)))[0]
            rows += n
            if table.search:  # a row that is found by joins alone is the subject's at whatever time it is of
                moments += [as_utc(at, table.table.timezone) for at in times if at is not None]
    return (min(moments, default=None), max(moments, default=None), rows)


def as_utc(moment: date, zone: ZoneInfo) -> datetime:
    """A time of the store in UTC: one without zone is read in the zone that the dataset declares (REQ-N4).

    Of a day it is the beginning: a number finds whole days of its period alone (``search_keys.py``).
    """
    instant = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
