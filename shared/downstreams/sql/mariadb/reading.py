"""What of a subject's rows is told: identities for other systems, and the records of a copy."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import Identity
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.claims import adopted
from shared.downstreams.contract import Pending, Receipt, Record, Result, Task
from shared.downstreams.following import FAR, endless, leading, shared_by
from shared.downstreams.sql.export import Sheet
from shared.downstreams.sql.finding.attribution import Row
from shared.downstreams.sql.finding.location import beside, knows, located, superseded, with_shared, yielded
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.judging import refusal, states_of, told_of
from shared.downstreams.sql.mariadb.rows import Found, Rows
from shared.downstreams.sql.mariadb.search import find
from shared.downstreams.sql.mariadb.staying import kept, staying
from shared.downstreams.sql.mariadb.store import Session

_AT_ONCE = timedelta()


async def locate(session: Session, task: Task) -> Result:
    """Follow what the rows yield until nothing new is found."""
    known = task
    for _ in range(FAR):
        searched = leading(task, known)
        rows = await find(session, searched)
        if reason := await refusal(session, searched, rows):
            return reason
        fresh = [*dict.fromkeys(each for each in _yielded(session, searched, rows) if not knows(known, each))]
        if not fresh:
            return located(task, await _with_shared(session, task, known), rows.counts())
        kept = tuple(each for each in known.identities if not superseded(each, fresh))
        known = replace(known, identities=(*kept, *fresh))
    return endless(session.system)


async def _with_shared(session: Session, asked: Task, known: Task) -> Task:
    """Marks what was told and is not followed where others have it, too."""
    if not (told := beside(asked, known)):
        return known
    looked = replace(known, identities=told, beside=known.identities)
    rows = await find(session, looked)
    tables = [table for table in session.tables if any(column.yields for column in table.table.columns.values())]
    said = [
        [*yielded(session.system, table, _read(table, found))]
        for table in tables
        for found in rows.of[table.name].values()
    ]
    return with_shared(known, shared_by(looked, said))


def _yielded(session: Session, task: Task, rows: Rows) -> Iterator[Identity]:
    for table in session.tables:
        if any(column.yields for column in table.table.columns.values()):
            for found in rows.of[table.name].values():
                told = yielded(session.system, table, _read(table, found))
                yield from adopted(task, told_of(table, found), [*told])


async def plan(session: Session, policy: Policy, task: Task) -> Result:
    """What an erasure would find and leave, by category, or the refusal with which it would end."""
    rows = await find(session, task)
    categories = {table.name: table.table.category for table in session.tables}
    counts = Counter(categories[name] for name, found in rows.of.items() for _ in found)
    try:
        if reason := await refusal(session, task, rows):
            raise reason
        stays = staying(session, policy, task, rows)
        if excess := session.settings.excess(task, rows=rows.counts() - len(stays)):
            raise excess
    except Refused as refused:
        refused.found = None if isinstance(refused, ForeignHit) else counts
        return refused
    return replace(leaving.planned(task, counts, kept(session, stays)), states=states_of(session, task, rows))


async def export(session: Session, policy: Policy, tasks: Sequence[Task]) -> list[Result]:
    """Every row of every subject; who no longer fits beside the others comes again."""
    results: list[Result] = []
    room = session.settings.max_rows
    for task in tasks:
        rows = await find(session, task)
        fails: Refused | None = await refusal(session, task, rows) or session.settings.excess(task, rows=rows.counts())
        if fails:
            results.append(fails)
        elif results and rows.counts() > room:
            results.append(Pending(task.task_id, _AT_ONCE))
        else:
            room -= rows.counts()
            results.append(_receipt(task, records(session, policy, rows)))
    return results


def _receipt(task: Task, found: Sequence[Record]) -> Receipt:
    if not found:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    counts = Counter(record.category for record in found)
    n = len(found)
    return Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=counts, records=tuple(found))


def records(session: Session, policy: Policy, rows: Rows) -> list[Record]:
    """A record of each row."""
    made: list[Record] = []
    for table in session.tables:
        sheet = Sheet(session.system, table, policy.redacts(table.table.category))
        for found in rows.of[table.name].values():
            shown = _read(table, found)
            told, times, owners = _matching(table, found)
            line = _Line([*shown.values(), *told, *times, *owners[1:]], shown)
            made.append(sheet.record(cast("Row", line), found.parties))
    return made


class _Line:
    """What was read of a row, by position and by column: its columns, what found it, when, and for whom."""

    def __init__(self, listed: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._listed, self._named = listed, named

    def __getitem__(self, at: int | slice | str) -> Any:
        return self._named[at] if isinstance(at, str) else self._listed[at]


def _read(table: Searched, found: Found) -> dict[str, Any]:
    """Every declared column, bytes as the text that they spell."""
    read: dict[str, Any] = {}
    for name, column in table.table.columns.items():
        held = values.read(table, name, found.row) if column.json_ else found.row[name]
        read[name] = held.decode("utf-8", "replace") if isinstance(held, bytes) else held
    return read


def _matching(table: Searched, found: Found) -> tuple[list[str | None], list[datetime | None], list[str | None]]:
    """The values that may have found a row, the times, and for whom it is processed, in the order of its finders.

    Of several rows at the end of a path the first stands for all: each of them is the subject's.
    """
    told = [values.compared(table, name, found.row) for name in table.search]
    times, owners = [values.moment(table, found.row)], [values.owner(table, found.row)]
    for number, path in enumerate(table.paths):
        ends = found.ends.get(number)
        if ends:
            theirs, at, whose = _matching(path.end, ends[0])
        else:
            theirs, at = [None] * len(path.end.finders), [None] * path.end.times
            whose = [None] * path.end.times
        told += [theirs[k] for k, _ in path.finders()]
        times += at
        owners += [owners[0]] * path.end.times if table.table.tenant else whose
    return told, times, owners
