"""A SQL store as a downstream: found, shown, changed and emptied as its dataset declares."""

from collections.abc import Collection, Mapping, Sequence

from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.downstreams.sql import comparison, progress
from shared.downstreams.sql.amendment import Amendment
from shared.downstreams.sql.erasure import Erasure
from shared.downstreams.sql.examination import covered, with_unattributed
from shared.downstreams.sql.export import export
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.location import locate
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.store import SqlStore


class SqlAdapter:
    """Locatable, Exportable, Erasable and Amendable for any PostgreSQL store with a declared dataset."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str]) -> None:
        self._store = SqlStore(system, settings, environment)

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset searches by, or keeps in its side table."""
        return self._store.dataset.searched_by

    @property
    def not_held(self) -> frozenset[Operation]:
        """What concerns nothing that its dataset declares."""
        return self._store.dataset.not_held

    @property
    def never_shown(self) -> tuple[str, ...]:
        """Columns about other people of which its dataset does not say about whom."""
        return self._store.dataset.unattributed

    async def close(self) -> None:
        await self._store.close()

    async def look(self) -> None:
        """Look whether the store is as declared and prepared; raises what a task would be answered."""
        async with self._store.session():
            pass

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
        async with self._store.session() as session:
            return await comparison.shown_of(session, tasks)

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # reading leaves nothing to remember
        async with self._store.session(reading=True) as session:
            return await locate(session, tasks)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        async with self._store.session(reading=True) as session:
            results = covered(session.tables, tasks, await export(session, tasks))
            return with_unattributed(session.tables, tasks, results, await self._store.unattributed(session))

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async with self._store.session() as session:
            begun = Begun.of(session.system, str(session.incarnation), tasks)
            results = await Erasure(session, save_progress, begun).run(tasks)
            told = covered(session.tables, tasks, begun.told(tasks, results))
            return with_unattributed(session.tables, tasks, told, await self._store.unattributed(session))

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async with self._store.session() as session:
            begun = Begun.of(session.system, str(session.incarnation), tasks)
            if begun.noted:
                await save_progress(begun.noted)
            results = begun.told(tasks, await Amendment(session, save_progress).run(tasks))
            # Lifting takes away what this request put there: nobody is searched for.
            return results if tasks[0].operation is Operation.LIFT else covered(session.tables, tasks, results)
