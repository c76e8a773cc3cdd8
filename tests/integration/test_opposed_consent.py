"""What goes with a withdrawn consent stays while a hold or a restriction of the same person keeps it."""

from collections.abc import Sequence
from datetime import date

import pytest
from uuid_utils.compat import uuid7

from shared.domain.holds import HoldMarks
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.precedence import Kind, Marks
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.storage import holds, open_requests
from tests.fixtures.engine import ACCOUNT, OpenHarness, ScriptedSystem, each
from tests.integration.test_withdrawn_consent import verified


@pytest.mark.parametrize("opposed", ["held", "restricted"])
async def test_what_a_hold_or_a_restriction_keeps_is_not_erased_with_a_consent_and_it_is_told_what_is_still_used(
    open_harness: OpenHarness, opposed: str
) -> None:
    """Filed by the account, which the person has not stated and the CRM knows."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    site = ScriptedSystem("site", categories=frozenset({"analytics_event"}), erases_by_category=True)
    harness = await open_harness(crm, site, service=ServiceName.AMENDMENT)
    keyring = harness.unit_of_work.vault.keyring
    async with harness.unit_of_work.begin() as tx:
        if opposed == "held":
            held = holds.LegalHold(uuid7(), "LEG-1", "legal", "LITIGATION", [], tx.now, date(2026, 6, 1))
            await holds.place(tx.connection, held, HoldMarks.of(keyring, [ACCOUNT]))
        else:
            await open_requests.enter(tx.connection, [(uuid7(), Kind.RESTRICTION, Marks.of(keyring, [ACCOUNT]))])
    event = await verified(harness, "analytics")
    for system, operation in (("crm", Operation.LOCATE), ("site", Operation.SUPPRESS)):
        await harness.worker(system, operation).work()
    assert [task.details.get("copy_first") for task in site.asked] == [True]
    assert (await harness.states(event.request_id))["site:suppress"] == "failed"
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'erasure_opposed'")
    assert "its use is stopped" not in said, "no switch of the site is about that"
    assert "nothing there tells that analytics_event is used no more: see to that by hand" in said

    await harness.pool.execute("DELETE FROM vault.hold_mark")
    await harness.pool.execute("DELETE FROM vault.open_request")
    await harness.retry(event.request_id)
    await harness.worker("site", Operation.SUPPRESS).work()
    assert "copy_first" not in site.asked[-1].details
    assert (await harness.states(event.request_id))["site:suppress"] == "done"


async def test_a_hold_that_comes_while_a_consents_data_are_erased_stops_the_next_step(
    open_harness: OpenHarness,
) -> None:
    gone: list[str] = []
    site = ScriptedSystem("site", categories=frozenset({"analytics_event"}), erases_by_category=True)
    harness = await open_harness(site, service=ServiceName.AMENDMENT)

    async def step_by_step(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        for step in ("first", "second"):
            await save_progress({task.task_id: {} for task in asked})
            gone.append(step)
            marks = HoldMarks.of(harness.unit_of_work.vault.keyring, asked[0].identities)
            held = holds.LegalHold(
                uuid7(), "LEG-1", "legal", "LITIGATION", [], harness.unit_of_work.clock.now(), date(2026, 6, 1)
            )
            async with harness.pool.acquire() as connection:
                await holds.place(connection, held, marks)
        raise AssertionError("the second step is never taken")

    site.answers[Operation.SUPPRESS] = step_by_step
    await verified(harness, "analytics")
    await harness.worker("site", Operation.SUPPRESS).work()
    assert gone == ["first"]


@pytest.mark.parametrize(("silences", "said"), [({"newsletter"}, "its use is stopped"), (set(), "see to that by hand")])
async def test_what_was_stopped_before_a_hold_stands_in_the_receipt_and_a_person_stops_what_has_no_switch(
    open_harness: OpenHarness, silences: set[str], said: str
) -> None:
    site = ScriptedSystem("site", categories=frozenset({"newsletter"}), erases_by_category=True)
    site.__dict__["silences"] = frozenset(silences)
    site.answers[Operation.SUPPRESS] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 2, 1))
    harness = await open_harness(site, service=ServiceName.AMENDMENT)
    async with harness.unit_of_work.begin() as tx:
        keyring, known = harness.unit_of_work.vault.keyring, Identity(IdentityType.EMAIL, "ada@example.org")
        held = holds.LegalHold(uuid7(), "LEG-1", "legal", "LITIGATION", [], tx.now, date(2026, 6, 1))
        await holds.place(tx.connection, held, HoldMarks.of(keyring, [known]))
    event = await verified(harness, "marketing")
    await harness.worker("site", Operation.SUPPRESS).work()
    assert (await harness.states(event.request_id))["site:suppress"] == "failed"
    why = "SELECT why ->> 'sentence', why ->> 'found', why ->> 'changed' FROM task WHERE failure = 'erasure_opposed'"
    [(sentence, *counts)] = await harness.pool.fetch(why)
    assert said in sentence
    assert counts == ["2", "1"]
