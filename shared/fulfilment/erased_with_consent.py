"""What withdrawn consent erases is erased as anything else is: after what comes first, and not while it must stay.

A copy that the same person has asked for is waited for (G1). A legal hold on it (Art. 17(3)(e)), or a restriction by
which they want it kept (18(1)(b), (c)), is a person's matter. Meanwhile its use is stopped, as marketing is at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import DoneBefore, ErasureOpposed, Unavailable
from shared.domain.holds import HoldMarks
from shared.domain.precedence import Kind, Marks
from shared.fulfilment.searching import ending, ends
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import holds, open_requests
from shared.systems.contract import COPY_FIRST, Checkpoint, Pending, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.protocols import Operate

_SOON, _SELDOM = timedelta(seconds=2), timedelta(minutes=5)
_DOUBLED = 8
"""So many times the pause doubles at most."""
_FIRST = frozenset({Kind.COPY, Kind.RESTRICTION})
_HOLD: Final = "hold"


def with_care(operate: Operate, downstream: Downstream, unit_of_work: UnitOfWorkFactory) -> Operate:
    """The operation; while something comes first, or must stay, a task only stops what it would also erase."""
    return partial(_work, operate, _Looking(downstream, unit_of_work))


async def _work(
    operate: Operate, looking: "_Looking", tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    erasing = [task for task in tasks if _erases(looking.downstream, task)]
    first = await looking.of(erasing)
    told = [replace(t, details={**t.details, COPY_FIRST: True}) if t.task_id in first else t for t in tasks]

    async def still(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        await save_progress(progress)
        free = [task for task in erasing if task.task_id in progress and task.task_id not in first]
        if any(_HOLD in why for why in (await looking.of(free)).values()):
            raise Unavailable("gave up this attempt: a legal hold was placed since it began")

    results = await operate(told, still if erasing else save_progress)
    return [
        _instead(looking.downstream, task, first[task.task_id], result)
        if task.task_id in first and isinstance(result, Receipt)
        else result
        for task, result in zip(tasks, results, strict=True)
    ]


def _erases(system: Downstream, task: Task) -> bool:
    return task.tenant is None and COPY_FIRST not in task.details and bool(ending(system, task.details))


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks for what comes before an erasure of these people in one system, or keeps what is erased there."""

    downstream: Downstream
    unit_of_work: UnitOfWorkFactory

    async def of(self, tasks: Sequence[Task]) -> Mapping[UUID, frozenset[str]]:
        """By task why it may not erase yet; also one who has shown nothing here may be the person who has there."""
        if not tasks:
            return {}
        keyring = self.unit_of_work.vault.keyring
        async with self.unit_of_work.pool.acquire() as connection:
            known = await self.unit_of_work.vault.subject_data(connection, [task.subject_ref for task in tasks])
            theirs = {t.task_id: known[t.subject_ref].identities for t in tasks if t.subject_ref in known}
            marks = {
                task.request_id: Marks.of(keyring, [i for i in theirs[task.task_id] if not i.shared])
                for task in tasks
                if task.task_id in theirs
            }
            others = await open_requests.others(connection, marks, _FIRST)
            held = await holds.exist(connection) and await holds.matching(
                connection, {task_id: HoldMarks.of(keyring, each) for task_id, each in theirs.items()}
            )
        found: dict[UUID, frozenset[str]] = {}
        for task in tasks:
            why = {other.kind.value for other in others.get(task.request_id, ())}
            hold = held.get(task.task_id) if held else None
            goes = ends(self.downstream, task.details)
            if hold and hold.covers(goes, self.unit_of_work.policy.category_of):
                why.add(_HOLD)
            if why:
                found[task.task_id] = frozenset(why)
        return found


def _instead(system: Downstream, task: Task, why: frozenset[str], stopped: Receipt) -> Result:
    """What comes of a task that has only stopped the use of what it would erase."""
    if why == {Kind.COPY.value}:
        pause = _SOON * 2 ** min(max(task.attempt - 1, 0), _DOUBLED)
        return Pending(task.task_id, min(pause, _SELDOM), copy_first=True)
    left = ending(system, task.details)
    opposed = "a legal hold covers it" if _HOLD in why else "the person has asked that their data be kept"
    failure = ErasureOpposed(
        f"{system.name} holds {left}, which goes with the consent, and {opposed}: {_use(system, task)}; try again once"
        " that is over, or decide and enter what was done"
    )
    if stopped.changed:
        failure.done_before = DoneBefore(stopped.found, stopped.changed, stopped.remaining)
    return failure


def _use(system: Downstream, task: Task) -> str:
    """Whether what would be erased is used no more: where nothing in the system tells that, a person sees to it."""
    silenced = system.capable.silences
    if task.details.get("marketing") is False:
        silenced = frozenset()  # the mark is that of marketing
    if bare := ", ".join(sorted(ends(system, task.details) - silenced)):
        return f"nothing there tells that {bare} is used no more: see to that by hand"
    return "its use is stopped"
