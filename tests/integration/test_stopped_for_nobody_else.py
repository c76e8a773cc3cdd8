"""Whoever objects is searched by what they have stated: no row that bears another's address is touched for it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import BlastRadius, ForeignHit, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import BY_STATED, STOPS_MARKETING, Receipt, Result, Task
from shared.fulfilment.store import NewFulfilment
from shared.fulfilment.suppression import suppress
from tests.fixtures.cdr import SqlEngine, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each

LOCATE, SUPPRESS = Operation.LOCATE, Operation.SUPPRESS
EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
KARL = Identity(EMAIL, "karl@example.org")
LINE = Identity(PHONE, "+4930222003", source="club")
MEMBER = Identity(ACCOUNT, "M-3", source="club")
SECOND = Identity(EMAIL, "second@example.org", source="club")
SEVERAL = BlastRadius("2 people", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1))


PHONE_COLUMN = 'phone = { class = "A", identity = "phone"'


@pytest.fixture
async def household(customer_store: CustomerStore) -> AsyncIterator[SqlEngine]:
    """A store in which two customers have one telephone number."""
    text = customer_store.dataset.read_text().replace(PHONE_COLUMN, f"{PHONE_COLUMN}, yields = true")
    customer_store.dataset.write_text(text)
    await customer_store.run(f"UPDATE customer SET phone = '{LINE.value}' WHERE account_id IN ('C1', 'C3')")
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        yield customers


@pytest.mark.parametrize("told", [STOPS_MARKETING, BY_STATED])
async def test_a_number_that_a_row_tells_leads_to_no_row_of_another_and_is_known_as_theirs_too(
    household: SqlEngine, told: str
) -> None:
    assert household.adapter.tells_people_apart
    asked = replace(task(LOCATE, email("anna.meier@example.org")), details={told: True})
    found = (await household.receipt(asked)).identities
    known = {each.value for each in found}
    assert "C1" in known
    assert not known & {"C3", "boris@example.org"}
    assert {each.value for each in found if each.shared} == {LINE.value}
    alone = replace(asked, details={})
    assert isinstance(await household.one(alone), BlastRadius), "any other right is about all that is theirs"


def society(*yielded: Identity) -> list[ScriptedSystem]:
    """A club that tells accounts and numbers, a shop that files by all of that, and a list of addresses."""
    club = ScriptedSystem("club", frozenset({EMAIL}), frozenset({ACCOUNT, EMAIL, PHONE}))
    club.answers[LOCATE] = each(lambda t: Receipt(t.task_id, TaskOutcome.LOCATED, 1, identities=yielded))
    shop = ScriptedSystem("shop", frozenset({EMAIL, PHONE, ACCOUNT}))
    return [club, shop, ScriptedSystem("mailing")]


async def objection(
    open_harness: OpenHarness, systems: Sequence[ScriptedSystem], *stated: Identity
) -> tuple[Harness, NewFulfilment]:
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    scope = {"scope": "direct_marketing"}
    new = NewFulfilment(uuid7(), await harness.subject(*stated), Right.OBJECTION, SUPPRESS, DUE, scope)
    await harness.open(new)
    return harness, new


async def work(harness: Harness) -> None:
    for operation in (LOCATE, SUPPRESS, SUPPRESS):
        for name in harness.systems:
            harness.unit_of_work.clock.pass_by(minutes=30)  # type: ignore[attr-defined]  # a clock of the test
            if (name, operation) in harness.fulfilments.steps:
                await harness.worker(name, operation).work()


def last_told(system: ScriptedSystem) -> tuple[set[str], set[str]]:
    """By what a system was last searched to stop marketing, and what it knew of them beside."""
    told = [task for task in system.asked if task.operation is SUPPRESS][-1]
    return {each.value for each in told.identities}, {each.value for each in told.beside}


async def test_what_a_row_tells_beside_stops_marketing_where_it_is_sent_to_and_nowhere_by_whose_it_may_be(
    open_harness: OpenHarness,
) -> None:
    systems = society(MEMBER, LINE, SECOND)
    harness, new = await objection(open_harness, systems, KARL)
    await work(harness)
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    _, shop, mailing = systems
    assert last_told(shop) == ({KARL.value, MEMBER.value}, {LINE.value, SECOND.value})
    assert last_told(mailing) == ({KARL.value, SECOND.value}, set())
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [new.subject_ref])
        await suppress(tx, {new.request_id: known[new.subject_ref].identities}, new.right, located=True)
        assert await tx.connection.fetchval("SELECT count(*) FROM register.suppression") == 3


async def test_what_others_have_too_and_nobody_has_stated_is_stopped_by_a_person_and_not_listed(
    open_harness: OpenHarness,
) -> None:
    systems = society(replace(KARL, source="club", shared=True), LINE)
    systems[0].needs = frozenset({ACCOUNT})
    harness, new = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work(harness)
    assert systems[2].asked == []
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'mailing'"
    assert await harness.pool.fetchval(said + " AND NOT at_once") == Unsearched.HELD_BY_OTHERS
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [new.subject_ref])
        await suppress(tx, {new.request_id: known[new.subject_ref].identities}, new.right, located=True)
        assert await tx.connection.fetchval("SELECT array_agg(channel) FROM register.suppression") == ["phone"]


async def test_by_an_account_alone_they_are_found_elsewhere_by_the_address_that_a_system_tells_and_by_no_number(
    open_harness: OpenHarness,
) -> None:
    systems = society(replace(KARL, source="club"), LINE)
    systems[0].needs, systems[1].needs = frozenset({ACCOUNT}), frozenset({EMAIL, PHONE})
    systems[1].yields = frozenset({ACCOUNT})
    harness, _ = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work(harness)
    assert last_told(systems[1]) == ({KARL.value}, {LINE.value})


@pytest.mark.parametrize("met", [SEVERAL, ForeignHit("others too")], ids=["people", "foreign"])
async def test_where_an_account_leads_to_others_what_was_stated_is_stopped_and_the_rest_is_done_by_hand(
    open_harness: OpenHarness, met: Refused
) -> None:
    def told(task: Task) -> Result:
        if {each.type for each in task.identities} != {EMAIL}:
            return met
        outcome = TaskOutcome.LOCATED if task.operation is LOCATE else TaskOutcome.AMENDED
        return Receipt(task.task_id, outcome, 1, 1)

    systems = society(MEMBER)
    systems[1].answers = {LOCATE: each(told), SUPPRESS: each(told)}
    harness, new = await objection(open_harness, systems, KARL)
    await harness.pool.execute("""UPDATE fulfilment SET confirmed = '{"shop": {"max_people": 9, "max_rows": 9}}'""")
    await work(harness)
    assert (await harness.states(new.request_id))["shop:locate"] == "done", "nobody waits for a person before that"
    reports = {
        row[0]: row[1:]
        for row in await harness.pool.fetch(
            "SELECT system, receipt ->> 'outcome', receipt ->> 'not_searched' FROM task"
            " WHERE operation = 'suppress' AND NOT at_once"
        )
    }
    assert reports["shop"] == ("amended", Unsearched.HELD_BY_OTHERS)
    assert reports["mailing"] == ("amended", None)
    assert {limit for task in systems[1].asked for limit in task.confirmed} == {"max_rows"}


async def test_whoever_states_an_account_alone_that_others_stand_under_is_a_persons_matter(
    open_harness: OpenHarness,
) -> None:
    systems = society()
    systems[0].needs = frozenset({ACCOUNT})
    systems[0].answers = {LOCATE: each(lambda _: SEVERAL), SUPPRESS: each(lambda _: SEVERAL)}
    harness, new = await objection(open_harness, systems, replace(MEMBER, source="requester", level="L2"))
    await work(harness)
    assert (await harness.states(new.request_id))["club:locate"] == "done"
    said = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'club' AND operation = 'suppress'"
    assert await harness.pool.fetchval(said + " AND NOT at_once") == Unsearched.HELD_BY_OTHERS
