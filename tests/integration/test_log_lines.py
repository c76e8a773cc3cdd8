"""One line for each request that is closed and for each task that waits for a person, without personal data."""

import logging

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import TableMissing
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from tests.fixtures.engine import OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of

GENERAL = "A table that the dataset declares does not exist: an empty search there would prove nothing."
UNSEARCHED = "nothing_to_search_by: nothing that is known of the subject can be searched by there"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the product itself logs."""
    caplog.set_level(logging.INFO, "services")
    caplog.set_level(logging.INFO, "shared")
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in told.records]


async def test_closure_is_logged_once_by_right_and_outcome(intake: Intake, told: pytest.LogCaptureFixture) -> None:
    done, withdrawn = await intake.submit(), await intake.submit(right="portability")
    await intake.complete(done)
    await intake.complete(done)
    (await intake.channel.post(f"{withdrawn}/withdraw")).raise_for_status()
    assert lines(told) == [
        ("INFO", f"request {id_of(done)} is closed: access, fulfilled"),
        ("INFO", f"request {id_of(withdrawn)} is closed: portability, withdrawn"),
    ]


async def test_a_task_that_waits_for_a_person_is_one_warning_with_request_system_and_reason_and_no_personal_data(
    open_harness: OpenHarness, told: pytest.LogCaptureFixture
) -> None:
    crm = ScriptedSystem("crm")
    crm.answers[Operation.ERASE] = each(lambda _: TableMissing("no table of ada@example.org"))
    harness = await open_harness(crm)
    [request] = await harness.open()
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "blocked"
    assert lines(told) == [("WARNING", f"request {request} waits for a person: erase in crm: table_missing: {GENERAL}")]
    await harness.retry(request)
    await harness.worker("crm").work()
    assert len(lines(told)) == 2


async def test_unsearched_part_of_a_deferral_is_logged(intake: Intake, told: pytest.LogCaptureFixture) -> None:
    path = await intake.submit(right="erasure")
    kept, unsearched = (
        TaskReport.model_validate({"task_id": uuid7(), "system": "cdr", "operation": Operation.ERASE, **said})
        for said in (
            {"outcome": TaskOutcome.RETAINED, "until": "2026-09-30"},
            {"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": Unsearched.NOTHING_TO_SEARCH_BY},
        )
    )
    await intake.complete(path, operation=Operation.ERASE, tasks=(kept,))
    deferred = {"operation": Operation.ERASE, "deferred": True, "tasks": (unsearched,)}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **deferred))
    assert lines(told)[1:] == [("WARNING", f"request {id_of(path)} waits for a person: erase in cdr: {UNSEARCHED}")]


async def test_unsearched_part_is_logged_with_the_decision(intake: Intake, told: pytest.LogCaptureFixture) -> None:
    path = await intake.submit()
    reason = Unsearched.NOTHING_TO_SEARCH_BY
    unsearched = TaskReport(
        task_id=uuid7(),
        system="cdr",
        operation=Operation.EXPORT,
        outcome=TaskOutcome.NOT_SEARCHED,
        not_searched=reason,
    )
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(unsearched,)))
    assert lines(told) == []
    (await intake.channel.post(f"{path}/reply", json={"text": "I have had no number."})).raise_for_status()
    assert lines(told) == [("WARNING", f"request {id_of(path)} waits for a person: export in cdr: {UNSEARCHED}")]
