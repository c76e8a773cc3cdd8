"""A SQL store as a downstream: found, shown, changed and emptied as its dataset declares."""

from collections.abc import Sequence

from shared.downstreams.contract import Checkpoint, Result, Task
from shared.downstreams.sql.amendment import Amendment
from shared.downstreams.sql.erasure import Erasure
from shared.downstreams.sql.examination import covered
from shared.downstreams.sql.export import export
from shared.downstreams.sql.location import locate
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.store import Session, SqlStore


class SqlAdapter:
    """Locatable, Exportable, Erasable and Amendable for any PostgreSQL store with a declared dataset."""

    def __init__(self, system: str, settings: SqlSettings) -> None:
        self.system = system
        self.settings = settings
        self._store = SqlStore(system, settings)

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # reading leaves nothing to remember
        async with self._store.session(reading=True) as session:
            return await locate(self.system, self.settings, session, tasks)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        async with self._store.session(reading=True) as session:
            return covered(session.tables, tasks, await export(self.system, self.settings, session, tasks))

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async with self._store.session() as session:
            erasure = Erasure(self.system, self.settings, session, save_progress)
            return covered(session.tables, tasks, await erasure.run(tasks))

    async def rectify(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async with self._store.session() as session:
            return covered(session.tables, tasks, await self._amendment(session).rectify(tasks, save_progress))

    async def restrict(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress  # setting a flag twice sets it once
        async with self._store.session() as session:
            return covered(session.tables, tasks, await self._amendment(session).restrict(tasks))

    async def lift(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        async with self._store.session() as session:
            return await self._amendment(session).lift(tasks)

    async def suppress(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        async with self._store.session() as session:
            return covered(session.tables, tasks, await self._amendment(session).suppress(tasks))

    def _amendment(self, session: Session) -> Amendment:
        return Amendment(self.system, self.settings, session, self._store.dataset.restriction)
