"""How many letters with a link go out, and that nobody can use up what somebody else needs to prove who they are."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from services.intake.statistics import count
from shared.domain import reference as references
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, link_in, opened
from tests.fixtures.told import told
from tests.integration.test_portal import asked
from tests.integration.test_portal_disowned import waiting

OTHERS = """
INSERT INTO proof_link (link_id, request_id, token_hash, code_hash, address, sent_at, code_until, expires_at, mailbox)
SELECT gen_random_uuid(), request_id, uuid_send(gen_random_uuid()), code_hash, address, sent_at, code_until,
       expires_at, mailbox FROM proof_link, generate_series(1, 29)
"""
"""As many letters to one mailbox as go there in an hour, but one."""
STRANGER, ADA = "198.51.100.7", "203.0.113.9"


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def again(door: Opened, reference: str, at: str) -> None:
    await (await door.visitor(at).open("/portal/en/follow")).send(reference=reference)


async def test_who_asks_with_anothers_address_uses_up_nothing_of_what_its_owner_needs(door: Opened) -> None:
    strangers = [await asked(door.visitor(STRANGER)) for _ in range(6)]
    assert len(await door.letters()) == 5, "so many first ones, by one who asks"
    for reference in strangers * 2:
        await again(door, reference, STRANGER)
    assert len(await door.letters()) == 10, "and so many others"
    ada = door.visitor(ADA)
    reference = await asked(ada)
    mine = (await door.letters())[10:]
    assert len(mine) == 1
    await (await ada.open(link_in(mine[0]))).send()
    assert (ada.path, references.of(UUID(reference)) in ada.text) == ("/portal/en/request", True)


async def test_addresses_of_one_mailbox_are_counted_as_one(door: Opened) -> None:
    for number in range(6):
        await asked(door.visitor(STRANGER), email=f"ada+{number}@example.org")
    assert len(await door.letters()) == 5


async def test_to_one_mailbox_go_so_many_whoever_asks_and_what_is_withheld_is_put_before_a_person(
    door: Opened,
) -> None:
    await asked(door.visitor(STRANGER))
    await door.intake.unit_of_work.pool.execute(OTHERS)
    reference = await asked(door.visitor(ADA))
    assert len(await door.letters()) == 1
    assert await waiting(door) == [(reference, "withheld")]
    async with door.intake.unit_of_work.pool.acquire() as connection:
        await count(connection, door.intake.clock.now())
    assert told("dsr_proofs_stopped", reason="withheld") == 1
    door.intake.clock.at += timedelta(hours=1, seconds=1)
    await again(door, reference, ADA)
    assert len(await door.letters()) == 2, "after the wait that the page names"
    assert await waiting(door) == []
