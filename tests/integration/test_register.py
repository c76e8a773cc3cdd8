"""The register of assignments: filled from its source, obeyed by every task, and never filled by what somebody says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from shared.domain.assignments import AssignedNumber
from shared.domain.assignments_policy import assignments_policy
from shared.domain.conflicts import Disagreement
from shared.domain.errors import Misconfigured
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.tryton.adapter import TrytonAdapter
from shared.fulfilment.store import NewFulfilment
from shared.storage.register import Filled, TooMuchLost, fill, register_for
from tests.fixtures.downstream import task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.tryton import SINCE, SYSTEM, Crm, account

EMAIL, PHONE, ACCOUNT, SIP = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID, IdentityType.SIP_URI
NUMBER, ADDRESS = "+442079460000", Identity(EMAIL, "ada@example.org")
JANUARY, MARCH, MAY, JULY = (datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5, 7))
ADA, BEN = "C1", "C2"


def number(since: datetime | None, until: datetime | None = None, source: str = "requester") -> Identity:
    return Identity(PHONE, NUMBER, since, until, source)


def assigned(code: str, since: datetime | None, until: datetime | None = None) -> AssignedNumber:
    return AssignedNumber(number(since, until, "crm"), code)


async def filled(harness: Harness, *rows: AssignedNumber, source: str = "crm", ago: int = 0) -> Filled:
    keys, clock = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock
    assert isinstance(clock, SetClock)
    clock.pass_by(seconds=1)
    async with harness.pool.acquire() as connection:
        return await fill(connection, keys, source, "crm", rows, clock.now() - timedelta(seconds=ago))


async def vouched(harness: Harness, *stated: Identity) -> Sequence[tuple[datetime | None, datetime | None]]:
    known = (Identity(ACCOUNT, ADA, source="crm"), *stated)
    async with harness.pool.acquire() as connection:
        register = await register_for(connection, harness.unit_of_work.vault.keyring, known)
    return [(each.valid_from, each.valid_to) for each in register.vouched(known) if each.type is PHONE]


async def test_a_reading_corrects_learns_and_ends_and_forgets_nobody(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    assert await filled(harness, assigned(ADA, JANUARY), assigned(BEN, None)) == Filled(1, 0, 1)
    assert await vouched(harness, number(None)) == [(JANUARY, None)]
    assert await filled(harness, assigned(ADA, MARCH)) == Filled(1, 0, 0), "the source has corrected the period"
    assert await vouched(harness, number(None)) == [(MARCH, None)]
    assert await filled(harness, assigned(ADA, MARCH)) == Filled(0, 0, 0), "nothing has changed"
    other = AssignedNumber(Identity(PHONE, "+442079460001", JANUARY, source="crm"), BEN)
    assert await filled(harness, other) == Filled(1, 1, 0), "the source no longer knows the party"
    assert await vouched(harness, number(None)) == [(MARCH, harness.unit_of_work.clock.now())]


async def test_a_reading_that_was_overtaken_changes_nothing(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    await filled(harness, assigned(ADA, MARCH))
    assert await filled(harness, assigned(ADA, JANUARY), ago=60) == Filled(0, 0, 0)
    assert await vouched(harness, number(None)) == [(MARCH, None)]


async def test_accounts_of_another_system_do_not_take_the_place_of_those_that_are_known(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness()
    await filled(harness, assigned(ADA, JANUARY))
    keys, read_at = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock.now() + timedelta(seconds=1)
    async with harness.pool.acquire() as connection:
        given = (connection, keys, "crm", "billing", [assigned(ADA, JANUARY)], read_at)
        with pytest.raises(TooMuchLost, match="names accounts of crm, and those of billing would take the place"):
            await fill(*given, believed=assignments_policy().readings)
        assert await vouched(harness, number(None)) == [(JANUARY, None)]
        assert await fill(*given) == Filled(1, 1, 0), "a person has said that it is right"


async def test_of_two_ends_the_earlier_one_holds(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    ends = (assigned(ADA, JANUARY, MAY), assigned(ADA, JANUARY, MARCH), assigned(ADA, JANUARY))
    await filled(harness, *ends, assigned(BEN, MAY, MARCH))
    assert await vouched(harness, number(None)) == [(JANUARY, MARCH)]


async def test_a_source_that_says_nothing_and_a_second_one_change_nothing(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    await filled(harness, assigned(ADA, JANUARY))
    with pytest.raises(Misconfigured, match="as it was"):
        await filled(harness)
    with pytest.raises(Misconfigured, match="filled by crm"):
        await filled(harness, assigned(BEN, JANUARY), source="file")
    assert await vouched(harness, number(None)) == [(JANUARY, None)]


async def test_neither_a_number_nor_its_holder_stands_in_the_register(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    await filled(harness, assigned("K-4711", JANUARY))
    dump = str(await harness.pool.fetch("SELECT a::text FROM register.assignment a"))
    for value in (NUMBER, NUMBER[1:], "K-4711"):
        assert value not in dump
        assert value.encode().hex() not in dump


def crm() -> ScriptedSystem:
    """Finds the account by the address."""
    system = ScriptedSystem("crm", needs=frozenset({EMAIL, PHONE}), yields=frozenset({PHONE, ACCOUNT}), assigns=True)

    def find(task: Task) -> Result:
        if ADDRESS not in task.identities:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        account = Identity(ACCOUNT, ADA, source="crm")
        return Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(account, number(JANUARY, None, "crm")))

    system.answers[Operation.LOCATE] = each(find)
    return system


async def erase(harness: Harness, *stated: Identity) -> NewFulfilment:
    new = NewFulfilment(uuid7(), await harness.subject(*stated), Right.ERASURE, Operation.ERASE, DUE)
    await harness.open(new)
    while any(
        [
            await harness.worker(name, operation).work()
            for name in harness.systems
            for operation in (Operation.LOCATE, Operation.ERASE)
        ]
    ):
        pass
    return new


async def test_of_an_erasure_what_their_own_dates_leave_out_is_asked_about_before_it_can_be_found_no_more(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness(crm(), ScriptedSystem("cdr", needs=frozenset({PHONE})))
    await filled(harness, assigned(ADA, JANUARY))
    new = await erase(harness, ADDRESS, number(JANUARY, MAY))
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert (await harness.states(new.request_id))["crm:erase"] == "waiting"
    why = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'cdr' AND operation = 'erase'"
    assert await harness.pool.fetchval(why) == Unsearched.NUMBER_NARROWED
    whole = await erase(harness, ADDRESS, number(None))
    assert (await harness.states(whole.request_id))["crm:erase"] == "done"


async def test_of_a_copy_it_is_noted_what_their_own_dates_leave_out(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("cdr", needs=frozenset({PHONE})))
    await filled(harness, assigned(ADA, JANUARY))
    subject = await harness.subject(Identity(ACCOUNT, ADA, source="crm"), number(JANUARY, MAY))
    new = NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await harness.worker("cdr", Operation.EXPORT).work()
    said = "SELECT receipt ->> 'narrowed', receipt ->> 'not_searched' FROM task"
    assert [tuple(row) for row in await harness.pool.fetch(said)] == [("true", None)]


@pytest.mark.parametrize(
    ("stated", "rows", "asked"),
    [
        (number(JANUARY), [assigned(ADA, MARCH)], [(MARCH, None)]),
        (number(JANUARY, MAY), [assigned(ADA, JANUARY, MARCH), assigned(BEN, MARCH)], [(JANUARY, MARCH)]),
        (number(None), [assigned(ADA, JANUARY, MARCH), assigned(BEN, MAY)], [(JANUARY, MARCH)]),
        (number(MAY), [assigned(ADA, JANUARY)], [(MAY, None)]),
    ],
    ids=["too early", "into the next holder's time", "no period", "narrower"],
)
async def test_a_system_is_asked_for_the_periods_alone_that_the_register_vouches_for(
    open_harness: OpenHarness,
    stated: Identity,
    rows: list[AssignedNumber],
    asked: list[tuple[datetime | None, datetime | None]],
) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, *rows)
    await erase(harness, ADDRESS, stated)
    told = [(each.valid_from, each.valid_to) for task in cdr.asked for each in task.identities if each.type is PHONE]
    assert told == asked


@pytest.mark.parametrize(
    ("stated", "rows", "failure", "unsearched"),
    [
        ((ADDRESS, number(MARCH)), [assigned(BEN, JANUARY)], None, Unsearched.NUMBER_IN_CONFLICT),
        ((ADDRESS, number(MAY)), [assigned(ADA, JANUARY, MARCH)], None, Unsearched.NUMBER_IN_CONFLICT),
        ((ADDRESS, number(MARCH)), [assigned(ADA, JANUARY), assigned(BEN, MARCH)], "assignment_in_doubt", None),
        ((number(MARCH),), [assigned(BEN, JANUARY)], "assignment_in_doubt", None),
    ],
    ids=["another's", "nobody's at that time", "two holders", "nobody knows who asks"],
)
async def test_what_is_not_vouched_for_is_not_touched_and_is_said(
    open_harness: OpenHarness,
    stated: tuple[Identity, ...],
    rows: list[AssignedNumber],
    failure: str | None,
    unsearched: Unsearched | None,
) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, *rows)
    await erase(harness, *stated)
    assert cdr.asked == []
    task = await harness.pool.fetchrow("SELECT failure, receipt FROM task WHERE system = 'cdr'")
    assert task is not None
    assert (task["failure"], (task["receipt"] or {}).get("not_searched")) == (failure, unsearched)
    assert harness.completed == []


@pytest.mark.parametrize(
    ("rows", "kind", "touched"),
    [
        ([assigned(ADA, MARCH), assigned(BEN, JANUARY, MARCH)], Disagreement.ANOTHER_HOLDER, [(MARCH, None)]),
        ([assigned(ADA, MARCH)], Disagreement.NOT_IN_REGISTER, [(MARCH, None)]),
        ([assigned(ADA, JANUARY + timedelta(hours=23))], None, [(JANUARY + timedelta(hours=23), None)]),
    ],
    ids=["another's", "nobody's", "the same change of holder"],
)
async def test_what_a_system_says_against_the_register_is_not_touched_and_waits_for_a_person(
    open_harness: OpenHarness,
    rows: list[AssignedNumber],
    kind: Disagreement | None,
    touched: list[tuple[datetime, datetime | None]],
) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, *rows)
    request = await erase(harness, ADDRESS)
    asked = [(each.valid_from, each.valid_to) for task in cdr.asked for each in task.identities if each.type is PHONE]
    noted = await harness.pool.fetch("SELECT * FROM register.conflict")
    assert asked == touched
    assert [(row["kind"], row["system"], row["valid_from"], row["request_id"]) for row in noted] == (
        [(kind, "crm", JANUARY, request.request_id)] if kind else []
    )
    assert [done.request_id for done in harness.completed] == ([] if kind else [request.request_id])
    logged = "SELECT detail::json ->> 'kind' FROM evidence.entry WHERE action = 'assignment.conflict'"
    assert [row[0] for row in await harness.pool.fetch(logged)] == ([kind] if kind else [])
    if kind is None:
        return
    again = await erase(harness, ADDRESS)
    [row] = await harness.pool.fetch("SELECT request_id FROM register.conflict")
    assert row["request_id"] == again.request_id, "one statement of a system is one conflict, whoever meets it"
    await harness.pool.execute("UPDATE register.conflict SET settled_at = now()")
    await erase(harness, ADDRESS)
    assert len(harness.completed) == 1, "the register is right: nobody waits for it any more"


async def test_a_system_that_was_searched_by_something_else_says_which_part_was_not(open_harness: OpenHarness) -> None:
    ticketing = ScriptedSystem("ticketing", needs=frozenset({EMAIL, PHONE}))
    harness = await open_harness(crm(), ticketing)
    await filled(harness, assigned(BEN, JANUARY))
    await erase(harness, ADDRESS, number(MARCH))
    assert [each.type for task in ticketing.asked for each in task.identities if each.type is PHONE] == []
    receipt = await harness.pool.fetchval("SELECT receipt FROM task WHERE system = 'ticketing'")
    assert (receipt["changed"], receipt["not_searched"]) == (2, Unsearched.NUMBER_IN_CONFLICT)


async def test_the_crm_names_every_number_with_its_period_and_customer(crm: Crm) -> None:
    customer = await crm.add()
    assert isinstance(crm.adapter, TrytonAdapter)
    listed = [each for each in await crm.adapter.assignments() if each.account_id == customer.code]
    assert listed == [AssignedNumber(Identity(PHONE, customer.phones[0].number, SINCE, None, SYSTEM), customer.code)]


async def test_a_customer_who_is_erased_in_the_crm_stays_in_the_register_until_then(
    open_harness: OpenHarness, crm: Crm
) -> None:
    harness, customer = await open_harness(), await crm.add()
    assert isinstance(crm.adapter, TrytonAdapter)
    await filled(harness, *await crm.adapter.assignments())
    await crm.receipt(task(Operation.ERASE, account(customer.code, SYSTEM)))
    listed = await crm.adapter.assignments()
    assert customer.code not in {each.account_id for each in listed}
    assert (await filled(harness, *listed)).ended == 1
    known = [account(customer.code, SYSTEM), Identity(PHONE, customer.phones[0].number)]
    async with harness.pool.acquire() as connection:
        register = await register_for(connection, harness.unit_of_work.vault.keyring, known)
    [theirs] = [each for each in register.vouched(known) if each.type is PHONE]
    assert (theirs.valid_from, theirs.valid_to) == (SINCE, harness.unit_of_work.clock.now())
