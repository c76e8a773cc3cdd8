"""Invariants of the engine over generated companies: it changes only the subject's records, as planned."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from shared.domain.errors import GroundUnknown, RuleUnsigned, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, parse_period
from shared.systems.contract import Receipt, Result, Task
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.ownership import OwnedRecord, OwnershipResolver, SubjectRecords, subject_search, unproven
from shared.systems.engine.records import Holder, Link, Record, Shape
from shared.systems.engine.retaining import RetentionDecider
from shared.systems.states import ErasureRefused
from tests.fixtures.estates import NOW, ORDER, ZONE, Estate, Memory, estate, estates
from tests.fixtures.policy import all_signed, none_signed, signed_policy

SIGNED = all_signed(signed_policy())
SHORTER = SIGNED.rules["calls_us_18m"].model_copy(update={"period": parse_period("P6M"), "fields": {"caller_number"}})
CALLS = SIGNED.categories["call_record"]
POLICY = SIGNED.with_other(
    rules={**SIGNED.rules, "calls_6m": SHORTER},
    categories={**SIGNED.categories, "call_record": CALLS.model_copy(update={"kept_by": ("calls_us_18m", "calls_6m")})},
)
"""Two rules keep calls, and the shorter one fewer of their fields."""
ASKED = estate(0).task(0)
every_company = settings(max_examples=int(os.environ.get("DSR_ESTATES", "70")))
"""Companies for each of the eight properties, more than 500 in all; ``DSR_ESTATES=10000``: as many for each."""
some_people = st.sets(st.integers(0, 3), min_size=1, max_size=3)


async def remembered(_: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """Nothing needs to be remembered here."""


async def erase(system: Memory, tasks: Sequence[Task], policy: Policy = POLICY) -> Sequence[Result]:
    return await EngineAdapter(system, policy).erase(tasks, remembered)


async def plan(system: Memory, tasks: Sequence[Task], policy: Policy = POLICY) -> Sequence[Result]:
    return await EngineAdapter(system, policy).plan(tasks, remembered)


def receipts(results: Sequence[Result]) -> list[Receipt]:
    assert all(isinstance(each, Receipt) for each in results), results
    return [each for each in results if isinstance(each, Receipt)]


def of(estate: Estate, people: set[int]) -> list[Task]:
    return [estate.task(who) for who in sorted(people) if who < estate.people]


@every_company
@given(estates, some_people)
async def test_erasure_changes_only_records_of_the_subject(estate: Estate, people: set[int]) -> None:
    system = estate.system()
    await erase(system, of(estate, people))
    for name, before in estate.rows.items():
        theirs = {party for party, who in estate.whose[name].items() if who in people}
        if not theirs:
            assert system.rows[name] == before
        elif name[0] == "call" and any(estate.rows[name][party] for party in {"caller", "called"} - theirs):
            left = system.rows[name]
            assert all(left[column] == before[column] for column in before if column.split("_")[0] not in theirs)
        elif name[0] in {"customer", "orders"} and estate.rows["customer", (f"C{estate.whose[name]['']}",)]["state"]:
            assert system.rows[name] == before  # what an active contract keeps, it keeps as it is


@every_company
@given(estates, some_people)
async def test_what_is_planned_is_done_once(estate: Estate, people: set[int]) -> None:
    system = estate.system()
    tasks = of(estate, people)
    planned, done = receipts(await plan(system, tasks)), receipts(await erase(system, tasks))
    for before, after in zip(planned, done, strict=True):
        assert (before.found, before.by_category, before.kept) == (after.found, after.by_category, after.kept)
        assert after.found == after.changed + after.remaining
        assert all(each.reduced <= each.last for each in after.kept or () if each.reduced and each.last)
    system.applied.clear()
    assert await erase(system, tasks) == done  # a repeat of a task says the same
    system.noted.clear()
    again = receipts(await erase(system, tasks))
    assert [(each.found, each.changed) for each in again] == [(each.remaining, 0) for each in done]
    assert not system.applied


@every_company
@given(estates, some_people)
async def test_people_in_one_call_do_not_mix(estate: Estate, people: set[int]) -> None:
    together, apart = estate.system(), estate.system()
    tasks = of(estate, people)
    done = await erase(together, tasks)
    alone = [result for task in tasks for result in await erase(apart, [task])]
    assert together.rows == apart.rows
    assert [each.kept for each in receipts(done)] == [each.kept for each in receipts(alone)]


@every_company
@given(estates, some_people, st.integers())
async def test_no_order_changes_anything(estate: Estate, people: set[int], seed: int) -> None:
    one, other = estate.system(), estate.system(seed)
    tasks = of(estate, people)
    done, mixed = receipts(await erase(one, tasks)), receipts(await erase(other, tasks[::-1]))
    assert one.rows == other.rows
    assert done == mixed[::-1]


@every_company
@given(estates, some_people, st.integers(1, 18))
async def test_a_shorter_period_keeps_no_more(estate: Estate, people: set[int], months: int) -> None:
    rules = dict(POLICY.rules)
    rule = rules["calls_us_18m"]
    rules["calls_us_18m"] = rule.model_copy(update={"period": parse_period(f"P{months}M")})
    tasks = of(estate, people)
    longer = receipts(await plan(estate.system(), tasks))
    shorter = receipts(await plan(estate.system(), tasks, POLICY.with_other(rules=rules)))
    assert all(one.remaining <= other.remaining for one, other in zip(shorter, longer, strict=True))


@every_company
@given(estates, st.integers(0, 1))
async def test_a_copy_shows_each_record_of_theirs_and_no_other(estate: Estate, who: int) -> None:
    [copy] = receipts(
        await EngineAdapter(estate.system(), POLICY).export([estate.task(who, Operation.EXPORT)], remembered)
    )
    assert copy.found == sum(estate.is_theirs(name, {who}) for name in estate.rows) == len(copy.records)


@every_company
@given(estates, st.integers(0, 1))
async def test_a_restriction_is_lifted_where_it_was_set(estate: Estate, who: int) -> None:
    rows = {name: row for name, row in estate.rows.items() if name[0] == "customer"}
    estate = Estate(rows, estate.whose, estate.people, estate.lines)
    system = estate.system()
    served = EngineAdapter(system, POLICY)
    [restricted] = receipts(await served.amend([estate.task(who, Operation.RESTRICT)], remembered))
    assert system.rows["customer", (f"C{who}",)]["restricted"]
    assert restricted.outcome is TaskOutcome.AMENDED
    await served.amend([estate.task(who, Operation.LIFT)], remembered)
    assert system.rows == estate.rows


@every_company
@given(estates, st.integers(0, 1))
async def test_data_under_an_unsigned_rule_need_confirmation(estate: Estate, who: int) -> None:
    unsigned = none_signed(POLICY)
    [refused] = await plan(estate.system(), [estate.task(who)], unsigned)
    theirs = [name for name in estate.rows if estate.is_theirs(name, {who})]
    lasts = any(estate.rows[name].get("state") for name in theirs)
    assert isinstance(refused, RuleUnsigned) is (lasts or any(name[0] in {"orders", "call"} for name in theirs))
    [planned] = await plan(estate.system(), [estate.task(who, confirmed={Limit.UNSIGNED_ROWS: 1_000})], unsigned)
    if lasts:  # which cannot be confirmed
        assert isinstance(planned, ErasureRefused)
    else:
        assert [each.remaining for each in receipts([planned])] == [0]


NUMBER = Identity(IdentityType.PHONE, "+34688886392", NOW - timedelta(days=2), NOW)
LINE = Shape(place="line", category="account", parties={}, holders=(Holder("phone", None, IdentityType.PHONE),))
TIMED = replace(LINE, clock=ZONE)
LED = replace(LINE, links=(Link("line", owns=False), Link("line", party="led", of="caller")))


@pytest.mark.parametrize(
    ("shape", "at", "number", "found"),
    [
        (TIMED, NOW - timedelta(days=2), NUMBER, 1),
        (TIMED, NOW - timedelta(days=2, seconds=1), NUMBER, 0),
        (TIMED, NOW, NUMBER, 0),
        (TIMED, None, NUMBER, 0),
        (TIMED, NOW, replace(NUMBER, valid_from=None, valid_to=None), 0),
        (LINE, None, NUMBER, 0),
        (LINE, None, replace(NUMBER, valid_to=None), 1),
    ],
)
def test_a_number_finds_what_is_of_its_period(shape: Shape, at: datetime | None, number: Identity, found: int) -> None:
    sought = subject_search(replace(ASKED, identities=(number,)), [shape])
    assert len(OwnershipResolver([sought], [shape]).add([Record(shape, (1,), (NUMBER.value,), at)])) == found


def test_a_record_is_theirs_by_what_it_leads_to_only_where_that_says_whose_it_is() -> None:
    sought = subject_search(replace(ASKED, identities=(replace(NUMBER, valid_to=None),)), [LINE])
    attributor = OwnershipResolver([sought], [LINE, LED])
    attributor.add([Record(LINE, (1,), (NUMBER.value,))])
    known = [Record(LED, (2,), (None,), parents=((0, (1,)),)), Record(LED, (3,), (None,), parents=((1, (1,)),))]
    assert not attributor.add(known)
    sought = subject_search(replace(ASKED, identities=(replace(NUMBER, valid_to=None),)), [LED])
    assert OwnershipResolver([sought], [LED]).add([Record(LED, (2,), (NUMBER.value,), parents=((1, (1,)),))])


PART = Shape(place="part", category="call_record", parties={}, links=(Link("part"), Link("call")))
CALL = Shape(place="call", category="call_record", parties={}, clock=ZONE)


@pytest.mark.parametrize(("calls", "dated"), [(0, False), (1, True), (2, False)])
def test_a_record_has_the_date_of_the_one_that_it_belongs_to(calls: int, *, dated: bool) -> None:
    """Records that belong to one another have none, and of two dates neither counts: a person decides."""
    one, other = (OwnedRecord(Record(PART, (number,), ())) for number in (1, 2))
    above = [OwnedRecord(Record(CALL, (number,), (), NOW - timedelta(days=number))) for number in range(calls)]
    one.linked, other.linked = ((0, other),), ((0, one), *((1, each) for each in above))
    found = SubjectRecords(ASKED, {each.record.name: each for each in (one, other, *above)})
    if dated:
        assert {stay.last_day is not None for stay in RetentionDecider("cdr", POLICY, found).retained().values()} == {
            True
        }
    else:
        with pytest.raises(GroundUnknown):
            RetentionDecider("cdr", POLICY, found).retained()


def test_what_a_hold_needs_stays_also_beyond_what_stays_by_a_rule() -> None:
    task = replace(ASKED, held_categories=frozenset({"marketing"}))
    line = OwnedRecord(Record(LINE, (1,), (None,)))
    order = OwnedRecord(
        Record(ORDER, (2,), at=NOW, anchors=(NOW,), states=(False,), filled=(True, True)), linked=((0, line),)
    )
    held = OwnedRecord(Record(replace(LED, category="marketing"), (3,), (None,)), linked=((1, order),))
    found = SubjectRecords(task, {each.record.name: each for each in (line, order, held)})
    stays = RetentionDecider("shop", POLICY, found).retained()
    assert [(stays[each.record.name].rule, stays[each.record.name].complete) for each in (line, order, held)] == [
        ("legal_hold", True),
        ("invoices_84m", False),
        ("legal_hold", True),
    ]


def test_unproven_person_stops_the_task() -> None:
    user, ticket = (
        Shape(place="user", category="account", parties={}),
        Shape(place="ticket", category="account", parties={}, links=(Link("user"),)),
    )
    tasks = [estate(0).task(who) for who in (0, 1)]
    attributor = OwnershipResolver([subject_search(task, [user, ticket]) for task in tasks], [user, ticket])
    first, second = (task.task_id for task in tasks)
    attributor.add([Record(user, (1,), proved_owners={first: True, second: False})])
    attributor.add([Record(ticket, (7,), parents=((0, (1,)),), proved_owners={first: True})])
    theirs, doubtful = attributor.found
    assert {*theirs.records} == {("user", (1,)), ("ticket", (7,))}
    assert (unproven(theirs), {*doubtful.records}) == (None, set())
    assert isinstance(unproven(doubtful), WrongPersonMatch)
