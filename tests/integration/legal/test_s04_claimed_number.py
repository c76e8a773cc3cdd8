"""Scenario 4: an unknown address claims a number. Nothing is given; only its present holder can prove it."""

from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Level, Right
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem

NUMBER = "+442079460000"
CLAIM = {"email": "mallory@example.org", "phones": [{"number": NUMBER}], "country": "DE"}
BEGAN = datetime(2026, 1, 10, tzinfo=UTC)
EARLIER = datetime(2025, 1, 1, tzinfo=UTC)


async def exported(harness: Harness, level: Level) -> list[Identity]:
    """Returns the numbers searched for a person with that level of proof who asks for years of calls."""
    stated = Identity(IdentityType.PHONE, NUMBER, EARLIER, proved_since=BEGAN, level=level)
    subject = await harness.subject(Identity(IdentityType.EMAIL, "mallory@example.org", level=level), stated)
    await harness.open(NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE))
    await harness.worker("cdr", Operation.EXPORT).work()
    return [identity for task in harness.systems["cdr"].asked for identity in task.identities]


async def test_a_code_that_is_sent_to_the_number_proves_it_for_the_time_of_who_holds_it_now(
    open_harness: OpenHarness,
) -> None:
    cdr = ScriptedSystem("cdr", frozenset({IdentityType.PHONE}), needed="L2")
    harness = await open_harness(cdr)
    assert await exported(harness, "L1") == []
    [searched] = await exported(harness, "L2")
    assert (searched.valid_from, searched.valid_to) == (BEGAN, None)


async def test_of_the_time_of_another_holder_a_proof_gives_nothing_and_a_person_looks(
    open_harness: OpenHarness,
) -> None:
    cdr = ScriptedSystem("cdr", frozenset({IdentityType.PHONE}), needed="L2")
    harness = await open_harness(cdr)
    await harness.register(Identity(IdentityType.PHONE, NUMBER, EARLIER), account=ACCOUNT.value)
    assert await exported(harness, "L2") == []
    assert await harness.pool.fetchval("SELECT failure FROM task") == "assignment_in_doubt"
