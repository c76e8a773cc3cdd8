"""What stops waits for nobody: by what was stated it is done at once, and by what is located after that."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.errors import BlastRadius, NotSupported, Unavailable
from shared.domain.events import AnswerDecided, FulfilmentReported, LiftDecided, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import COPY_FIRST, Pending, Receipt, Result, Task
from shared.fulfilment import reports
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a

LOCATE, SUPPRESS, RESTRICT = Operation.LOCATE, Operation.SUPPRESS, Operation.RESTRICT
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
STOPS: dict[Operation, tuple[Right, dict[str, Any]]] = {
    SUPPRESS: (Right.OBJECTION, {"scope": "direct_marketing"}),
    RESTRICT: (Right.RESTRICTION, {"scope": "unlawful"}),
}
AWAY = each(lambda _: Unavailable("away"))
FOUND = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))


def company(locating: Any = AWAY) -> list[ScriptedSystem]:
    """A CRM that tells everybody's account, a list of addresses, and a shop that files by the account."""
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={LOCATE: locating})
    return [crm, ScriptedSystem("list"), ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))]


async def opened(open_harness: OpenHarness, stop: Operation, *systems: ScriptedSystem) -> tuple[Harness, UUID]:
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    right, details = STOPS[stop]
    new = NewFulfilment(uuid7(), await harness.subject(EMAIL), right, stop, DUE, details)
    await harness.open(new)
    return harness, new.request_id


async def work(harness: Harness, *steps: tuple[str, Operation]) -> None:
    harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
    for system, operation in steps:
        await harness.worker(system, operation).work()


def asked(harness: Harness, stop: Operation) -> dict[str, int]:
    counts = {n: sum(t.operation is stop for t in each.asked) for n, each in harness.systems.items()}
    return {name: times for name, times in counts.items() if times}


@pytest.mark.parametrize("stop", STOPS)
async def test_a_system_that_is_away_delays_no_stop_where_what_was_stated_is_enough(
    open_harness: OpenHarness, stop: Operation
) -> None:
    harness, request_id = await opened(open_harness, stop, *company())
    every = [("crm", LOCATE), ("crm", stop), ("list", stop), ("shop", stop)]
    await work(harness, *every)
    await work(harness, *every)
    assert asked(harness, stop) == {"crm": 1, "list": 1}
    assert await harness.states(request_id) == {
        "crm:locate": "ready",
        **{f"{name}:{stop}": "waiting" for name in harness.systems},
    }
    async with harness.unit_of_work.begin() as tx:
        so_far = (await reports.so_far(tx, [request_id]))[request_id].reports
    assert {(r.system, r.found) for r in so_far if r.operation == stop and r.outcome} == {("crm", 2), ("list", 2)}
    assert harness.completed == []
    harness.systems["crm"].answers[LOCATE] = FOUND
    await work(harness, *every)
    [done] = harness.completed
    assert [(r.system, r.operation, r.found) for r in done.reports] == [
        ("crm", LOCATE, 1),
        *((name, stop, 2) for name in ("crm", "list", "shop")),
    ], "nothing is counted twice"
    assert asked(harness, stop) == {"crm": 1, "list": 1, "shop": 1}, "only where something is known that was not"


async def test_a_team_that_has_not_answered_yet_is_not_asked_for_the_same_again(open_harness: OpenHarness) -> None:
    crm, team, shop = company(FOUND)
    team.answers[SUPPRESS] = each(lambda task: Pending(task.task_id, timedelta(minutes=1)))
    harness, request_id = await opened(open_harness, SUPPRESS, crm, team, shop)
    steps = [("list", SUPPRESS), ("crm", LOCATE), ("crm", SUPPRESS), ("shop", SUPPRESS)]
    await work(harness, *steps)
    await work(harness, *steps)
    assert len({task.task_id for task in team.asked}) == 1
    assert (await harness.states(request_id))["shop:suppress"] == "done", "nobody waits for the team"
    team.answers[SUPPRESS] = each(lambda _: NotSupported("do it there by hand"))
    await work(harness, *steps)
    assert (await harness.states(request_id))["list:suppress"] == "failed", "by now it counts"
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]


async def test_what_is_located_is_stopped_too_where_it_was_searched_by_what_was_stated_before(
    open_harness: OpenHarness,
) -> None:
    crm, postbox, shop = company(FOUND)
    shop.needs |= {IdentityType.EMAIL}
    shop.answers[RESTRICT] = each(
        lambda t: Receipt(t.task_id, TaskOutcome.AMENDED, len(t.identities), len(t.identities))
    )
    harness, request_id = await opened(open_harness, RESTRICT, crm, postbox, shop)
    steps = [("shop", RESTRICT), ("list", RESTRICT), ("crm", RESTRICT), ("crm", LOCATE), ("shop", LOCATE)]
    await work(harness, *steps, ("shop", LOCATE), ("shop", RESTRICT))
    assert [len(task.identities) for task in shop.asked if task.operation is RESTRICT] == [1, 2]
    [done] = harness.completed
    assert [(r.system, r.found) for r in done.reports if r.operation == RESTRICT] == [
        ("crm", 2),
        ("list", 2),
        ("shop", 2),
    ]
    assert await harness.states(request_id) == dict.fromkeys(await harness.states(request_id), "done")


