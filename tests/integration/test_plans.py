"""The plan of an erasure: what it would do, asked of every system, with nothing changed (Art. 17)."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.erasure import planning
from shared.domain.errors import BlastRadius, Refused, Unavailable
from shared.domain.events import ErasurePlanned, PlanAsked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.downstreams.contract import Receipt
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_api import is_problem

REFUSES = Refused("a contract is in a state in which nothing may be erased")


def crm_of(**answers: object) -> ScriptedSystem:
    """A CRM that tells everybody's account, and is asked before anything is erased."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    told = {Operation.LOCATE: found, **{Operation(name): answer for name, answer in answers.items()}}
    return ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers=told, may_refuse=True)  # type: ignore[arg-type]  # answers of tests


async def worked(harness: Harness, *steps: tuple[str, Operation]) -> None:
    for system, operation in steps:
        await harness.worker(system, operation).work()


LOCATE, PLAN, ERASE = Operation.LOCATE, Operation.PLAN, Operation.ERASE
"""In the order in which a system is worked."""


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


async def asked(harness: Harness) -> UUID:
    event = a(PlanAsked, right=Right.ERASURE, plan_id=uuid7(), subject=await harness.subject())
    async with harness.unit_of_work.begin() as tx:
        await planning.plan(harness.fulfilments, [event], tx)
    return event.request_id


async def planned(harness: Harness) -> dict[str, TaskReport]:
    async with harness.unit_of_work.begin() as tx:
        await planning.planned(harness.fulfilments, harness.completed, tx)
    rows = await harness.pool.fetch("SELECT value FROM outbox ORDER BY position")
    return {task.system: task for task in ErasurePlanned.model_validate_json(rows[-1][0]).tasks}


async def test_a_dry_run_asks_every_system_and_says_of_each_what_it_could_not_say(open_harness: OpenHarness) -> None:
    excess = BlastRadius("7 are found", Exceeded(limit=Limit.MAX_ROWS, found=7, allowed=5))
    big = ScriptedSystem("big", answers={PLAN: each(lambda _: excess)})
    away = ScriptedSystem("away", answers={PLAN: each(lambda _: Unavailable("away"))})
    harness = await open_harness(crm_of(), big, away)
    request_id = await asked(harness)
    await worked(harness, ("crm", LOCATE), ("crm", PLAN), ("big", PLAN), ("away", PLAN))
    harness.unit_of_work.clock.pass_by(seconds=60)  # type: ignore[attr-defined]  # a clock of the test
    await worked(harness, ("away", PLAN))
    told = await planned(harness)
    assert {name: (task.outcome, task.failure, task.found) for name, task in told.items()} == {
        "crm": ("planned", None, 2),
        "big": (None, "blast_radius", 0),
        "away": (None, "unavailable", 0),
    }
    assert told["big"].exceeded
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation is ERASE]
    assert "fulfilment.blocked" not in await harness.actions(request_id), "nobody has to see to it"


async def test_who_has_proved_nothing_is_told_of_in_a_dry_run_as_not_searched(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("shop", needed="L2"))
    subject = await harness.subject(Identity(IdentityType.EMAIL, "ada@example.org"))
    event = a(PlanAsked, right=Right.ERASURE, plan_id=uuid7(), subject=subject)
    async with harness.unit_of_work.begin() as tx:
        await planning.plan(harness.fulfilments, [event], tx)
    await worked(harness, ("shop", PLAN))
    assert (await planned(harness))["shop"].not_searched == "not_proved"


def said(system: str, **counts: object) -> TaskReport:
    return TaskReport.model_validate({"task_id": uuid7(), "system": system, "operation": "plan", **counts})


async def test_an_officer_reads_what_an_erasure_would_do_before_and_after_it_has_begun(intake: Intake) -> None:
    path = await intake.submit(right="erasure", assurance=None)
    first = await intake.officer.get(f"{path}/plan")
    assert (first.status_code, first.json()["state"], first.headers["Retry-After"]) == (202, "asked", "1")
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202
    assert (await intake.types()).count("plan_asked") == 1
    event = PlanAsked.model_validate((await intake.published())[-1])
    tasks = [
        said("crm", outcome="planned", found=3, by_category={"account": 1, "contact": 2}),
        said("cdr", outcome="planned", found=4, by_category={"call": 4}, ground="legal_hold"),
        said("shop", failure="not_supported"),
    ]
    before = await intake.view(path)
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=uuid7(), tasks=tasks))
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "it is the answer to another dry run"
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=event.plan_id, tasks=tasks))

    made = (await intake.officer.get(f"{path}/plan")).raise_for_status()
    assert made.status_code == 200
    cdr, crm, shop = made.json()["systems"]
    assert (crm["deleted"], crm["kept"], [each["category"] for each in crm["categories"]]) == (3, 0, ["account"])
    assert (cdr["deleted"], cdr["kept"]) == (0, 4)
    assert cdr["categories"][0]["kept"][0]["article"] == "17(3)(e)"
    assert shop["refused"] == "not_supported"
    assert await intake.view(path) == before, "it changes nothing"
    intake.clock.pass_by(minutes=11)
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "what was said grows old"


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_only_the_privacy_team_and_only_of_an_erasure(intake: Intake, right: str) -> None:
    path = await intake.submit(right=right)
    if right == "access":
        assert is_problem(await intake.officer.get(f"{path}/plan"), 409, "illegal_transition")
    else:
        assert (await intake.channel.get(f"{path}/plan")).status_code == 403
