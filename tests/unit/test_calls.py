"""Batched calls: the failing task is found by halving, and no other is affected."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from math import log2
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import (
    AnswerMalformed,
    AnswerUnreadable,
    LimitExceeded,
    Refused,
    SignInRefused,
    TableMissing,
    Unavailable,
)
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.operations import Step as ToDo
from shared.fulfilment import failures
from shared.fulfilment.adapter_calls import AdapterCalls
from shared.fulfilment.queue import LeasedTask, LeaseLost
from shared.runtime.metrics import CALL_SECONDS
from shared.systems.bus.adapter import MALFORMED_AT_MOST, NextStep, RoundFailed, SendCommand, next_step
from shared.systems.bus.messages import answered_by, command_id
from shared.systems.bus.settings import BusSettings
from shared.systems.contract import Checkpoint, Pending, Receipt, Result, Task
from tests.fixtures.downstream import task

MANY = 300


def tasks(count: int) -> list[Task]:
    return [task(Operation.ERASE) for _ in range(count)]


async def keep_nothing(_progress: object) -> None:
    """Keeps no progress."""


@dataclass
class System:
    """Does what it is asked and notes how often, unless a call contains a task that makes it raise."""

    raises: dict[UUID, Exception] = field(default_factory=dict)
    calls: list[Sequence[Task]] = field(default_factory=list)
    away: bool = False

    async def operate(self, asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        self.calls.append(asked)
        if self.away:
            raise Unavailable("away")
        begun: list[Result] = []
        for each in asked:
            if each.task_id in self.raises:
                raise self.raises[each.task_id]
            times = each.progress.get("times", 0)
            assert isinstance(times, int)
            await save_progress({each.task_id: {"times": times + 1}})
            begun.append(Receipt(each.task_id, TaskOutcome.ERASED, found=1, changed=1, remaining=times))
        return begun

    async def results(self, asked: Sequence[Task], suspects: Collection[UUID] = ()) -> dict[UUID, Result]:
        seconds = CALL_SECONDS.labels("erasure", "crm", "erase")
        return dict(await AdapterCalls("crm:erase", self.operate, keep_nothing, seconds).make(asked, suspects))


@pytest.mark.parametrize("error", [Refused("no"), LimitExceeded("too many"), KeyError("a bug")])
@pytest.mark.parametrize("place", [0, 1, MANY // 2, MANY - 1])
async def test_the_task_that_is_refused_or_breaks_the_adapter_is_found_by_halves(error: Exception, place: int) -> None:
    asked = tasks(MANY)
    system = System(raises={asked[place].task_id: error})
    results = await system.results(asked)
    failed = [task_id for task_id, result in results.items() if not isinstance(result, Receipt)]
    assert failed == [asked[place].task_id]
    assert len(system.calls) <= 2 * log2(MANY) + 3


async def test_each_of_several_that_are_to_blame_fails_by_its_own_reason() -> None:
    asked = tasks(40)
    bad = {asked[3].task_id: Refused("a"), asked[4].task_id: LimitExceeded("b"), asked[39].task_id: KeyError("c")}
    results = await System(raises=dict(bad)).results(asked)
    failed = {task_id: type(result).__name__ for task_id, result in results.items() if not isinstance(result, Receipt)}
    assert list(failed.values()) == ["Refused", "LimitExceeded", "UnforeseenError"]
    assert failed.keys() == bad.keys()


async def test_a_task_that_is_called_again_knows_what_was_noted_of_it_before() -> None:
    asked = tasks(4)
    system = System(raises={asked[3].task_id: Refused("no")})
    results = await system.results(asked)
    assert [getattr(results[each.task_id], "remaining", None) for each in asked] == [1, 1, 2, None]


@pytest.mark.parametrize("error", [TableMissing("gone"), SignInRefused("wrong password")])
async def test_a_system_that_refuses_whatever_it_is_asked_is_asked_once(error: Exception) -> None:
    asked = tasks(MANY)
    system = System(raises={each.task_id: error for each in asked})
    assert set((await system.results(asked)).values()) == {error}
    assert len(system.calls) == 1


async def test_outage_is_met_once_and_blames_no_task() -> None:
    asked = tasks(MANY)
    system = System(away=True)
    assert all(isinstance(result, Unavailable) for result in (await system.results(asked)).values())
    assert len(system.calls) == 1


async def test_an_outage_that_comes_again_and_again_is_probed_by_one_task() -> None:
    asked = tasks(MANY)
    system = System(away=True)
    results = await system.results(asked, {each.task_id for each in asked})
    assert all(isinstance(result, Unavailable) for result in results.values())
    assert [len(call) for call in system.calls] == [1]


async def test_after_a_long_outage_all_are_worked_by_two_calls() -> None:
    asked = tasks(MANY)
    system = System()
    results = await system.results(asked, {each.task_id for each in asked})
    assert all(isinstance(result, Receipt) for result in results.values())
    assert [len(call) for call in system.calls] == [1, MANY - 1]


async def test_one_task_that_its_system_always_fails_on_does_not_keep_its_neighbours_from_being_worked() -> None:
    asked, fresh = tasks(MANY), tasks(5)
    poison = asked[7].task_id
    system = System(raises={poison: Unavailable("the CRM failed")})
    left = list(asked)
    for _ in range(50):
        suspects = {each.task_id for each in left}
        results = await system.results([*left, *fresh], suspects)
        assert all(isinstance(results[each.task_id], Receipt) for each in fresh)
        left = [each for each in left if not isinstance(results[each.task_id], Receipt)]
        if len(left) == 1:
            break
    assert [each.task_id for each in left] == [poison]


async def test_system_that_goes_away_during_a_search_is_called_only_a_few_times() -> None:
    asked, fresh = tasks(MANY), tasks(1)
    system = System(raises={each.task_id: Unavailable("away") for each in asked})
    results = await system.results([*asked, *fresh], {each.task_id for each in asked})
    assert sum(isinstance(result, Receipt) for result in results.values()) == 1
    assert len(system.calls) == 6


async def test_a_lost_lease_ends_the_calls_and_nothing_of_them_counts() -> None:
    asked = tasks(4)
    system = System(raises={asked[0].task_id: Refused("no"), asked[2].task_id: LeaseLost("taken over")})
    with pytest.raises(LeaseLost):
        await system.results(asked)
    assert [len(call) for call in system.calls] == [4, 2, 1, 1, 2]


# A team whose replies cannot be read is not waited for without end: after a few that is the failure of its task.
ERASE = task(Operation.ERASE)
COMMAND = str(command_id(ERASE.task_id, Operation.ERASE))


def after(times: int, asked: Task = ERASE) -> NextStep:
    answered = replace(asked, progress={**asked.progress, "malformed": {"command": COMMAND, "times": times}})
    return next_step(answered, BusSettings(), date(2026, 3, 5))


def test_repeated_malformed_replies_fail_the_task_and_a_retry_asks_again() -> None:
    assert isinstance(after(MALFORMED_AT_MOST - 1), SendCommand)
    failed = after(MALFORMED_AT_MOST)
    assert isinstance(failed, RoundFailed)
    assert isinstance(failed.failure, AnswerMalformed)
    assert isinstance(after(MALFORMED_AT_MOST, replace(ERASE, progress=failed.noted)), SendCommand)


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"task_id": "ada@example.org", "command_id": 1}'])
def test_what_names_no_task_counts_for_none(value: bytes | None) -> None:
    assert answered_by(value) is None


def test_what_is_malformed_otherwise_counts_for_the_command_that_it_names() -> None:
    task_id, command = uuid7(), uuid7()
    said = f'{{"task_id": "{task_id}", "command_id": "{command}", "found": "many"}}'
    assert answered_by(said.encode()) == (task_id, command)


# A task that waits says why, once; and an answer that can never be read is no outage.
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
IDS: Any = (uuid7(), uuid7(), 1, {}, None, date(2026, 4, 2), uuid7(), uuid7())
SAID: Any = ("access", True, {}, None, 0, 0, {}, "export")
CLAIM = LeasedTask(*IDS, *SAID, step=ToDo("shop", Operation.EXPORT))


def test_a_busy_system_is_on_record_with_its_time_and_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    waits = failures.pending(CLAIM, Pending(CLAIM.task_id, timedelta(minutes=15), busy=True), NOW)
    assert failures.wait_evidence(waits) == {"reason": "busy", "until": "2026-03-02T09:15:00+00:00"}
    still = replace(waits, task=replace(CLAIM, failure="busy", attempt=2))
    assert failures.wait_evidence(still) is None
    failures.log_waiting([waits, waits, still])
    [said] = caplog.messages
    assert (
        said
        == "export in shop: 2 task(s) wait: shop says that it is busy, and is left alone until 2026-03-02 09:15:00 UTC"
    )


def test_work_that_a_system_has_in_hand_is_nothing_to_speak_of() -> None:
    assert failures.wait_evidence(failures.pending(CLAIM, Pending(CLAIM.task_id, timedelta(1)), NOW)) is None


def test_a_system_that_is_away_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    claim = replace(CLAIM, step=ToDo("shop", Operation.ERASE))
    waits = failures.unavailable(claim, Unavailable("shop could not be reached: ConnectError"), NOW)
    failures.log_waiting([waits])
    assert caplog.messages == ["erase in shop: 1 task(s) wait: shop could not be reached: ConnectError"]


@pytest.mark.parametrize(
    ("failure", "attempt", "last", "malformed"),
    [
        (AnswerUnreadable("shop answered with something that is not JSON"), 12, "answer_unreadable", True),
        (AnswerUnreadable("shop answered with something that is not JSON"), 11, "answer_unreadable", False),
        (AnswerUnreadable("shop answered with something that is not JSON"), 50, "unavailable", False),
        (Unavailable("shop could not be reached"), 50, "unavailable", False),
    ],
)
def test_unreadable_row_needs_review(*, failure: Unavailable, attempt: int, last: str, malformed: bool) -> None:
    found = failures.unreadable_too_often(replace(CLAIM, attempt=attempt, failure=last), failure)
    assert isinstance(found, AnswerMalformed) is malformed
