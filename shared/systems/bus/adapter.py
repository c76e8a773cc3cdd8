"""Systems of teams who work their own store: they consume tasks, fetch the identities with a token, and reply.

What a task needs next is judged by the replies that its progress holds.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import cast
from uuid import UUID

from opentelemetry.propagate import inject
from pydantic import JsonValue

from shared.domain.cells import meant_by_name
from shared.domain.clock import Clock
from shared.domain.errors import (
    AnswerMalformed,
    DataStillPresent,
    DoneBefore,
    DsrError,
    LimitExceeded,
    NotSupported,
    Refused,
    Unavailable,
)
from shared.domain.identities import IdentityType
from shared.domain.operations import FULFILLED_BY, Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.topics import Message
from shared.domain.topics import tasks as tasks_topic
from shared.systems.bus.identity_token import IdentityToken, issue
from shared.systems.bus.messages import (
    AMENDING,
    Amending,
    BusOperation,
    ReplyOutcome,
    TaskReply,
    TaskRequested,
    command_id,
    progress_key,
)
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import Uploads, records_of
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, NotSearched, Pending, Publish, Receipt, Result, Task

MALFORMED_AT_MOST = 3
"""Most malformed replies to one command before a person must look."""


@dataclass(frozen=True, slots=True)
class SendCommand:
    """The next command to send for a task."""

    operation: BusOperation
    command: UUID
    asked_before: int

    @property
    def noted(self) -> dict[str, JsonValue]:
        """Returns the progress: the command, and how often it was sent, including this time."""
        return {"asked": {"command": str(self.command), "times": self.asked_before + 1}}


@dataclass(frozen=True, slots=True)
class ReadUpload:
    """The team has uploaded as many rows, for that command."""

    command: UUID
    found: int


@dataclass(frozen=True, slots=True)
class RoundFailed:
    """The team's answer ends this round: a person's retry asks again, and keeps the first counts."""

    failure: Refused
    noted: dict[str, JsonValue]


NextStep = SendCommand | ReadUpload | Receipt | NotSearched | RoundFailed


def next_step(task: Task, settings: BusSettings, today: date, categories: Collection[str] = ()) -> NextStep:
    """Decides the next step: the team works, then verifies; only an export needs no verification.

    ``today``: in UTC; ``categories``: the categories of its table. What would be done changes nothing either.
    """
    before = cast("int", task.progress.get("found", 0))
    reply = _reply(task, cast("BusOperation", task.operation))
    if not isinstance(reply, TaskReply):
        return reply
    if end := _end_without_check(task, reply, before, settings):
        return end
    if wrong := _implausible(task, reply, settings.most_rows(task), today):
        return failed(task, wrong, before, reply)
    if reply.outcome is ReplyOutcome.EXPORTED:
        return ReadUpload(reply.command_id, reply.found)
    if reply.outcome is ReplyOutcome.PLANNED:
        return _planned(task, reply, settings, categories)
    check = _reply(task, Operation.LOCATE)
    return _verify(task, reply, check, max(before, reply.found), settings) if isinstance(check, TaskReply) else check


def failed(task: Task, failure: Refused, found: int, reply: TaskReply | None = None) -> RoundFailed:
    """Returns a failure for a person; their retry is another round. ``reply``: changes that the team reports."""
    if reply and reply.changed:
        rows = max(found, reply.found, reply.changed + reply.remaining)
        failure.done_before = DoneBefore(rows, reply.changed, reply.remaining, reported=True)
    return RoundFailed(failure, {"round": task.round + 1, "found": found})


def _end_without_check(
    task: Task, reply: TaskReply, before: int, settings: BusSettings
) -> Receipt | NotSearched | RoundFailed | None:
    """Returns the end of a task that needs no second look."""
    match reply.outcome:
        case ReplyOutcome.REFUSED:
            return failed(task, _refusal(task, reply, settings), before)
        case ReplyOutcome.NOT_SEARCHED:
            return NotSearched(task.task_id, Unsearched(str(reply.reason)))
        case ReplyOutcome.NOT_HELD:
            return Receipt(task.task_id, TaskOutcome.NOT_HELD)
        case ReplyOutcome.NO_MATCH if not before or task.operation is not Operation.ERASE:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        case _:
            return None


def _implausible(task: Task, reply: TaskReply, max_rows: int, today: date) -> AnswerMalformed | None:
    """Returns why a consistent reply is still implausible."""
    touched = reply.found if reply.outcome is ReplyOutcome.EXPORTED else reply.changed
    if touched > max_rows:
        verb = "erased" if task.operation is Operation.ERASE else reply.outcome
        return AnswerMalformed(f"{task.system} says that it {verb} {touched:,} rows, and max_rows = {max_rows:,}")
    if reply.until and reply.until < today:
        return AnswerMalformed(f"{task.system} says that it keeps data until a day that is over")
    return None


def _planned(task: Task, reply: TaskReply, settings: BusSettings, categories: Collection[str]) -> Receipt | RoundFailed:
    """Returns what an erasure would find and keep."""
    if reply.by_category.keys() - categories:
        return failed(task, AnswerMalformed(f"{task.system} counts a category that its table does not name"), 0)
    if unknown := _unknown_ground(task, reply, settings):
        return failed(task, unknown, 0)
    counts = reply.by_category or (dict.fromkeys(categories, reply.found) if len(categories) == 1 else {})
    return Receipt(
        task.task_id,
        TaskOutcome.PLANNED,
        found=reply.found,
        remaining=reply.remaining,
        by_category=dict(counts),
        ground=reply.ground,
        until=reply.until,
    )


def _unknown_ground(task: Task, reply: TaskReply, settings: BusSettings) -> AnswerMalformed | None:
    if reply.ground is None or reply.ground in settings.grounds:
        return None
    keeps = f"{task.system} keeps data on a ground that its grounds do not list: agree with the team, and list it"
    return AnswerMalformed(keeps)


def _verify(task: Task, reply: TaskReply, check: TaskReply, found: int, settings: BusSettings) -> Receipt | RoundFailed:
    if check.outcome is ReplyOutcome.REFUSED:
        return failed(task, _refusal(task, check, settings), found, reply)
    if task.operation in AMENDING:
        return _verify_change(task, reply, check, settings.rectifies)
    return _verify_erasure(task, reply, check, found, settings)


def _verify_erasure(
    task: Task, erased: TaskReply, check: TaskReply, found: int, settings: BusSettings
) -> Receipt | RoundFailed:
    if check.found > erased.remaining:
        failure = f"{task.system} replied {erased.outcome}, and its own second look found {check.found} rows"
        return failed(
            task,
            DataStillPresent(f"{failure} where {erased.remaining} may remain"),
            found,
            erased.model_copy(update={"remaining": check.found}),
        )
    retained = erased.outcome is ReplyOutcome.RETAINED
    if retained and (unknown := _unknown_ground(task, erased, settings)):
        return failed(task, unknown, found, erased)
    return Receipt(
        task.task_id,
        TaskOutcome.RETAINED if retained else TaskOutcome.ERASED,
        found=found,
        changed=max(found - erased.remaining, erased.changed),
        remaining=check.found,
        ground=erased.ground,
        until=erased.until,
    )


def _verify_change(task: Task, reply: TaskReply, check: TaskReply, rectifies: Collection[str]) -> Receipt | RoundFailed:
    if check.remaining:
        failure = f"{task.system} replied amended, and its own second look found {check.remaining} rows as they were"
        return failed(task, DataStillPresent(failure), 0, reply)
    # A correction may have changed what found the person.
    if check.outcome is ReplyOutcome.NO_MATCH and task.operation is not Operation.RECTIFY:
        return failed(
            task, DataStillPresent(f"{task.system} replied amended, and its second look found no one"), 0, reply
        )
    corrects = task.operation is Operation.RECTIFY
    shown = tuple(reply.found if change.field in rectifies else 0 for change in task.changes) if corrects else None
    return Receipt(task.task_id, TaskOutcome.AMENDED, found=reply.found, changed=reply.changed, corrected=shown)


def _reply(task: Task, operation: BusOperation) -> TaskReply | SendCommand | RoundFailed:
    command = command_id(task.task_id, operation, task.round)
    stored = task.progress.get(progress_key(operation))
    if stored is not None:
        reply = TaskReply.model_validate(stored, strict=False)
        if reply.command_id == command:
            return reply
    match task.progress.get("malformed"):
        case {"command": answered, "times": int(times)} if answered == str(command) and times >= MALFORMED_AT_MOST:
            malformed = f"{task.system} has answered {times} times in a malformed form; see its dead letters"
            return failed(task, AnswerMalformed(malformed), cast("int", task.progress.get("found", 0)))
    match task.progress.get("asked"):
        case {"command": asked, "times": int(times)} if asked == str(command):
            return SendCommand(operation, command, times)
        case _:
            return SendCommand(operation, command, 0)


def _refusal(task: Task, reply: TaskReply, settings: BusSettings) -> Refused:
    max_rows = settings.most_rows(task)
    if reply.reason == LimitExceeded.code and reply.found > max_rows:
        exceeded = Exceeded(limit=Limit.MAX_ROWS, found=reply.found, allowed=max_rows)
        return LimitExceeded(f"{task.system} found {reply.found:,} rows, and max_rows = {max_rows:,}", exceeded)
    if reply.reason == LimitExceeded.code:
        return LimitExceeded(f"{task.system} found more rows than max_rows = {max_rows:,}, and does not say how many")
    reason = reply.reason if reply.reason in settings.reasons else "ask the team why; its reasons do not list this one"
    return Refused(f"{task.system} refuses to {reply.operation}: {reason}")


class BusAdapter:
    """Works through a team's own service: sends the task, reads the reply, has it verified, and trusts only that.

    An unanswered task is sent again with the same command ID and a fresh token; the team ignores the repeat.
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
        categories: frozenset[str] = frozenset(),
    ) -> None:
        self._system = system
        self._needs = needs
        self._settings = settings
        self._publish = publish
        self._token_key = token_key
        self._clock = clock
        self._uploads = uploads
        self._held = categories

    @cached_property
    def can(self) -> Capabilities:
        """States what its table says that the team does; the rest is a task for a person."""
        settings = self._settings
        return Capabilities(
            operations=settings.worked,
            one_flag=True,
            asks_before_marketing=settings.asks_before_marketing,
            tenants=None if settings.tenants else frozenset(),
            legend=dict.fromkeys(self._held, settings.explain),
            respects_periods=settings.periods,
            may_refuse=bool(
                settings.reasons or settings.grounds
            ),  # then it is asked before anything is erased anywhere
            missing_declarations={"unexplained": sorted(settings.shown - settings.explain.keys() - meant_by_name())},
        )

    async def close(self) -> None:
        """Closes nothing: the producer belongs to the service."""

    async def ask(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Takes each task one step further by the replies received.

        A correction that the team holds and cannot make is left to a person; other corrections do not concern it.
        """
        corrects = self._settings.rectifies
        asked = [t for t in tasks if not t.changes or any(change.field in corrects for change in t.changes)]
        results = dict(zip((t.task_id for t in asked), await self._next_steps(asked, save_progress), strict=True))
        return [self._by_hand(t, results.get(t.task_id) or Receipt(t.task_id, TaskOutcome.NOT_HELD)) for t in tasks]

    erase = export = plan = amend = ask

    def _by_hand(self, task: Task, result: Result) -> Result:
        """The person's task where the team's rows have a field that is to be corrected, and its table no way to."""
        names = {change.field for change in task.changes} | {change.field.rpartition(".")[2] for change in task.changes}
        fields = sorted(names & self._settings.shown)
        if not fields or not isinstance(result, Receipt) or result.outcome is not TaskOutcome.NOT_HELD:
            return result
        return NotSupported(
            f"{self._system} has {', '.join(fields)} in its rows and does not correct it: have the team correct what is"
            " theirs, and enter what was done"
        )

    async def _next_steps(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        today = self._clock.now().date()
        steps = [(task, await self._received_copy(task, self._step(task, today))) for task in tasks]
        if notes := {task.task_id: step.noted for task, step in steps if isinstance(step, SendCommand | RoundFailed)}:
            await save_progress(notes)
        asks = [(task, step) for task, step in steps if isinstance(step, SendCommand)]
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

    def _step(self, task: Task, today: date) -> NextStep:
        if task.removes_marked_only:  # its mark says not whose it is
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return next_step(task, self._settings, today, self._held)

    async def _received_copy(self, task: Task, step: NextStep) -> SendCommand | Receipt | NotSearched | RoundFailed:
        """The receipt of a copy, where that is what comes next; one that never came is a person's to ask for again."""
        if not isinstance(step, ReadUpload):
            return step
        uploaded = (await self._uploads.take([step.command])).get(step.command)
        try:
            records = tuple(records_of(task, uploaded, step.found, self._settings, self._held))
        except Refused as failure:
            return failed(task, failure, 0)
        counts, n = Counter(each.category for each in records), len(records)
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=counts, records=records)

    def _result(
        self, task: Task, step: SendCommand | Receipt | NotSearched | RoundFailed, away: Unavailable | None
    ) -> Result:
        match step:
            case Receipt() | NotSearched():
                return step
            case RoundFailed(failure=failure):
                return failure
            case SendCommand(asked_before=times):
                pause = min(self._settings.ask_again_s * 2 ** min(times, 32), self._settings.ask_again_max_s)
                return away or Pending(task.task_id, timedelta(seconds=pause))

    def _message(self, task: Task, ask: SendCommand) -> Message:
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
        command = TaskRequested(
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
            "ce_type": command.type,
            "ce_source": f"/dsr/{FULFILLED_BY[task.operation]}",
            "ce_time": now.isoformat(),
            "content-type": "application/json",
        }
        inject(headers)
        key = str(task.request_id).encode()
        # A team that knows of no tenant, or of no change in place, must not be surprised by it.
        excluded = {*(() if self._settings.tenants else ("tenant",)), *(() if looks_after else ("after",))}
        return Message(tasks_topic(self._system), key, command.model_dump_json(exclude=excluded).encode(), headers)
