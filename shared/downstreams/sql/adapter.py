"""A SQL store as a downstream: found, shown, changed and emptied as its dataset declares."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from shared.domain.errors import Refused
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.downstreams.protocols import HandOver
from shared.downstreams.sql import inspection, progress, sweeping
from shared.downstreams.sql.changing import comparison, marketing, stated
from shared.downstreams.sql.changing.amendment import Amendment
from shared.downstreams.sql.changing.stopping import stop
from shared.downstreams.sql.export import export
from shared.downstreams.sql.finding.examination import covered, with_unattributed
from shared.downstreams.sql.finding.location import locate
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.keeping.by_policy import undeclared
from shared.downstreams.sql.keeping.planning import planned
from shared.downstreams.sql.keeping.reducing import erased, hiding
from shared.downstreams.sql.of_dataset import OfDataset
from shared.downstreams.sql.references import references_of, unkept
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.store import Session, SqlStore
from shared.downstreams.sweepable import Counted, Due, GoOn, Spared, Swept


class SqlAdapter(OfDataset[Session]):
    """Locatable, Exportable, Erasable, Amendable and Sweepable for any PostgreSQL store with a declared dataset."""

    erases_by_category = True
    """What was kept by a consent alone goes, and the rest stays."""
    spares_by_category = True
    """What a legal hold covers stays, and the rest goes."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str], policy: Policy) -> None:
        self._policy = policy
        self._store = SqlStore(system, settings, environment)
        super().__init__(system, self._store, comparison)

    async def inspect(self) -> Sequence[str]:
        """Everything in which the store is not as declared, not prepared, or closed to us."""
        async with self._store.connection() as connection:
            faults = await inspection.faults(connection, self._store.settings.namespace, self._store.dataset)
        if not faults:
            async with self._store.session() as session:
                session.references.refuse_undeclared(self._store.dataset.name)
                faults = [*unkept(session.references.keys, self._store.dataset.tables)]
        return faults

    @property
    def against_policy(self) -> tuple[str, ...]:
        """What of the policy its dataset says not how to do."""
        return tuple(undeclared(self._store.dataset, self._policy))

    async def forget(self) -> None:
        """Forget in the store what was noted of requests that are long over, and stated of rows that are gone."""
        async with self._store.session() as session:
            await progress.forget(session.connection, session.system)
            await stated.take_out(session)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Our own people whose rows show no stop, by what is known of them there."""
        async with self._store.session(reading=True) as session:
            async for page in marketing.would_get_marketing(session):
                yield page

    async def count(self, due: Sequence[Due], spared: Spared) -> Sequence[Counted | Refused]:
        """How many of its rows are past each of these ceilings."""
        async with self._store.session() as session:
            return await sweeping.count(session, due, spared)

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> Sequence[Swept | Refused]:
        """Let go what is past them."""
        async with self._store.session() as session:
            swept = await sweeping.sweep(session, due, spared, go_on)
            await stated.take_out(session)
            return swept

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # reading leaves nothing to remember

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            return await locate(hiding(session), theirs)

        return await self._work(tasks, work, reading=True)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        return await self.export_in_parts(tasks, save_progress, None)

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver | None
    ) -> Sequence[Result]:
        del save_progress

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            shown = hiding(session)
            read = await export(shown, self._policy, theirs, hand_over)
            return await with_unattributed(session, theirs, covered(shown.tables, theirs, read))

        return await self._work(tasks, work, reading=True)

    @property
    def silences(self) -> frozenset[str]:
        """The categories of which each table tells who wants no marketing: their use can stop without an erasure."""
        tables = self._store.dataset.tables.values()
        return frozenset(each.category for each in tables) - {each.category for each in tables if not each.marketing}

    @property
    def may_refuse(self) -> bool:
        """Whether some of it may have to stay: by a state, a rule, or for want of a declaration."""
        tables = self._store.dataset.tables.values()
        kept = any(self._policy.keeps(table.category) for table in tables)
        return super().may_refuse or kept or bool(self.against_policy)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find, or why it would be refused."""
        del save_progress

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            references = await references_of(session.connection, session.settings.namespace, self._store.dataset)
            session = replace(session, references=references)
            return covered(session.tables, theirs, await planned(session, self._policy, theirs))

        return await self._work(tasks, work, reading=True)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            results = await erased(session, self._policy, theirs, save_progress)
            await stated.take_out(session, theirs)
            return await with_unattributed(session, theirs, covered(session.tables, theirs, results))

        return await self._work(tasks, work)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            begun = Begun.of(session.system, str(session.incarnation), theirs)
            if begun.noted:
                await save_progress(begun.noted)
            if theirs[0].operation is Operation.SUPPRESS:
                results = await stop(session, self._policy, theirs, save_progress, begun)
            else:
                results = begun.told(theirs, await Amendment(session, self._policy, save_progress).run(theirs))
            # Lifting takes away what this request put there: nobody is searched for.
            return results if theirs[0].operation is Operation.LIFT else covered(session.tables, theirs, results)

        return await self._work(tasks, work)
