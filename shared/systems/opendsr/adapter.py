"""Erasure and access at an OpenDSR processor: look, erase, look again; each step a request of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import httpx
from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.errors import BlastRadius, ForeignHit, Refused, ResidueFound, Unavailable
from shared.domain.operations import TaskOutcome
from shared.domain.policy import OnErasure
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Pending, Receipt, Record, Result, Task
from shared.systems.opendsr.processor import Processor
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.opendsr.wire import (
    RequestStatus,
    RequestType,
    Status,
    is_foreign,
    named_in,
    request_body,
    subject_request_id,
)

Answer = TypeVar("Answer")


class _NotCompleted(Exception):
    """The processor still works on a request of ours: ask again later."""


class OpenDsrAdapter:
    """Erases and gives access at one processor.

    OpenDSR says ``completed`` and no more. So an access request before tells how much there is, and one afterwards must
    find nothing. The ids derive from the task, so a repeat asks about the same three requests.
    """

    def __init__(
        self,
        system: str,
        settings: OpenDsrSettings,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._system = system
        self._settings = settings
        self._clock = clock
        token = None if settings.token_env is None else environment[settings.token_env]
        self._processor = Processor(system, settings, clock=clock, token=token, transport=transport)
        self._turn = asyncio.Semaphore(settings.parallel)
        self._discovered = False

    @property
    def can(self) -> Capabilities:
        """States what follows from its table: OpenDSR has no word for what must stay, nor for a period that keeps."""
        return Capabilities(
            on_erasure=frozenset({OnErasure.DELETE}),
            searched_by=frozenset({*self._settings.identities, *self._settings.extensions}),
            knows_times=False,
            knows_no_states=True,
        )

    async def inspect(self) -> Sequence[str]:
        """Asks what it supports; raises what a task would be answered."""
        await self._processor.discover()
        return ()

    async def close(self) -> None:
        """Close the connections."""
        await self._processor.close()

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Erase where an access request finds the subject, and look again."""
        submitted = await self._begin(tasks, save_progress)
        found = await self._each(tasks, lambda task: self._look(task, submitted))
        looks = dict(zip((task.task_id for task in tasks), found, strict=True))
        counts: dict[UUID, Mapping[str, JsonValue]] = {
            key: {"found": n} for key, n in looks.items() if isinstance(n, int)
        }
        await _save_progress(save_progress, counts)
        results = await self._each(tasks, lambda task: self._erase(task, looks[task.task_id], submitted))
        # A person's retry must ask anew: the processor would answer the same ids with the same completed requests.
        refused = [(task, each) for task, each in zip(tasks, results, strict=True) if isinstance(each, Refused)]
        await _save_progress(save_progress, {task.task_id: _anew(task, each) for task, each in refused})
        return results

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Fetch what an access request finds."""
        submitted = await self._begin(tasks, save_progress)
        return await self._each(tasks, lambda task: self._export(task, submitted))

    async def _begin(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Mapping[UUID, str]:
        if not tasks:
            return {}
        if not self._discovered:
            await self._processor.discover()
            self._discovered = True
        now = self._clock.now().isoformat()
        await _save_progress(
            save_progress,
            {task.task_id: {"submitted_at": now} for task in tasks if "submitted_at" not in task.progress},
        )
        return {task.task_id: str(task.progress.get("submitted_at", now)) for task in tasks}

    async def _each(
        self, tasks: Sequence[Task], ask: Callable[[Task], Awaitable[Answer]]
    ) -> list[Answer | Pending | Unavailable | Refused]:
        async def one(task: Task) -> Answer | Pending | Unavailable | Refused:
            async with self._turn:
                try:
                    return await ask(task)
                except _NotCompleted:
                    return Pending(task.task_id, timedelta(seconds=self._settings.poll_s))
                except (Unavailable, Refused) as failure:
                    return failure

        return await asyncio.gather(*map(one, tasks))

    async def _look(self, task: Task, submitted: Mapping[UUID, str]) -> int:
        noted = task.progress.get("found")
        if isinstance(noted, int):
            return noted
        status = await self._ask(task, RequestType.ACCESS, "before", submitted)
        found = self._count(status)
        if found and self._settings.recheck and status.results_url is not None:
            await self._results(task, status.results_url, found)
        return found

    async def _erase(self, task: Task, found: int | Result, submitted: Mapping[UUID, str]) -> Result:
        if not isinstance(found, int):
            return found
        if found == 0:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        if excess := self._settings.excess(task, rows=found):
            return excess
        await self._ask(task, RequestType.ERASURE, "erase", submitted)
        if remaining := self._count(await self._ask(task, RequestType.ACCESS, "after", submitted)):
            raise ResidueFound(f"{self._system} says completed, and asked again it found {remaining} results")
        return Receipt(task.task_id, TaskOutcome.ERASED, found=found, changed=found)

    async def _export(self, task: Task, submitted: Mapping[UUID, str]) -> Result:
        status = await self._ask(task, RequestType.ACCESS, "export", submitted)
        found = self._count(status)
        if found == 0:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        if excess := self._settings.excess(task, rows=found):
            return excess
        if status.results_url is None:
            raise Refused(f"{self._system} found results and gives no results_url to fetch them from")
        results = await self._results(task, status.results_url, found)
        portable = self._settings.portable
        records = tuple(
            Record(category, self._system, data, portable, named_in(data, task.identities, self._settings))
            for category, data in results
        )
        # Its words for its categories stay with the records, which are sealed; the count goes into the evidence.
        counts = {"record": len(records)} if records else {}
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), by_category=counts, records=records)

    async def _results(self, task: Task, address: str, count: int) -> list[tuple[str, dict[str, JsonValue]]]:
        results = await self._processor.results(address, count)
        if any(is_foreign(data, task.identities, self._settings) for _, data in results):
            raise ForeignHit(f"{self._system} found somebody else too; nothing was done")
        return results

    async def _ask(self, task: Task, kind: RequestType, purpose: str, submitted: Mapping[UUID, str]) -> Status:
        request_id = subject_request_id(task.task_id, purpose, task.round)
        repeat = "submitted_at" in task.progress
        status = await self._processor.status(request_id) if repeat else None
        if status is None:
            body = request_body(request_id, kind, task.identities, submitted[task.task_id], self._settings)
            await self._processor.submit(request_id, body)
            status = await self._processor.status(request_id)
        match status and status.request_status:
            case RequestStatus.COMPLETED if status is not None:
                return status
            case RequestStatus.CANCELLED:
                raise Refused(f"{self._system} cancelled the {kind} request")
            case _:
                raise _NotCompleted

    def _count(self, status: Status) -> int:
        if status.results_count is None:
            raise Refused(f"{self._system} gives no results_count of an access request: nothing can be verified there")
        return status.results_count


def _anew(task: Task, refused: Refused) -> Mapping[str, JsonValue]:
    """What a retry begins with: also where a limit was confirmed, it is judged by how much there is then."""
    return {"round": task.round + 1} | ({"found": None} if isinstance(refused, BlastRadius) else {})


async def _save_progress(save_progress: Checkpoint, progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    if progress:
        await save_progress(progress)
