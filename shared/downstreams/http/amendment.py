"""Records that are changed in place: corrected, restricted, lifted, kept out of marketing; each is read again."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from shared.domain.errors import DoneBefore, NotSupported, Refused, ResidueFound, Unavailable
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.text import forms
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.http.budget import Later
from shared.downstreams.http.declaration import Correction
from shared.downstreams.http.interface import Work
from shared.downstreams.http.paths import Condition, at
from shared.downstreams.http.requests import Step
from shared.downstreams.http.search import Hit
from shared.downstreams.results import of_corrections

_CORRECTING = "correcting"
"""Under which key the progress of a task says that it has found whom it corrects."""


class Amendment(Work):
    """The changes of one call, whose tasks have the same operation."""

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order; a change that is there already is the same change."""
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
        if task.operation is Operation.RECTIFY:
            return await self._correct(task, found)
        return await self._mark(task, found)

    async def _mark(self, task: Task, found: Collection[Hit]) -> Receipt:
        """Restricts, lifts, or keeps out of marketing, each record by the request of its resource.

        Raises:
            NotSupported: a resource has none, and the others are done: marketing goes to people, and stops with one.
        """
        requests = {hit.key: getattr(self._declaration.resource[hit.resource], task.operation) for hit in found}
        changed: Counter[str] = Counter()
        for hit in found:
            if change := requests[hit.key]:
                await self._take(task, hit, change.steps, change.seen)
                changed[self._category(hit)] += 1
        bare = sorted({hit.resource for hit in found if requests[hit.key] is None})
        if bare and not (task.operation is Operation.SUPPRESS and changed):
            left = f"{self._system} has no way to {task.operation} {', '.join(bare)}"
            failure = NotSupported(f"{left}: do it there, and enter what was done")
            if done := changed.total():
                failure.done_before = DoneBefore(len(found), done, len(found) - done)
            raise failure
        return Receipt.counted(task, TaskOutcome.AMENDED, changed)

    async def mark(self, task: Task, hit: Hit, operation: Operation) -> bool:
        """Restricts one record, or keeps it out of marketing, and looks; whether its resource has a way to."""
        change = getattr(self._declaration.resource[hit.resource], operation)
        if change is None:
            return False
        await self._take(task, hit, change.steps, change.seen)
        return True

    async def _correct(self, task: Task, found: Collection[Hit]) -> Receipt:
        """Corrects what each record holds of what is wrong, and counts of each change which records show it.

        Raises:
            NotSupported: a record holds what is wrong where no request corrects it, or may hold it; or an earlier
                attempt found somebody, and nobody is found any more by what it has corrected.
        """
        told = [change for change in task.changes if change.current or self._declaring(change, found)]
        if found and not told:
            raise NotSupported(f"{self._system} has no way to correct this: do it there, and enter what was done")
        if not found and task.progress.get(_CORRECTING):
            gone = f"{self._system} had the subject before they were corrected, and shows nobody now"
            raise NotSupported(f"{gone}: look there, and enter what was done")
        changed, left = Counter[str](), Counter[str]()
        shown = [0] * len(task.changes)
        wrong = [self._wrong(change, found) for change in task.changes]
        for hit in found:
            for place, change in enumerate(task.changes):
                correction = self._declaration.resource[hit.resource].rectify.get(change.field)
                if correction is None:
                    left[hit.resource] += _holds(hit.record, wrong[place], change.asserted)
                    continue
                value = at(hit.record, correction.path)
                if not change.current or value in (change.current, change.asserted):
                    seen = Condition(path=correction.path, equals=change.asserted)
                    stated = {"asserted": change.asserted, "current": change.current or ""}
                    await self._take(task, hit, correction.steps, (seen,), stated)
                    changed[self._category(hit)] += 1
                    shown[place] += 1
        if held := +left:
            raise self._left(held, changed.total())
        return of_corrections(task, changed, shown, len(found))

    def _declaring(self, change: Change, found: Collection[Hit]) -> list[tuple[Hit, Correction]]:
        """The records that are found and can be corrected by this field."""
        each = ((hit, self._declaration.resource[hit.resource].rectify.get(change.field)) for hit in found)
        return [(hit, correction) for hit, correction in each if correction is not None]

    def _wrong(self, change: Change, found: Collection[Hit]) -> set[str]:
        """The values to be replaced: what is said to be wrong, or else what stands where it is corrected."""
        values = (at(hit.record, correction.path) for hit, correction in self._declaring(change, found))
        held = forms(change.current) if change.current else (str(value) for value in values if value)
        return {_plain(each) for each in held if each != change.asserted}

    def _left(self, held: Mapping[str, int], changed: int) -> NotSupported:
        failure = NotSupported(
            f"{self._system} holds in {', '.join(sorted(held))} what is to be corrected, and no request corrects it"
            " there: do it there, and enter what was done"
        )
        if changed:
            remaining = sum(held.values())
            failure.done_before = DoneBefore(changed + remaining, changed, remaining)
        return failure

    def _category(self, hit: Hit) -> str:
        return self._declaration.resource[hit.resource].category

    async def _take(
        self,
        task: Task,
        hit: Hit,
        steps: Sequence[Step],
        seen: Sequence[Condition],
        stated: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the steps of one change of one record, and reads it again; ``stated``: what a correction says."""
        known = {each.type.value: each.value for each in task.identities}
        values = {**known, **hit.values, "task_id": str(task.task_id), **(stated or {})}
        await self._save_progress({task.task_id: {_CORRECTING: True} if stated else {}})
        for step in steps:
            await self._session.ask(step, values)
        await self._look(hit, seen, values)

    async def _look(self, hit: Hit, seen: Sequence[Condition], values: Mapping[str, Any]) -> None:
        read = self._declaration.resource[hit.resource].read
        said = None if read is None else await self._session.ask(read, values)
        where = self._declaration.resource[hit.resource].read_record
        record = said if where is None else at(said, where)
        if not all(each.holds_of(record) for each in seen):
            raise ResidueFound(f"{self._system} says that a {hit.resource} was changed, and does not show it")


def _plain(text: str) -> str:
    return text.strip().lower()


def _holds(record: object, wrong: Collection[str], right: str) -> bool:
    """Whether one of these values stands anywhere in a record, in any case."""
    match record:
        case Mapping():
            return any(_holds(each, wrong, right) for each in record.values())
        case list():
            return any(_holds(each, wrong, right) for each in record)
        case str() | int() | float():
            return _plain(str(record)) in wrong and str(record) != right
        case _:
            return False
