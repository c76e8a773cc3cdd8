"""Looking up who is on file: only in the source of the register, and the same is said whoever is found."""

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.export import contacts
from services.export.contacts import ContactLookups
from shared.domain.errors import Unavailable
from shared.domain.events import ContactSought
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.downstream import Downstream
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import WorkSettings
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.worker_harness import cut_off

NAMED = Identity(IdentityType.ACCOUNT_ID, "CU-17")
THEIRS = Identity(IdentityType.ACCOUNT_ID, "CU-17", source="crm")
OLD = Identity(IdentityType.EMAIL, "ada@example.org", source="crm")
LOOKED_UP = "dsr.fulfilment.contact_looked_up.v1"
BOTH = frozenset({IdentityType.ACCOUNT_ID, IdentityType.EMAIL})


def has(*identities: Identity) -> ScriptedSystem:
    """The source of the register, which has these of whom it is asked for."""

    def located(task: Task) -> Result:
        return Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=identities)

    answers = {Operation.LOCATE: each(located)}
    return ScriptedSystem("crm", needs=BOTH, yields=BOTH, answers=answers, assigns=True)


async def sought(harness: Harness, clock: SetClock, named: Identity = NAMED) -> UUID:
    ask_id = await harness.subject(named)
    until = clock.now() + timedelta(hours=72)
    async with harness.unit_of_work.begin() as tx:
        event = a(ContactSought, subject=ask_id, until=until)
        await contacts.seek(harness.fulfilments, [event, event], tx)
    return ask_id


async def look(harness: Harness, *real: Downstream) -> int:
    declared = real or [each.declared for each in harness.systems.values()]
    settings = WorkSettings.model_validate({"downstreams": "none", "backoff_max_seconds": 8})
    return await ContactLookups(harness.unit_of_work, declared, settings, Heartbeats()).look()


async def found(harness: Harness, ask_id: UUID) -> list[Identity]:
    async with harness.unit_of_work.begin() as tx:
        known = (await tx.vault.subject_data(tx.connection, [ask_id]))[ask_id].identities
    return [each for each in known if each.source != "requester"]


async def test_the_contact_on_file_is_kept_apart_and_it_is_said_that_it_was_looked_up(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    number, shared = Identity(IdentityType.PHONE, "+442079460000", source="crm"), "family@example.org"
    others = Identity(IdentityType.EMAIL, shared, source="crm", shared=True)
    helpdesk = ScriptedSystem("helpdesk", needs=BOTH, yields=BOTH)
    crm = has(THEIRS, OLD, number, others)
    harness = await open_harness(crm, helpdesk, service=ServiceName.EXPORT)
    await harness.stand(crm="on", helpdesk="on")
    ask_id = await sought(harness, clock)
    assert (await look(harness), await look(harness)) == (1, 0)
    assert await found(harness, ask_id) == [OLD], "the number and what others have too stay where they are"
    assert [task.identities for task in crm.asked] == [(NAMED,)]
    assert helpdesk.asked == [], "it files whatever address somebody writes from"
    assert await harness.outbox() == [LOOKED_UP]
    assert await harness.actions(ask_id) == ["contact.looked_up"]


async def test_a_lookup_outlives_a_database_that_is_away(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await open_harness(has(THEIRS, OLD), service=ServiceName.EXPORT)
    await harness.stand(crm="on")
    ask_id = await sought(harness, clock)
    vault = cut_off(harness)
    assert (await look(harness), vault.cut, await found(harness, ask_id)) == (1, True, [OLD])


ELSE = {
    "nobody": (),
    "another account": (Identity(IdentityType.ACCOUNT_ID, "CU-18", source="crm"), OLD),
    "two accounts": (THEIRS, Identity(IdentityType.ACCOUNT_ID, "CU-18", source="crm"), OLD),
    "no account": (OLD,),
}


@pytest.mark.parametrize("who", ELSE)
async def test_of_anybody_else_nothing_is_kept_and_the_same_is_said(
    open_harness: OpenHarness, clock: SetClock, who: str
) -> None:
    harness = await open_harness(has(*ELSE[who]), service=ServiceName.EXPORT)
    await harness.stand(crm="on")
    ask_id = await sought(harness, clock)
    await look(harness)
    assert (await found(harness, ask_id), await harness.outbox()) == ([], [LOOKED_UP])


@pytest.mark.parametrize("stands", ["on", "quarantined"])
async def test_while_the_source_is_away_it_is_asked_again_until_it_is_of_no_use_any_more(
    open_harness: OpenHarness, clock: SetClock, stands: str
) -> None:
    away = ScriptedSystem("crm", needs=BOTH, yields=BOTH, assigns=True)
    away.answers[Operation.LOCATE] = each(lambda _: Unavailable("away"))
    harness = await open_harness(away, service=ServiceName.EXPORT)
    await harness.stand(crm=stands)
    ask_id = await sought(harness, clock)
    assert (await look(harness), await look(harness), await harness.outbox()) == (1, 0, [])
    clock.pass_by(seconds=10)
    assert (await look(harness), await harness.outbox()) == (1, [])
    clock.pass_by(hours=72)
    assert (await look(harness), await harness.outbox()) == (1, [LOOKED_UP])
    assert await found(harness, ask_id) == []


async def test_without_a_source_or_with_its_key_gone_nobody_is_found_and_the_same_is_said(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("helpdesk", needs=BOTH, yields=BOTH), service=ServiceName.EXPORT)
    await sought(harness, clock)
    async with harness.unit_of_work.begin() as tx:
        event = a(ContactSought, subject=uuid7(), until=clock.now())
        await contacts.seek(harness.fulfilments, [event], tx)
    assert await look(harness) == 2
    assert await harness.outbox() == [LOOKED_UP] * 2
