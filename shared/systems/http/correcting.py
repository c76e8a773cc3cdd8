"""Corrections (Art. 16): what each record holds of what is wrong is corrected by its request, and read again."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from shared.domain.errors import DoneBefore, NotSupported, Refused, ResidueFound, Unavailable
from shared.domain.operations import Change
from shared.domain.text import forms
from shared.systems.contract import Checkpoint, Receipt, Result, Task, of_corrections
from shared.systems.engine.looking import look
from shared.systems.engine.ownership import refusal, subject
from shared.systems.engine.records import Record, Shape
from shared.systems.engine.stepwise import Later
from shared.systems.http.declaration import Correction, Declaration
from shared.systems.http.paths import at
from shared.systems.http.search import Hit
from shared.systems.http.session import Session
from shared.systems.http.system import HttpSystem

_CORRECTING = "correcting"
"""Under which key the progress of a task says that it has found whom it corrects."""


class Corrections:
    """The corrections of one call."""

    def __init__(
        self, system: HttpSystem, declaration: Declaration, session: Session, save_progress: Checkpoint
    ) -> None:
        self._system, self._resources, self._session = system, declaration.resource, session
        self._save_progress = save_progress

    @property
    def shapes(self) -> Sequence[Shape]:
        """The places of the system."""
        return self._system.steps.shapes

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order; a change that is there already is the same change."""
        return await asyncio.gather(*map(self._one, tasks))

    async def _one(self, task: Task) -> Result:
        try:
            [found] = await look(self._system.steps, [subject(task, self.shapes)])
            limits, rows = self._system.limits, len(found.records)
            if refused := refusal(found, limits) or limits.excess(task, rows=rows):
                return refused
            return await self._correct(task, [mine.record for mine in found.records.values()])
        except Later as later:
            return later.pending(task.task_id)
        except (Unavailable, Refused) as failure:
            return failure

    async def _correct(self, task: Task, found: Sequence[Record]) -> Receipt:
        """Corrects what each record holds of what is wrong, and counts of each change which records show it.

        Raises:
            NotSupported: a record holds what is wrong where no request corrects it, or may hold it; or an earlier
                attempt found somebody, and nobody is found any more by what it has corrected.
        """
        name = self._system.name
        if found and not any(change.current or [*self._declaring(change, found)] for change in task.changes):
            raise NotSupported(f"{name} has no way to correct this: do it there, and enter what was done")
        if not found and task.progress.get(_CORRECTING):
            gone = f"{name} had the subject before they were corrected, and shows nobody now"
            raise NotSupported(f"{gone}: look there, and enter what was done")
        changed, left = Counter[str](), Counter[str]()
        shown = [0] * len(task.changes)
        wrong = [self._wrong(change, found) for change in task.changes]
        for record in found:
            hit: Hit = record.ref
            for place, change in enumerate(task.changes):
                correction = self._resources[hit.resource].rectify.get(change.field)
                if correction is None:
                    left[hit.resource] += _holds(hit.record, wrong[place], change.asserted)
                elif not change.current or at(hit.record, correction.path) in (change.current, change.asserted):
                    await self._take(task, record, change, correction)
                    changed[record.shape.category] += 1
                    shown[place] += 1
        if held := +left:
            raise _left(name, held, changed.total())
        return of_corrections(task, changed, shown, len(found))

    def _declaring(self, change: Change, found: Sequence[Record]) -> Iterator[tuple[Hit, Correction]]:
        """The records that are found and can be corrected by this field."""
        for record in found:
            if correction := self._resources[record.shape.place].rectify.get(change.field):
                yield record.ref, correction

    def _wrong(self, change: Change, found: Sequence[Record]) -> set[str]:
        """The values to be replaced: what is said to be wrong, or else what stands where it is corrected."""
        values = (at(hit.record, correction.path) for hit, correction in self._declaring(change, found))
        held = forms(change.current) if change.current else (str(value) for value in values if value)
        return {_plain(each) for each in held if each != change.asserted}

    async def _take(self, task: Task, record: Record, change: Change, correction: Correction) -> None:
        """Takes the steps of one change of one record, and reads it again."""
        hit: Hit = record.ref
        stated = {"asserted": change.asserted, "current": change.current or "", "task_id": str(task.task_id)}
        await self._save_progress({task.task_id: {_CORRECTING: True}})
        for step in correction.steps:
            await self._session.ask(step, {**hit.values, **stated})
        now = await self._system.steps.again([record])
        if not now or at(now[0].ref.record, correction.path) != change.asserted:
            raise ResidueFound(f"{self._system.name} says that a {hit.resource} was changed, and does not show it")


def _left(system: str, held: Mapping[str, int], changed: int) -> NotSupported:
    failure = NotSupported(
        f"{system} holds in {', '.join(sorted(held))} what is to be corrected, and no request corrects it there: do it"
        " there, and enter what was done"
    )
    if changed:
        remaining = sum(held.values())
        failure.done_before = DoneBefore(changed + remaining, changed, remaining)
    return failure


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
