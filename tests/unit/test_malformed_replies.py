"""A team whose replies cannot be read is not waited for without end: after a few that is the failure of its task."""

from dataclasses import replace
from datetime import date

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import AnswerMalformed
from shared.domain.operations import Operation
from shared.downstreams.bus.messages import answered_by, command_id
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.bus.steps import MALFORMED_AT_MOST, Ask, Failed, Step, next_step
from shared.downstreams.contract import Task
from tests.fixtures.downstream import task

ERASE = task(Operation.ERASE)
COMMAND = str(command_id(ERASE.task_id, Operation.ERASE))


def after(times: int, asked: Task = ERASE) -> Step:
    answered = replace(asked, progress={**asked.progress, "malformed": {"command": COMMAND, "times": times}})
    return next_step(answered, BusSettings(), date(2026, 3, 5))


def test_a_few_malformed_replies_are_the_failure_of_the_task_and_a_retry_asks_anew() -> None:
    assert isinstance(after(MALFORMED_AT_MOST - 1), Ask)
    failed = after(MALFORMED_AT_MOST)
    assert isinstance(failed, Failed)
    assert isinstance(failed.failure, AnswerMalformed)
    assert isinstance(after(MALFORMED_AT_MOST, replace(ERASE, progress=failed.noted)), Ask)


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"task_id": "ada@example.org", "command_id": 1}'])
def test_what_names_no_task_counts_for_none(value: bytes | None) -> None:
    assert answered_by(value) is None


def test_what_is_malformed_otherwise_counts_for_the_command_that_it_names() -> None:
    task_id, command = uuid7(), uuid7()
    said = f'{{"task_id": "{task_id}", "command_id": "{command}", "found": "many"}}'
    assert answered_by(said.encode()) == (task_id, command)
