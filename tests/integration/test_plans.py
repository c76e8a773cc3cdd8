"""The plan of an erasure: what it would do, asked of every system, with nothing changed (Art. 17)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.erasure import planning
from services.intake.jobs import resuming
from services.intake.request.messages.retained import is_retained_unseen
from shared.domain.errors import LimitExceeded, Refused, Unavailable
from shared.domain.events import ErasurePlanned, PreviewRequested
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Right
from shared.fulfilment.store import NewFulfilment
from shared.runtime.metrics import PEOPLE
from shared.systems.contract import Checkpoint, NotSearched, Pending, Receipt, Result, Task
from shared.systems.engine.retaining import RuleUndeclared
from shared.systems.states import ErasureRefused
from tests.fixtures.cdr import ask, engine, missing, with_tables
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.engine import ACCOUNT, DUE, Answer, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.policy import doing
from tests.integration.test_api import is_problem

REFUSES = Refused("a contract is in a state in which nothing may be erased")


def crm_of(**answers: object) -> ScriptedSystem:
    """A CRM that tells everybody's account, and is asked before anything is erased."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    given = {Operation.LOCATE: found, **{Operation(name): answer for name, answer in answers.items()}}
    return ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers=given, may_refuse=True)  # type: ignore[arg-type]  # answers of tests


async def worked(harness: Harness, *steps: tuple[str, Operation]) -> None:
    for system, operation in steps:
        await harness.worker(system, operation).work()


LOCATE, PLAN, ERASE = Operation.LOCATE, Operation.PLAN, Operation.ERASE
"""Operations in the order in which a system is worked."""


async def erasure(harness: Harness) -> UUID:
    email = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
    new = NewFulfilment(uuid7(), await harness.subject(email), Right.ERASURE, ERASE, DUE)
    [request_id] = await harness.open(new)
    return request_id


async def test_where_the_crm_refuses_no_other_system_is_touched(open_harness: OpenHarness) -> None:
    shop = ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))
    harness = await open_harness(crm_of(plan=each(lambda _: REFUSES)), shop)
    request_id = await erasure(harness)
    await worked(harness, ("crm", LOCATE), ("shop", ERASE), ("crm", PLAN), ("shop", ERASE), ("crm", ERASE))
    assert await harness.states(request_id) == {
        "crm:locate": "done",
        "crm:plan": "failed",
        "shop:erase": "waiting",
        "crm:erase": "waiting",
    }
    assert shop.asked == []
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]

    harness.systems["crm"].answers.pop(PLAN)  # a person has seen to it
    await harness.retry(request_id)
    await worked(harness, ("crm", PLAN), ("shop", ERASE), ("crm", ERASE))
    [completed] = harness.completed
    assert [(r.system, r.operation) for r in completed.reports] == [
        ("crm", "locate"),
        ("shop", "erase"),
        ("crm", "erase"),
    ], "what was only asked is no part of the answer"


def telling(word: str) -> Answer:
    """Answers as a CRM that says whether a contract is active: yes, no, or unknown."""
    states = {"contract_active": {"yes": True, "no": False}.get(word)}
    return each(lambda task: Receipt(task.task_id, TaskOutcome.PLANNED, found=1, states=states))


def none(task: Task) -> Receipt:
    return Receipt(task.task_id, TaskOutcome.NO_MATCH)


async def erased_with(
    open_harness: OpenHarness, shop: ScriptedSystem, crm: Answer
) -> tuple[Harness, UUID, dict[str, TaskReport]]:
    """The same person in the CRM and in a shop; what came of each, where it has come to that."""
    shop.needs = frozenset({IdentityType.ACCOUNT_ID})
    teller = crm_of(plan=crm)
    teller.tells = frozenset({"contract_active"})
    harness = await open_harness(teller, shop)
    request_id = await erasure(harness)
    await worked(harness, ("crm", LOCATE), ("crm", PLAN), (shop.system, PLAN), (shop.system, ERASE), ("crm", ERASE))
    return harness, request_id, {r.system: r for c in harness.completed for r in c.reports if r.operation == "erase"}


