"""Erasure where rules keep rows (Art. 17(3)): what is due goes, what is kept is reduced and restricted, with proof.

What is left of a kept row are the fields of its rule. The numbers by which it is found are restricted on the read path
until the moment of the erasure, and noted beside the data, so that a row that is kept for another's bill is no longer
found by them (REQ-R5, R6). Both go with the last row.
"""

# ruff: noqa: S608 - names are quoted, and every value a parameter

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from shared.domain.assignments import NUMBERS
from shared.domain.operations import Kept, TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.sql import progress
from shared.downstreams.sql.declaration.graph import joined_by
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.erasure import Erasure, limited
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.keeping import restricting, states
from shared.downstreams.sql.keeping import told as kept_told
from shared.downstreams.sql.keeping.by_policy import anonymised, with_anonymised
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.rows import marks
from shared.downstreams.sql.keeping.rules import TOLD, ruled, told_alike
from shared.downstreams.sql.keeping.staying import (
    Counted,
    Stay,
    counted,
    staying,
    without_marks,
    without_staying,
)
from shared.downstreams.sql.keeping.undecided import undecided
from shared.downstreams.sql.quoting import Condition, literal, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

_MARK = """
WITH m AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS m (r, n, f, u)
), noted AS (
    INSERT INTO dsr_platform.kept (request_id, system, number, valid_from, valid_to)
    SELECT r, $1, n, f, u FROM m ON CONFLICT DO NOTHING
)
INSERT INTO {place} ({columns}) SELECT r, n, f, u FROM m ON CONFLICT DO NOTHING
"""
_UNMARK = "DELETE FROM dsr_platform.kept WHERE request_id = ANY($1) AND system = $2"


