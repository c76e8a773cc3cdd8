"""Records that are changed in place: corrected, restricted, lifted, kept out of marketing; each is read again."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.domain.errors import NotSupported, Refused, ResidueFound, Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.http.budget import Later
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.paths import Condition, at
from shared.downstreams.http.requests import Step
from shared.downstreams.http.search import Hit, Search
from shared.downstreams.http.session import Session
from shared.downstreams.http.settings import DeclaredHttpSettings
from shared.downstreams.results import where_held


class Amendment:
    """The changes of one call, whose tasks have the same operation."""

    def __init__(
        self,
        system: str,
        settings: DeclaredHttpSettings,
        declaration: Declaration,
        session: Session,
        search: Search,
        save_progress: Checkpoint,
    ) -> None:
        self._system = system
        self._settings = settings
        self._declaration = declaration
        self._session = session
        self._search = search
        self._save_progress = save_progress

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order; a change that is there already is the same change."""
        if tasks[0].operation is not Operation.RECTIFY:
            return list(await self._all(tasks))
        fields = {name for resource in self._declaration.resource.values() for name in resource.rectify}
        return await where_held(tasks, fields, self._all) if fields else list(await self._all(tasks))

    async def _all(self, tasks: Sequence[Task]) -> Sequence[Result]:
        return await asyncio.gather(*map(self._one, tasks))

    async def _one(self, task: Task) -> Result:
        try:
            return await self._change(task)
        except Later as busy:
            return busy.pending(task.task_id)
        except (Unavailable, Refused) as failure:
            return failure

    async def _change(self, task: Task) -> Receipt:
        found = (await self._search.find(task)).hits.values()
        roots = sum(hit.above is None for hit in found)
        if excess := self._settings.excess(task, rows=len(found), people=roots):
            raise excess
        wanted = [each for hit in found for each in self._wanted(task, hit)]
        if task.operation is Operation.RECTIFY:
            known = {change.field for change in task.changes}
            if found and not any(known & self._declaration.resource[hit.resource].rectify.keys() for hit in found):
                raise NotSupported(f"{self._system} has no way to correct this: do it there, and enter what was done")
        elif found and not wanted:
            raise NotSupported(f"{self._system} has no way to {task.operation}: do it there, and enter what was done")
        changed: Counter[str] = Counter()
        for hit, steps, seen, values in wanted:
            await self._save_progress({task.task_id: {}})
            for step in steps:
                await self._session.ask(step, values)
            await self._look(hit, seen, values)
            changed[self._declaration.resource[hit.resource].category] += 1
        return Receipt.counted(task, TaskOutcome.AMENDED, changed)

    def _wanted(
        self, task: Task, hit: Hit
    ) -> Iterator[tuple[Hit, Sequence[Step], Sequence[Condition], Mapping[str, Any]]]:
        """What is to be done to one record, and how it is seen in it afterwards."""
        resource = self._declaration.resource[hit.resource]
        values = {
            **{each.type.value: each.value for each in task.identities},
            **hit.values,
            "task_id": str(task.task_id),
        }
        if task.operation is not Operation.RECTIFY:
            change = getattr(resource, task.operation)
            if change is not None:
                yield hit, change.steps, change.seen, values
            return
        for change in task.changes:
            correction = resource.rectify.get(change.field)
            if correction is None:
                continue
            value = at(hit.record, correction.path)
            if change.current is None or value in (change.current, change.asserted):
                seen = Condition(path=correction.path, equals=change.asserted)
                stated = {"asserted": change.asserted, "current": change.current or ""}
                yield hit, correction.steps, (seen,), {**values, **stated}

    async def _look(self, hit: Hit, seen: Sequence[Condition], values: Mapping[str, Any]) -> None:
        read = self._declaration.resource[hit.resource].read
        said = None if read is None else await self._session.ask(read, values)
        where = self._declaration.resource[hit.resource].read_record
        record = said if where is None else at(said, where)
        if not all(each.holds_of(record) for each in seen):
            raise ResidueFound(f"{self._system} says that a {hit.resource} was changed, and does not show it")
