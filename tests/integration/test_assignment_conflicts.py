"""A contradiction about whose a number was: the request says what it waits for, and a person decides."""

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake import statistics
from services.intake.assignments_changed import search_again
from shared.domain.assignments import AssignedNumber
from shared.domain.conflicts import Conflict, Disagreement
from shared.domain.events import FulfilmentBlocked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.runtime.metrics import PEOPLE
from shared.storage.register import announce, fill, note_conflicts
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_api import is_problem

PHONE = IdentityType.PHONE
CONFLICTS = "/v1/assignment-conflicts"


def searched(**said: object) -> TaskReport:
    known = {"task_id": uuid7(), "system": "cdr", "operation": Operation.EXPORT, "outcome": TaskOutcome.EXPORTED}
    return TaskReport.model_validate({**known, "found": 2, **said})


async def blocked(intake: Intake, task: TaskReport) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(task,)))
    return path


async def noted(intake: Intake, path: str) -> None:
    now = intake.clock.now()
    conflict = Conflict(b"number", "billing", now - timedelta(days=9), None, Disagreement.ANOTHER_HOLDER)
    async with intake.unit_of_work.begin() as tx:
        assert len(await note_conflicts(tx.connection, [(UUID(id_of(path)), conflict)], tx.now)) == 1


async def test_a_request_with_a_conflict_says_so_and_it_is_not_the_requester_who_is_asked(intake: Intake) -> None:
    path = await blocked(intake, searched(not_searched=Unsearched.NUMBER_IN_CONFLICT))
    view = await intake.view(path)
    assert (view["state"], "contradict one another" in view["waits_for"]) == ("awaiting_decision", True)
    assert [(each["result"], each["why"]) for each in view["coverage"]] == [("exported", "number_in_conflict")]
    await intake.decide(path)
    await intake.report(path, searched(not_searched=Unsearched.NUMBER_IN_CONFLICT), outcome="partially_fulfilled")
    answered = await intake.view(path)
    assert (answered["outcome"], answered.get("waits_for")) == ("partially_fulfilled", None)
    assert "We could not search cdr completely: our records do not agree from when to when" in answered["answer"]


async def test_a_number_in_doubt_is_what_a_request_says_that_it_waits_for(intake: Intake) -> None:
    view = await intake.view(await blocked(intake, searched(outcome=None, failure="assignment_in_doubt", found=0)))
    assert "several holders" in view["waits_for"]


async def test_a_person_settles_a_conflict_once_and_by_name(intake: Intake) -> None:
    path = await intake.submit()
    await noted(intake, path)
    assert is_problem(await intake.channel.get(CONFLICTS), 403, "forbidden")
    [conflict] = (await intake.officer.get(CONFLICTS)).raise_for_status().json()["conflicts"]
    assert (conflict["system"], conflict["kind"], conflict["request_id"]) == ("billing", "another_holder", id_of(path))
    settle = f"{CONFLICTS}/{conflict['conflict_id']}/settle"
    assert is_problem(await intake.channel.post(settle), 403, "forbidden")
    settled = (await intake.officer.post(settle)).raise_for_status().json()
    assert (settled["settled_by"], settled["settled_at"]) == ("officer-1", intake.clock.now().isoformat())
    assert is_problem(await intake.colleague.post(settle), 404, "not_found")
    assert (await intake.officer.get(CONFLICTS)).json() == {"conflicts": []}
    [entry] = [each for each in await intake.evidence(path) if each["action"] == "assignment.settled"]
    assert entry["actor"].startswith("key:")
    assert entry["detail"] == {
        "conflict_id": conflict["conflict_id"],
        "system": "billing",
        "kind": "another_holder",
    }


@pytest.mark.parametrize("settled", [False, True])
async def test_conflicts_that_wait_for_a_person_are_counted(intake: Intake, *, settled: bool) -> None:
    path = await intake.submit()
    await noted(intake, path)
    async with intake.unit_of_work.begin() as tx:
        if settled:
            await tx.connection.execute("UPDATE register.conflict SET settled_at = now()")
        await statistics.count(tx.connection, tx.now)
    counted = [
        PEOPLE.get_sample_value("dsr_assignment_conflicts", {"kind": kind})
        for kind in ("another_holder", "not_in_register")
    ]
    assert counted == [0 if settled else 1, 0]


