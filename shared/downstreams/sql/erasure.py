"""Erasure from a SQL store (Art. 17): hundreds of subjects by one statement, proved by looking again.

Every transaction counts what it removes and notes that in the store, in a row of our own: both are committed, or
neither is, so a repeat after any crash tells the same counts.
"""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.assignments import NUMBERS
from shared.domain.errors import DoneBefore, ForeignHit, ResidueFound
from shared.domain.identities import Identity
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.sql import progress
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import attribute, owners_of
from shared.downstreams.sql.finding.gathering import Gathered
from shared.downstreams.sql.finding.searching import Path, by_keys
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.keeping import states
from shared.downstreams.sql.quoting import Condition, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Key = tuple[Any, ...]


@dataclass(slots=True)
class Traces:
    """By task, for each path of each table, the keys by which rows of the subject were found."""

    _keys: dict[UUID, dict[tuple[str, int], set[Key]]] = field(default_factory=dict)

    async def note(self, session: Session, tasks: Sequence[Task]) -> None:
        """Note by which keys rows of these tasks are found now."""
        for table in (table for table in session.tables if table.paths):
            for number, path in enumerate(table.paths):
                found = await (_of_one if len(tasks) == 1 else _of_many)(session, table, path, tasks)
                for task_id, keys in found.items():
                    self._keys.setdefault(task_id, {}).setdefault((table.name, number), set()).update(keys)

    async def left(self, session: Session, tasks: Iterable[UUID]) -> Collection[UUID]:
        """The tasks of which rows are left that have one of these keys."""
        known = {task_id: keys for task_id in tasks if (keys := self._keys.get(task_id))}
        found: set[UUID] = set()
        for table in (table for table in session.tables if table.paths):
            for number, path in enumerate(table.paths):
                here = (table.name, number)
                own = {task_id: each[here] for task_id, each in known.items() if each.get(here)}
                if own and await _count(session, table, path, set().union(*own.values())):
                    found |= {task_id for task_id, keys in own.items() if await _count(session, table, path, keys)}
        return found


async def _of_one(
    session: Session, table: Statements, path: Path, tasks: Sequence[Task]
) -> Mapping[UUID, Iterable[Key]]:
    condition, keys = Condition(), table.keys(tasks[0])
    rows = path.rows(by_keys(keys, condition), values=False)
    found = await session.connection.fetch(f"SELECT * FROM ({rows}) r", *condition.arguments) if keys else ()
    return {tasks[0].task_id: [tuple(row) for row in found]}


async def _of_many(
    session: Session, table: Statements, path: Path, tasks: Sequence[Task]
) -> Mapping[UUID, Iterable[Key]]:
    asked, found = table.wanted(tasks), dict[UUID, list[Key]]()
    width = len(path.hops[0].pairs)
    for row in await session.connection.fetch(table.leading(path), *asked.arrays) if asked else ():
        for position, parties in owners_of(row, width, path.end, asked).items():
            if path.of is None or path.of in parties:
                found.setdefault(tasks[position].task_id, []).append(tuple(row[:width]))
    return found


async def _count(session: Session, table: Statements, path: Path, keys: Iterable[Key]) -> int:
    pairs = path.hops[0].pairs
    arrays = ", ".join(f"${i + 1}::{pair.type}[]" for i, pair in enumerate(pairs))
    names = ", ".join(f"dsr_j{i}" for i, _ in enumerate(pairs))
    where = f"{path.hops[0].found('t', f'unnest({arrays}) AS k ({names})')}{table.theirs}"
    columns = [list(column) for column in zip(*keys, strict=True)]
    return int(await session.connection.fetchval(f"SELECT count(*) FROM {table.source} t WHERE {where}", *columns))


_BEGUN = "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)"
_DELETE = "DELETE FROM "
_SHORTEST_WINDOW = timedelta(days=2)
_COLLIDED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_COLLISIONS = 5


class _RolledBack(Exception):
    """A transaction was given up and has changed nothing; ``parts`` of its batch are to be tried again."""

    def __init__(self, *parts: Sequence[Task]) -> None:
        self.parts = parts