async def test_what_one_system_tells_keeps_what_another_holds(open_harness: OpenHarness) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "customer"}))
    shop.answers[PLAN] = each(lambda task: Receipt.planned(task, {"contact": 2, "customer": 1}))
    harness, request_id, came = await erased_with(open_harness, shop, telling("yes"))
    said = came["shop"]
    assert (said.outcome, said.ground, said.found, said.remaining) == ("retained", "active_contract", 3, 3)
    assert [(each.category, each.count) for each in said.kept or ()] == [("contact", 2), ("customer", 1)]
    assert [task.operation for task in shop.asked] == [PLAN], "it is never asked to erase"
    assert list(await harness.states(request_id))[:3] == ["crm:locate", "crm:plan", "shop:plan"]

    unknown = ScriptedSystem("shop", categories=frozenset({"contact"}), answers={PLAN: each(none)})
    *_, came = await erased_with(open_harness, unknown, telling("yes"))
    assert came["shop"].outcome == "no_match", "nothing is kept where there is nothing"


@pytest.mark.parametrize("crm", [each(none), telling("no")], ids=["unknown", "none"])
async def test_what_no_state_keeps_goes(open_harness: OpenHarness, crm: Answer) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    *_, came = await erased_with(open_harness, shop, crm)
    assert came["shop"].outcome == "erased"


@pytest.mark.parametrize(
    ("crm", "failure"),
    [
        (telling("unknown"), "ground_unknown"),
        (each(lambda task: NotSearched(task.task_id, Unsearched.NOTHING_TO_SEARCH_BY)), "ground_unknown"),
        (telling("yes"), "not_supported"),
    ],
    ids=["not known", "not searched", "a part stays"],
)
async def test_unknown_retention_erases_nothing(open_harness: OpenHarness, crm: Answer, failure: str) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    harness, request_id, _ = await erased_with(open_harness, shop, crm)
    assert (await harness.states(request_id))["shop:plan"] == "failed"
    assert await harness.pool.fetchval("SELECT failure FROM task WHERE system = 'shop' AND state = 'failed'") == failure
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation is ERASE]


async def test_store_gets_active_states_and_is_asked_again_on_their_day(open_harness: OpenHarness) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    shop.more["keeps_by_category"] = True
    harness, request_id, _ = await erased_with(open_harness, shop, telling("yes"))
    assert {task.operation: task.states for task in shop.asked} == {
        PLAN: {"contract_active": True},
        ERASE: {"contract_active": True},
    }
    harness.systems["crm"].answers[PLAN] = telling("no")
    subject = await harness.pool.fetchval("SELECT subject_ref FROM fulfilment")
    later = NewFulfilment(request_id, subject, Right.ERASURE, ERASE, DUE, {"deferred": True}, frozenset({"shop"}))
    await harness.open(later)
    await worked(harness, ("crm", PLAN), ("shop", ERASE))
    assert shop.asked[-1].states == {"contract_active": False}
    assert [task.operation for task in shop.asked].count(PLAN) == 1, "it is not asked itself"


def refusing(_: Task) -> Refused:
    failure = ErasureRefused("crm has a row of ticket that must stay now: open_ticket")
    failure.states = {"contract_active": True}
    return failure


@pytest.mark.parametrize("crm", [telling("yes"), each(refusing)], ids=["planned", "refused"])
async def test_dry_run_consults_other_systems_first(open_harness: OpenHarness, crm: Answer) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact"}))
    teller = crm_of(plan=crm)
    teller.tells = frozenset({"contract_active"})
    harness = await open_harness(teller, shop)
    await asked(harness)
    await worked(harness, ("crm", LOCATE), ("shop", PLAN), ("crm", PLAN), ("shop", PLAN))
    shown = (await planned(harness))["shop"]
    assert (shown.outcome, shown.found, shown.remaining, shown.ground) == ("planned", 2, 2, "active_contract")


