"""A stop of marketing does not wait: stated identities apply immediately, located ones later."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.assignments import AssignedNumber
from shared.domain.errors import LimitExceeded, NotSupported, Refused, Unavailable, WrongPersonMatch
from shared.domain.events import AnswerDecided, FulfilmentReported, LiftDecided, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment import reports
from shared.fulfilment.immediate_stop import suppress
from shared.fulfilment.store import NewFulfilment
from shared.storage.register import fill
from shared.systems.contract import BY_STATED, COPY_FIRST, STOPS_MARKETING, Pending, Receipt, Result, Task
from tests.fixtures.cdr import SqlEngine, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, task
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
async def test_unavailable_system_delays_no_marketing_stop(open_harness: OpenHarness, stop: Operation) -> None:
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
        so_far = (await reports.results_so_far(tx, [request_id]))[request_id].reports
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
    assert (await harness.states(request_id))["shop:suppress"] == "done", "no task waits for the team"
    team.answers[SUPPRESS] = each(lambda _: NotSupported("do it there by hand"))
    await work(harness, *steps)
    assert (await harness.states(request_id))["list:suppress"] == "failed", "by now it counts"
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]


async def test_located_identities_are_stopped_too(open_harness: OpenHarness) -> None:
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


async def test_failed_marketing_stop_is_retried_and_reviewed_once(open_harness: OpenHarness) -> None:
    many = LimitExceeded("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))
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
    assert (await harness.actions(request_id)).count("task.concluded") == 4, "nothing was done early"


async def test_an_address_that_two_customers_have_is_stopped_and_no_person_must_look(open_harness: OpenHarness) -> None:
    other = replace(ACCOUNT, value="C2")
    points = tuple(replace(EMAIL, value=f"{name}@example.org", source="crm") for name in ("ada", "bob"))

    def two(task: Task) -> Result:
        if task.stops_marketing:
            return Receipt(task.task_id, TaskOutcome.LOCATED, 2, identities=(ACCOUNT, other, *points))
        return LimitExceeded("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))

    harness, _ = await opened(open_harness, SUPPRESS, *company(each(two)))
    every = [("crm", SUPPRESS), ("list", SUPPRESS), ("crm", LOCATE), ("shop", SUPPRESS)]
    await work(harness, *every)
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert {each.value for each in harness.systems["shop"].asked[0].identities} == {"C1", "C2"}
    subject = await harness.subject(EMAIL)
    with_ends: dict[str, Any] = {"marketing": True, "ends": ["subscription"], "concerns": []}
    for right, stop, details in ((Right.RESTRICTION, RESTRICT, {}), (Right.CONSENT_WITHDRAWAL, SUPPRESS, with_ends)):
        new = NewFulfilment(uuid7(), subject, right, stop, DUE, details)
        await harness.open(new)
        await work(harness, *every)
        assert (await harness.states(new.request_id))["crm:locate"] == "failed", "of one of them alone"


async def test_no_early_stop_once_other_tasks_are_done(open_harness: OpenHarness) -> None:
    harness, request_id = await opened(open_harness, SUPPRESS, *company(FOUND))
    harness.systems["list"].answers[SUPPRESS] = AWAY
    await work(harness, ("list", SUPPRESS), ("crm", LOCATE), ("crm", SUPPRESS), ("shop", SUPPRESS))
    harness.systems["list"].answers.clear()
    await work(harness, ("list", SUPPRESS))
    assert len(harness.completed) == 1
    assert [task.opened_and_stage[1] for task in harness.systems["list"].asked] == [0, 1]
    left = "SELECT count(*) FROM task WHERE state NOT IN ('done', 'cancelled')"
    assert await harness.pool.fetchval(left) == 0
    assert await harness.states(request_id) == dict.fromkeys(await harness.states(request_id), "done")


async def test_consent_data_go_once_all_systems_were_located(open_harness: OpenHarness) -> None:
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
    assert await harness.pool.fetchval("SELECT count(*) FROM task WHERE immediate") == 3, "of the first alone"


@pytest.mark.parametrize("how", ["distinguishes_holders", "distinguishes_people"])
async def test_possibly_shared_address_restricts_no_one_yet(open_harness: OpenHarness, how: str) -> None:
    crm, postbox, shop = company()
    crm.more[how] = True
    harness, _ = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, ("list", RESTRICT), ("crm", RESTRICT), ("shop", RESTRICT))
    assert asked(harness, RESTRICT) == {"crm": 1}
    marketing, _ = await opened(open_harness, SUPPRESS, crm, postbox, shop)
    await work(marketing, ("list", SUPPRESS), ("crm", SUPPRESS))
    assert asked(marketing, SUPPRESS) == {"crm": 1, "list": 1}


async def test_two_systems_that_may_share_addresses_wait_for_each_other(open_harness: OpenHarness) -> None:
    crm, postbox, shop = company()
    for each_of in (crm, shop):
        each_of.more["distinguishes_people"] = True
    shop.needs, shop.yields = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID}), crm.yields
    harness, _ = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, *((name, RESTRICT) for name in harness.systems))
    assert asked(harness, RESTRICT) == {}


async def early_reports(harness: Harness) -> list[dict[str, int]]:
    """Returns the changes by system in each early report."""
    rows = await harness.pool.fetch("SELECT convert_from(value, 'UTF8') FROM outbox ORDER BY position")
    events = [FulfilmentReported.model_validate_json(row[0]) for row in rows if '"so_far":true' in row[0]]
    return [{report.system: report.changed for report in event.tasks if report.outcome} for event in events]


async def test_early_stop_is_reported_of_a_request_under_review(open_harness: OpenHarness) -> None:
    many = LimitExceeded("2 are found", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))
    crm, postbox, shop = company(each(lambda _: many))
    for each_of in (crm, postbox):
        each_of.answers[RESTRICT] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 1, 1))
    harness, request_id = await opened(open_harness, RESTRICT, crm, postbox, shop)
    await work(harness, ("crm", LOCATE), ("crm", RESTRICT))
    assert await harness.fulfilment_state(request_id) == "blocked"
    await work(harness, ("list", RESTRICT))
    assert await early_reports(harness) == [{"crm": 1}, {"crm": 1, "list": 1}]


async def test_stop_on_our_own_list_is_reported_before_any_system(open_harness: OpenHarness) -> None:
    harness = await open_harness(*company(), service=ServiceName.AMENDMENT)
    said: dict[str, Any] = {"subject": await harness.subject(EMAIL), "right": Right.OBJECTION}
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [a(RequestVerified, **said, scope="direct_marketing")], tx)
    assert await early_reports(harness) == [{"marketing_objections": 1}]


async def test_early_restriction_is_lifted_to_the_former_state(open_harness: OpenHarness) -> None:
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


async def test_early_decided_answer_reports_the_early_stop(open_harness: OpenHarness) -> None:
    harness, request_id = await opened(open_harness, SUPPRESS, *company())
    await work(harness, ("list", SUPPRESS), ("crm", LOCATE))
    async with harness.unit_of_work.begin() as tx:
        decided = a(AnswerDecided, about=request_id, subject=uuid7(), right=Right.OBJECTION, owed=False)
        [(_, done)] = await reports.results_of_decided([decided], tx)
    assert done is not None
    assert [(r.system, r.outcome) for r in done.reports if r.outcome] == [("list", TaskOutcome.AMENDED)]


# Marketing stops by a number that is stated, whosever it is: nothing is handed out or lost by that (Art. 21(3)).
EMAIL_BY_NUMBER, PHONE, ACCOUNT_BY_NUMBER = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
RITA = Identity(PHONE, "+4930222005")
EVER, BEFORE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
KNOWN_BY_CLUB = Identity(PHONE, RITA.value, EVER, source="club")
MARKETING: dict[str, Any] = {"scope": "direct_marketing"}
WITHDRAWN: dict[str, Any] = {"purposes": ["marketing"], "marketing": True}


async def stopped(
    open_harness: OpenHarness,
    *holders: str,
    stated: tuple[Identity, ...] = (RITA,),
    right: Right = Right.OBJECTION,
    operation: Operation = SUPPRESS,
    **details: Any,
) -> tuple[Harness, list[ScriptedSystem]]:
    """A request worked in a club that tells accounts and in a list of calls to make, and whom the register names."""
    club = ScriptedSystem("club", frozenset({EMAIL_BY_NUMBER, PHONE}), frozenset({ACCOUNT_BY_NUMBER, PHONE}))
    member = (Identity(ACCOUNT_BY_NUMBER, "M-5", source="club"), KNOWN_BY_CLUB)
    club.answers[LOCATE] = each(lambda t: Receipt(t.task_id, TaskOutcome.LOCATED, 1, identities=member))
    systems = [club, ScriptedSystem("dialler", frozenset({PHONE}))]
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    if holders:
        rows = [AssignedNumber(replace(KNOWN_BY_CLUB, source="crm"), holder) for holder in holders]
        async with harness.pool.acquire() as connection:
            keys = harness.unit_of_work.vault.keyring
            await fill(connection, keys, "crm", "crm", rows, harness.unit_of_work.clock.now())
    new = NewFulfilment(uuid7(), await harness.subject(*stated), right, operation, DUE, details)
    await harness.open(new)
    for _ in range(2):
        harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
        for place in ((name, step) for step in (LOCATE, operation) for name in harness.systems):
            if place in harness.fulfilments.steps:
                await harness.worker(*place).work()
    return harness, systems


def searched_by(system: ScriptedSystem, operation: Operation) -> list[set[str]]:
    return [{each.value for each in task.identities} for task in system.asked if task.operation is operation]


@pytest.mark.parametrize(
    ("holders", "right", "details"),
    [
        ((), Right.OBJECTION, MARKETING),
        (("C-9",), Right.CONSENT_WITHDRAWAL, WITHDRAWN),
        (("C-8", "C-9"), Right.OBJECTION, MARKETING),
    ],
    ids=["empty", "another's", "in doubt"],
)
async def test_a_number_alone_stops_marketing_everywhere_and_leaves_nothing_to_a_person(
    open_harness: OpenHarness, holders: tuple[str, ...], right: Right, details: dict[str, Any]
) -> None:
    harness, (club, dialler) = await stopped(open_harness, *holders, right=right, **details)
    assert searched_by(club, SUPPRESS) == searched_by(dialler, SUPPRESS) == [{RITA.value}]
    assert searched_by(club, LOCATE) == [], "the owner of the account does not matter"
    assert [each.request_id for each in harness.completed]
    said = "SELECT count(*) FROM task WHERE failure IS NOT NULL OR operation = 'suppress' AND receipt ? 'not_searched'"
    assert await harness.pool.fetchval(said) == 0


async def test_number_in_conflict_with_the_register_is_stopped_as_stated(open_harness: OpenHarness) -> None:
    address = Identity(EMAIL_BY_NUMBER, "rita@example.org")
    harness, (_, dialler) = await stopped(open_harness, "C-9", stated=(address, RITA), **MARKETING)
    assert {RITA.value} in searched_by(dialler, SUPPRESS)
    assert [each.request_id for each in harness.completed]
    assert await harness.pool.fetchval("SELECT count(*) FROM register.conflict") == 0


async def test_what_a_system_alone_tells_is_stopped_as_the_register_says(open_harness: OpenHarness) -> None:
    address = Identity(EMAIL_BY_NUMBER, "rita@example.org")
    harness, (_, dialler) = await stopped(open_harness, "C-9", stated=(address,), **MARKETING)
    assert searched_by(dialler, SUPPRESS) == []
    assert harness.completed == []


async def test_former_number_stops_nothing_of_its_present_holder(open_harness: OpenHarness) -> None:
    former = replace(RITA, valid_from=EVER, valid_to=BEFORE)
    harness, (_, dialler) = await stopped(open_harness, stated=(former,), **MARKETING)
    assert searched_by(dialler, SUPPRESS) == []
    assert harness.completed == []


@pytest.mark.parametrize(
    ("right", "operation", "details"),
    [(Right.OBJECTION, RESTRICT, {"scope": "legitimate_interests"}), (Right.ERASURE, Operation.ERASE, {})],
    ids=["weighed", "erasure"],
)
async def test_unconfirmed_number_only_stops_marketing(
    open_harness: OpenHarness, right: Right, operation: Operation, details: dict[str, Any]
) -> None:
    _, systems = await stopped(open_harness, right=right, operation=operation, **details)
    assert [task for system in systems for task in system.asked] == []


async def test_what_goes_with_a_consent_is_not_erased_by_it(open_harness: OpenHarness) -> None:
    club = ScriptedSystem(
        "club", frozenset({PHONE}), frozenset({ACCOUNT_BY_NUMBER}), categories=frozenset({"newsletter"})
    )
    club.erases_by_category = True
    harness = await open_harness(club, service=ServiceName.AMENDMENT)
    details: dict[str, Any] = {**WITHDRAWN, "ends": ["newsletter"]}
    subject = await harness.subject(RITA)
    await harness.open(NewFulfilment(uuid7(), subject, Right.CONSENT_WITHDRAWAL, SUPPRESS, DUE, details))
    for operation in (SUPPRESS, LOCATE, SUPPRESS):
        harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
        await harness.worker("club", operation).work()
    assert searched_by(club, SUPPRESS) == [{RITA.value}], "its use stops immediately"
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE operation = 'suppress' AND NOT immediate"
    assert await harness.pool.fetchval(said) == Unsearched.NUMBER_NOT_VOUCHED_FOR


async def test_store_stops_it_by_a_number_without_a_period(customers: SqlEngine) -> None:
    anna = Identity(PHONE, "+34688886392")
    receipt = await customers.receipt(task(SUPPRESS, anna))
    assert (receipt.changed, receipt.not_searched) == (1, None)


# An objector is searched by stated identities: no row with another person's address is changed.
LOCATE_BY_ROWS, SUPPRESS_BY_ROWS = Operation.LOCATE, Operation.SUPPRESS
EMAIL_BY_ROWS, PHONE_BY_ROWS, ACCOUNT_BY_ROWS = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
KARL = Identity(EMAIL_BY_ROWS, "karl@example.org")
LINE = Identity(PHONE_BY_ROWS, "+4930222003", source="club")
MEMBER = Identity(ACCOUNT_BY_ROWS, "M-3", source="club")
SECOND = Identity(EMAIL_BY_ROWS, "second@example.org", source="club")
SEVERAL = LimitExceeded("2 people", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))


PHONE_COLUMN = 'phone = { class = "A", identity = "phone"'


@pytest.fixture
async def household(customer_store: CustomerStore) -> AsyncIterator[SqlEngine]:
    """A store in which two customers have one telephone number."""
    text = customer_store.dataset.read_text().replace(PHONE_COLUMN, f"{PHONE_COLUMN}, yields = true")
    customer_store.dataset.write_text(text)
    await customer_store.run(f"UPDATE customer SET phone = '{LINE.value}' WHERE account_id IN ('C1', 'C3')")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        yield customers


@pytest.mark.parametrize("detail", [STOPS_MARKETING, BY_STATED])
async def test_yielded_number_leads_to_no_foreign_row(household: SqlEngine, detail: str) -> None:
    assert household.adapter.can.distinguishes_people
    asked = replace(task(LOCATE_BY_ROWS, email("anna.meier@example.org")), details={detail: True})
    found = (await household.receipt(asked)).identities
    known = {each.value for each in found}
    assert "C1" in known
    assert not known & {"C3", "boris@example.org"}
    assert {each.value for each in found if each.shared} == {LINE.value}
    alone = replace(asked, details={})
    assert isinstance(await household.one(alone), LimitExceeded), "any other right is about all that is theirs"


def society(*yielded: Identity) -> list[ScriptedSystem]:
    """A club that tells accounts and numbers, a shop that files by all of that, and a list of addresses."""
    club = ScriptedSystem(
        "club", frozenset({EMAIL_BY_ROWS}), frozenset({ACCOUNT_BY_ROWS, EMAIL_BY_ROWS, PHONE_BY_ROWS})
    )
    club.answers[LOCATE_BY_ROWS] = each(lambda t: Receipt(t.task_id, TaskOutcome.LOCATED, 1, identities=yielded))
    shop = ScriptedSystem("shop", frozenset({EMAIL_BY_ROWS, PHONE_BY_ROWS, ACCOUNT_BY_ROWS}))
    return [club, shop, ScriptedSystem("mailing")]


async def objection(
    open_harness: OpenHarness, systems: Sequence[ScriptedSystem], *stated: Identity
) -> tuple[Harness, NewFulfilment]:
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    scope = {"scope": "direct_marketing"}
    new = NewFulfilment(uuid7(), await harness.subject(*stated), Right.OBJECTION, SUPPRESS_BY_ROWS, DUE, scope)
    await harness.open(new)
    return harness, new


async def work_for(harness: Harness) -> None:
    for operation in (LOCATE_BY_ROWS, SUPPRESS_BY_ROWS, SUPPRESS_BY_ROWS):
        for name in harness.systems:
            harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
            if (name, operation) in harness.fulfilments.steps:
                await harness.worker(name, operation).work()


def last_searched(system: ScriptedSystem) -> tuple[set[str], set[str]]:
    """Returns the identities of the last search to stop marketing, and those that only identify."""
    last = [task for task in system.asked if task.operation is SUPPRESS_BY_ROWS][-1]
    return {each.value for each in last.identities}, {each.value for each in last.ignored}


async def test_yielded_identity_stops_marketing_only_where_it_is_sent(open_harness: OpenHarness) -> None:
    systems = society(MEMBER, LINE, SECOND)
    harness, new = await objection(open_harness, systems, KARL)
    await work_for(harness)
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    _, shop, mailing = systems
    assert last_searched(shop) == ({KARL.value, MEMBER.value}, {LINE.value, SECOND.value})
    assert last_searched(mailing) == ({KARL.value, SECOND.value}, set())
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [new.subject_ref])
        await suppress(tx, {new.request_id: known[new.subject_ref].identities}, new.right, located=True)
        assert await tx.connection.fetchval("SELECT count(*) FROM register.suppression") == 3


async def test_shared_unstated_identity_is_stopped_by_hand(open_harness: OpenHarness) -> None:
    systems = society(replace(KARL, source="club", shared=True), LINE)
    systems[0].needs = frozenset({ACCOUNT_BY_ROWS})
    harness, new = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work_for(harness)
    assert systems[2].asked == []
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'mailing'"
    assert await harness.pool.fetchval(said + " AND NOT immediate") == Unsearched.SHARED_IDENTIFIER
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [new.subject_ref])
        await suppress(tx, {new.request_id: known[new.subject_ref].identities}, new.right, located=True)
        assert await tx.connection.fetchval("SELECT array_agg(channel) FROM register.suppression") == ["phone"]


async def test_account_alone_finds_other_systems_by_yielded_address(open_harness: OpenHarness) -> None:
    systems = society(replace(KARL, source="club"), LINE)
    systems[0].needs, systems[1].needs = frozenset({ACCOUNT_BY_ROWS}), frozenset({EMAIL_BY_ROWS, PHONE_BY_ROWS})
    systems[1].yields = frozenset({ACCOUNT_BY_ROWS})
    harness, _ = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work_for(harness)
    assert last_searched(systems[1]) == ({KARL.value}, {LINE.value})


@pytest.mark.parametrize("met", [SEVERAL, WrongPersonMatch("others too")], ids=["people", "foreign"])
async def test_shared_account_stops_what_was_stated(open_harness: OpenHarness, met: Refused) -> None:
    def answer(task: Task) -> Result:
        if {each.type for each in task.identities} != {EMAIL_BY_ROWS}:
            return met
        outcome = TaskOutcome.LOCATED if task.operation is LOCATE_BY_ROWS else TaskOutcome.AMENDED
        return Receipt(task.task_id, outcome, 1, 1)

    systems = society(MEMBER)
    systems[1].answers = {LOCATE_BY_ROWS: each(answer), SUPPRESS_BY_ROWS: each(answer)}
    harness, new = await objection(open_harness, systems, KARL)
    await harness.pool.execute("""UPDATE fulfilment SET confirmed = '{"shop": {"max_people": 9, "max_rows": 9}}'""")
    await work_for(harness)
    assert (await harness.states(new.request_id))["shop:locate"] == "done", "nothing waits for a person before that"
    reports = {
        row[0]: row[1:]
        for row in await harness.pool.fetch(
            "SELECT system, receipt ->> 'outcome', receipt ->> 'not_searched' FROM task"
            " WHERE operation = 'suppress' AND NOT immediate"
        )
    }
    assert reports["shop"] == ("amended", Unsearched.SHARED_IDENTIFIER)
    assert reports["mailing"] == ("amended", None)
    assert {limit for task in systems[1].asked for limit in task.confirmed} == {"max_rows"}


async def test_shared_account_alone_needs_review(open_harness: OpenHarness) -> None:
    systems = society()
    systems[0].needs = frozenset({ACCOUNT_BY_ROWS})
    systems[0].answers = {LOCATE_BY_ROWS: each(lambda _: SEVERAL), SUPPRESS_BY_ROWS: each(lambda _: SEVERAL)}
    harness, new = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work_for(harness)
    assert (await harness.states(new.request_id))["club:locate"] == "done"
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'club' AND operation = 'suppress'"
    assert await harness.pool.fetchval(said + " AND NOT immediate") == Unsearched.SHARED_IDENTIFIER
