"""The contact on file is asked of whoever names an account from another address: nobody learns whether there is one."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.intake.identity import contact_codes
from services.intake.identity.assurance import identity_policy
from shared.domain import reference as references
from shared.domain.events import ContactLookedUp
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.events import a
from tests.fixtures.intake import Intake
from tests.fixtures.portal import URL, Opened, Visitor, code_in, link_in, opened
from tests.integration.test_portal import EXPORTED, asked
from tests.integration.test_portal_disowned import waiting
from tests.integration.test_proof_in_part import LINKED, UNPROVED
from tests.integration.test_two_persons_prove import levels
from tests.integration.test_unsearched import COPIED, blocked, report

NEW, OLD, ACCOUNT = "ada.new@example.net", "ada@example.org", "CU-17"
CRM = report("crm", outcome=TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOT_PROVED, level="L1")
CONTACT = "/portal/en/request/contact"


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def presses(door: Opened, visitor: Visitor) -> Visitor:
    return await (await visitor.open(link_in((await door.letters())[-1]))).send(answer="mine")


async def asks(door: Opened, visitor: Visitor, email: str = NEW, account: str = ACCOUNT) -> str:
    """Somebody asks from an address of theirs, names an account, proves the address, and more must be proved."""
    reference = await asked(visitor, email=email, account=account)
    await presses(door, visitor)
    await blocked(door.intake, f"/v1/requests/{reference}", COPIED, CRM)
    return reference


async def looked_up(door: Opened, reference: str, *contacts: str, **more: Any) -> None:
    """The source of the register has these on file for the account."""
    intake = door.intake
    async with intake.unit_of_work.begin() as tx:
        about = "SELECT ask_id FROM contact_asked WHERE request_id = $1"
        ask_id = await tx.connection.fetchval(about, UUID(reference))
        found = [Identity(IdentityType.EMAIL, each, source="crm", **more) for each in contacts]
        await tx.vault.seal(tx.connection, [Sealing(ask_id, "identities", "crm", encode_identities(found))], tx.now)
    await intake.consume(a(ContactLookedUp, about=reference, subject=ask_id))


async def to_contacts(door: Opened) -> list[dict[str, Any]]:
    """The letters that went to contacts on file, the oldest first."""
    async with door.intake.unit_of_work.begin() as tx:
        rows = await tx.connection.fetch(
            "SELECT letter_id FROM delivery WHERE kind = 'contact_on_file' ORDER BY letter_id"
        )
        found = [await tx.vault.open_one(tx.connection, row["letter_id"]) for row in rows]
    return [orjson.loads(each) for each in found if each]


def not_me_in(letter: dict[str, Any], url: str = URL) -> str:
    """The path of the link in a letter to a contact."""
    link, *_ = re.findall(r'href="(https?://[^"]+/contact/[^"]+)"', letter["html"])
    return str(link).removeprefix(url)


async def types_code(visitor: Visitor, code: str) -> Visitor:
    return await (await visitor.open(CONTACT)).send(code=code)


async def steps_in(door: Opened, visitor: Visitor, reference: str) -> Visitor:
    """Follows a request by a new link to the address from which it was asked."""
    await (await visitor.open("/portal/en/follow")).send(reference=reference)
    return await presses(door, visitor)


async def test_the_code_that_went_to_the_contact_on_file_proves_the_account_where_the_request_is_followed(
    door: Opened,
) -> None:
    ada, intake = door.visitor(), door.intake
    reference = await asks(door, ada)
    path = f"/v1/requests/{reference}"
    assert "contact_sought" in await intake.types()
    assert "If there is a contact on file" in (await ada.open("/portal/en/request")).text
    await looked_up(door, reference, OLD)
    (letter,) = await to_contacts(door)
    assert (letter["to"], references.of(UUID(reference)) in letter["html"], NEW in letter["html"]) == (
        [OLD],
        True,
        False,
    )
    assert ("/prove/" in letter["html"], "Bundesbeauftragte" in letter["html"]) == (False, False), "nor where they live"
    await types_code(ada, code_in(letter))
    assert (ada.path, "counts as yours" in ada.text, "Type the code" in ada.text) == ("/portal/en/request", True, False)
    assert {kind: level for kind, level in (await levels(intake, path)).items() if level != "L0"} == {
        "email": "L1",
        "account_id": "L1",
    }
    assert ((await intake.officer.get(path)).json()["state"], (await intake.types())[-1]) == (
        "in_progress",
        "retry_decided",
    )
    entries = await timeline(intake, reference)
    verified = [each["detail"]["proofs"] for each in entries if each["action"] == "identity.verified"][-1]
    assert {"type": "account_id", "method": "contact_on_file", "level": "L1"} in verified
    await blocked(intake, path, COPIED, UNPROVED)
    said = (await ada.open("/portal/en/request")).text
    assert [each in said for each in ("Type the code", "You need do nothing", "second factor")] == [False, False, True]
    assert "wrong" in (await types_code(await steps_in(door, door.visitor(), reference), code_in(letter))).text


async def test_whoever_has_passed_their_own_link_on_sees_nothing_of_what_somebody_else_has_proved(
    door: Opened,
) -> None:
    eve, ada, intake = door.visitor(), door.visitor(), door.intake
    reference = await asked(eve, email="eve@example.com", account=ACCOUNT)
    await presses(door, ada)  # the link of the stranger's mailbox, which they have passed on
    await steps_in(door, eve, reference)
    await blocked(intake, f"/v1/requests/{reference}", COPIED, CRM)
    await looked_up(door, reference, OLD)
    assert (await eve.open("/portal/en/request")).status == 200
    await types_code(ada, code_in((await to_contacts(door))[-1]))
    assert "counts as yours" in ada.text
    await intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    pages = ("", "/letters", "/answer", "/withdraw", "/package", "/contact")
    assert [(await eve.open(f"/portal/en/request{each}")).status for each in pages] == [403] * 6
    await steps_in(door, eve, reference)
    assert (eve.path, "contact data" in eve.text) == (CONTACT, False)
    assert (await eve.open("/portal/en/request")).status == 403
    assert "contact data" in (await ada.open("/portal/en/request")).text


async def test_in_another_browser_whoever_has_both_mailboxes_follows_it_by_another_code(door: Opened) -> None:
    ada, later = door.visitor(), door.visitor()
    reference = await asks(door, ada)
    await looked_up(door, reference, OLD)
    await types_code(ada, code_in((await to_contacts(door))[-1]))
    await steps_in(door, later, reference)
    newest = (await to_contacts(door))[1]
    assert (later.path, newest["to"]) == (CONTACT, [OLD])
    await later.send(code=code_in(newest))
    assert (later.path, references.of(UUID(reference)) in later.text) == ("/portal/en/request", True)
    assert (await later.open(CONTACT)).path == CONTACT
    for _ in range(3):  # what was typed counts against nobody
        door.intake.clock.pass_by(hours=1)
        await steps_in(door, again := door.visitor(), reference)
        await again.send(code=code_in((await to_contacts(door))[-1]))
        assert again.path == "/portal/en/request"
    for _ in range(4):
        door.intake.clock.pass_by(hours=1)
        await steps_in(door, door.visitor(), reference)
    assert (len(await to_contacts(door)), await waiting(door)) == (8, [(reference, "withheld")])


async def test_whether_anybody_was_asked_is_told_to_nobody_but_the_privacy_team(door: Opened) -> None:
    """The same pages, entries and version: nobody is on file, somebody is asked, or says that it was not them."""
    intake = door.intake
    seen, references = list[list[list[str]]](), list[UUID]()
    for account, contacts in (("CU-18", ()), (ACCOUNT, (OLD,))):
        ada = door.visitor()
        reference = await asks(door, ada, f"{account.lower()}@example.net", account)
        references.append(UUID(reference))
        seen.append([await everything(door, ada, reference)])
        await looked_up(door, reference, *contacts)
        seen[-1].append(await everything(door, ada, reference))
        for letter in await to_contacts(door):
            await (await door.visitor().open(not_me_in(letter))).send()
        seen[-1].append(await everything(door, ada, reference))
        assert "is wrong" in (await types_code(ada, "0000 0001")).text
    (first, *_), _ = seen
    assert [each == first for each in (*seen[0], *seen[1])] == [True] * 6
    asked = await intake.unit_of_work.pool.fetch("SELECT ask_id, state, reason FROM contact_asked ORDER BY sought_at")
    assert [tuple(row)[1:] for row in asked] == [("not_asked", "unknown"), ("asked", None)]
    assert [await in_vault(intake, row["ask_id"]) for row in asked] == [0, 1]
    async with intake.unit_of_work.pool.acquire() as connection:
        told = [await contact_codes.asked(connection, each) for each in references]
    assert [each.sentence.partition(":")[0] for each in told if each] == [
        "was not asked",
        "was asked by 1 letter; no code was typed; somebody there says that they have asked for nothing",
    ]


async def everything(door: Opened, visitor: Visitor, reference: str) -> list[str]:
    """All that whoever asks can see, without their reference; that of the privacy team's pages which are not for it."""
    pages = [(await visitor.open(each)).text for each in ("/portal/en/request", CONTACT, "/portal/en/request/letters")]
    view = await door.intake.officer.get(f"/v1/requests/{reference}")
    letters = (await door.intake.officer.get(f"/v1/requests/{reference}/letters")).json()["letters"]
    actions = [each["action"] for each in await timeline(door.intake, reference)]
    told = [*pages, str(sorted({*actions} - {"letters.read"})), str([each["kind"] for each in letters])]
    return [re.sub(f"{reference}|[A-Z2-7]{{24}}", "…", each) for each in (*told, view.headers["etag"])]


