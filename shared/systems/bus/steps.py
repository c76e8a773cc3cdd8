"""What a task of a team needs next, judged by the replies that its progress holds; pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import cast
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import AnswerMalformed, BlastRadius, DoneBefore, Refused, ResidueFound
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.systems.bus.messages import AMENDING, BusOperation, ReplyOutcome, TaskReply, command_id, progress_key
from shared.systems.bus.settings import BusSettings
from shared.systems.contract import NotSearched, Receipt, Task

MALFORMED_AT_MOST = 3
"""How many malformed replies to one command are waited through before a person must see to it."""


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
class Take:
    """The team has uploaded as many rows, for that command."""

    command: UUID
    found: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The team's answer ends this round: a person's retry asks anew, and still knows how much there was at first."""

    failure: Refused
    noted: dict[str, JsonValue]


Step = Ask | Take | Receipt | NotSearched | Failed


def next_step(task: Task, settings: BusSettings, today: date, held: Collection[str] = ()) -> Step:
    """The team does it, then looks again, and only then it is concluded; an export changes nothing to look at.

    ``today``: in UTC; ``held``: the categories of its table. What would be done changes nothing either.
    """
    before = cast("int", task.progress.get("found", 0))
    said = _reply(task, cast("BusOperation", task.operation))
    if not isinstance(said, TaskReply):
        return said
    if end := _end(task, said, before, settings):
        return end
    if wrong := _untenable(task, said, settings.most_rows(task), today):
        return failed(task, wrong, before, said)
    if said.outcome is ReplyOutcome.EXPORTED:
        return Take(said.command_id, said.found)
    if said.outcome is ReplyOutcome.PLANNED:
        return _planned(task, said, settings, held)
    looked = _reply(task, Operation.LOCATE)
    return _judge(task, said, looked, max(before, said.found), settings) if isinstance(looked, TaskReply) else looked


def failed(task: Task, failure: Refused, found: int, said: TaskReply | None = None) -> Failed:
    """What a person looks at; their retry is another round. ``said``: what the team says that it has changed."""
    if said and said.changed:
        rows = max(found, said.found, said.changed + said.remaining)
        failure.done_before = DoneBefore(rows, said.changed, said.remaining, reported=True)
    return Failed(failure, {"round": task.round + 1, "found": found})


def _end(task: Task, said: TaskReply, before: int, settings: BusSettings) -> Receipt | NotSearched | Failed | None:
    """What a reply ends with after which there is nothing to look at again."""
    match said.outcome:
        case ReplyOutcome.REFUSED:
            return failed(task, _refusal(task, said, settings), before)
        case ReplyOutcome.NOT_SEARCHED:
            return NotSearched(task.task_id, Unsearched(str(said.reason)))
        case ReplyOutcome.NOT_HELD:
            return Receipt(task.task_id, TaskOutcome.NOT_HELD)
        case ReplyOutcome.NO_MATCH if not before or task.operation is not Operation.ERASE:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        case _:
            return None


def _untenable(task: Task, said: TaskReply, max_rows: int, today: date) -> AnswerMalformed | None:
    """Why a reply cannot be believed though it adds up."""
    touched = said.found if said.outcome is ReplyOutcome.EXPORTED else said.changed
    if touched > max_rows:
        verb = "erased" if task.operation is Operation.ERASE else said.outcome
        return AnswerMalformed(f"{task.system} says that it {verb} {touched:,} rows, and max_rows = {max_rows:,}")
    if said.until and said.until < today:
        return AnswerMalformed(f"{task.system} says that it keeps data until a day that is over")
    return None


def _planned(task: Task, said: TaskReply, settings: BusSettings, held: Collection[str]) -> Receipt | Failed:
    """What an erasure would find and leave; of a team that holds one category alone it is of that."""
    if said.by_category.keys() - held:
        return failed(task, AnswerMalformed(f"{task.system} counts a category that its table does not name"), 0)
    if unknown := _unknown_ground(task, said, settings):
        return failed(task, unknown, 0)
    counts = said.by_category or (dict.fromkeys(held, said.found) if len(held) == 1 else {})
    return Receipt(
        task.task_id,
        TaskOutcome.PLANNED,
        found=said.found,
        remaining=said.remaining,
        by_category=dict(counts),
        ground=said.ground,
        until=said.until,
    )


