"""Which store it is: whoever comes back to one that was replaced meanwhile cannot know what was counted in the other.

What tells one from another its adapter knows: a dump that is read back is another store, a failover or a restore of the
whole server is not.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import JsonValue

from shared.domain.operations import Operation, TaskOutcome, Uncounted
from shared.systems.contract import Receipt, Result, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """Tasks that begin to change a store: what is to be ``noted`` of each before, and whose counts are ``lost``."""

    noted: Mapping[UUID, Mapping[str, JsonValue]]
    lost: frozenset[UUID]

    @classmethod
    def of(cls, system: str, incarnation: str, tasks: Sequence[Task]) -> "Begun":
        """Compares the store with the one of which earlier attempts have noted that they change it."""
        fresh = [task for task in tasks if task.progress.get("store") != incarnation]
        # What was noted when this attempt was claimed says nothing: it has changed nothing yet.
        elsewhere = {
            task.task_id
            for task in fresh
            if task.progress.get("store") and task.progress.get("store_attempt") != task.attempt
        }
        if elsewhere:
            log.warning("%s: the counts of %d task(s) are lost: it was restored since", system, len(elsewhere))
        noted: dict[UUID, dict[str, JsonValue]] = {task.task_id: {"store": incarnation} for task in fresh}
        for task_id in elsewhere:
            noted[task_id]["uncounted"] = True
        return cls(noted, frozenset(elsewhere | {task.task_id for task in tasks if task.progress.get("uncounted")}))

    def told(self, tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
        """The results, without counts where they cannot be known: nothing that is there now is no proof of before."""
        return [
            _without_counts(task, result)
            if task.task_id in self.lost and isinstance(result, Receipt) and result.outcome is not TaskOutcome.NOT_HELD
            else result
            for task, result in zip(tasks, results, strict=True)
        ]


def _without_counts(task: Task, receipt: Receipt) -> Receipt:
    done = TaskOutcome.ERASED if task.operation is Operation.ERASE else TaskOutcome.AMENDED
    lost = Uncounted.STORE_REPLACED
    return replace(receipt, outcome=done, found=0, changed=0, by_category={}, uncounted=lost, corrected=None)