async def timeline(intake: Intake, reference: str) -> list[dict[str, Any]]:
    answer = await intake.officer.get(f"/v1/requests/{reference}/timeline")
    return list(answer.raise_for_status().json()["entries"])


async def in_vault(intake: Intake, ask_id: UUID) -> int:
    return int(
        await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.subject WHERE subject_ref = $1", ask_id)
    )


async def test_whoever_got_the_letter_and_has_asked_for_nothing_ends_it_and_can_confirm_nothing(door: Opened) -> None:
    eve, ada = door.visitor(), door.visitor()
    reference = await asks(door, eve, "eve@example.com")
    await looked_up(door, reference, OLD)
    (letter,) = await to_contacts(door)
    for _ in range(2):  # a mail scanner looks too
        await ada.open(not_me_in(letter))
    assert re.findall(r'name="answer" value="(\w+)"', ada.html) == ["not_me"], "there is no other button"
    await ada.send(answer="mine")
    assert "Have you asked for this?" in ada.text
    assert (await levels(door.intake, f"/v1/requests/{reference}"))["account_id"] == "L0"
    await ada.send(answer="not_me")
    assert "a person of ours looks" in ada.text
    assert await waiting(door) == [(reference, "disowned")]
    assert "is wrong" in (await types_code(eve, code_in(letter))).text
    await (await eve.open(CONTACT)).send(f"{CONTACT}/again")
    assert len(await to_contacts(door)) == 1
    assert "not good any more" in (await ada.open(not_me_in(letter))).text


