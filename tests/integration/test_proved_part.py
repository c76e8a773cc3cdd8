"""The part that is proved is worked at once, the rest waits for proof, and what is not proved finds nobody."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.fulfilment.store import FulfilmentState, NewFulfilment
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, each

SINCE = datetime(2024, 2, 5, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
STRANGERS = (Identity(IdentityType.PHONE, "+493023125009", SINCE), Identity(IdentityType.ACCOUNT_ID, "C9"))
NUMBER = Identity(IdentityType.PHONE, "+493023125001", SINCE, source="crm")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm")


EMAIL_OF_RECORD = replace(EMAIL, source="crm")


def systems(*more: Identity) -> tuple[ScriptedSystem, ScriptedSystem, ScriptedSystem]:
    """The CRM yields account and number of whoever is found by the address; the others hold calls and tickets."""
    known = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID})

    def located(task: Task) -> Result:
        found = (ACCOUNT, NUMBER, *more) if any(i.type is IdentityType.EMAIL for i in task.identities) else ()
        return Receipt(task.task_id, TaskOutcome.LOCATED if found else TaskOutcome.NO_MATCH, identities=found)

    crm = ScriptedSystem("crm", known, known, {Operation.LOCATE: each(located)}, assigns=True, needed="L1")
    cdr = ScriptedSystem("cdr", frozenset({IdentityType.PHONE}), needed="L2")
    return crm, cdr, ScriptedSystem("tickets", needed="L1")


async def erase(harness: Harness, *identities: Identity) -> NewFulfilment:
    await harness.register(NUMBER)
    new = replace(await harness.new_fulfilment(), subject_ref=await harness.subject(*identities))
    await harness.open(new)
    await work(harness)
    return new


async def work(harness: Harness) -> None:
    for system, operation in (("crm", Operation.LOCATE), *((s, Operation.ERASE) for s in ("cdr", "tickets", "crm"))):
        await harness.worker(system, operation).work()


async def prove(harness: Harness, asked: NewFulfilment, *identities: Identity) -> None:
    async with harness.unit_of_work.begin() as tx:
        proved = Sealing(asked.subject_ref, "identities", "requester", encode_identities(identities))
        await tx.vault.seal(tx.connection, [proved], tx.now)
    await harness.retry(asked.request_id)
    await work(harness)


def values(tasks: Sequence[Task]) -> set[str]:
    return {identity.value for task in tasks for identity in task.identities}


async def reports(harness: Harness, asked: NewFulfilment) -> dict[str, tuple[str, str | None, str | None]]:
    rows = await harness.pool.fetch(
        "SELECT t.system, receipt ->> 'outcome', receipt ->> 'not_searched', receipt ->> 'level' FROM task t"
        " JOIN fulfilment USING (fulfilment_id) WHERE request_id = $1 AND t.operation = 'erase' AND t.state = 'done'",
        asked.request_id,
    )
    return {row[0]: tuple(row)[1:] for row in rows}


async def test_an_erasure_that_is_proved_a_little_begins_with_tickets_and_touches_no_call(
    open_harness: OpenHarness,
) -> None:
    crm, cdr, tickets = systems()
    harness = await open_harness(crm, cdr, tickets)
    asked = await erase(harness, EMAIL)
    assert cdr.asked == []
    assert await reports(harness, asked) == {
        "cdr": ("not_searched", "not_proved", "L2"),
        "tickets": ("erased", None, None),
    }
    assert [task.operation for task in crm.asked] == [Operation.LOCATE]  # by what it yields the calls are found later
    assert await harness.fulfilment_state(asked.request_id) == FulfilmentState.BLOCKED


async def test_a_proved_address_carries_no_strangers_number_and_account(open_harness: OpenHarness) -> None:  # C4
    harness = await open_harness(*systems())
    await erase(harness, replace(EMAIL, level="L2"), *STRANGERS)
    asked = [task for system in harness.systems.values() for task in system.asked]
    assert {"+493023125001", "ada@example.org"} <= values(asked)
    assert not values(asked) & {identity.value for identity in STRANGERS}


async def test_what_is_only_stated_finds_nobody(open_harness: OpenHarness) -> None:  # C4
    harness = await open_harness(*systems())
    asked = await erase(harness, replace(EMAIL, level="L0"), *STRANGERS)
    assert not any(system.asked for system in harness.systems.values())
    assert {report[1] for report in (await reports(harness, asked)).values()} == {"not_proved"}


async def test_with_its_proof_the_rest_goes_on_and_what_was_done_is_not_done_again(open_harness: OpenHarness) -> None:
    crm, cdr, tickets = systems()
    harness = await open_harness(crm, cdr, tickets)
    asked = await erase(harness, EMAIL)
    await prove(harness, asked, replace(EMAIL, level="L2"))
    assert values(cdr.asked) == {NUMBER.value}
    assert [task.level for task in cdr.asked] == ["L2"]
    assert len(tickets.asked) == 1
    assert [task.operation for task in crm.asked] == [Operation.LOCATE, Operation.LOCATE, Operation.ERASE]
    assert await harness.fulfilment_state(asked.request_id) == FulfilmentState.COMPLETE
    [done] = harness.completed
    assert {(report.system, report.outcome) for report in done.reports if report.operation == "erase"} == {
        *(("crm", "erased"), ("cdr", "erased"), ("tickets", "erased"))
    }


BOTH = (replace(EMAIL, level="L2", together=True), replace(NUMBER, source="requester", level="L2", together=True))
ANY_SIM = replace(BOTH[1], value="+493023125099")


@pytest.mark.parametrize(("stated", "searched"), [(BOTH, {NUMBER.value}), ((BOTH[0], ANY_SIM), set())])
async def test_two_contact_points_open_the_calls_only_where_the_register_shows_both_as_one_accounts(
    open_harness: OpenHarness, stated: tuple[Identity, ...], searched: set[str]
) -> None:
    harness = await open_harness(*systems(EMAIL_OF_RECORD))
    asked = await erase(harness, *stated)
    cdr = harness.systems["cdr"]
    assert values(cdr.asked) == searched
    if not searched:
        assert (await reports(harness, asked))["cdr"] == ("not_searched", "not_proved", "L2")


async def test_what_a_system_yields_is_known_as_well_as_that_by_which_it_was_searched(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness(*systems())
    asked = await erase(harness, EMAIL)
    for level in ("L1", "L2"):
        async with harness.unit_of_work.begin() as tx:
            known = (await tx.vault.subject_data(tx.connection, [asked.subject_ref]))[asked.subject_ref].identities
        assert {each.level for each in known if each.source == "crm"} == {level}
        await prove(harness, asked, replace(EMAIL, level="L2"))
