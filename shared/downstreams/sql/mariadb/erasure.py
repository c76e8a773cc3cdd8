"""Erasure from a MariaDB (Art. 17): one subject a transaction, proved by looking again.

The rows are locked as they are read, so what is counted is what goes; the count is noted beside them and committed with
them, or neither is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.errors import DoneBefore, Refused, ResidueFound, Unavailable
from shared.domain.operations import TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.mariadb import progress, values
from shared.downstreams.sql.mariadb.changing import assign, delete, loosened, refuse_tied
from shared.downstreams.sql.mariadb.connection import Collided, translated
from shared.downstreams.sql.mariadb.joining import near_condition, near_key
from shared.downstreams.sql.mariadb.judging import refusal
from shared.downstreams.sql.mariadb.names import parts
from shared.downstreams.sql.mariadb.rows import Found, Key, Rows, primary, read_rows
from shared.downstreams.sql.mariadb.search import find
from shared.downstreams.sql.mariadb.staying import Stays, kept, staying, without
from shared.downstreams.sql.mariadb.store import Session

_COLLISIONS = 5


class Erasure:
    """One call: a sequence of tasks of the same store, each in a transaction of its own."""

    def __init__(self, session: Session, policy: Policy, save_progress: Checkpoint, begun: Begun) -> None:
        self._session = session
        self._policy = policy
        self._save_progress = save_progress
        self._unnoted = dict(begun.noted)
        place = {name: n for n, name in enumerate(session.references.order)}
        self._ordered = sorted(session.tables, key=lambda table: place.get(table.name, 0))

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """The result of each task; what was committed of one stays done, whatever comes of the others.

        Raises:
            SystemRefused: a table that is not declared refers to one that is.
        """
        self._session.references.refuse_undeclared(self._session.system)
        return [await self._one(task) for task in tasks]

    async def _one(self, task: Task) -> Result:
        if not any(table.keys(task) for table in self._session.tables):
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        try:
            return await self._until_gone(task)
        except (Unavailable, Refused) as failure:
            return failure

    async def _until_gone(self, task: Task) -> Result:
        done, remaining = Counter[str](), 0
        trace: dict[tuple[str, int], set[Key]] = {}
        for _ in range(self._session.settings.rounds):
            done, stays = await self._removed(task, trace)
            with translated(self._session.system):
                remaining = without(await find(self._session, task), stays).counts()
                if not remaining and not await self._astray(trace, stays):
                    return leaving.receipt(task, done, kept(self._session, stays))
        residue = ResidueFound(f"{self._session.system} still holds rows of the subject after erasing them")
        gone = done.total()
        residue.done_before = DoneBefore(gone + remaining, gone, remaining) if gone else None
        return residue

    async def _removed(self, task: Task, trace: dict[tuple[str, int], set[Key]]) -> tuple[Counter[str], Stays]:
        """Removes what is there now in one transaction, tried again where it collides.

        Returns all that was removed so far, by category, and what stays.
        """
        for collisions in range(_COLLISIONS):
            # Which store it is; that itself remembers the rest. And what was withdrawn meanwhile goes no further.
            await self._save_progress({task.task_id: self._unnoted.pop(task.task_id, {})})
            try:
                with translated(self._session.system):
                    async with self._session.connection.transaction():
                        return await self._remove(task, trace)
            except Collided:
                if collisions == _COLLISIONS - 1:
                    raise
        raise AssertionError("the last collision is raised")

    async def _remove(self, task: Task, trace: dict[tuple[str, int], set[Key]]) -> tuple[Counter[str], Stays]:
        found_now = await find(self._session, task, lock=True)
        if reason := await refusal(self._session, task, found_now):
            raise reason
        stays = staying(self._session, self._policy, task, found_now)
        rows = without(found_now, stays)
        if excess := self._session.settings.excess(task, rows=rows.counts()):
            raise excess
        for place, keys in rows.trace.items():
            trace.setdefault(place, set()).update(keys)
        await self._let_go(rows)
        counts = Counter[str]()
        categories = {table.name: table.table.category for table in self._session.tables}
        for table in self._ordered:
            found = rows.of.get(table.name, {})
            counts[table.table.category] += len(found)
            for child, changed in (await self._empty(table, found)).items():
                counts[categories[child]] += changed
        # Also where nothing is left: from here on, an earlier attempt that slept changes nothing any more.
        return await progress.add(self._session, task, +counts), stays

    async def _let_go(self, rows: Rows) -> None:
        """Empties references among rows that go, where tables refer to one another in a circle, or to themselves."""
        own = [key for key in self._session.references.keys if key.child == key.parent and key.nullable]
        tables = {table.name: table for table in self._session.tables}
        for key in (*self._session.references.emptied, *own):
            table = tables.get(key.child or "")
            if table is not None and table.table.erase == "delete":
                for found in rows.of.get(table.name, {}).values():
                    if any(found.row.get(column) is not None for column in key.columns):
                        await assign(self._session, table, found.row, dict.fromkeys(key.columns))

    async def _empty(self, table: Searched, rows: Mapping[Key, Found]) -> Mapping[str, int]:
        """Deletes the rows of a table, or blanks its person where a row is kept, or somebody else is left in it.

        Returns by table how many rows of others refer to nobody now.
        """
        kept = [] if table.table.erase == "delete" else [found for found in rows.values() if _is_kept(table, found)]
        known = {id(found) for found in kept}
        going = {key: found for key, found in rows.items() if id(found) not in known}
        await refuse_tied(self._session, table, going)
        emptied = await loosened(self._session, table, going)
        await delete(self._session, table, [*going])
        for found in kept:
            await assign(self._session, table, found.row, _blanked(table, found))
        return emptied

    async def _astray(self, trace: Mapping[tuple[str, int], set[Key]], stays: Stays) -> bool:
        """Whether rows are left that have a key by which rows of the subject were found, besides those that stay."""
        for table in self._session.tables:
            for number, route in enumerate(self._session.routes[table.name]):
                join = route.joins[0]
                keys = trace.get((table.name, number), set())
                for some in parts([*keys]):
                    condition, arguments = near_condition(join, some)
                    for row in await read_rows(self._session, table, condition, arguments):
                        strays = near_key(join, row) in keys and (table.name, primary(table, row)) not in stays
                        if strays and values.counts(table, row):
                            return True
        return False


def _is_kept(table: Searched, found: Found) -> bool:
    """Whether a row stays when its person goes: it is about nobody else, and kept without them, or others are left."""
    others = table.table.parties.keys() - found.parties
    return not table.table.parties or any(not _is_nobody(table, found, party) for party in others)


def _is_nobody(table: Searched, found: Found, party: str) -> bool:
    nobody = {None, *table.table.parties[party].nobody}
    held = (name for name, column in table.table.fields_of(party).items() if column.personal == "A")
    return all(values.read(table, name, found.row) in nobody for name in held)


def _blanked(table: Searched, found: Found) -> dict[str, Any]:
    parties = found.parties if table.table.parties else {None}
    return {name: column.blank for party in parties for name, column in table.table.fields_of(party).items()}