async def erased(
    session: Session, policy: Policy, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    """The results of erasures in a store, in order.

    Raises:
        RuleUndeclared: the policy keeps or anonymises something, and the dataset does not say how.
    """
    session = replace(session, tables=anonymised(session, policy))
    begun = Begun.of(session.system, str(session.incarnation), tasks)
    results: dict[UUID, Result] = {}
    said = await states.said(session, tasks)
    for alike in told_alike(tasks, said).values():
        rules = ruled(session, policy, alike[0], said)
        results |= await undecided(session, rules, alike)
        if open_ := [task for task in alike if task.task_id not in results]:
            stay = staying(session, rules, alike[0])
            unused = restricting.unused(session, policy, stay, alike[0], said)
            results |= await _Kept(session, stay, save_progress, begun, unused).run(open_)
    return with_anonymised(session, policy, [results[task.task_id] for task in tasks])


class _Kept:
    """One call, of tasks that were told the same, with the rules that keep rows of them."""

    def __init__(
        self, session: Session, stay: Sequence[Stay], save_progress: Checkpoint, begun: Begun, unused: Sequence[Stay]
    ) -> None:
        self._session, self._stay, self._unused = session, stay, unused
        self._restricted: restricting.Restricted = {}
        self._save_progress, self._begun = save_progress, begun
        self._joined = joined_by({table.name: table.table for table in session.tables})
        self._reduced: dict[UUID, Counter[str]] = {}
        self._unchanged: frozenset[UUID] = frozenset()

    async def run(self, tasks: Sequence[Task]) -> dict[UUID, Result]:
        again = [t for t in tasks if t.details.get(TOLD) or (self._stay and t.attempt > 1)]
        tables = without_marks(self._session, again) if again else self._session.tables
        session = replace(self._session, tables=without_staying(tables, self._stay))
        erasure = Erasure(session, self._save_progress, self._begun, self._session)
        done = self._begun.told(tasks, await erasure.run(tasks))
        results: dict[UUID, Result] = {task.task_id: result for task, result in zip(tasks, done, strict=True)}
        receipts = {task_id: each for task_id, each in results.items() if isinstance(each, Receipt)}
        side = self._session.restriction
        ours = {each.table.category for each in self._session.tables if side and each.name == side.table}
        gone = {
            task_id: {name for name, n in each.by_category.items() if n} - ours for task_id, each in receipts.items()
        }
        self._unchanged = frozenset(task_id for task_id, each in gone.items() if not each)
        erased = [task for task in tasks if task.task_id in receipts]
        if not erased or not (self._stay or again):
            return results
        found = await counted(self._session, self._stay, erased)
        left = {task_id for _, rows in found for task_id in rows}
        ended = [t for t in again if t.task_id not in left and isinstance(results[t.task_id], Receipt)]
        kept_of = [task for task in erased if task.task_id in left]
        results |= await self._reduce(kept_of, ended, found, erasure.at_once or len(tasks))
        for task_id, kept in kept_told.kept_of(found).items():
            if isinstance(receipt := results[task_id], Receipt):
                retained = _retained(receipt, kept, self._reduced.get(task_id, {}))
                covered = {each.table.table.category for each in self._unused}
                results[task_id] = restricting.told(retained, self._restricted.get(task_id, {}), covered)
        return results

    async def _reduce(
        self, kept: Sequence[Task], ended: Sequence[Task], found: Counted, at_once: int
    ) -> dict[UUID, Result]:
        """Reduces and restricts what is kept, and lets the restrictions of those go of whom nothing is any more.

        ``at_once``: of how many in a transaction at first, as many as their erasure took: what takes too long is undone
        and done once more by halves.
        """
        parts = range(0, max(len(kept), len(ended)), at_once)
        queue = [(kept[first : first + at_once], ended[first : first + at_once]) for first in parts]
        late = dict[UUID, Result]()
        limit = self._session.settings.lock_seconds
        while queue:
            stay, over = queue.pop()
            if not (batch := [*stay, *over]):
                continue
            await self._save_progress({task.task_id: {} for task in batch})
            try:
                async with self._session.connection.transaction():
                    await limited(self._session.connection, limit)
                    reduced = {task.task_id: Counter[str]() for task in batch}
                    for each, rows in ((each, rows) for each, rows in found if not each.whole):
                        theirs = [task for task in stay if task.task_id in rows]
                        for task_id, n in (await self._blank(each, theirs, rows)).items():
                            reduced[task_id][each.table.table.category] += n
                    await self._unmark(over)
                    await self._mark(stay)
                    shown = await restricting.restrict(self._session, self._unused, stay, found)
                    await self._note(batch, reduced, late)
                    self._restricted |= shown
            except _Late:
                queue.append(([t for t in stay if t.task_id not in late], [t for t in over if t.task_id not in late]))
            except asyncpg.QueryCanceledError:
                if len(batch) > 1:
                    half, other = len(stay) // 2, len(over) // 2
                    queue += [(stay[:half], over[:other]), (stay[half:], over[other:])]
                elif limit < self._session.settings.timeout_seconds:
                    limit = self._session.settings.timeout_seconds
                    queue.append((stay, over))
                else:
                    raise
        return late

    async def _note(
        self, batch: Sequence[Task], reduced: Mapping[UUID, Counter[str]], late: dict[UUID, Result]
    ) -> None:
        noted = await progress.add_reduced(self._session, batch, [reduced[task.task_id] for task in batch])
        if behind := [task.task_id for task in batch if task.task_id not in noted]:
            late.update(dict.fromkeys(behind, progress.overtaken(self._session.system)))
            raise _Late
        self._reduced |= noted

    async def _blank(self, each: Stay, tasks: Sequence[Task], rows: Mapping[UUID, Rows]) -> Counter[UUID]:
        """Takes from the rows that are kept all that their rule does not need; of how many, by task.

        Of those of whom nothing else was changed that is counted one by one: an earlier request may have left them so.
        """
        reduced = Counter[UUID]()
        table, together = each.within, [task for task in tasks if not rows[task.task_id].alone]
        asked = table.wanted(together)
        for party in table.table.parties or (None,):
            gone = self._gone(each, party)
            columns = table.columns_of(party)
            if not gone or not columns:
                continue
            assigned = table.assigned([(gone, None)])
            held = " OR ".join(f"{table.read(c)}::text IS DISTINCT FROM {value}" for c, value in gone.items())
            for task in (task for task in together if task.task_id in self._unchanged):
                condition = Condition()
                mine = table.mine(table.keys(task), condition, columns)
                more = f"SELECT count(*) FROM {table.source} t WHERE ({mine}) AND ({held})"
                reduced[task.task_id] += await self._session.connection.fetchval(more, *condition.arguments)
            if asked:
                which = f"{table.any_of(columns)} AND ({held})"
                update = f"UPDATE {table.source} t SET {assigned} WHERE {which}"
                if _updated(await self._session.connection.execute(update, *asked.arrays)):
                    others = (task.task_id for task in together if task.task_id not in self._unchanged)
                    reduced.update({task_id: rows[task_id].count for task_id in others})
            for task in (task for task in tasks if rows[task.task_id].alone):
                condition = Condition()
                mine = table.mine(table.keys(task), condition, columns)
                update = f"UPDATE {table.source} t SET {assigned} WHERE ({mine}) AND ({held})"
                done = await self._session.connection.execute(update, *condition.arguments)
                reduced[task.task_id] += _updated(done)
        return reduced

    def _gone(self, each: Stay, party: str | None) -> Mapping[str, str]:
        """What a party's columns become of which nothing needs to stay; in a row about one person, all of theirs."""
        table, left = each.table.table, each.kept_columns
        if party is None:
            left |= table.found_by | self._joined.get(each.table.name, frozenset())
        left |= _telling(table, lasts=isinstance(each, Held))
        fields = table.fields_of(party) if party else table.about_one
        gone = {name: literal(column.blank) for name, column in fields.items() if name not in left}
        return gone | ({table.kept.column: literal(table.kept.word)} if table.kept else {})

    async def _mark(self, tasks: Sequence[Task]) -> None:
        side = self._session.restriction
        marks = [(task.request_id, *held) for task in tasks for held in restricting.numbers_of(task, self._kinds)]
        if not marks or side is None:
            return
        names = ", ".join(quoted(name) for name in (side.request, side.number, side.valid_from, side.valid_to))
        put = _MARK.format(place=self._place, columns=names)
        await self._session.connection.execute(put, self._session.system, *zip(*marks, strict=True))

    async def _unmark(self, tasks: Sequence[Task]) -> None:
        side, requests = self._session.restriction, [task.request_id for task in tasks]
        if not requests or side is None:
            return
        await self._session.connection.execute(_UNMARK, requests, self._session.system)
        gone = f"DELETE FROM {self._place} WHERE {quoted(side.request)} = ANY($1)"
        await self._session.connection.execute(gone, requests)

    @property
    def _kinds(self) -> frozenset[str]:
        return frozenset(kind for each in self._stay if not each.whole for kind in each.table.types) & NUMBERS

    @property
    def _place(self) -> str:
        side = self._session.restriction
        return f"{quoted(self._session.settings.namespace)}.{quoted(side.table if side else '')}"


def _telling(table: Table, *, lasts: bool) -> frozenset[str]:
    """The columns that tell whether a row must stay: without them nobody could say later that it need not any more.

    ``lasts``: as it must now. Else what stands there once its person is gone may say that it is over.
    """
    columns = {state.column for state in table.refuse_when}
    return frozenset(name for name in columns if lasts or table.columns[name].blank is None)


class _Late(Exception):
    """Another attempt was there: the transaction is given up."""


def _updated(status: str) -> int:
    """How many rows a statement has changed, as the driver says it."""
    return int(status.rsplit(maxsplit=1)[-1])


def hiding(session: Session) -> Session:
    """The same for reading: what is kept for another's bill is no longer found by the numbers of who was erased."""
    return replace(session, tables=tuple(_hiding(session.system, table) for table in session.tables))


def _hiding(system: str, table: Statements) -> Statements:
    marked = marks(system, table)
    return replace(table, unfound=marked) if marked else table


def _retained(receipt: Receipt, kept: Sequence[Kept], reduced: Mapping[str, int]) -> Receipt:
    """The receipt of an erasure that had to leave something."""
    by_category = dict(receipt.by_category)
    for each in kept:
        category = each.category or ""
        by_category[category] = by_category.get(category, 0) + each.count
    found = receipt.found + sum(each.count for each in kept)
    said = {"found": found, "by_category": by_category, "reduced": {name: n for name, n in reduced.items() if n}}
    return kept_told.keeping(receipt, kept, outcome=TaskOutcome.RETAINED, **said)