async def asked(harness: Harness) -> UUID:
    event = a(PreviewRequested, right=Right.ERASURE, plan_id=uuid7(), subject=await harness.subject())
    async with harness.unit_of_work.begin() as tx:
        await planning.plan(harness.fulfilments, [event], tx)
    return event.request_id


async def planned(harness: Harness) -> dict[str, TaskReport]:
    async with harness.unit_of_work.begin() as tx:
        await planning.planned(harness.fulfilments, harness.completed, tx)
    rows = await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
    return {task.system: task for task in ErasurePlanned.model_validate_json(rows[-1][0]).tasks}


async def test_a_dry_run_asks_every_system_and_says_of_each_what_it_could_not_say(open_harness: OpenHarness) -> None:
    excess = LimitExceeded("7 are found", Exceeded(limit=Limit.MAX_ROWS, found=7, allowed=5))
    excess.found, excess.unsigned = {"ticket": 7}, (Kept(category="ticket", rule="tickets", count=7),)
    big = ScriptedSystem("big", answers={PLAN: each(lambda _: excess)})
    away = ScriptedSystem("away", answers={PLAN: each(lambda _: Unavailable("away"))})
    slow = ScriptedSystem("slow", answers={PLAN: each(lambda task: Pending(task.task_id, timedelta(seconds=5)))})
    harness = await open_harness(crm_of(), big, away, slow)
    request_id = await asked(harness)
    await worked(harness, ("crm", LOCATE), ("crm", PLAN), ("big", PLAN))
    for _ in range(5):
        await worked(harness, ("away", PLAN), ("slow", PLAN))
        harness.unit_of_work.clock.pass_by(seconds=60)  # type: ignore[attr-defined]  # a clock of the test
    reports = await planned(harness)
    assert {name: (task.outcome, task.failure, task.found) for name, task in reports.items()} == {
        "crm": ("planned", None, 2),
        "big": (None, "limit_exceeded", 7),
        "away": (None, "unavailable", 0),
        "slow": (None, "unavailable", 0),
    }
    assert reports["slow"].sentence == "slow has not answered yet"
    assert reports["big"].exceeded
    assert (reports["big"].by_category, reports["big"].unsigned) == (excess.found, excess.unsigned)
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation is ERASE]
    assert "fulfilment.blocked" not in await harness.actions(request_id), "it needs no person"


async def test_unproved_subject_is_reported_in_a_dry_run_as_not_searched(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("shop", needed="L2"))
    subject = await harness.subject(Identity(IdentityType.EMAIL, "ada@example.org"))
    event = a(PreviewRequested, right=Right.ERASURE, plan_id=uuid7(), subject=subject)
    async with harness.unit_of_work.begin() as tx:
        await planning.plan(harness.fulfilments, [event], tx)
    await worked(harness, ("shop", PLAN))
    assert (await planned(harness))["shop"].not_searched == "not_proved"


def said(system: str, **counts: object) -> TaskReport:
    return TaskReport.model_validate({"task_id": uuid7(), "system": system, "operation": "plan", **counts})


