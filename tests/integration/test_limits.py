"""Beyond a limit a task waits for two persons; with the second one's word it goes on, up to what they have seen."""

import logging

import pytest

from services.intake.auth import create
from shared.domain.errors import TableMissing
from shared.domain.events import FulfilmentBlocked, LimitConfirmed
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.settings import LimitedSettings
from shared.fulfilment import handlers
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, beyond, id_of

ROWS = {"system": "billing", "limit": "max_rows"}
LIMITED = LimitedSettings(max_rows=100)


class Holding(ScriptedSystem):
    """A system with so many rows of everybody, and a limit of a hundred."""

    rows = 150

    def __init__(self, system: str) -> None:
        super().__init__(system)
        self.answers = dict.fromkeys((Operation.ERASE, Operation.LOCATE, Operation.RESTRICT), each(self.do))

    def do(self, task: Task) -> Result:
        n = self.rows
        return LIMITED.excess(task, rows=n) or Receipt(task.task_id, TaskOutcome.ERASED, found=n, changed=n)


async def confirm(harness: Harness, request: object, at_most: int, system: str = "billing") -> None:
    event = a(LimitConfirmed, about=str(request), right=Right.ERASURE, system=system, at_most=at_most)
    async with harness.unit_of_work.begin() as tx:
        await handlers.confirm(harness.fulfilments, [event], tx)


async def reports(harness: Harness) -> dict[str, TaskReport]:
    """What was last said of what is blocked, by system."""
    query = "SELECT convert_from(value, 'UTF8') FROM outbox ORDER BY position DESC LIMIT 1"
    event = FulfilmentBlocked.model_validate_json(await harness.pool.fetchval(query))
    return {report.system: report for report in event.tasks}


async def test_a_task_beyond_a_limit_says_so_and_runs_to_its_end_once_as_much_is_confirmed(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "shared")
    harness = await open_harness(billing := Holding("billing"))
    [request] = await harness.open()
    await harness.worker("billing").work()
    said = "150 are found, and max_rows = 100; nothing was done"
    assert caplog.messages == [f"request {request} waits for a person: erase in billing: blast_radius: {said}"]
    told = (await reports(harness))["billing"]
    assert (told.failure, told.sentence) == ("blast_radius", said)
    assert told.exceeded is not None
    assert told.exceeded.model_dump(exclude_none=True) == {"limit": "max_rows", "found": 150, "allowed": 100}

    await confirm(harness, request, 150)
    await harness.worker("billing").work()
    assert [task.confirmed for task in billing.asked] == [{}, {"max_rows": 150}]
    [done] = harness.completed
    assert done.reports[0].found == 150
    assert done.reports[0].sentence is None
    assert "limit.raised" in await harness.actions(request)


async def test_more_than_was_confirmed_waits_again_with_the_number_of_now(open_harness: OpenHarness) -> None:
    harness = await open_harness(billing := Holding("billing"))
    [request] = await harness.open()
    await harness.worker("billing").work()
    billing.rows = 151
    await confirm(harness, request, 150)
    await harness.worker("billing").work()
    assert await harness.fulfilment_state(request) == "blocked"
    told = (await reports(harness))["billing"].exceeded
    assert told is not None
    assert (told.found, told.allowed) == (151, 150)


async def test_only_the_system_of_the_limit_goes_on_and_what_else_failed_still_waits(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", answers={Operation.ERASE: each(lambda _: TableMissing("no table"))})
    harness = await open_harness(Holding("billing"), crm)
    [request] = await harness.open()
    await harness.worker("billing").work()
    await harness.worker("crm").work()
    await confirm(harness, request, 150)
    assert await harness.states(request) == {"billing:erase": "ready", "crm:erase": "failed"}
    await harness.worker("billing").work()
    assert await harness.fulfilment_state(request) == "blocked"
    said = await reports(harness)
    assert (said["billing"].found, said["crm"].sentence) == (150, "no table")


async def test_what_was_confirmed_holds_for_whatever_is_done_about_the_request_later_and_for_no_other(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness(billing := Holding("billing"))
    [request] = await harness.open()
    await harness.worker("billing").work()
    await confirm(harness, request, 150)
    await confirm(harness, request, 120)  # less than what was confirmed before takes nothing back
    await harness.worker("billing").work()
    later = NewFulfilment(request, await harness.subject(), Right.ERASURE, Operation.ERASE, DUE)
    [_, other] = await harness.open(later, await harness.new_fulfilment())
    await harness.worker("billing").work()
    assert [task.confirmed for task in billing.asked[2:] if task.request_id == request] == [{"max_rows": 150}]
    assert await harness.fulfilment_state(other) == "blocked"


async def stopped(intake: Intake, found: int = 3_000, **submission: object) -> str:
    path = await intake.submit(**submission)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(found),)))
    return path


async def officers_view(intake: Intake, path: str) -> dict[str, object]:
    [task] = (await intake.officer.get(path)).raise_for_status().json()["tasks"]
    return dict(task)


