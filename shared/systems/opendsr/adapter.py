"""Erases and exports at an OpenDSR processor by separate requests: access, erasure, access again."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import httpx
from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.errors import DataStillPresent, LimitExceeded, Refused, Withdrawn, WrongPersonMatch
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import OnErasure
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, CopiedRecord, Receipt, Result, Task
from shared.systems.engine.stepwise import RetryLater, work_one_by_one
from shared.systems.opendsr.processor import (
    Processor,
    RequestStatus,
    RequestType,
    Status,
    is_foreign,
    named_in,
    request_body,
    subject_request_id,
)
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.protocols import Tried


class _AccessTask(NamedTuple):
    """A task, the time of its first request, and whether an earlier attempt may have submitted it."""

    task: Task
    submitted: str
    repeat: bool


class OpenDsrAdapter:
    """Serves one processor.

    OpenDSR reports only ``completed``. So an access request before the erasure counts the results, and one afterwards
    must find none. The ids derive from the task, so a repeat asks about the same three requests.
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
        """Returns the capabilities of its table: OpenDSR can report neither retained data nor periods."""
        return Capabilities(
            on_erasure=frozenset({OnErasure.DELETE}),
            searched_by=frozenset({*self._settings.identities, *self._settings.extensions}),
            has_record_times=False,
            reports_no_states=True,
        )

    async def inspect(self) -> Sequence[Tried]:
        """Asks what it supports; raises what a task would be answered."""
        await self._processor.discover()
        return [Tried("access", "discovery")]

    async def close(self) -> None:
        """Closes the connections."""
        await self._processor.close()

    async def ask(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Erases where an access request finds the subject and looks again, or fetches what that finds."""
        if tasks and not self._discovered:
            await self._processor.discover()
            self._discovered = True

        async def one(some: Sequence[Task], save: Checkpoint) -> Sequence[Result]:
            [task] = some
            async with self._turn:
                now = self._clock.now().isoformat()
                repeat = "submitted_at" in task.progress
                if not repeat:
                    await save({task.task_id: {"submitted_at": now}})
                access = _AccessTask(task, str(task.progress.get("submitted_at", now)), repeat)
                exports = task.operation is Operation.EXPORT
                return [await (self._export(access) if exports else self._erase(access, save))]

        return await work_one_by_one(one, tasks, save_progress, max(1, len(tasks)))

    erase = export = ask

    async def _erase(self, access: _AccessTask, save: Checkpoint) -> Result:
        task = access.task
        try:
            found = await self._look(access)
            await save({task.task_id: {"found": found}})
            if found == 0:
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            self._must_be_few(task, found)
            await self._ask(access, RequestType.ERASURE, "erase")
            if remaining := self._count(await self._ask(access, RequestType.ACCESS, "after")):
                raise DataStillPresent(f"{self._system} says completed, and asked again it found {remaining} results")
        except Withdrawn:
            raise
        except Refused as refused:
            # A retry needs new ids: for the same ids the processor returns the same completed requests.
            # After a confirmed limit the results are counted again.
            again: dict[str, JsonValue] = {"found": None} if isinstance(refused, LimitExceeded) else {}
            await save({task.task_id: {"round": task.round + 1, **again}})
            raise
        return Receipt(task.task_id, TaskOutcome.ERASED, found=found, changed=found)

    async def _look(self, access: _AccessTask) -> int:
        noted = access.task.progress.get("found")
        if isinstance(noted, int):
            return noted
        status = await self._ask(access, RequestType.ACCESS, "before")
        found = self._count(status)
        if found and status.results_url is not None:
            await self._results(access.task, status.results_url, found)
        return found

    async def _export(self, access: _AccessTask) -> Result:
        task = access.task
        status = await self._ask(access, RequestType.ACCESS, "export")
        found = self._count(status)
        if found == 0:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        self._must_be_few(task, found)
        if status.results_url is None:
            raise Refused(f"{self._system} found results and gives no results_url to fetch them from")
        records = tuple(
            CopiedRecord(
                category, self._system, data, self._settings.portable, named_in(data, task.identities, self._settings)
            )
            for category, data in await self._results(task, status.results_url, found)
        )
        # The processor's category names stay in the sealed records; the evidence has only the count.
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=found, by_category={"record": found}, records=records)

    def _must_be_few(self, task: Task, found: int) -> None:
        if excess := self._settings.excess(task, rows=found):
            raise excess

    async def _results(self, task: Task, address: str, count: int) -> list[tuple[str, dict[str, JsonValue]]]:
        results = await self._processor.results(address, count)
        if any(is_foreign(data, task.identities, self._settings) for _, data in results):
            raise WrongPersonMatch(f"{self._system} found another person too; nothing was done")
        return results

    async def _ask(self, access: _AccessTask, kind: RequestType, purpose: str) -> Status:
        task = access.task
        request_id = subject_request_id(task.task_id, purpose, task.round)
        status = await self._processor.status(request_id) if access.repeat else None
        if status is None:
            body = request_body(request_id, kind, task.identities, access.submitted, self._settings)
            await self._processor.submit(request_id, body)
            status = await self._processor.status(request_id)
        match status and status.request_status:
            case RequestStatus.COMPLETED if status is not None:
                return status
            case RequestStatus.CANCELLED:
                raise Refused(f"{self._system} cancelled the {kind} request")
            case _:
                raise RetryLater(f"{self._system} works on it", timedelta(seconds=self._settings.poll_s))

    def _count(self, status: Status) -> int:
        if status.results_count is None:
            raise Refused(f"{self._system} gives no results_count of an access request: nothing can be verified there")
        return status.results_count