async def test_an_officer_reads_what_an_erasure_would_do_before_and_after_it_has_begun(intake: Intake) -> None:
    path = await intake.submit(right="erasure", assurance=None)
    first = await intake.officer.post(f"{path}/previews")
    assert (first.status_code, first.json()["state"]) == (202, "asked")
    link = first.headers["Location"]
    assert (await intake.officer.post(f"{path}/previews")).headers["Location"] == link
    assert (await intake.types()).count("preview_requested") == 1
    event = PreviewRequested.model_validate((await intake.published())[-1])
    tasks = [
        said("crm", outcome="planned", found=3, by_category={"account": 1, "contact": 2}),
        said("cdr", outcome="planned", found=4, by_category={"call": 4}, ground="legal_hold"),
        said("shop", failure="not_supported"),
        said(
            "till",
            failure="rule_unsigned",
            found=7,
            by_category={"call": 4, "ticket": 3},
            unsigned=(Kept(category="call", rule="calls_us_18m", count=4),),
        ),
    ]
    before = await intake.view(path)
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=uuid7(), tasks=tasks))
    asked = await intake.officer.get(link)
    assert (asked.json()["state"], asked.headers["Retry-After"]) == ("asked", "1"), (
        "it is the answer to another dry run"
    )
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=event.plan_id, tasks=tasks))

    made = (await intake.officer.get(link)).raise_for_status()
    assert made.json()["state"] == "made"
    cdr, crm, shop, till = made.json()["systems"]
    assert (crm["deleted"], crm["kept"], [each["category"] for each in crm["categories"]]) == (3, 0, ["account"])
    assert (cdr["deleted"], cdr["kept"]) == (0, 4)
    assert cdr["categories"][0]["kept"][0]["article"] == "17(3)(e)"
    assert shop["refused"] == "not_supported"
    assert [till[name] for name in ("found", "deleted", "kept", "waiting")] == [7, 0, 0, 7]
    calls, tickets = till["categories"]
    assert (calls["category"], calls["waiting"], tickets["waiting"], tickets["unsigned"]) == ("call_record", 4, 3, [])
    [by] = calls["unsigned"]
    assert (by["rule"], by["rows"], "lines in the United States" in by["words"]) == ("calls_us_18m", 4, True)
    assert await intake.view(path) == before, "it changes nothing"
    policy = intake.unit_of_work.policy
    intake.unit_of_work.policy = policy.with_other(states={**policy.states, "packed": "it is packed"})
    by_another = (await intake.officer.post(f"{path}/previews")).headers["Location"]
    assert by_another != link, "what one policy would do, another would not"
    assert (await intake.officer.get(link)).status_code == 404
    [_, again] = [each for each in await intake.published() if each["type"] == "dsr.request.preview_requested.v1"]
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=UUID(again["plan_id"]), tasks=tasks))
    assert (await intake.officer.post(f"{path}/previews")).json()["state"] == "made"
    intake.clock.pass_by(minutes=11)
    assert (await intake.officer.post(f"{path}/previews")).json()["state"] == "asked", "what was said grows old"


async def test_there_is_a_plan_of_an_erasure_alone(intake: Intake) -> None:
    path = await intake.submit(right="access")
    assert is_problem(await intake.officer.post(f"{path}/previews"), 409, "illegal_transition")