async def test_what_cannot_be_stopped_at_once_is_left_for_later_and_asked_of_a_person_once(
    open_harness: OpenHarness,
) -> None:
    many = BlastRadius("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))
    crm, postbox, shop = company(AWAY)
    crm.answers[RESTRICT] = each(lambda _: many)
    postbox.answers[RESTRICT] = each(lambda _: NotSupported("restrict there by hand"))
    harness, request_id = await opened(open_harness, RESTRICT, crm, postbox, shop)
    steps = [("crm", RESTRICT), ("list", RESTRICT), ("crm", LOCATE), ("shop", RESTRICT)]
    await work(harness, *steps)
    assert "failed" not in (await harness.states(request_id)).values()
    assert await harness.outbox() == []
    crm.answers[LOCATE] = FOUND
    await work(harness, *steps)
    await work(harness, *steps)
    states = await harness.states(request_id)
    assert (states["crm:restrict"], states["list:restrict"]) == ("failed", "failed")
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert (await harness.actions(request_id)).count("task.concluded") == 4, "nothing was done at once"


async def test_an_address_that_two_customers_have_is_stopped_and_no_person_must_look(open_harness: OpenHarness) -> None:
    other = replace(ACCOUNT, value="C2")
    points = tuple(replace(EMAIL, value=f"{name}@example.org", source="crm") for name in ("ada", "bob"))

    def two(task: Task) -> Result:
        if task.stops_marketing:
            return Receipt(task.task_id, TaskOutcome.LOCATED, 2, identities=(ACCOUNT, other, *points))
        return BlastRadius("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))

    harness, _ = await opened(open_harness, SUPPRESS, *company(each(two)))
    every = [("crm", SUPPRESS), ("list", SUPPRESS), ("crm", LOCATE), ("shop", SUPPRESS)]
    await work(harness, *every)
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert {each.value for each in harness.systems["shop"].asked[0].identities} == {"C1", "C2"}
    subject = await harness.subject(EMAIL)
    with_ends: dict[str, Any] = {"marketing": True, "ends": ["subscription"], "concerns": []}
    for right, stop, details in (
        (Right.RESTRICTION, RESTRICT, {}),
        (Right.CONSENT_WITHDRAWAL, SUPPRESS, with_ends),
    ):
        new = NewFulfilment(uuid7(), subject, right, stop, DUE, details)
        await harness.open(new)
        await work(harness, *every)
        assert (await harness.states(new.request_id))["crm:locate"] == "failed", "of one of them alone"


async def test_once_others_are_done_nobody_is_stopped_at_once_any_more(open_harness: OpenHarness) -> None:
    harness, request_id = await opened(open_harness, SUPPRESS, *company(FOUND))
    harness.systems["list"].answers[SUPPRESS] = AWAY
    await work(harness, ("list", SUPPRESS), ("crm", LOCATE), ("crm", SUPPRESS), ("shop", SUPPRESS))
    harness.systems["list"].answers.clear()
    await work(harness, ("list", SUPPRESS))
    assert len(harness.completed) == 1
    assert [task.turn[1] for task in harness.systems["list"].asked] == [0, 1]
    left = "SELECT count(*) FROM task WHERE state NOT IN ('done', 'cancelled')"
    assert await harness.pool.fetchval(left) == 0
    assert await harness.states(request_id) == dict.fromkeys(await harness.states(request_id), "done")


async def test_what_goes_with_a_withdrawn_consent_goes_only_once_everybody_is_located(
    open_harness: OpenHarness,
) -> None:
    crm, postbox, shop = company()
    crm.categories, postbox.categories = frozenset({"contact"}), frozenset({"subscription"})
    harness = await open_harness(crm, postbox, shop, service=ServiceName.AMENDMENT)
    details: dict[str, Any] = {"marketing": True, "ends": ["subscription"], "concerns": []}
    subject = await harness.subject(EMAIL)
    new = NewFulfilment(uuid7(), subject, Right.CONSENT_WITHDRAWAL, SUPPRESS, DUE, details)
    await harness.open(new)
    steps = [("list", SUPPRESS), ("crm", SUPPRESS), ("crm", LOCATE), ("shop", SUPPRESS)]
    await work(harness, *steps)
    assert [task.details.get(COPY_FIRST) for task in postbox.asked] == [True], "its use is stopped, and nothing goes"
    crm.answers[LOCATE] = FOUND
    await work(harness, *steps)
    await work(harness, *steps)
    assert len(postbox.asked) == 1
    assert (await harness.states(new.request_id))["list:suppress"] == "failed", "a person erases there, once"
    other = replace(new, request_id=uuid7(), details={**details, "marketing": False})
    await harness.open(other)
    assert await harness.pool.fetchval("SELECT count(*) FROM task WHERE at_once") == 3, "of the first alone"


@pytest.mark.parametrize("how", ["tells_holders_apart", "tells_people_apart"])
async def test_whom_others_may_have_an_address_in_common_with_is_not_restricted_by_it_before_that_is_known(
    open_harness: OpenHarness, how: str
) -> None:
    crm, postbox, shop = company()
    crm.__dict__[how] = True
    harness, _ = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, ("list", RESTRICT), ("crm", RESTRICT), ("shop", RESTRICT))
    assert asked(harness, RESTRICT) == {"crm": 1}
    marketing, _ = await opened(open_harness, SUPPRESS, crm, postbox, shop)
    await work(marketing, ("list", SUPPRESS), ("crm", SUPPRESS))
    assert asked(marketing, SUPPRESS) == {"crm": 1, "list": 1}


async def test_of_two_that_may_know_several_with_an_address_neither_restricts_before_the_other_was_asked(
    open_harness: OpenHarness,
) -> None:
    crm, postbox, shop = company()
    for each_of in (crm, shop):
        each_of.__dict__["tells_people_apart"] = True
    shop.needs, shop.yields = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID}), crm.yields
    harness, _ = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, *((name, RESTRICT) for name in harness.systems))
    assert asked(harness, RESTRICT) == {}


