"""Legal holds: what one covers no erasure touches until two persons, or a review, let it go (Art. 17(3)(e), REQ-R9)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.erasure import retained
from services.intake import holds, paused_erasures
from services.intake.request.told.kept import is_held_unseen
from shared.domain.events import HoldLifted
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Kept, Operation, TaskOutcome
from shared.domain.rights import Right
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.fulfilment.store import NewFulfilment
from shared.runtime.metrics import PEOPLE
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_api import is_problem

HOLDS = "/v1/holds"
PLACED = {
    "case_number": "LEG-2026-014",
    "reason": "LITIGATION",
    "review_on": "2026-08-31",
    "subject": {"account_id": "C1", "email": "ada@example.org"},
}
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")


async def placed(intake: Intake, **changed: Any) -> str:
    answer = await intake.officer.post(HOLDS, json={**PLACED, **changed})
    assert answer.status_code == 201, answer.text
    return f"{HOLDS}/{answer.json()['hold_id']}"


async def lift(intake: Intake, hold: str) -> None:
    for person in (intake.officer, intake.colleague):
        (await person.post(f"{hold}/lift")).raise_for_status()


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """Erasure over a CRM that tells everybody's account, and a store that hangs on it."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    shop = ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))
    return await open_harness(crm, shop)


async def erased(harness: Harness, request_id: UUID | None = None, subject: UUID | None = None) -> Any:
    """What an erasure comes to, as its completion says."""
    subject = subject or await harness.subject(EMAIL)
    await harness.open(NewFulfilment(request_id or uuid7(), subject, *_ERASURE))
    await harness.worker("crm", Operation.LOCATE).work()
    for system in ("shop", "crm"):
        await harness.worker(system).work()
    return {report.system: report for report in harness.completed[-1].reports if report.operation == "erase"}


_ERASURE = (Right.ERASURE, Operation.ERASE, DUE)


async def test_what_a_hold_covers_no_system_is_asked_to_erase(intake: Intake, harness: Harness) -> None:
    await placed(intake, subject={"account_id": "C1"})  # which only the CRM knows
    reports = await erased(harness)
    assert {(r.outcome, r.ground, r.changed) for r in reports.values()} == {("retained", "legal_hold", 0)}
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation == "erase"]


async def test_of_what_was_located_where_a_hold_keeps_a_system_from_being_asked_it_is_known_how_much_it_is(
    intake: Intake, harness: Harness
) -> None:
    await placed(intake, subject={"account_id": "C1"})
    reports = await erased(harness)
    assert (reports["crm"].found, reports["crm"].remaining, reports["crm"].changed) == (1, 1, 0), "it was located"
    assert (reports["shop"].found, is_held_unseen(reports["shop"])) == (0, True)
    assert not is_held_unseen(reports["crm"])


async def test_a_hold_is_seen_by_what_the_only_system_there_is_knows_besides(
    intake: Intake, open_harness: OpenHarness
) -> None:
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    alone = await open_harness(crm)
    await placed(intake, subject={"account_id": "C1"})
    await alone.open(NewFulfilment(uuid7(), await alone.subject(EMAIL), *_ERASURE))
    await alone.worker("crm", Operation.LOCATE).work()
    await alone.worker("crm").work()
    assert [(r.outcome, r.ground) for r in alone.completed[0].reports if r.operation == "erase"] == [
        ("retained", "legal_hold")
    ]
    assert not [task for task in crm.asked if task.operation == "erase"]


async def test_a_hold_that_is_placed_midway_stops_what_is_left(intake: Intake, harness: Harness) -> None:
    await harness.open(NewFulfilment(uuid7(), await harness.subject(EMAIL), *_ERASURE))
    await harness.worker("crm", Operation.LOCATE).work()
    await harness.worker("shop").work()
    await placed(intake)
    await harness.worker("crm").work()
    outcomes = {r.system: r.outcome for r in harness.completed[0].reports if r.operation == "erase"}
    assert outcomes == {"shop": "erased", "crm": "retained"}