async def test_two_persons_confirm_a_limit_and_the_worker_is_told_for_how_much(intake: Intake) -> None:
    path = await stopped(intake)
    shown = await officers_view(intake, path)
    assert shown["sentence"] == "3,000 are found, and max_rows = 2,000; nothing was done"
    assert shown["exceeded"] == {"limit": "max_rows", "found": 3_000, "allowed": 2_000}

    first = await intake.officer.post(f"{path}/confirmation", json=ROWS)
    assert (first.status_code, first.json()["state"]) == (200, "awaiting_decision")
    assert (await officers_view(intake, path))["exceeded"] == {
        "limit": "max_rows",
        "found": 3_000,
        "allowed": 2_000,
        "confirmed_by": "officer-1",
    }
    assert "limit_confirmed" not in await intake.types()

    second = await intake.colleague.post(f"{path}/confirmation", json=ROWS)
    assert (second.status_code, second.json()["state"]) == (200, "in_progress")
    told = (await intake.published())[-1]
    assert (told["type"], told["system"], told["limit"], told["at_most"]) == (
        "dsr.request.limit_confirmed.v1",
        *ROWS.values(),
        3_000,
    )
    assert not any("officer" in str(event) for event in await intake.published())
    holders = [(d["holder"], d["persons"], d["found"]) for d in await intake.details(path, "limit.confirmed")]
    assert holders == [("officer-1", 1, 3_000), ("officer-2", 2, 3_000)]


async def test_one_person_is_not_two_by_whichever_key_and_a_channel_is_none(intake: Intake, database: str) -> None:
    path = await stopped(intake)
    assert (await intake.channel.post(f"{path}/confirmation", json=ROWS)).status_code == 403
    (await intake.officer.post(f"{path}/confirmation", json=ROWS)).raise_for_status()
    again = await intake.officer.post(f"{path}/confirmation", json=ROWS)
    intake.officer.headers["Authorization"] = (
        f"Bearer {await create(database, 'privacy', 'officer-1', intake.clock.now())}"
    )
    other_key = await intake.officer.post(f"{path}/confirmation", json=ROWS)
    for refused in (again, other_key):
        assert refused.status_code == 409
        assert "it takes two persons" in refused.json()["detail"]
    assert "limit_confirmed" not in await intake.types()
    assert len(await intake.details(path, "limit.confirmed")) == 1


async def test_nobody_confirms_what_they_have_not_seen(intake: Intake) -> None:
    path = await stopped(intake)
    seen = {"If-Match": (await intake.colleague.get(path)).headers["ETag"]}
    (await intake.officer.post(f"{path}/confirmation", json=ROWS)).raise_for_status()
    stale = await intake.colleague.post(f"{path}/confirmation", json=ROWS, headers=seen)
    assert stale.status_code == 412

    (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).raise_for_status()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_001),)))
    alone = await intake.colleague.post(f"{path}/confirmation", json=ROWS)
    assert alone.json()["state"] == "awaiting_decision"  # the first one's word was for another number
    assert "limit_confirmed" not in await intake.types()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"system": "crm", "limit": "max_rows"}, 409),
        ({"system": "billing", "limit": "max_people"}, 409),
        ({"system": "billing", "limit": "max_pages"}, 422),
        ({"system": "Billing!", "limit": "max_rows"}, 422),
        ({"system": "billing"}, 422),
    ],
)
async def test_only_a_limit_that_has_stopped_a_task_can_be_confirmed(
    intake: Intake, body: dict[str, str], status: int
) -> None:
    path = await stopped(intake)
    refused = await intake.officer.post(f"{path}/confirmation", json=body)
    assert refused.status_code == status
    assert await intake.details(path, "limit.confirmed") == []


async def test_a_deferred_erasure_beyond_a_limit_goes_on_though_its_request_is_closed(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    stopped = beyond(3_000, operation=Operation.ERASE)
    kept = stopped.model_copy(
        update={"outcome": TaskOutcome.RETAINED, "failure": None, "sentence": None, "exceeded": None}
    )
    await intake.complete(path, operation=Operation.ERASE, tasks=(kept,))
    deferred = {"operation": Operation.ERASE, "deferred": True}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(stopped,), **deferred))
    (await intake.officer.post(f"{path}/confirmation", json=ROWS)).raise_for_status()
    second = await intake.colleague.post(f"{path}/confirmation", json=ROWS)
    assert (second.status_code, second.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "limit_confirmed"


async def test_a_channel_and_a_certificate_have_the_failure_and_not_its_sentence(intake: Intake) -> None:
    path = await stopped(intake)
    [shown] = (await intake.view(path))["tasks"]
    assert shown["failure"] == "blast_radius"
    assert shown.keys() & {"sentence", "exceeded"} == set()
    await intake.decide(path)
    await intake.report(path, beyond(3_000))
    certificate = (await intake.officer.get(f"{path}/certificate")).raise_for_status()
    assert "are found" not in certificate.text
