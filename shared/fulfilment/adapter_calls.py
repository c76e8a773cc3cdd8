"""Calls an adapter for one batch of tasks; a task that breaks the call fails alone.

A batch that is refused, or that breaks the adapter, is called again by halves until the cause is alone.
A batch that meets an outage is tried again later as a whole.
After repeated outages, tasks without a suspicion go first; once they are answered, the rest is halved too.
"""

import logging
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from prometheus_client import Histogram
from pydantic import JsonValue

from shared.domain.errors import Refused, SystemRefused, Unavailable
from shared.fulfilment.queue import LeaseLost
from shared.runtime import telemetry
from shared.storage.postgres import RETRYABLE, UNAVAILABLE
from shared.systems.bounds import plausible
from shared.systems.contract import Checkpoint, Result, Task
from shared.systems.protocols import AdapterCall

log = logging.getLogger(__name__)

_MOST_OUTAGES = 5
"""Calls in a row that met an outage, after which the system counts as away."""


class UnforeseenError(Refused):
    """The adapter broke on this task in an unforeseen way; the log says where."""


class AdapterCalls:
    """The calls for one batch; ``seconds`` measures each."""

    def __init__(self, name: str, operate: AdapterCall, save_progress: Checkpoint, seconds: Histogram) -> None:
        self._name = name
        self._operate = operate
        self._save_progress = save_progress
        self._seconds = seconds
        self._results: dict[UUID, Result] = {}
        self._noted: dict[UUID, dict[str, JsonValue]] = {}
        self._answered = False
        self._outages = 0
        self._outage = Unavailable("not asked: it was away for other tasks of the batch")

    async def make(self, tasks: Sequence[Task], suspects: Collection[UUID]) -> Mapping[UUID, Result]:
        """Returns one result for each task; ``suspects``: tasks that met an outage repeatedly.

        Raises:
            LeaseLost: one of them was taken over; what was found out about the others does not count either.
        """
        for part in _batches(tasks, suspects):
            if self._outages and not self._answered:
                break  # it is away: the rest need not ask
            await self._call_in_halves(part)
        return {task.task_id: self._results.get(task.task_id, self._outage) for task in tasks}

    async def _call_in_halves(self, tasks: Sequence[Task]) -> None:
        """Calls with all of these, and if that fails, with each half, until the cause is alone."""
        if not tasks or self._outages >= _MOST_OUTAGES:
            return
        failure = await self._call(tasks)
        if failure is None:
            return
        outage = isinstance(failure, Unavailable) and not self._answered
        if outage or len(tasks) == 1 or isinstance(failure, SystemRefused):
            self._results.update((task.task_id, failure) for task in tasks)
            return
        half = len(tasks) // 2
        await self._call_in_halves(tasks[:half])
        await self._call_in_halves(tasks[half:])

    async def _call(self, tasks: Sequence[Task]) -> Unavailable | Refused | None:
        """Calls the adapter once; returns why the whole call failed, or None if each task has a result."""
        started = time.perf_counter()
        try:
            answers = await self._operate([self._with_progress(task) for task in tasks], self._checkpoint)
        except (Unavailable, *UNAVAILABLE, *RETRYABLE) as error:
            self._outages += 1
            outage = error if isinstance(error, Unavailable) else None
            self._outage = outage or Unavailable(f"gave up this attempt: {type(error).__name__}")
            return self._outage
        except Refused as error:
            return error
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, only the task that caused it fails
            log.error("%s broke on %d task(s): %s", self._name, len(tasks), telemetry.where(error))  # noqa: TRY400
            return UnforeseenError(f"{self._name} broke on this task: {type(error).__name__}")
        finally:
            self._seconds.observe(time.perf_counter() - started)
        if len(answers) != len(tasks):
            return UnforeseenError(f"{self._name} answered {len(answers)} of {len(tasks)} tasks")
        answers = [plausible(answer, self._name) for answer in answers]
        self._results.update(zip((task.task_id for task in tasks), answers, strict=True))
        if not all(isinstance(answer, Unavailable) for answer in answers):
            self._answered, self._outages = True, 0
        return None

    async def _checkpoint(self, progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        await self._save_progress(progress)
        for task_id, noted in progress.items():
            self._noted[task_id] = {**self._noted.get(task_id, {}), **noted}

    def _with_progress(self, task: Task) -> Task:
        """Returns the task with the progress that an earlier call of this batch has saved."""
        noted = self._noted.get(task.task_id)
        return replace(task, progress={**task.progress, **noted}) if noted else task


def _batches(tasks: Sequence[Task], suspects: Collection[UUID]) -> Iterator[Sequence[Task]]:
    """Yields tasks without a suspicion first, or one suspect if there are none; then the rest, shuffled."""
    suspected = [task for task in tasks if task.task_id in suspects]
    fresh = [task for task in tasks if task.task_id not in suspects]
    random.shuffle(suspected)  # so that two who are to blame do not meet in the same part each time
    yield fresh or suspected[:1]
    yield suspected if fresh else suspected[1:]
