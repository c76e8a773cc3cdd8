"""Systems of teams who erase their own store: they consume tasks, fetch the identities with a token, and reply."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, Self, cast
from uuid import UUID

from opentelemetry.propagate import inject
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, BlastRadius, DsrError, Refused, ResidueFound, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.records import Message
from shared.domain.topics import tasks as tasks_topic
from shared.downstreams.bus.identity_token import IdentityToken, issue
from shared.downstreams.bus.messages import (
    BusOperation,
    ReplyOutcome,
    TaskReply,
    TaskRequested,
    Word,
    command_id,
    progress_key,
)
from shared.downstreams.contract import Checkpoint, NotSearched, Pending, Receipt, Result, Task

Publish = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends records and returns once the broker has them all (``Producer.send``), or raises a ``DsrError``."""


class BusSettings(BaseModel):
    """A table ``adapter = "bus"`` of the downstreams file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    adapter: Literal["bus"] = "bus"
    max_rows: int = Field(
        default=100_000, ge=1, le=1_000_000_000, description="a team that finds more rows than this erases nothing"
    )
    tenants: bool = Field(
        default=False,
        description="true: the team tells the data of our customers apart, and touches those alone that a task names",
    )
    grounds: frozenset[Word] = Field(
        default=frozenset(), description="grounds on which the team may keep data, as the privacy team has agreed"
    )
    reasons: frozenset[Word] = Field(
        default=frozenset(), description="reasons for a refusal that are shown; of any other it is said that it is one"
    )
    claim_hours: int = Field(default=72, ge=1, le=720, description="how long a token opens the identities")
    ask_again_s: float = Field(
        default=5, gt=0, le=86_400, description="first pause before a task is sent again; doubles"
    )
    ask_again_max_s: float = Field(default=21_600, gt=0, le=604_800, description="longest such pause")

    @model_validator(mode="after")
    def _claims_outlive_the_pause(self) -> Self:
        if self.claim_hours * 3600 <= self.ask_again_max_s:
            raise ValueError("claim_hours must be longer than ask_again_max_s, or a team waits with an expired claim")
        return self

    def most_rows(self, task: Task) -> int:
        """How many rows a task may touch."""
        return max(self.max_rows, task.confirmed.get(Limit.MAX_ROWS, 0))


@dataclass(frozen=True, slots=True)
class Ask:
    """The next command to send for a task."""

    operation: BusOperation
    command: UUID
    asked_before: int

    @property
    def noted(self) -> dict[str, JsonValue]:
        """How often it was sent, this time included."""
        return {"asked": {"command": str(self.command), "times": self.asked_before + 1}}


@dataclass(frozen=True, slots=True)
class Failed:
    """The team's answer ends this round: a person's retry asks anew, and still knows how much there was at first."""

    failure: Refused
    noted: dict[str, JsonValue]


def next_step(task: Task, settings: BusSettings, today: date) -> Ask | Receipt | NotSearched | Failed:
    """What an erasure needs next, judged by the replies that its progress holds: erase, then look, then conclude.

    ``today``: in UTC.
    """
    before = cast("int", task.progress.get("found", 0))
    erased = _reply(task, Operation.ERASE)
    if not isinstance(erased, TaskReply):
        return erased
    found = max(before, erased.found)
    if erased.outcome is ReplyOutcome.REFUSED:
        return _failed(task, _refusal(task, erased, settings), before)
    if erased.outcome is ReplyOutcome.NOT_SEARCHED:
        return NotSearched(task.task_id, Unsearched(str(erased.reason)))
    if erased.outcome is ReplyOutcome.NO_MATCH and not before:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    if wrong := _untenable(task.system, erased, settings.most_rows(task), today):
        return _failed(task, wrong, before)
    looked = _reply(task, Operation.LOCATE)
    return _judge(task, erased, looked, found, settings) if isinstance(looked, TaskReply) else looked


def _untenable(system: str, erased: TaskReply, max_rows: int, today: date) -> AnswerMalformed | None:
    """Why a reply cannot be believed though it adds up."""
    if erased.changed > max_rows:
        return AnswerMalformed(f"{system} says that it erased {erased.changed:,} rows, and max_rows = {max_rows:,}")
    if erased.until and erased.until < today:
        return AnswerMalformed(f"{system} says that it keeps data until a day that is over")
    return None


def _judge(task: Task, erased: TaskReply, looked: TaskReply, found: int, settings: BusSettings) -> Receipt | Failed:
    if looked.outcome is ReplyOutcome.REFUSED:
        return _failed(task, _refusal(task, looked, settings), found)
    if looked.found > erased.remaining:
        left = f"{task.system} replied {erased.outcome}, and its own second look found {looked.found} rows"
        return _failed(task, ResidueFound(f"{left} where {erased.remaining} may remain"), found)
    retained = erased.outcome is ReplyOutcome.RETAINED
    if retained and erased.ground not in settings.grounds:
        unknown = f"{task.system} keeps data on a ground that its grounds do not list: agree with the team, and list it"
        return _failed(task, AnswerMalformed(unknown), found)
    return Receipt(
        task.task_id,
        TaskOutcome.RETAINED if retained else TaskOutcome.ERASED,
        found=found,
        changed=max(found - erased.remaining, erased.changed),
        remaining=looked.found,
        ground=erased.ground,
        until=erased.until,
    )


def _reply(task: Task, operation: BusOperation) -> TaskReply | Ask:
    command = command_id(task.task_id, operation, task.round)
    stored = task.progress.get(progress_key(operation))
    if stored is not None:
        reply = TaskReply.model_validate(stored, strict=False)
        if reply.command_id == command:
            return reply
    match task.progress.get("asked"):
        case {"command": asked, "times": int(times)} if asked == str(command):
            return Ask(operation, command, times)
        case _:
            return Ask(operation, command, 0)


def _failed(task: Task, failure: Refused, found: int) -> Failed:
    return Failed(failure, {"round": task.round + 1, "found": found})


def _refusal(task: Task, reply: TaskReply, settings: BusSettings) -> Refused:
    max_rows = settings.most_rows(task)
    if reply.reason == BlastRadius.code and reply.found > max_rows:
        exceeded = Exceeded(limit=Limit.MAX_ROWS, found=reply.found, allowed=max_rows)
        return BlastRadius(f"{task.system} found {reply.found:,} rows, and max_rows = {max_rows:,}", exceeded)
    if reply.reason == BlastRadius.code:
        return BlastRadius(f"{task.system} found more rows than max_rows = {max_rows:,}, and does not say how many")
    reason = reply.reason if reply.reason in settings.reasons else "ask the team why; its reasons do not list this one"
    return Refused(f"{task.system} refuses to {reply.operation}: {reason}")


class BusAdapter:
    """Erases through a team's own service: sends the task, hears the reply, has it look again, and believes only that.

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
    ) -> None:
        self._system = system
        self._needs = needs
        self._settings = settings
        self._publish = publish
        self._token_key = token_key
        self._clock = clock

    @property
    def tenants(self) -> frozenset[str] | None:
        """The customers of ours whose data the team tells apart: any, or none."""
        return None if self._settings.tenants else frozenset()

    async def close(self) -> None:
        """Nothing to close: the producer belongs to the service."""

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        """Take each task one step further by the replies that have come."""
        today = self._clock.now().date()
        steps = [(task, next_step(task, self._settings, today)) for task in tasks]
        if notes := {task.task_id: step.noted for task, step in steps if isinstance(step, Ask | Failed)}:
            await save_progress(notes)
        away: Unavailable | None = None
        if asks := [self._message(task, step) for task, step in steps if isinstance(step, Ask)]:
            try:
                await self._publish(asks)
            except DsrError as error:
                away = Unavailable(f"the bus did not take the tasks of {self._system}: {error.code}")
        results: list[Result] = []
        for task, step in steps:
            match step:
                case Receipt() | NotSearched():
                    results.append(step)
                case Failed(failure=failure):
                    results.append(failure)
                case Ask(asked_before=times):
                    pause = min(self._settings.ask_again_s * 2 ** min(times, 32), self._settings.ask_again_max_s)
                    results.append(away or Pending(task.task_id, timedelta(seconds=pause)))
        return results

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
        )
        said = TaskRequested(
            command_id=ask.command,
            task_id=task.task_id,
            request_id=task.request_id,
            operation=ask.operation,
            due_on=task.due_on,
            max_rows=self._settings.most_rows(task),
            tenant=task.tenant,
            claim=issue(token, self._token_key, now),
        )
        headers = {
            "ce_specversion": "1.0",
            "ce_id": str(ask.command),
            "ce_type": said.type,
            "ce_source": "/dsr/erasure",
            "ce_time": now.isoformat(),
            "content-type": "application/json",
        }
        inject(headers)
        key = str(task.request_id).encode()
        unsaid = None if self._settings.tenants else {"tenant"}  # a team that knows of none must not be surprised by it
        return Message(tasks_topic(self._system), key, said.model_dump_json(exclude=unsaid).encode(), headers)