async def test_a_hold_that_is_placed_while_a_system_is_at_work_stops_its_next_step(
    intake: Intake, harness: Harness, clock: SetClock
) -> None:
    shop, gone = harness.systems["shop"], list[str]()

    async def step_by_step(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        for step in ("first", "second"):
            await save_progress({task.task_id: {} for task in asked})
            gone.append(step)
            await placed(intake)
        raise AssertionError("the second step is never taken")

    shop.answers[Operation.ERASE] = step_by_step
    await harness.open(NewFulfilment(uuid7(), await harness.subject(EMAIL), *_ERASURE))
    await harness.worker("crm", Operation.LOCATE).work()
    await harness.worker("shop").work()
    clock.pass_by(hours=1)
    for system in ("shop", "crm"):
        await harness.worker(system).work()
    assert gone == ["first"]
    outcomes = {r.system: r.outcome for r in harness.completed[0].reports if r.operation == "erase"}
    assert outcomes == {"shop": "retained", "crm": "retained"}


async def test_a_hold_of_somebody_else_and_a_lifted_one_stop_nothing(intake: Intake, harness: Harness) -> None:
    await placed(intake, subject={"account_id": "C-other", "email": "ada@example.org"})
    await lift(intake, await placed(intake))
    assert {report.outcome for report in (await erased(harness)).values()} == {"erased"}


async def test_a_hold_of_other_categories_lets_a_system_erase(intake: Intake, open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", categories=frozenset({"contact"}))
    calls = ScriptedSystem("cdr", categories=frozenset({"call_record"}))
    harness = await open_harness(crm, calls)
    await placed(intake, categories=["call_record"])
    await harness.open(NewFulfilment(uuid7(), await harness.subject(EMAIL), *_ERASURE))
    for system in ("crm", "cdr"):
        await harness.worker(system).work()
    assert {r.system: r.outcome for r in harness.completed[0].reports} == {"crm": "erased", "cdr": "retained"}


async def test_a_system_that_can_leave_what_is_covered_and_erase_the_rest_is_told_what_to_leave(
    intake: Intake, open_harness: OpenHarness
) -> None:
    store = ScriptedSystem("cdr", categories=frozenset({"call_record", "contact"}))
    store.spares_by_category = True  # type: ignore[attr-defined]
    asked: list[frozenset[str]] = []

    async def leaving(tasks: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
        asked.extend(task.held for task in tasks)
        kept = (Kept(category="call_record", rule="legal_hold", count=1),)
        said: dict[str, Any] = {"found": 2, "changed": 1, "remaining": 1, "ground": "legal_hold", "kept": kept}
        return [Receipt(task.task_id, TaskOutcome.RETAINED, **said) for task in tasks]

    store.answers[Operation.ERASE] = leaving
    harness = await open_harness(store)
    hold = await placed(intake, categories=["call_record"])
    path = await intake.submit(right="erasure")
    await harness.open(NewFulfilment(UUID(id_of(path)), await harness.subject(EMAIL), *_ERASURE))
    await harness.worker("cdr").work()
    assert asked == [{"call_record"}]
    reports = harness.completed[0].reports
    said = {"right": "erasure", "operation": "erase", "outcome": "partially_fulfilled"}
    await intake.complete(path, **said, tasks=[*reports])
    await lift(intake, hold)
    assert await paused_erasures.let_go_of_holds(intake.unit_of_work) == 1, "what was left is asked for again"


async def test_once_two_persons_have_lifted_it_what_was_kept_is_asked_for_again(
    intake: Intake, harness: Harness
) -> None:
    hold, path = await placed(intake), await intake.submit(right="erasure")
    subject = await harness.subject(EMAIL)
    reports = await erased(harness, UUID(id_of(path)), subject)
    said = {"right": "erasure", "operation": "erase", "outcome": "partially_fulfilled"}
    await intake.complete(path, **said, tasks=[*reports.values()])
    assert (await intake.view(path))["outcome"] == "partially_fulfilled"

    assert not await paused_erasures.let_go_of_holds(intake.unit_of_work)
    assert (await intake.officer.post(f"{hold}/lift")).json()["lifted_at"] is None
    assert not await paused_erasures.let_go_of_holds(intake.unit_of_work)
    alone = await intake.officer.post(f"{hold}/lift")
    assert is_problem(alone, 409, "same_person"), alone.text
    assert (await intake.colleague.post(f"{hold}/lift")).json()["lifted_by"] == ["officer-1", "officer-2"]

    assert await paused_erasures.let_go_of_holds(intake.unit_of_work) == 1
    assert not await paused_erasures.let_go_of_holds(intake.unit_of_work), "said once"
    lifted = HoldLifted.model_validate((await intake.published())[-1])
    assert lifted.systems == ("crm", "shop")
    async with harness.unit_of_work.begin() as tx:
        await retained.release(harness.fulfilments, [lifted.model_copy(update={"subject": subject})], tx)
    for system in ("shop", "crm"):
        await harness.worker(system).work()
    assert harness.completed[-1].deferred
    assert {report.outcome for report in harness.completed[-1].reports} == {"erased"}


async def test_a_hold_names_a_case_a_reason_of_the_policy_and_a_review_within_six_months(intake: Intake) -> None:
    for wrong, field in (
        ({"reason": "BECAUSE"}, "reason"),
        ({"review_on": "2026-09-03"}, "review_on"),
        ({"review_on": "2026-03-02"}, "review_on"),
        ({"categories": ["calls"]}, "categories"),
        ({"case_number": "ada@example.org"}, "case_number"),
    ):
        answer = await intake.officer.post(HOLDS, json={**PLACED, **wrong})
        assert answer.status_code == 400, wrong
        assert answer.json()["errors"][0]["field"] == field
    assert (await intake.channel.post(HOLDS, json=PLACED)).status_code == 403
    assert (await intake.officer.get(HOLDS)).json() == {"holds": []}


async def test_a_review_keeps_a_hold_or_ends_it_and_its_owner_does_not_end_it_alone(intake: Intake) -> None:
    hold = await placed(intake)
    (await intake.officer.post(f"{hold}/lift")).raise_for_status()
    needed = await intake.colleague.post(f"{hold}/review", json={"finding": "needed", "review_on": "2026-07-01"})
    assert (needed.json()["review_on"], needed.json()["lift_asked_by"]) == ("2026-07-01", None)
    ends = {"finding": "not_needed"}
    assert is_problem(await intake.colleague.post(f"{hold}/review", json=ends), 409, "illegal_transition")

    await counted(intake)
    assert PEOPLE.get_sample_value("dsr_legal_holds", {"review": "past"}) == 0
    intake.clock.at += timedelta(days=122)
    await counted(intake)
    assert PEOPLE.get_sample_value("dsr_legal_holds", {"review": "past"}) == 1, "in force still, and an alert"
    assert is_problem(await intake.officer.post(f"{hold}/review", json=ends), 409, "same_person")
    assert (await intake.colleague.post(f"{hold}/review", json=ends)).json()["lifted_by"] == ["officer-2"]
    assert is_problem(await intake.officer.post(f"{hold}/lift"), 409, "illegal_transition")


async def counted(intake: Intake) -> None:
    async with intake.unit_of_work.pool.acquire() as connection:
        await holds.count(connection, intake.clock.at.date())


async def test_nothing_of_whom_a_hold_is_about_can_be_read_and_it_is_on_record(intake: Intake) -> None:
    hold = await placed(intake)
    rows = await intake.unit_of_work.pool.fetch("SELECT * FROM vault.legal_hold, vault.hold_mark")
    assert "ada" not in str(rows)
    ref, pool = UUID(id_of(hold)), intake.unit_of_work.pool
    async with pool.acquire() as connection:
        assert EMAIL.value in str(await intake.unit_of_work.vault.subject_data(connection, [ref])), "for the sweep"
    await lift(intake, hold)
    for table, column in (("hold_mark", "hold_id"), ("subject", "subject_ref")):
        assert not await pool.fetchval(f"SELECT count(*) FROM vault.{table} WHERE {column} = $1", ref)
    query = "SELECT action FROM evidence.entry WHERE request_id = $1 ORDER BY seq"
    actions = [row[0] for row in await intake.unit_of_work.pool.fetch(query, UUID(id_of(hold)))]
    assert actions == ["hold.placed", "hold.lift_proposed", "hold.lifted"]