async def told_so_far(harness: Harness) -> list[dict[str, int]]:
    """By system what changed, as often as that was told while the rest was still to be done."""
    rows = await harness.pool.fetch("SELECT convert_from(value, 'UTF8') FROM outbox ORDER BY position")
    told = [FulfilmentReported.model_validate_json(row[0]) for row in rows if '"so_far":true' in row[0]]
    return [{report.system: report.changed for report in event.tasks if report.outcome} for event in told]


async def test_what_was_stopped_at_once_is_told_also_of_a_request_that_waits_for_a_person_by_then(
    open_harness: OpenHarness,
) -> None:
    many = BlastRadius("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))
    crm, postbox, shop = company(each(lambda _: many))
    for each_of in (crm, postbox):
        each_of.answers[RESTRICT] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 1, 1))
    harness, request_id = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, ("crm", LOCATE), ("crm", RESTRICT))
    assert await harness.fulfilment_state(request_id) == "blocked"
    await work(harness, ("list", RESTRICT))
    assert await told_so_far(harness) == [{"crm": 1}, {"crm": 1, "list": 1}]


async def test_that_our_own_list_stops_is_told_before_any_system_was_asked(open_harness: OpenHarness) -> None:
    harness = await open_harness(*company(), service=ServiceName.AMENDMENT)
    said: dict[str, Any] = {"subject": await harness.subject(EMAIL), "right": Right.OBJECTION}
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [a(RequestVerified, **said, scope="direct_marketing")], tx)
    assert await told_so_far(harness) == [{"marketing_objections": 1}]


async def test_what_was_restricted_at_once_is_lifted_with_the_rest_and_left_as_it_was_found(
    open_harness: OpenHarness,
) -> None:
    def flagged(task: Task) -> Receipt:
        return Receipt(task.task_id, TaskOutcome.AMENDED, 1)

    harness = await open_harness(*company(), service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys((RESTRICT, Operation.LIFT), partial(handlers.finish, harness.fulfilments))
    seen = iter([False, True])

    async def restricting(tasks: Any, save_progress: Any) -> Any:
        await save_progress({task.task_id: {"flags": {"party 1": next(seen)}} for task in tasks})
        return [flagged(task) for task in tasks]

    harness.systems["shop"].needs |= {IdentityType.EMAIL}
    harness.systems["shop"].answers[RESTRICT] = restricting
    said: dict[str, Any] = {"subject": await harness.subject(EMAIL), "right": Right.RESTRICTION}
    event = a(RequestVerified, **said, scope="unlawful")
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [event], tx)
    await work(harness, *((name, RESTRICT) for name in harness.systems))
    harness.systems["crm"].answers[LOCATE] = FOUND
    await work(harness, ("crm", LOCATE), ("shop", RESTRICT))
    assert await harness.pool.fetchval("SELECT bool_or(was_set) FROM restriction_flag") is False
    async with harness.unit_of_work.begin() as tx:
        await handlers.lift(harness.fulfilments, [a(LiftDecided, about=event.request_id, **said)], tx)
    assert {s for s in await harness.states(event.request_id) if "lift" in s} == {"crm:lift", "list:lift", "shop:lift"}


async def test_an_answer_that_is_decided_meanwhile_tells_what_was_stopped_at_once(open_harness: OpenHarness) -> None:
    harness, request_id = await opened(open_harness, SUPPRESS, *company())
    await work(harness, ("list", SUPPRESS), ("crm", LOCATE))
    async with harness.unit_of_work.begin() as tx:
        decided = a(AnswerDecided, about=request_id, subject=uuid7(), right=Right.OBJECTION, owed=False)
        [(_, done)] = await reports.decided([decided], tx)
    assert done is not None
    assert [(r.system, r.outcome) for r in done.reports if r.outcome] == [("list", TaskOutcome.AMENDED)]
