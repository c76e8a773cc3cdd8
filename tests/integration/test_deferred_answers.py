"""What intake tells of data that had to be kept: in the answer, the task list, the certificate and the timeline."""

from datetime import date
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake import handlers
from services.intake.letters import Letters
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, TaskReport
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Outcome, Right
from shared.storage import certificate
from tests.fixtures.events import a
from tests.integration.test_intake_timing import Door, door

__all__ = ["door"]

KEPT_ANSWER = (
    "Your request was fulfilled in part. Kept in archive because of: legal hold; it is to be erased as soon as that no"
    " longer applies. Kept in billing until 30 September 2027 because of: tax law; it is to be erased after that day."
)
ERASED_ANSWER = (
    "Your request was fulfilled in part. What archive had to keep because of: legal hold, has been erased."
    " What billing had to keep until 30 September 2027 because of: tax law, has been erased."
)


def report(system: str, outcome: TaskOutcome | None, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=Operation.ERASE, outcome=outcome, **more)


def kept(system: str, ground: str, until: date | None) -> TaskReport:
    return report(system, TaskOutcome.RETAINED, found=3, remaining=3, ground=ground, until=until)


async def completed(door: Door, path: str, *events: tuple[TaskReport, ...], deferred: bool = False) -> None:
    said = [
        FulfilmentCompleted(
            request_id=UUID(path.rpartition("/")[2]),
            occurred_at=door.harness.clock.now(),
            right=Right.ERASURE,
            operation=Operation.ERASE,
            outcome=Outcome.FULFILLED if deferred else Outcome.PARTIALLY_FULFILLED,
            tasks=tasks,
            deferred=deferred,
        )
        for tasks in events
    ]
    async with door.harness.begin() as tx:
        await handlers.complete(said, tx)


async def partly_erased(door: Door) -> str:
    """A closed erasure of which two systems keep something."""
    path = await door.submit(right="erasure")
    crm = report("crm", TaskOutcome.ERASED, found=1, changed=1)
    billing, archive = kept("billing", "tax_law", date(2027, 9, 30)), kept("archive", "legal_hold", None)
    await completed(door, path, (crm, billing, archive))
    return path


async def view_of(door: Door, path: str) -> dict[str, Any]:
    view: dict[str, Any] = (await door.channel.get(path)).raise_for_status().json()
    return view


async def test_the_subject_reads_what_is_kept_until_when_and_why_and_later_that_it_is_erased(door: Door) -> None:
    path = await partly_erased(door)
    assert (await view_of(door, path))["answer"] == KEPT_ANSWER
    now = [report(system, TaskOutcome.ERASED, found=3, changed=3) for system in ("billing", "archive")]
    await completed(door, path, *((each,) for each in now), deferred=True)  # two that end at once
    view = await view_of(door, path)
    assert (view["answer"], view["state"], view["outcome"]) == (ERASED_ANSWER, "closed", "partially_fulfilled")
    tasks = {task["system"]: task for task in view["tasks"]}
    assert {name: task["outcome"] for name, task in tasks.items()} == dict.fromkeys(tasks, "erased")
    assert (tasks["billing"]["task_id"], tasks["billing"]["until"]) == (str(now[0].task_id), "2027-09-30")
    entries = (await door.channel.get(f"{path}/timeline")).json()["entries"]
    later = [entry["detail"] for entry in entries if entry["action"] == "erasure.deferred_completed"]
    assert later == [{"systems": {"billing": "erased"}}, {"systems": {"archive": "erased"}}]
    assert "completion.late" not in {entry["action"] for entry in entries}
    signed = (await door.channel.get(f"{path}/certificate")).json()
    assert (certificate.verify(signed), signed["request"]["answer"]) == ([], ERASED_ANSWER)


async def test_what_is_kept_again_is_told_with_its_new_day(door: Door) -> None:
    path = await partly_erased(door)
    await completed(door, path, (kept("billing", "court_order", None),), deferred=True)
    answer = (await view_of(door, path))["answer"]
    assert "Kept in billing because of: court order;" in answer
    assert "2027" not in answer


async def test_a_deferred_erasure_that_failed_is_still_told_as_kept_and_tried_again_by_the_privacy_team(
    door: Door,
) -> None:
    path = await partly_erased(door)
    blocked = FulfilmentBlocked(
        request_id=UUID(path.rpartition("/")[2]),
        occurred_at=door.harness.clock.now(),
        right=Right.ERASURE,
        operation=Operation.ERASE,
        tasks=(report("billing", None, failure="residue_found"),),
        deferred=True,
    )
    async with door.harness.begin() as tx:
        await handlers.blocked([blocked], tx, letters=Letters())
    view = await view_of(door, path)
    assert (view["state"], view["answer"]) == ("closed", KEPT_ANSWER)
    assert [task["failure"] for task in view["tasks"] if "failure" in task] == ["residue_found"]
    decided = await door.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert (decided.status_code, decided.json()["state"]) == (200, "closed")
    assert (await door.said())[-1]["type"] == "dsr.request.retry_decided.v1"


async def test_nothing_is_tried_again_of_a_closed_request_whose_kept_data_waits_for_its_day(door: Door) -> None:
    path = await door.submit(right="erasure")
    await completed(door, path, (kept("billing", "tax_law", date(2027, 9, 30)),))
    decided = await door.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert decided.status_code == 409
    assert (await door.said())[-1]["type"] == "dsr.request.closed.v1"


async def test_an_erasure_that_was_done_after_the_request_was_closed_without_it_is_told(door: Door) -> None:
    path = await door.submit(right="erasure")
    failed = report("crm", None, failure="residue_found")
    tasks = (failed, report("billing", None))
    event = a(FulfilmentBlocked, path.rpartition("/")[2], right="erasure", operation=Operation.ERASE, tasks=tasks)
    async with door.harness.begin() as tx:
        await handlers.blocked([event], tx, letters=Letters())
    await door.officer.post(f"{path}/decision", json={"decision": "close_partially"})
    assert (await view_of(door, path))["answer"] == "Nothing of what you asked for could be done in: billing, crm."
    done = tuple(report(system, TaskOutcome.ERASED, found=1, changed=1) for system in ("crm", "billing"))
    await completed(door, path, done, deferred=True)
    view = await view_of(door, path)
    assert (view["outcome"], view["answer"]) == ("partially_fulfilled", "Your request was fulfilled in part.")
    assert {task["system"]: task["outcome"] for task in view["tasks"]} == {"crm": "erased", "billing": "erased"}
    assert (await door.officer.post(f"{path}/decision", json={"decision": "retry"})).status_code == 409
