"""What a store stops for somebody: marketing by its mark, and what was kept by a consent alone by erasing it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.downstreams.contract import COPY_FIRST, Checkpoint, Receipt, Result, Task
from shared.downstreams.sql.changing.amendment import Amendment
from shared.downstreams.sql.erasure import Erasure
from shared.downstreams.sql.incarnation import Begun
from shared.downstreams.sql.store import Session


async def stop(
    session: Session, policy: Policy, tasks: Sequence[Task], save_progress: Checkpoint, begun: Begun
) -> list[Result]:
    """The result of each task: what withdrawn consent ends is erased, and of the rest the mark is set.

    While a copy for the same person comes first, the mark is set in what will be erased, too; the store notes none of
    that, since those rows count once they go.
    """
    results: dict[UUID, Result] = {}
    for (ends, marketing, waits), same in _alike(tasks).items():
        rest = replace(session, tables=tuple(each for each in session.tables if each.table.category not in ends))
        ending = replace(session, tables=tuple(each for each in session.tables if each.table.category in ends))
        marked: list[Result] = [Receipt(task.task_id, TaskOutcome.NOT_HELD) for task in same]
        if marketing:
            marked = begun.told(same, await Amendment(rest, policy, save_progress).run(same))
        done = {task.task_id: result for task, result in zip(same, marked, strict=True)}
        left = [task for task in same if ending.tables and isinstance(done[task.task_id], Receipt)]
        if waits and marketing and left:
            silenced = await _Silencing(ending, policy, save_progress).run(left)
            for task, result in zip(left, silenced, strict=True):
                done[task.task_id] = _with_marked(done[task.task_id], result)
        elif left and not waits:
            left = [replace(task, operation=Operation.ERASE) for task in left]
            went = tuple(sorted({each.table.category for each in ending.tables}))
            erased = begun.told(left, await Erasure(ending, save_progress, begun, session).run(left))
            for task, result in zip(left, erased, strict=True):
                done[task.task_id] = _together(done[task.task_id], result, went)
        results |= done
    return [results[task.task_id] for task in tasks]


class _Silencing(Amendment):
    """Sets the mark in rows that will be erased, which the store counts then."""

    async def _keep(self, task: Task, changed: Counter[str]) -> Counter[str]:
        await super()._keep(task, Counter(dict.fromkeys(changed, 0)))
        return changed


def _with_marked(rest: Result, silenced: Result) -> Result:
    """One receipt of what was marked in what stays, and in what will be erased."""
    if not isinstance(silenced, Receipt) or not isinstance(rest, Receipt):
        return silenced
    if not silenced.changed:
        return rest
    by_category = Counter(rest.by_category) + Counter(silenced.by_category)
    found, changed = rest.found + silenced.found, rest.changed + silenced.changed
    return replace(rest, outcome=TaskOutcome.AMENDED, found=found, changed=changed, by_category=by_category)


def _alike(tasks: Sequence[Task]) -> Mapping[tuple[frozenset[str], bool, bool], list[Task]]:
    alike: dict[tuple[frozenset[str], bool, bool], list[Task]] = {}
    for task in tasks:
        named = task.details.get("ends")
        ends = frozenset(map(str, named)) if isinstance(named, list) else frozenset()
        told = ends, task.details.get("marketing") is not False, bool(ends and task.details.get(COPY_FIRST))
        alike.setdefault(told, []).append(task)
    return alike


def _together(marked: Result, erased: Result, went: tuple[str, ...]) -> Result:
    """One receipt of both: the store adds up what it notes of a task, so what was erased last counts all of it."""
    if not isinstance(erased, Receipt) or not isinstance(marked, Receipt):
        return erased
    found = erased.outcome is TaskOutcome.ERASED
    if not found:
        return erased if marked.outcome is TaskOutcome.NOT_HELD else marked
    return replace(erased, outcome=TaskOutcome.AMENDED, ended=went)
