"""The plan of an erasure: what it would do, asked of every system, with nothing changed (Art. 17)."""

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.erasure import planning
from shared.domain.errors import BlastRadius, Refused, Unavailable
from shared.domain.events import ErasurePlanned, PlanAsked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Kept, Limit, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Right
from shared.downstreams.contract import NotSearched, Pending, Receipt, Task
from shared.downstreams.refusals import ErasureRefused
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, DUE, Answer, Harness, OpenHarness, ScriptedSystem, each
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


def telling(word: str) -> Answer:
    """What a CRM answers that says whether a contract is active: yes, no, or that it does not know."""
    states = {"contract_active": {"yes": True, "no": False}.get(word)}
    return each(lambda task: Receipt(task.task_id, TaskOutcome.PLANNED, found=1, states=states))


def none(task: Task) -> Receipt:
    return Receipt(task.task_id, TaskOutcome.NO_MATCH)


async def erased_beside(
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
    harness, request_id, came = await erased_beside(open_harness, shop, telling("yes"))
    said = came["shop"]
    assert (said.outcome, said.ground, said.found, said.remaining) == ("retained", "active_contract", 3, 3)
    assert [(each.category, each.count) for each in said.kept or ()] == [("contact", 2), ("customer", 1)]
    assert [task.operation for task in shop.asked] == [PLAN], "it is never told to erase"
    assert list(await harness.states(request_id))[:3] == ["crm:locate", "crm:plan", "shop:plan"]

    nobody = ScriptedSystem("shop", categories=frozenset({"contact"}), answers={PLAN: each(none)})
    *_, came = await erased_beside(open_harness, nobody, telling("yes"))
    assert came["shop"].outcome == "no_match", "nothing is kept where there is nothing"


@pytest.mark.parametrize("crm", [each(none), telling("no")], ids=["nobody", "none"])
async def test_what_no_state_keeps_goes(open_harness: OpenHarness, crm: Answer) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    *_, came = await erased_beside(open_harness, shop, crm)
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
async def test_where_it_is_not_known_what_must_stay_or_it_cannot_be_left_nothing_goes_anywhere(
    open_harness: OpenHarness, crm: Answer, failure: str
) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    harness, request_id, _ = await erased_beside(open_harness, shop, crm)
    assert (await harness.states(request_id))["shop:plan"] == "failed"
    assert await harness.pool.fetchval("SELECT failure FROM task WHERE system = 'shop' AND state = 'failed'") == failure
    assert not [task for system in harness.systems.values() for task in system.asked if task.operation is ERASE]


async def test_a_store_is_told_which_states_last_and_asked_for_them_again_when_its_day_comes(
    open_harness: OpenHarness,
) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact", "ticket"}))
    shop.__dict__["spares_by_category"] = True
    harness, request_id, _ = await erased_beside(open_harness, shop, telling("yes"))
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
async def test_a_dry_run_hears_what_others_tell_before_it_says_what_stays(
    open_harness: OpenHarness, crm: Answer
) -> None:
    shop = ScriptedSystem("shop", categories=frozenset({"contact"}))
    teller = crm_of(plan=crm)
    teller.tells = frozenset({"contract_active"})
    harness = await open_harness(teller, shop)
    await asked(harness)
    await worked(harness, ("crm", LOCATE), ("shop", PLAN), ("crm", PLAN), ("shop", PLAN))
    shown = (await planned(harness))["shop"]
    assert (shown.outcome, shown.found, shown.remaining, shown.ground) == ("planned", 2, 2, "active_contract")


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
    told = await planned(harness)
    assert {name: (task.outcome, task.failure, task.found) for name, task in told.items()} == {
        "crm": ("planned", None, 2),
        "big": (None, "blast_radius", 7),
        "away": (None, "unavailable", 0),
        "slow": (None, "unavailable", 0),
    }
    assert told["slow"].sentence == "slow has not answered yet"
    assert told["big"].exceeded
    assert (told["big"].by_category, told["big"].unsigned) == (excess.found, excess.unsigned)
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
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "it is the answer to another dry run"
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=event.plan_id, tasks=tasks))

    made = (await intake.officer.get(f"{path}/plan")).raise_for_status()
    assert made.status_code == 200
    cdr, crm, shop, till = made.json()["systems"]
    assert (crm["deleted"], crm["kept"], [each["category"] for each in crm["categories"]]) == (3, 0, ["account"])
    assert (cdr["deleted"], cdr["kept"]) == (0, 4)
    assert cdr["categories"][0]["kept"][0]["article"] == "17(3)(e)"
    assert shop["refused"] == "not_supported"
    assert [till[name] for name in ("found", "deleted", "kept", "waiting")] == [7, 0, 0, 7]
    calls, tickets = till["categories"]
    assert (calls["category"], calls["waiting"], tickets["waiting"], tickets["unsigned"]) == ("call_record", 4, 3, [])
    [by] = calls["unsigned"]
    assert (by["rule"], by["rows"], "keep records of billed calls" in by["words"]) == ("calls_us_18m", 4, True)
    assert await intake.view(path) == before, "it changes nothing"
    policy = intake.unit_of_work.policy
    intake.unit_of_work.policy = policy.with_other(states={**policy.states, "packed": "it is packed"})
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "what one policy would do, another would not"
    [_, anew] = [each for each in await intake.published() if each["type"] == "dsr.request.plan_asked.v1"]
    await intake.consume(a(ErasurePlanned, about=id_of(path), plan_id=UUID(anew["plan_id"]), tasks=tasks))
    assert (await intake.officer.get(f"{path}/plan")).status_code == 200
    intake.clock.pass_by(minutes=11)
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "what was said grows old"


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_only_the_privacy_team_and_only_of_an_erasure(intake: Intake, right: str) -> None:
    path = await intake.submit(right=right)
    if right == "access":
        assert is_problem(await intake.officer.get(f"{path}/plan"), 409, "illegal_transition")
    else:
        assert (await intake.channel.get(f"{path}/plan")).status_code == 403