# Legal holds: an erasure touches no covered data until two people, or a review, lift the hold (Art. 17(3)(e), REQ-R9).
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
        (await person.post(f"{hold}/actions/lift")).raise_for_status()


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """Erasure over a CRM that tells everybody's account, and a store that hangs on it."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    shop = ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))
    return await open_harness(crm, shop)


async def erased(harness: Harness, request_id: UUID | None = None, subject: UUID | None = None) -> Any:
    """Returns the result of an erasure, by its completion event."""
    subject = subject or await harness.subject(EMAIL)
    await harness.open(NewFulfilment(request_id or uuid7(), subject, *_ERASURE))
    await harness.worker("crm", Operation.LOCATE).work()
    for system in ("shop", "crm"):
        await harness.worker(system).work()
    return {report.system: report for report in harness.completed[-1].reports if report.operation == "erase"}


_ERASURE = (Right.ERASURE, Operation.ERASE, DUE)


async def test_what_a_hold_covers_is_counted_where_located_and_not_erased(intake: Intake, harness: Harness) -> None:
    await placed(intake, subject={"account_id": "C1"})  # which only the CRM knows
    reports = await erased(harness)
    assert {(r.outcome, r.ground, r.changed) for r in reports.values()} == {("retained", "legal_hold", 0)}
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation == "erase"]
    assert (reports["crm"].found, reports["crm"].remaining, reports["shop"].found) == (1, 1, 0), "one was located"
    assert [is_retained_unseen(reports[each]) for each in ("crm", "shop")] == [False, True]


@pytest.mark.parametrize("held", [False, True])
async def test_part_that_was_not_searched_is_reported_under_a_hold_too(
    intake: Intake, open_harness: OpenHarness, *, held: bool
) -> None:
    needs = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID})
    answers = {PLAN: each(none), ERASE: each(none)}
    shop = ScriptedSystem("shop", needs, needed="L2", may_refuse=True, answers=answers)
    harness = await open_harness(shop)
    stated = Identity(IdentityType.ACCOUNT_ID, "C1", level="L0")
    await harness.open(NewFulfilment(uuid7(), await harness.subject(EMAIL, stated), *_ERASURE))
    await worked(harness, ("shop", PLAN))
    if held:
        await placed(intake)
    await worked(harness, ("shop", ERASE))
    query = "SELECT receipt ->> 'outcome', receipt ->> 'not_searched' FROM task WHERE operation = 'erase'"
    assert [tuple(row) for row in await harness.pool.fetch(query)] == [("no_match", "not_proved")]
    assert len(shop.asked) == (1 if held else 2)


async def test_hold_matches_identities_of_the_only_system(intake: Intake, open_harness: OpenHarness) -> None:
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


async def test_hold_placed_midway_stops_the_next_step(intake: Intake, harness: Harness, clock: SetClock) -> None:
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


async def test_foreign_or_lifted_hold_stops_nothing(intake: Intake, harness: Harness) -> None:
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


async def test_system_that_can_split_erases_around_a_hold(intake: Intake, open_harness: OpenHarness) -> None:
    store = ScriptedSystem("cdr", categories=frozenset({"call_record", "contact"}))
    store.more["keeps_by_category"] = True
    asked: list[frozenset[str]] = []

    async def leaving(tasks: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
        asked.extend(task.held_categories for task in tasks)
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
    assert await resuming.erase_released(intake.unit_of_work) == 1, "what was left is asked for again"


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
    assert (await intake.officer.get(HOLDS)).json() == {"data": [], "next_cursor": None}


async def test_a_review_keeps_a_hold_or_ends_it_and_its_owner_does_not_end_it_alone(intake: Intake) -> None:
    hold = await placed(intake)
    proposed = await intake.officer.post(f"{hold}/actions/lift")
    needed = {"finding": "needed", "review_on": "2026-07-01"}
    (await intake.colleague.post(f"{hold}/actions/review", json=needed)).raise_for_status()
    assert (await intake.officer.get(hold)).json()["review_on"] == "2026-07-01"
    void = await intake.colleague.post(f"/v1/approvals/{proposed.json()['approval_id']}/approve")
    assert is_problem(void, 412, "precondition_failed"), "a new lift must be proposed"
    ends = {"finding": "not_needed"}
    assert is_problem(await intake.colleague.post(f"{hold}/actions/review", json=ends), 409, "illegal_transition")

    await intake.count()
    assert PEOPLE.get_sample_value("dsr_legal_holds", {"review": "past"}) == 0
    intake.clock.at += timedelta(days=122)
    await intake.count()
    assert PEOPLE.get_sample_value("dsr_legal_holds", {"review": "past"}) == 1, "in force still, and an alert"
    assert is_problem(await intake.officer.post(f"{hold}/actions/review", json=ends), 409, "same_person")
    assert (await intake.colleague.post(f"{hold}/actions/review", json=ends)).json()["state"] == "lifted"
    assert is_problem(await intake.officer.post(f"{hold}/actions/lift"), 409, "illegal_transition")


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
    assert actions == ["hold.placed", "approval.proposed", "hold.lifted"]


# What the policy does with a category on the day of an erasure is what becomes of its rows, and nothing else.
ANNA, BORIS = email("anna@example.org"), email("boris@example.org")
E = datetime(2026, 10, 1, 12, tzinfo=UTC)
SCHEMA = """
CREATE TABLE visit (id bigint PRIMARY KEY, at date, email text, page text, browser text, kept boolean);
INSERT INTO visit VALUES (1, '2026-08-15', 'anna@example.org', '/price', 'rare', false),
    (2, '2026-09-15', 'anna@example.org', '/help', 'rare', false),
    (3, '2026-09-15', 'boris@example.org', '/help', 'rare', false);
