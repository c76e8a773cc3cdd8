"""Change in place in a MariaDB: correct (Art. 16), restrict and lift (Art. 18), stop marketing (Art. 21)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Literal

from pydantic import JsonValue

from shared.domain.errors import NotSupported, Refused, ResidueFound, Unavailable
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.text import forms
from shared.downstreams import flags
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.results import of_corrections
from shared.downstreams.sql.changing import corrections, uncorrectable, unswitched
from shared.downstreams.sql.changing.amendment import changes_something
from shared.downstreams.sql.declaration.declared import Switch
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import progress, values
from shared.downstreams.sql.mariadb.changing import assign
from shared.downstreams.sql.mariadb.connection import translated
from shared.downstreams.sql.mariadb.judging import refusal
from shared.downstreams.sql.mariadb.names import place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Key, Rows, identified
from shared.downstreams.sql.mariadb.search import find
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.statements import Statements

Kind = Literal["restriction", "marketing"]


class Amendment:
    """One call: a sequence of tasks of the same store, each in a transaction of its own."""

    def __init__(self, session: Session, save_progress: Checkpoint) -> None:
        self._session = session
        self._save_progress = save_progress

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """The result of each task; what was committed of one stays done, whatever comes of the others."""
        return [await self._one(task) for task in tasks]

    async def _one(self, task: Task) -> Result:
        try:
            with translated(self._session.system):
                rows = await find(self._session, task)
                if task.operation is not Operation.LIFT and (reason := await refusal(self._session, task, rows)):
                    return reason
                found = self._as_found(task, rows)
            await self._save_progress({task.task_id: found})  # what was withdrawn meanwhile is not begun
            with translated(self._session.system):
                return await self._change(task)
        except (Unavailable, Refused) as failure:  # it has rolled back this task alone
            return failure

    async def _change(self, task: Task) -> Result:
        match task.operation:
            case Operation.RECTIFY:
                return await self._correct(task)
            case Operation.RESTRICT:
                return await self._switch(task, "restriction", wanted=True)
            case Operation.LIFT if task.marked:  # a flag says not whose it is
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            case Operation.LIFT:
                return await self._switch(task, "restriction", wanted=False)
            case Operation.SUPPRESS if not changes_something(self._declared, task):
                return Receipt(task.task_id, TaskOutcome.NOT_HELD)
            case Operation.SUPPRESS:
                return await self._switch(task, "marketing", wanted=True)
            case other:
                raise ValueError(f"{other} is no change in place")

    async def _correct(self, task: Task) -> Result:
        rows = await find(self._session, task)
        stuck = self._stuck(task, rows)
        if not changes_something(self._declared, task):
            return uncorrectable.nothing_changed(task, stuck, sum(map(len, rows.of.values())))
        return uncorrectable.with_left(await self._rectify(task), stuck or {})

    @property
    def _declared(self) -> Sequence[Table]:
        return [table.table for table in self._session.tables]

    def _stuck(self, task: Task, rows: Rows) -> Mapping[str, int] | None:
        """As ``uncorrectable.stuck``."""
        stuck = Counter[str]()
        for change in task.changes:
            wrong = {_plain(each) for each in self._wrong(change, rows)}
            for table, column in uncorrectable.columns(self._session.tables, change, wrong):
                held = (values.read(table, column, found.row) for found in rows.of[table.name].values())
                other = (each for each in held if each and each != change.asserted)
                stuck[f"{table.name}.{column}"] += sum(not wrong or _plain(each) in wrong for each in other)
        return +stuck if stuck else None

    def _wrong(self, change: Change, rows: Rows) -> set[str]:
        """The values to be replaced: what is said to be wrong, or else what the columns hold that are corrected."""
        if change.current:
            return {*forms(change.current)}
        columns = uncorrectable.declared(self._session.tables, change)
        held = {values.read(t, column, found.row) for t, column in columns for found in rows.of[t.name].values()}
        return {each for each in held if each} - {change.asserted}

    async def _rectify(self, task: Task) -> Result:
        """Every change in one transaction; what the rows hold afterwards is read again by primary key."""
        changed: list[tuple[Statements, str, str, Key]] = []
        shown = [0] * len(task.changes)
        async with self._session.connection.transaction():
            rows = await find(self._session, task, lock=True)
            for place, change in enumerate(task.changes):
                for table in self._session.tables:
                    for column in (n for n, c in table.table.columns.items() if c.rectifies == change.field):
                        for key, found in rows.of[table.name].items():
                            if _is_wrong(table, column, found, change.current):
                                await assign(self._session, table, found.row, {column: change.asserted})
                                changed.append((table, column, change.asserted, key))
                                shown[place] += 1
                            elif _is_wrong(table, column, found, change.asserted):  # it is right already
                                shown[place] += 1
            touched = {(table.name, key): table.table.category for table, _, _, key in changed}
            if excess := self._session.settings.excess(task, rows=len(touched)):
                raise excess
            noted = corrections.noted(Counter(touched.values()), shown)
            counts, shown = corrections.read(await progress.keep(self._session, task, noted), len(shown))
        for table, column, asserted, key in changed:
            if await self._differs(table, column, asserted, key):
                return ResidueFound(f"{self._session.system} took the correction and still holds another value")
        return of_corrections(task, counts, shown, sum(map(len, rows.of.values())))

    async def _differs(self, table: Searched, column: str, asserted: str, key: Key) -> bool:
        """Whether a row holds another value now; a number or a date may be written otherwise."""
        declared, (condition, arguments) = table.table.columns[column], identified(table, [key])
        held = f"t.{quoted(declared.json_ or column)}"
        query = f"SELECT {held}, {held} = ? FROM {place_of(self._session.place(table))} t WHERE {condition}"  # noqa: S608
        for written, equal in await self._session.connection.fetch(query, asserted, *arguments):
            if declared.json_:
                return values.part(written, values.steps(column, declared)) != asserted
            text = values.as_text(written)
            return text != asserted if isinstance(written, str) else not equal
        return True

    async def _switch(self, task: Task, kind: Kind, *, wanted: bool) -> Result:
        """Set a declared switch in every row of the subject, and look again at what the rows hold."""
        left = flags.of_tables(flags.left_as_found(task))
        counts: Counter[str] = Counter()
        async with self._session.connection.transaction():
            rows = await find(self._session, task, lock=True)
            for table, switch in self._switches(kind):
                turned = 0
                for key, found in rows.of[table.name].items():
                    if self._digest(key) not in left.get(table.name, ()):
                        turned += await self._turn(table, switch, found, wanted=wanted)
                counts[table.table.category] += turned if task.repair else len(rows.of[table.name])
            if excess := self._session.settings.excess(task, rows=counts.total()):
                raise excess
            counts = await progress.keep(self._session, task, counts)
        again = await find(self._session, task)
        for table, switch in self._switches(kind):
            for key, found in again.of[table.name].items():
                spared = self._digest(key) in left.get(table.name, ())
                if not spared and holds(found, switch) is not wanted:
                    return ResidueFound(f"{self._session.system} took the change and does not show it")
        if kind == "restriction" and not task.repair:
            theirs = {table.name: len(again.of[table.name]) for table in self._session.tables}
            return unswitched.result(task, self._session.tables, counts, theirs)
        return Receipt.counted(task, TaskOutcome.AMENDED, counts)

    async def _turn(self, table: Searched, switch: Switch, found: Found, *, wanted: bool) -> int:
        """Switches one row, if it is not so; how many were not.

        Raises:
            NotSupported: it holds a third word, which nobody could put back.
        """
        if isinstance(switch.value, str):
            held = values.as_text(found.row[switch.column])
            if wanted and switch.otherwise and held not in {switch.value, switch.otherwise}:
                raise NotSupported(
                    f"a row of {table.name} holds a word that is neither of its switch, which nobody could put back: do"
                    " it by hand for all of the store, and enter what was done"
                )
        if holds(found, switch) is wanted:
            return 0
        value = switch.value if wanted else switch.otherwise
        if isinstance(switch.value, bool):
            value = switch.value is wanted
        await assign(self._session, table, found.row, {switch.column: value})
        return 1

    def _switches(self, kind: Kind) -> Iterator[tuple[Statements, Switch]]:
        for table in self._session.tables:
            switch = table.table.restriction if kind == "restriction" else table.table.marketing
            if isinstance(switch, Switch):
                yield table, switch

    def _digest(self, key: Key) -> str:
        """A digest of a primary key, with the store's own id: a key may be what somebody is known by."""
        salt = str(self._session.incarnation and self._session.incarnation.id)
        return sha256(f"{salt}{[values.as_text(each) for each in key]!r}".encode()).hexdigest()

    def _as_found(self, task: Task, rows: Rows) -> dict[str, JsonValue]:
        """What is to be noted before a restriction sets a switch: whose was set already."""
        if not flags.is_first(task):
            return {}
        had = {
            flags.in_table(table.name, self._digest(key)): holds(found, switch)
            for table, switch in self._switches("restriction")
            for key, found in rows.of[table.name].items()
        }
        if excess := self._session.settings.excess(task, rows=len(had)):
            raise excess
        return flags.found(task, had)


def _plain(held: str) -> str:
    return held.strip().lower()


def _is_wrong(table: Searched, column: str, found: Found, current: str | None) -> bool:
    """Whether a row of the subject is to be corrected there: it is about them, and holds what is said to be wrong."""
    declared = table.table.columns[column]
    if declared.party is not None and declared.party not in found.parties:
        return False
    held = values.read(table, column, found.row)
    if declared.json_ and held is None:  # a document without it stays without it
        return False
    return current is None or held in {*forms(current)}


def holds(found: Found, switch: Switch) -> bool:
    """Whether a row is as it must be where the right is honoured."""
    held = found.row[switch.column]
    if isinstance(switch.value, bool):
        return held is not None and bool(held) is switch.value
    return values.as_text(held) == switch.value
