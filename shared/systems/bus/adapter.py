"""Systems of teams who work their own store: they consume tasks, fetch the identities with a token, and reply."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import cast

from opentelemetry.propagate import inject

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.errors import DsrError, NotSupported, Refused, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import FULFILLED_BY, Operation, TaskOutcome
from shared.domain.records import Message
from shared.domain.topics import tasks as tasks_topic
from shared.systems.bus.identity_token import IdentityToken, issue
from shared.systems.bus.messages import AMENDING, Amending, TaskRequested
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.steps import Ask, Failed, Step, Take, failed, next_step
from shared.systems.bus.upload import Uploads, records_of
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, NotSearched, Pending, Publish, Receipt, Result, Task, where_held


class BusAdapter:
    """Works through a team's own service: sends the task, hears the reply, has it look again, and believes only that.

    A task that is not answered is sent again with the same command id and a fresh token; the team absorbs the repeat.
    """

    def __init__(
        self,
        system: str,
        settings: BusSettings,
        *,
        needs: frozenset[IdentityType],
        publish: Publish,
        token_key: bytes,
        clock: Clock,
        uploads: Uploads,
        held: frozenset[str] = frozenset(),
    ) -> None:
        self._system = system
        self._needs = needs
        self._settings = settings
        self._publish = publish
        self._token_key = token_key
        self._clock = clock
        self._uploads = uploads
        self._held = held

    @cached_property
    def can(self) -> Capabilities:
        """States what its table says that the team does; the rest is a task for a person."""
        said = self._settings
        return Capabilities(
            operations=said.worked,
            one_flag=True,
            asks_before_marketing=said.asks_before_marketing,
            tenants=None if said.tenants else frozenset(),
            legend=dict.fromkeys(self._held, said.explain),
            heeds_periods=said.periods,
            may_refuse=bool(said.reasons or said.grounds),  # then it is asked before anything is erased anywhere
            lacks={"unexplained": sorted(said.shown - said.explain.keys() - meant_by_name())},
        )

    async def close(self) -> None:
        """Nothing to close: the producer belongs to the service."""

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Takes each task one step further by the replies that have come."""
        return await self._go_on(tasks, save_progress)

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """The same; a team that says what it would do is believed, for nothing was changed."""
        return await self._go_on(tasks, save_progress)

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """The same; what the team has uploaded is taken once it says so."""
        return await self._go_on(tasks, save_progress)

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """The same; a correction of what the team holds and cannot correct is a person's, of anything else nobody's."""

        async def go_on(held: Sequence[Task]) -> Sequence[Result]:
            return await self._go_on(held, save_progress)

        if not tasks or tasks[0].operation is not Operation.RECTIFY:
            return await go_on(tasks)
        results = await where_held(tasks, self._settings.rectifies, go_on)
        return [self._by_hand(task, result) for task, result in zip(tasks, results, strict=True)]

    def _by_hand(self, task: Task, result: Result) -> Result:
        """The person's task where the team's rows have a field that is to be corrected, and its table no way to."""
        names = {change.field for change in task.changes} | {change.field.rpartition(".")[2] for change in task.changes}
        held = sorted(names & self._settings.shown)
        if not held or not isinstance(result, Receipt) or result.outcome is not TaskOutcome.NOT_HELD:
            return result
        return NotSupported(
            f"{self._system} has {', '.join(held)} in its rows and does not correct it: have the team correct what is"
            " theirs, and enter what was done"
        )

    async def _go_on(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        today = self._clock.now().date()
        steps = [(task, await self._taken(task, self._step(task, today))) for task in tasks]
        if notes := {task.task_id: step.noted for task, step in steps if isinstance(step, Ask | Failed)}:
            await save_progress(notes)
        asks = [(task, step) for task, step in steps if isinstance(step, Ask)]
        exports = {step.command: task.subject_ref for task, step in asks if step.operation is Operation.EXPORT}
        if exports:
            await self._uploads.expect(self._system, exports)
        away: Unavailable | None = None
        if asks:
            try:
                await self._publish([self._message(task, step) for task, step in asks])
            except DsrError as error:
                away = Unavailable(f"the bus did not take the tasks of {self._system}: {error.code}")
        return [self._result(task, step, away) for task, step in steps]

    def _step(self, task: Task, today: date) -> Step:
        if task.marked:  # its mark says not whose it is
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return next_step(task, self._settings, today, self._held)

    async def _taken(self, task: Task, step: Step) -> Ask | Receipt | NotSearched | Failed:
        """The receipt of a copy, where that is what comes next; one that never came is a person's to ask for again."""
        if not isinstance(step, Take):
            return step
        uploaded = (await self._uploads.take([step.command])).get(step.command)
        try:
            records = tuple(records_of(task, uploaded, step.found, self._settings, self._held))
        except Refused as failure:
            return failed(task, failure, 0)
        counts, n = Counter(each.category for each in records), len(records)
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=counts, records=records)

    def _result(self, task: Task, step: Ask | Receipt | NotSearched | Failed, away: Unavailable | None) -> Result:
        match step:
            case Receipt() | NotSearched():
                return step
            case Failed(failure=failure):
                return failure
            case Ask(asked_before=times):
                pause = min(self._settings.ask_again_s * 2 ** min(times, 32), self._settings.ask_again_max_s)
                return away or Pending(task.task_id, timedelta(seconds=pause))

    def _message(self, task: Task, ask: Ask) -> Message:
        now = self._clock.now()
        token = IdentityToken(
            task_id=task.task_id,
            request_id=task.request_id,
            system=self._system,
            needs=self._needs,
            level=task.level,
            subject_ref=task.subject_ref,
            expires_at=now + timedelta(hours=self._settings.claim_hours),
            operation=task.operation,
            periods=self._settings.periods,
            fields=self._settings.rectifies if task.operation is Operation.RECTIFY else frozenset(),
        )
        looks_after = ask.operation is Operation.LOCATE and task.operation in AMENDING
        said = TaskRequested(
            command_id=ask.command,
            task_id=task.task_id,
            request_id=task.request_id,
            operation=ask.operation,
            due_on=task.due_on,
            max_rows=self._settings.most_rows(task),
            tenant=task.tenant,
            after=cast("Amending", task.operation) if looks_after else None,
            claim=issue(token, self._token_key, now),
        )
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(ask.command),
            "ce_type": said.type,
            "ce_source": f"/dsr/{FULFILLED_BY[task.operation]}",
            "ce_time": now.isoformat(),
            "content-type": "application/json",
        }
        inject(headers)
        key = str(task.request_id).encode()
        # A team that knows of no tenant, or of no change in place, must not be surprised by it.
        unsaid = {*(() if self._settings.tenants else ("tenant",)), *(() if looks_after else ("after",))}
        return Message(tasks_topic(self._system), key, said.model_dump_json(exclude=unsaid).encode(), headers)