CREATE INDEX ON visit (email);
"""
DATASET = """
name = "site"
[tables.visit]
category = "analytics"
primary_key = ["id"]
at = { happened = "at", event_time = "at" }
keep.fields = { page = ["page"], day = ["at"] }
keep.mark = { kept = true }
[tables.visit.columns]
id = { class = "T", anonymous = "redraw" }
at = { class = "M", anonymous = "month" }
email = { class = "A", identity = "email" }
page = { class = "M", anonymous = "keep" }
browser = { class = "M", anonymous = "rare" }
kept = { class = "T", anonymous = "keep" }
"""
THEIRS = "SELECT at::text, email, page, browser, kept FROM visit ORDER BY at, page, email NULLS FIRST"
BORISS = ("2026-09-15", "boris@example.org", "/help", "rare", False)


@pytest.mark.parametrize(
    ("does", "ruled", "outcome", "left"),
    [
        ("delete", False, TaskOutcome.ERASED, []),
        ("anonymise", False, TaskOutcome.ERASED, [("2026-08-01", None, "/price", None, False)]),
        ("keep", True, TaskOutcome.RETAINED, [("2026-09-15", "anna@example.org", "/help", "rare", False)]),
        ("restrict", True, TaskOutcome.RETAINED, [("2026-09-15", "anna@example.org", "/help", None, True)]),
    ],
)
async def test_a_category_is_deleted_anonymised_kept_or_restricted_as_the_policy_says(
    empty_database: str, tmp_path: Path, does: str, outcome: TaskOutcome, left: list[tuple[object, ...]], *, ruled: bool
) -> None:
    if does == "anonymise":
        left = [*left, ("2026-09-01", None, "/help", None, False)]
    policy = doing(tmp_path, does, ruled=ruled)
    (tmp_path / "site.toml").write_text(DATASET, encoding="utf-8")
    await with_tables(empty_database, SCHEMA)
    async with engine(empty_database, tmp_path / "site.toml", {}, policy) as site:
        assert not site.adapter.can.policy_conflicts
        assert not await missing(site)
        asked = [replace(task(Operation.ERASE, each), at=E) for each in (ANNA, email("unknown@example.org"))]
        plan = await site.receipt(replace(task(Operation.PLAN, ANNA), at=E))
        done = [receipt(each) for each in await site.run(*asked)]
        assert (done[0].outcome, done[0].found, done[1].outcome) == (outcome, 2, TaskOutcome.NO_MATCH)
        assert (plan.found, plan.kept, plan.until) == (2, done[0].kept, done[0].until)
        assert done[0].anonymised == (("analytics",) if does == "anonymise" else None)
        assert done[0].until == (date(2026, 10, 15) if ruled else None)
        assert await ask(empty_database, THEIRS) == sorted([*left, BORISS], key=lambda row: (row[0], row[1] or ""))
        again = await site.receipt(replace(task(Operation.ERASE, ANNA), at=E))
        assert again.remaining == (1 if ruled else 0)


async def test_undeclared_operation_is_not_replaced_by_deletion(empty_database: str, tmp_path: Path) -> None:
    policy = doing(tmp_path, "anonymise")
    (tmp_path / "site.toml").write_text(re.sub(', anonymous = "[a-z]+"', "", DATASET), encoding="utf-8")
    await with_tables(empty_database, SCHEMA)
    async with engine(empty_database, tmp_path / "site.toml", {}, policy) as site:
        assert "declare anonymous" in "".join(site.adapter.can.policy_conflicts)
        assert site.adapter.can.may_refuse
        for operation in (Operation.PLAN, Operation.ERASE):
            with pytest.raises(RuleUndeclared, match="declare anonymous"):
                await site.one(replace(task(operation, ANNA), at=E))
    assert await ask(empty_database, "SELECT count(*) FROM visit") == [(3,)]
