"""What is no matter of a system is said as that, and the rest goes on."""

from collections.abc import Sequence

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.results import where_held
from shared.downstreams.roundup.amendment import FIELDS, corrected
from tests.fixtures.downstream import email, task

KNOWN = email("ada@example.org")
CITY = ("address.city", "Bonn", "Köln")
NAME = ("name", "Ada", "Ada Quarzfels")


async def test_a_correction_of_what_a_system_has_no_field_for_is_no_task_there() -> None:
    asked: list[Task] = []

    async def correct(tasks: Sequence[Task]) -> Sequence[Result]:
        asked.extend(tasks)
        return [Receipt(one.task_id, TaskOutcome.AMENDED, found=1, changed=1) for one in tasks]

    tasks = [task(Operation.RECTIFY, KNOWN, changes=changes) for changes in ([CITY], [NAME, CITY])]
    done = await where_held(tasks, FIELDS, correct)
    assert [one.outcome for one in done if isinstance(one, Receipt)] == [TaskOutcome.NOT_HELD, TaskOutcome.AMENDED]
    assert asked == tasks[1:]
    assert corrected({"realname": "ADA"}, tasks[1].changes) == {"realname": "Ada Quarzfels"}