async def learned(intake: Intake, *numbers: str, until: timedelta | None = None) -> None:
    """The register's source was read, and says now whose these are."""
    intake.clock.pass_by(hours=1)
    now = intake.clock.now()
    end = now + until if until else None
    rows = [AssignedNumber(Identity(PHONE, number, now - timedelta(days=99), end), "C1") for number in numbers]
    async with intake.unit_of_work.pool.acquire() as connection:
        await fill(connection, intake.unit_of_work.vault.keyring, "crm", "crm", rows, now)
        await announce(connection, now + timedelta(seconds=1))


NUMBER, ANOTHER = "+442079460000", "+442079460999"
UNKNOWN, CONFLICT = Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NUMBER_IN_CONFLICT


async def waiting(intake: Intake, why: Unsearched = CONFLICT) -> str:
    """A request by that number, of which a part was not searched."""
    known = {"email": f"ada.{intake.submitted}@example.com", "phones": [{"number": NUMBER}], "country": "DE"}
    path = await intake.submit(subject=known)
    task = searched(not_searched=why)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(task,)))
    return path


async def test_what_waits_for_a_conflict_goes_on_once_that_is_settled_and_nothing_else_does(intake: Intake) -> None:
    path, other = await waiting(intake), await blocked(intake, searched(not_searched=CONFLICT))
    known, now = intake.unit_of_work.vault.keyring.fingerprint(Identity(PHONE, NUMBER)), intake.clock.now()
    conflict = Conflict(known, "billing", now - timedelta(days=9), None, Disagreement.ANOTHER_HOLDER)
    async with intake.unit_of_work.begin() as tx:
        await note_conflicts(tx.connection, [(UUID(id_of(path)), conflict)], tx.now)
    assert await search_again(intake.unit_of_work) == 0
    [listed] = (await intake.officer.get(CONFLICTS)).json()["conflicts"]
    intake.clock.pass_by(hours=1)
    (await intake.officer.post(f"{CONFLICTS}/{listed['conflict_id']}/settle")).raise_for_status()
    assert [await search_again(intake.unit_of_work) for _ in range(2)] == [2, 0]
    assert [(await intake.view(each))["state"] for each in (path, other)] == ["in_progress", "awaiting_decision"]
    assert (await intake.types())[-1] == "retry_decided"
    assert "search.begun_again" in await intake.actions(path)


async def test_what_was_left_out_is_searched_once_the_register_knows_more_of_that_very_number(intake: Intake) -> None:
    path = await waiting(intake, UNKNOWN)
    assert (await intake.view(path))["state"] == "awaiting_clarification"
    await learned(intake, ANOTHER)
    assert await search_again(intake.unit_of_work) == 1
    assert (await intake.view(path))["state"] == "awaiting_clarification", "it knows no more of theirs"
    await learned(intake, ANOTHER, NUMBER)
    assert [await search_again(intake.unit_of_work) for _ in range(2)] == [1, 0]
    assert (await intake.types())[-2:] == ["question_answered", "retry_decided"]
    assert (await intake.view(path))["state"] == "in_progress"
    await intake.consume(
        a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(searched(not_searched=UNKNOWN),))
    )
    assert (await intake.view(path))["state"] == "awaiting_clarification", "it may be asked again"


async def test_of_an_answered_request_what_is_owed_is_searched_again_and_what_is_ended_is_not(intake: Intake) -> None:
    paths = [await waiting(intake) for _ in range(2)]
    await intake.decide(paths[0], reason="NOT_SEARCHABLE", article="11(2)")
    await intake.decide(paths[1], reason="RIGHTS_OF_OTHERS", article="15(4)")
    for path in paths:
        await intake.report(path, searched(not_searched=CONFLICT), outcome="partially_fulfilled")
    await learned(intake, NUMBER)
    before = len(await intake.types())
    assert await search_again(intake.unit_of_work) == 1
    said = (await intake.published())[before:]
    assert [(each["type"], each["request_id"]) for each in said] == [("dsr.request.retry_decided.v1", id_of(paths[0]))]
