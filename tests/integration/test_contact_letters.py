"""Letters to a contact on file: to whom none goes, how many go, that they hold nothing else up, and how they end."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.intake.expiry import end_all
from services.intake.mail import tokens
from services.intake.retention import retention
from shared.domain.identities import Identity, IdentityType
from tests.fixtures.intake import Intake
from tests.fixtures.letters_sent import come_back, open_letters, send
from tests.fixtures.mail_server import MailServer
from tests.fixtures.portal import Opened, code_in, opened
from tests.integration.test_contact_on_file import (
    ACCOUNT,
    CONTACT,
    OLD,
    asks,
    in_vault,
    looked_up,
    timeline,
    to_contacts,
    types_code,
)
from tests.integration.test_mail_read import mail, take
from tests.integration.test_mail_read import waiting as mails
from tests.integration.test_portal import EXPORTED
from tests.integration.test_portal_disowned import waiting


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_a_contact_that_was_changed_of_late_is_not_asked(door: Opened) -> None:
    intake = door.intake
    mark = intake.unit_of_work.vault.keyring.fingerprint(Identity(IdentityType.ACCOUNT_ID, ACCOUNT))
    changed = "INSERT INTO former_contact VALUES (gen_random_uuid(), $1, 'L1', 'selfcare', $2, $2)"
    for days, letters in ((29, 0), (31, 1)):
        await intake.unit_of_work.pool.execute("DELETE FROM former_contact")
        await intake.unit_of_work.pool.execute(changed, mark, intake.clock.now() - timedelta(days=days))
        await looked_up(door, await asks(door, door.visitor(), f"ada.{days}@example.net"), OLD)
        assert len(await to_contacts(door)) == letters


async def test_nobody_fills_a_holders_mailbox_and_what_is_withheld_is_put_before_a_person(door: Opened) -> None:
    references = [await asks(door, door.visitor(), f"eve+{number}@example.com") for number in range(4)]
    for reference in references:
        await looked_up(door, reference, OLD)
    assert len(await to_contacts(door)) == 3, "so many from one mailbox in a day, whatever follows its plus"
    assert await waiting(door) == [(references[3], "withheld")]
    ada = door.visitor()
    await looked_up(door, await asks(door, ada), OLD)
    assert len(await to_contacts(door)) == 4, "a stranger uses up nothing of what the holder needs"
    for _ in range(3):
        await (await ada.open(CONTACT)).send(f"{CONTACT}/again")
    assert len(await to_contacts(door)) == 6, "and so many of one request"


async def test_the_letter_goes_beside_those_of_the_request_and_holds_none_of_them_up(
    door: Opened, server: MailServer
) -> None:
    intake, ada = door.intake, door.visitor()
    reference = await asks(door, ada)
    assert await send(intake, server) == 2
    await looked_up(door, reference, OLD)
    server.answers = ["451 later"]
    await send(intake, server)
    await intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    sent = len(server.taken)
    intake.clock.pass_by(hours=1)
    await send(intake, server)
    last = server.taken[-1]
    assert (last.to, last.mail["In-Reply-To"], len(server.taken) > sent) == (OLD, None, True)
    [letter_id] = tokens.letters_in(intake.unit_of_work.vault.keyring.lookup, last.sender)
    assert not any(str(last.mail["Message-ID"]) in str(each.mail["References"]) for each in server.taken)
    await come_back(intake, str(letter_id))
    state = await intake.unit_of_work.pool.fetchval("SELECT state FROM delivery WHERE letter_id = $1", letter_id)
    assert (state, await open_letters(intake)) == ("given_up", []), "nobody sends it elsewhere"
    assert "letter.returned" not in [each["action"] for each in await timeline(intake, reference)]
    await take(intake, mail(text="Das war ich nicht", more=f"In-Reply-To: {last.mail['Message-ID']}\n"))
    [listed] = await mails(intake)
    assert (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).json()["contact_of"] == reference
    assert "mail.answers" not in [each["action"] for each in await timeline(intake, reference)]


async def test_the_contact_is_kept_for_a_while_after_the_answer_and_goes_with_all_of_it(door: Opened) -> None:
    intake, ada = door.intake, door.visitor()
    reference = await asks(door, ada)
    await looked_up(door, reference, OLD)
    await types_code(ada, code_in((await to_contacts(door))[0]))
    await intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    ask_id = await intake.unit_of_work.pool.fetchval("SELECT ask_id FROM contact_asked")
    for days, kept in ((29, 1), (2, 0)):
        intake.clock.pass_by(days=days)
        await end_all(intake.unit_of_work, retention(), lambda: None)
        there = "SELECT count(*) FROM vault.subject WHERE subject_ref = $1 AND wrapped_key IS NOT NULL"
        assert await intake.unit_of_work.pool.fetchval(there, ask_id) == kept
    await intake.unit_of_work.pool.execute("UPDATE delivery SET state = 'sent'")
    intake.clock.pass_by(days=3 * 366)
    await end_all(intake.unit_of_work, retention(), lambda: None)
    tables = ("contact_asked", "contact_code", "delivery")
    left = [await intake.unit_of_work.pool.fetchval(f"SELECT count(*) FROM {each}") for each in tables]
    assert (left, await in_vault(intake, ask_id)) == ([0, 0, 0], 0)