class Erasure:
    """One call: a sequence of tasks of the same store.

    ``whole``: the store with what stays of it. ``at_once``: of how many subjects one transaction has kept within its
    time budget; of all until one has not.
    """

    def __init__(self, session: Session, save_progress: Checkpoint, begun: Begun, whole: Session | None = None) -> None:
        self._session, self._whole = session, whole
        self._system = session.system
        self._settings = session.settings
        self._connection = session.connection
        self._save_progress = save_progress
        self._unnoted = dict(begun.noted)
        self._references = session.references
        place = {name: n for n, name in enumerate(session.references.order)}
        self._ordered = sorted(session.tables, key=lambda table: place.get(table.name, 0))
        self._done: dict[UUID, Counter[str]] = {}
        self._loosened: Counter[str] = Counter()
        self._traces = Traces()
        self._results: dict[UUID, Result] = {}
        self.at_once: int | None = None

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """The result of each task.

        Raises:
            SystemRefused: a table that is not declared refers to one that is.
        """
        self._references.refuse_undeclared(self._system)
        searchable = []
        for task in tasks:
            if any(table.keys(task) for table in self._session.tables):
                searchable.append(task)
            else:
                self._results[task.task_id] = Receipt(task.task_id, TaskOutcome.NO_MATCH)
        self._results |= await examination.refusals(self._session, searchable, self._whole)
        self._results |= await states.refusals(self._session, self._open(searchable))
        left, remaining = self._open(searchable), Counter[UUID]()
        for _ in range(self._settings.rounds):
            if not left:
                break
            await self._remove(left)
            left = self._open(left)
            remaining = Counter(await examination.count(self._session, left))
            astray = {*await self._traces.left(self._session, (task.task_id for task in left))}
            for task in (task for task in left if not remaining[task.task_id] and task.task_id not in astray):
                counts = self._done[task.task_id]
                self._results[task.task_id] = Receipt.counted(task, TaskOutcome.ERASED, counts)
            left = self._open(left)
        self._results |= {task.task_id: self._residue(task, remaining[task.task_id]) for task in left}
        return [self._results[task.task_id] for task in tasks]

    def _residue(self, task: Task, remaining: int) -> ResidueFound:
        residue = ResidueFound(f"{self._system} still holds rows of the subject after erasing them")
        gone = self._done.get(task.task_id, Counter()).total()
        residue.done_before = DoneBefore(gone + remaining, gone, remaining) if gone else None
        return residue

    def _open(self, tasks: Iterable[Task]) -> list[Task]:
        return [task for task in tasks if task.task_id not in self._results]

    async def _remove(self, tasks: Sequence[Task]) -> None:
        """Remove what is there now, in transactions that hold their locks no longer than the time budget."""
        tables = self._session.tables
        blanks = any(each.table.erase == "blank" or each.paths for each in tables)
        # What is counted first and changed then must be the same rows; a single DELETE counts by itself.
        isolation: Literal["repeatable_read", "read_committed"] = "repeatable_read" if blanks else "read_committed"
        queue = [tasks]
        limit, collisions = self._settings.lock_seconds, 0
        while queue:
            batch = queue.pop()
            # Which store it is; that itself remembers the rest. And what was withdrawn meanwhile goes no further.
            await self._save_progress({task.task_id: self._unnoted.pop(task.task_id, {}) for task in batch})
            try:
                async with self._connection.transaction(isolation=isolation):
                    done = await self._erase(batch, limit)
            except _RolledBack as attempt:
                queue += attempt.parts
                limit = self._settings.lock_seconds
            except ForeignHit as foreign:
                self._results |= {task.task_id: foreign for task in batch}
            except _COLLIDED:
                collisions += 1
                if collisions > _COLLISIONS:
                    raise
                queue.append(batch)
            except asyncpg.QueryCanceledError:
                half = len(batch) // 2
                self.at_once = min(self.at_once or len(batch), half or 1)
                parts = [batch[:half], batch[half:]] if half else await self._windows(batch[0])
                limit = self._settings.lock_seconds if parts else self._settings.timeout_seconds
                queue += parts or [batch]
            else:
                limit = self._settings.lock_seconds
                self._done |= done
            queue = [part for part in queue if part and part[0].task_id not in self._results]

    async def _erase(self, batch: Sequence[Task], limit: float) -> Mapping[UUID, Counter[str]]:
        """Removes a batch within a transaction, and notes it; all that was removed of each task so far, by category."""
        # Waiting for somebody else's lock is no reason to split: that gives up first, and is tried again later.
        await limited(self._connection, limit)
        await self._traces.note(self._session, batch)
        gathered = await Gathered.of(self._session, batch)
        await self._open_circles(gathered, batch)
        found: list[Counter[str]] = [Counter() for _ in batch]
        self._loosened.clear()
        for table in self._ordered:
            if table.paths:
                rows = gathered.counts(table)
                for statement, *arguments in gathered.removals(table):
                    await self._execute(table, batch, statement, *arguments)
            else:
                rows = await (self._of_one if len(batch) == 1 else self._of_many)(table, batch)
            for position, n in rows.items():
                found[position][table.table.category] += n
        for table in (table for table in self._ordered if self._loosened[table.name]):  # of one subject alone
            found[0][table.table.category] += self._loosened[table.name]
        excess = (
            (task, self._settings.excess(task, rows=counts.total())) for task, counts in zip(batch, found, strict=True)
        )
        if too_many := {task.task_id: refusal for task, refusal in excess if refusal is not None}:
            self._results |= too_many
            raise _RolledBack(self._open(batch))
        # Also where nothing is left: from here on, an earlier attempt that slept changes nothing any more.
        done = await progress.add(self._session, batch, found)
        if late := [task.task_id for task in batch if task.task_id not in done]:
            self._results |= dict.fromkeys(late, progress.overtaken(self._system))
            raise _RolledBack(self._open(batch))
        return done

    async def _of_one(self, table: Statements, batch: Sequence[Task]) -> Mapping[int, int]:
        keys = table.keys(batch[0])
        if not keys:
            return {}
        return {0: sum([await self._execute(table, batch, *call) for call in table.erase_one(keys)])}

    async def _of_many(self, table: Statements, batch: Sequence[Task]) -> Mapping[int, int]:
        asked = table.wanted(batch)
        if not asked:
            return {}
        blanks = table.table.erase == "blank"
        if not blanks:
            await self._refuse_tied(table, batch, table.deleted, *asked.arrays)
        groups = await self._connection.fetch(table.count if blanks else table.delete, *asked.arrays)
        whose = attribute(groups, table, asked)
        if whose.strays:  # a number of theirs was somebody else's before or after: they need statements of their own
            alone = [[batch[position]] for position in sorted(whose.strays)]
            raise _RolledBack(*alone, [task for position, task in enumerate(batch) if position not in whose.strays])
        if blanks and whose.parties:
            changed = [await self._execute(table, batch, sql, *asked.arrays) for sql in table.blank]
            if sum(changed) > whose.parties:
                raise ForeignHit(f"{self._system}: {table.name} would have changed rows of other people")
        return whose.rows

    async def _execute(self, table: Statements, batch: Sequence[Task], statement: str, *arguments: Any) -> int:
        """How many rows a statement has changed; none is deleted that others still refer to."""
        if statement.startswith(_DELETE):
            await self._refuse_tied(table, batch, statement.removeprefix(_DELETE), *arguments)
        return int((await self._connection.execute(statement, *arguments)).rpartition(" ")[2])

    async def _refuse_tied(self, table: Statements, batch: Sequence[Task], rows: str, *arguments: Any) -> None:
        """Refuses to delete rows to which others refer that are nobody's of the batch: they would go too, or stay."""
        for key in self._references.to(table.name):
            if tied := await self._connection.fetchval(key.still(rows, table.table.primary_key), *arguments):
                if len(batch) > 1:
                    raise _RolledBack(*([task] for task in batch))
                child = key.child or key.place[1]
                raise ForeignHit(
                    f"{tied} rows of {child} refer to rows of the subject in {table.name} ({key.name}) and do not go"
                    " with them, since they are kept or somebody else's: correct whose they are, in the store or the"
                    f" dataset, or let via and kept say there that {table.name} stays with what is kept of {child}"
                )
        for key in self._references.loosened(table.name):
            if loosened := await self._connection.fetchval(key.still(rows, table.table.primary_key), *arguments):
                if len(batch) > 1:
                    raise _RolledBack(*([task] for task in batch))
                self._loosened[key.child or ""] += loosened

    async def _open_circles(self, gathered: Gathered, batch: Sequence[Task]) -> None:
        """Lets rows go that refer to one another: the check waits for the end, or what refers is emptied before."""
        for key in self._references.deferred:
            await self._connection.execute(f"SET CONSTRAINTS {quoted(key.place[0])}.{quoted(key.name)} DEFERRED")
        for key in self._references.emptied:
            table = next((table for table in self._session.tables if table.name == key.child), None)
            if table is not None:
                assigned = ", ".join(f"{quoted(column)} = NULL" for column in key.columns)
                asked = table.wanted(batch)
                calls = gathered.emptied(table, assigned) if table.paths else table.emptied(assigned, asked)
                for statement, *arguments in calls:
                    await self._connection.execute(statement, *arguments)

    async def _windows(self, task: Task) -> list[Sequence[Task]]:
        """One subject with too many rows for one transaction: the same task, half of its time at a time."""
        first, last, rows = await examination.extent(self._session, task)
        if excess := self._settings.excess(task, rows=rows):
            self._results[task.task_id] = excess
            return []
        if first is None or last is None or last - first < _SHORTEST_WINDOW:
            return []
        middle = (first + (last - first) / 2).replace(hour=12, minute=0, second=0, microsecond=0)
        return [[_within(task, None, middle)], [_within(task, middle, None)]]


async def limited(connection: PoolConnectionProxy, seconds: float) -> None:
    """Lets no statement of this transaction take longer, nor wait for somebody else's lock for more than half of it."""
    await connection.execute(_BEGUN, *(str(max(2, round(seconds * share))) for share in (1000, 500)))


def _clipped(identity: Identity, since: datetime | None, until: datetime | None) -> Identity | None:
    if identity.type in NUMBERS and identity.valid_from is None:
        return identity  # proves nothing about the past, and must not begin to
    starts = [moment for moment in (identity.valid_from, since) if moment is not None]
    ends = [moment for moment in (identity.valid_to, until) if moment is not None]
    valid_from, valid_to = max(starts, default=None), min(ends, default=None)
    if valid_from is not None and valid_to is not None and valid_from >= valid_to:
        return None
    return replace(identity, valid_from=valid_from, valid_to=valid_to)


def _within(task: Task, since: datetime | None, until: datetime | None) -> Task:
    clipped = (_clipped(identity, since, until) for identity in task.identities)
    return replace(task, identities=tuple(identity for identity in clipped if identity is not None))