def _unknown_ground(task: Task, said: TaskReply, settings: BusSettings) -> AnswerMalformed | None:
    if said.ground is None or said.ground in settings.grounds:
        return None
    keeps = f"{task.system} keeps data on a ground that its grounds do not list: agree with the team, and list it"
    return AnswerMalformed(keeps)


def _judge(task: Task, said: TaskReply, looked: TaskReply, found: int, settings: BusSettings) -> Receipt | Failed:
    if looked.outcome is ReplyOutcome.REFUSED:
        return failed(task, _refusal(task, looked, settings), found, said)
    if task.operation in AMENDING:
        return _judge_change(task, said, looked, settings.rectifies)
    return _judge_erasure(task, said, looked, found, settings)


def _judge_erasure(
    task: Task, erased: TaskReply, looked: TaskReply, found: int, settings: BusSettings
) -> Receipt | Failed:
    if looked.found > erased.remaining:
        left = f"{task.system} replied {erased.outcome}, and its own second look found {looked.found} rows"
        return failed(
            task,
            ResidueFound(f"{left} where {erased.remaining} may remain"),
            found,
            erased.model_copy(update={"remaining": looked.found}),
        )
    retained = erased.outcome is ReplyOutcome.RETAINED
    if retained and (unknown := _unknown_ground(task, erased, settings)):
        return failed(task, unknown, found, erased)
    return Receipt(
        task.task_id,
        TaskOutcome.RETAINED if retained else TaskOutcome.ERASED,
        found=found,
        changed=max(found - erased.remaining, erased.changed),
        remaining=looked.found,
        ground=erased.ground,
        until=erased.until,
    )


def _judge_change(task: Task, said: TaskReply, looked: TaskReply, rectifies: Collection[str]) -> Receipt | Failed:
    if looked.remaining:
        left = f"{task.system} replied amended, and its own second look found {looked.remaining} rows as they were"
        return failed(task, ResidueFound(left), 0, said)
    # Whoever was known by what was corrected is not found by it any more.
    if looked.outcome is ReplyOutcome.NO_MATCH and task.operation is not Operation.RECTIFY:
        return failed(task, ResidueFound(f"{task.system} replied amended, and its second look found nobody"), 0, said)
    corrects = task.operation is Operation.RECTIFY
    shown = tuple(said.found if change.field in rectifies else 0 for change in task.changes) if corrects else None
    return Receipt(task.task_id, TaskOutcome.AMENDED, found=said.found, changed=said.changed, corrected=shown)


def _reply(task: Task, operation: BusOperation) -> TaskReply | Ask | Failed:
    command = command_id(task.task_id, operation, task.round)
    stored = task.progress.get(progress_key(operation))
    if stored is not None:
        reply = TaskReply.model_validate(stored, strict=False)
        if reply.command_id == command:
            return reply
    match task.progress.get("malformed"):
        case {"command": answered, "times": int(times)} if answered == str(command) and times >= MALFORMED_AT_MOST:
            told = f"{task.system} has answered {times} times in a form that cannot be read: its dead letters say how"
            return failed(task, AnswerMalformed(told), cast("int", task.progress.get("found", 0)))
    match task.progress.get("asked"):
        case {"command": asked, "times": int(times)} if asked == str(command):
            return Ask(operation, command, times)
        case _:
            return Ask(operation, command, 0)


def _refusal(task: Task, reply: TaskReply, settings: BusSettings) -> Refused:
    max_rows = settings.most_rows(task)
    if reply.reason == BlastRadius.code and reply.found > max_rows:
        exceeded = Exceeded(limit=Limit.MAX_ROWS, found=reply.found, allowed=max_rows)
        return BlastRadius(f"{task.system} found {reply.found:,} rows, and max_rows = {max_rows:,}", exceeded)
    if reply.reason == BlastRadius.code:
        return BlastRadius(f"{task.system} found more rows than max_rows = {max_rows:,}, and does not say how many")
    reason = reply.reason if reply.reason in settings.reasons else "ask the team why; its reasons do not list this one"
    return Refused(f"{task.system} refuses to {reply.operation}: {reason}")
