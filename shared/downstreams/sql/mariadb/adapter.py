"""A MariaDB, or a MySQL, as a downstream: found, shown, changed and emptied as its dataset declares."""

from collections.abc import AsyncIterator, Mapping, Sequence

from shared.domain.errors import NotSupported, Refused
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.domain.policy import Policy
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.downstreams.sql.finding.examination import covered
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.mariadb import comparison, inspection, progress, reading, sweeping
from shared.downstreams.sql.mariadb.amendment import Amendment
from shared.downstreams.sql.mariadb.erasure import Erasure
from shared.downstreams.sql.mariadb.judging import with_unattributed
from shared.downstreams.sql.mariadb.store import MariaDbStore, Session
from shared.downstreams.sql.mariadb.unsupported import kept_by_policy
from shared.downstreams.sql.of_dataset import OfDataset
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sweepable import Counted, Due, GoOn, Spared, Swept


class MariaDbAdapter(OfDataset[Session]):
    """Locatable, Exportable, Erasable and Amendable, one subject at a time, and Sweepable."""

    spares_by_category = True
    """What a hold covers, or a rule keeps while a state lasts, stays, with what leads to it; the rest goes."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str], policy: Policy) -> None:
        self._policy = policy
        self._store = MariaDbStore(system, settings, environment)
        self.done_by_hand = tuple(kept_by_policy(self._store.dataset, policy))
        """What of the policy a person does."""
        self._kept = "; ".join(self.done_by_hand)
        super().__init__(system, self._store, comparison)

    @property
    def may_refuse(self) -> bool:
        """Whether nothing of a subject may be erased in some state of a row, or a person does it."""
        return bool(self._kept) or super().may_refuse

    async def inspect(self) -> Sequence[str]:
        """Everything in which the store is not as declared, not prepared, or closed to us."""
        async with self._store.connection() as connection:
            faults = await inspection.faults(connection, self._store.database, self._store.dataset)
        if not faults:
            async with self._store.session() as session:
                session.references.refuse_undeclared(self._store.dataset.name)
        return faults

    async def forget(self) -> None:
        """Forget in the store what was noted of requests that are long over."""
        async with self._store.session() as session:
            await progress.forget(session.connection, session.system)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Our own people whose rows show no stop, by what is known of them there."""
        async with self._store.session(reading=True) as session:
            async for page in comparison.would_get_marketing(session):
                yield page

    async def count(self, due: Sequence[Due], spared: Spared) -> Sequence[Counted | Refused]:
        """How many of its rows are past each of these ceilings."""
        async with self._store.session() as session:
            return await sweeping.count(session, due, spared)

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> Sequence[Swept | Refused]:
        """Let go what is past them."""
        async with self._store.session() as session:
            return await sweeping.sweep(session, due, spared, go_on)

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # reading leaves nothing to remember

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            return [await reading.locate(session, task) for task in theirs]

        return await self._work(tasks, work, reading=True)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """What an erasure would find, or why it would be refused."""
        del save_progress

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            if self._kept and session.tenant is None:
                return [NotSupported(self._kept)] * len(theirs)
            return covered(session.tables, theirs, [await reading.plan(session, self._policy, task) for task in theirs])

        return await self._work(tasks, work, reading=True)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress

        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            exported = covered(session.tables, theirs, await reading.export(session, self._policy, theirs))
            return await with_unattributed(session, theirs, exported)

        return await self._work(tasks, work, reading=True)

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            if self._kept and session.tenant is None:  # our rules are for our own data
                return [NotSupported(self._kept)] * len(theirs)
            begun = Begun.of(session.system, str(session.incarnation), theirs)
            erased = begun.told(theirs, await Erasure(session, self._policy, save_progress, begun).run(theirs))
            return await with_unattributed(session, theirs, covered(session.tables, theirs, erased))

        return await self._work(tasks, work)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def work(session: Session, theirs: Sequence[Task]) -> Sequence[Result]:
            begun = Begun.of(session.system, str(session.incarnation), theirs)
            if begun.noted:
                await save_progress(begun.noted)
            amended = begun.told(theirs, await Amendment(session, save_progress).run(theirs))
            # Lifting takes away what this request put there: nobody is searched for.
            return amended if theirs[0].operation is Operation.LIFT else covered(session.tables, theirs, amended)

        return await self._work(tasks, work)
