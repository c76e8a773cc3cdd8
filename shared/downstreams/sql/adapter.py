"""A SQL store as a downstream: found, shown, changed and emptied as its dataset declares."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.errors import NotSupported, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.downstreams.sql import comparison, inspection, marketing, progress, sweeping
from shared.downstreams.sql.amendment import Amendment
from shared.downstreams.sql.erasure import Erasure
from shared.downstreams.sql.examination import covered, with_unattributed
from shared.downstreams.sql.export import export
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.location import locate
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.store import Session, SqlStore
from shared.downstreams.sweepable import Counted, Dated, Due, GoOn, Spared, Swept

Work = Callable[[Session, Sequence[Task]], Awaitable[Sequence[Result]]]


class SqlAdapter:
    """Locatable, Exportable, Erasable, Amendable and Sweepable for any PostgreSQL store with a declared dataset."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str]) -> None:
        self._store = SqlStore(system, settings, environment)

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset searches by, or keeps in its side table."""
        return self._store.dataset.searched_by

    @property
    def itemises(self) -> bool:
        """Whether it can show the calls of a line as an itemised bill does."""
        return any(table.itemised for table in self._store.dataset.tables.values())

    @property
    def knows_times(self) -> bool:
        """Whether it tells of what time its rows are, so that a period leaves some of them out."""
        return any(table.occurred or table.period for table in self._store.dataset.tables.values())

    @property
    def keeps_periods(self) -> bool:
        """Whether a restriction stands in it by number and period, as the register tells them."""
        return self._store.dataset.restriction is not None

    @property
    def one_flag(self) -> bool:
        """Whether a row bears one switch, whoever has asked for it."""
        tables = self._store.dataset.tables.values()
        return self._store.dataset.restriction is None and any(table.restriction for table in tables)

    @property
    def not_held(self) -> frozenset[Operation]:
        """What concerns nothing that its dataset declares."""
        return self._store.dataset.not_held

    @property
    def undeclared(self) -> frozenset[Operation]:
        """What it cannot do because its dataset declares no switch for it."""
        dataset = self._store.dataset
        if dataset.restriction or any(table.restriction for table in dataset.tables.values()):
            return frozenset()
        return frozenset({Operation.RESTRICT, Operation.LIFT})

    @property
    def tenants(self) -> frozenset[str]:
        """The customers of ours whose rows it tells apart."""
        return frozenset(tenant for tenant in self._store.tenancy.values if tenant)

    @property
    def holds(self) -> frozenset[str]:
        """The categories of its tables."""
        return frozenset(table.category for table in self._store.dataset.tables.values())

    @property
    def never_shown(self) -> tuple[str, ...]:
        """Columns about other people of which its dataset does not say about whom."""
        return self._store.dataset.unattributed

    async def close(self) -> None:
        await self._store.close()

    async def inspect(self) -> Sequence[str]:
        """Everything in which the store is not as declared, not prepared, or closed to us."""
        async with self._store.connection() as connection:
            faults = await inspection.faults(connection, self._store.settings.namespace, self._store.dataset)
        if not faults:
            async with self._store.session() as session:
                session.references.refuse_undeclared(self._store.dataset.name)
        return faults

    async def forget(self) -> None:
        """Forget in the store what was noted of requests that are long over."""
        async with self._store.session() as session:
            await progress.forget(session.connection, session.system)

    async def shown(self, operation: Operation) -> int:
        """How many rows show that they are restricted, or get no marketing, whoever has put that there."""
        async with self._store.session() as session:
            return await comparison.shown(session, operation)

    async def shown_of(self, tasks: Sequence[Task]) -> Collection[str]:
        """Those of the subjects of these tasks."""
        shown: set[str] = set()
        for tenant, theirs in _by_tenant(tasks).items():
            if self._store.tenancy.knows(tenant):
                async with self._store.session(tenant) as session:
                    shown.update(await comparison.shown_of(session, theirs))
        return shown

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Our own people whose rows show no stop, by what is known of them there."""
        async with self._store.session(reading=True) as session:
            async for page in marketing.would_get_marketing(session):
                yield page

    @property
    def dated(self) -> Sequence[Dated]:
        """The tables that say from when periods of the policy count in them."""
        return [
            Dated(name, table.category, frozenset(table.anchors), table.anonymise is not None)
            for name, table in self._store.dataset.tables.items()
            if table.anchors
        ]

    async def count(self, due: Sequence[Due]) -> Sequence[Counted | Refused]:
        """How many of its rows are past each of these ceilings."""
        async with self._store.session() as session:
            return await sweeping.count(session, due)

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> Sequence[Swept | Refused]:
        """Let go what is past them."""
        async with self._store.session() as session:
            return await sweeping.sweep(session, due, spared, go_on)

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # reading leaves nothing to remember
        return await self._work(tasks, locate, reading=True)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            shown = replace(session, tables=(*session.tables, *session.views))
            return await with_unattributed(session, theirs, covered(shown.tables, theirs, await export(shown, theirs)))

        return await self._work(tasks, work, reading=True)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            begun = Begun.of(session.system, str(session.incarnation), theirs)
            results = await Erasure(session, save_progress, begun).run(theirs)
            return await with_unattributed(
                session, theirs, covered(session.tables, theirs, begun.told(theirs, results))
            )

        return await self._work(tasks, work)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            begun = Begun.of(session.system, str(session.incarnation), theirs)
            if begun.noted:
                await save_progress(begun.noted)
            results = begun.told(theirs, await Amendment(session, save_progress).run(theirs))
            # Lifting takes away what this request put there: nobody is searched for.
            return results if theirs[0].operation is Operation.LIFT else covered(session.tables, theirs, results)

        return await self._work(tasks, work)

    async def _work(self, tasks: Sequence[Task], work: Work, *, reading: bool = False) -> list[Result]:
        """The results of all tasks, each worked in the rows of its own tenant."""
        results: dict[UUID, Result] = {}
        for tenant, theirs in _by_tenant(tasks).items():
            if not self._store.tenancy.knows(tenant):
                unknown = NotSupported(f"{self._store.system} does not tell the data of that customer apart")
                results |= {task.task_id: unknown for task in theirs}
                continue
            async with self._store.session(tenant, reading=reading) as session:
                worked = await work(session, theirs)
            results |= {task.task_id: result for task, result in zip(theirs, worked, strict=True)}
        return [results[task.task_id] for task in tasks]


def _by_tenant(tasks: Sequence[Task]) -> Mapping[str | None, Sequence[Task]]:
    return {tenant: [t for t in tasks if t.tenant == tenant] for tenant in dict.fromkeys(t.tenant for t in tasks)}