async def test_once_a_code_was_typed_whoever_says_that_it_was_not_them_shuts_the_request_to_it(door: Opened) -> None:
    ada, other = door.visitor(), "b@example.org"
    reference = await asks(door, ada)
    await looked_up(door, reference, OLD, other)
    mine, theirs = await to_contacts(door)
    await types_code(ada, code_in(mine))
    assert (await ada.open("/portal/en/request")).status == 200
    path = f"/v1/requests/{reference}"
    assert (await levels(door.intake, path))["account_id"] == "L1"
    await (await door.visitor().open(not_me_in(theirs))).send()
    assert (await ada.open("/portal/en/request")).status == 403
    assert await waiting(door) == [(reference, "disowned")]
    assert (await levels(door.intake, path))["account_id"] == "L0", "what is not done yet is not done by it"
    await door.intake.complete(path, tasks=(EXPORTED,))
    assert (await waiting(door), (await ada.open("/portal/en/request")).status) == ([], 403)


async def test_what_was_shown_before_somebody_says_that_it_was_not_them_is_a_suspected_breach_and_a_persons(
    door: Opened,
) -> None:
    eve, intake = door.visitor(), door.intake
    reference = await asks(door, eve, "eve@example.com")
    path = f"/v1/requests/{reference}"
    await looked_up(door, reference, OLD, "b@example.org")
    mine, theirs = await to_contacts(door)
    await types_code(eve, code_in(mine))
    await intake.complete(path, tasks=(EXPORTED,))
    assert await waiting(door) == []
    ada = await door.visitor().open(not_me_in(theirs))
    await ada.send()
    assert "a person of ours looks at it" in ada.text
    assert ((await intake.officer.get(path)).json()["state"], await waiting(door)) == (
        "closed",
        [(reference, "disowned")],
    )
    [breach] = (await intake.officer.get("/v1/breaches")).raise_for_status().json()["breaches"]
    assert (breach["request_id"], breach["fault"]) == (reference, "not_proved")
    await asks(door, door.visitor(), "mallory@example.net")
    other = str(await intake.unit_of_work.pool.fetchval("SELECT request_id FROM contact_asked WHERE state = 'sought'"))
    await looked_up(door, other, OLD)
    assert (len(await to_contacts(door)), {why for _, why in await waiting(door)}) == (2, {"disowned", "withheld"})
    (await intake.officer.post(f"{path}/proof-lift", json={})).raise_for_status()
    assert await waiting(door) == [(other, "withheld")]
    assert (await eve.open("/portal/en/request")).status == 200


@pytest.mark.parametrize("there", [True, False])
async def test_five_wrong_codes_go_to_a_person_whether_there_is_a_code_or_none(door: Opened, *, there: bool) -> None:
    eve = door.visitor()
    reference = await asks(door, eve, "eve@example.com")
    await looked_up(door, reference, *([OLD] if there else []))
    for _ in range(5):
        assert "is wrong" in (await types_code(eve, "0000 0001")).text
    assert "none is accepted any more" in (await eve.open(CONTACT)).text
    for letter in await to_contacts(door):
        async with door.intake.unit_of_work.begin() as tx:
            entered = await contact_codes.enter(
                tx, identity_policy().on_file, UUID(reference), Right.ACCESS, code_in(letter)
            )
        assert entered is None, "the right one is good no more"
    assert await waiting(door) == [(reference, "wrong_codes")]


async def test_nobody_is_asked_for_who_has_nowhere_to_type_a_code_and_whose_answers_are_mailed(door: Opened) -> None:
    subject = {"email": NEW, "account_id": ACCOUNT, "country": "DE"}
    path = await door.intake.submit(subject=subject, assurance=None, proofs=[LINKED])
    await blocked(door.intake, path, COPIED, CRM)
    assert (await door.intake.view(path))["state"] == "awaiting_identity"
    assert "contact_sought" not in await door.intake.types()
