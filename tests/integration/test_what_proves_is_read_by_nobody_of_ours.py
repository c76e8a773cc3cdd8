"""The unused link or code of somebody's letter is read by nobody of the privacy team: whoever has it is that person."""

import io
import zipfile
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import UUID

import pytest

from services.intake.letters import correspondence
from services.intake.letters.masked import MASK
from services.intake.letters.rendering import Letters
from services.intake.mail.sending import Sender
from shared.runtime.liveness import Heartbeats
from tests.fixtures.console import opened_console
from tests.fixtures.intake import Intake
from tests.fixtures.mail_server import mail_server
from tests.fixtures.portal import Opened, code_in, link_in, opened
from tests.integration.test_mail_read import mail, take, waiting
from tests.integration.test_portal import asked


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_a_link_and_its_code_are_in_no_view_of_letters_and_in_no_file_of_a_case(
    door: Opened, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = await asked(door.visitor())
    (letter,) = await door.letters()
    secrets = {link_in(letter).rpartition("/")[2], code_in(letter)}
    path = f"/v1/requests/{reference}"
    listed = await intake.officer.get(f"{path}/letters")
    [shown] = [each for each in listed.json()["letters"] if each["kind"] == "proof_link"]
    assert MASK in shown["body"], "the letter is shown, without them"
    case = zipfile.ZipFile(io.BytesIO((await intake.officer.get(f"{path}/case-file")).content))
    async with opened_console(intake, monkeypatch) as console:
        hanna = await console.member("hanna")
        await hanna.open(f"/console/requests/{reference}/letters")
    assert MASK in hanna.text
    views = [listed.text, hanna.html, *(case.read(name).decode() for name in case.namelist())]
    assert not [secret for secret in secrets for view in views if secret in view]
    async with door.intake.unit_of_work.pool.acquire() as connection:
        known = await connection.fetchval("SELECT string_agg(detail::text, '') FROM evidence.entry")
    assert not [secret for secret in secrets if secret in known]
    await (await door.visitor().open(link_in(letter))).send()  # and is good for whom it was sent to
    assert "verified" in await intake.types()


async def test_a_letter_on_paper_opens_nothing(intake: Intake) -> None:
    asked_by_post = {"right": "access", "channel": "post", "subject": {"account_id": "C-1001", "country": "DE"}}
    submitted = (await intake.officer.post("/v1/requests", json=asked_by_post)).raise_for_status().json()
    path = f"/v1/requests/{submitted['request_id']}"
    address = {"lines": ["Ada Quarzfels", "Musterstraße 1", "50667 Köln"], "on_file_in": "crm"}
    (await intake.officer.post(f"{path}/postal-address", json=address)).raise_for_status()
    printed = (await intake.officer.get("/v1/letters/print")).raise_for_status().text
    assert "Musterstraße 1" in printed
    secret = intake.unit_of_work.vault.keyring
    code = correspondence.code(secret, UUID(submitted["request_id"]))
    assert code not in printed.replace(" ", "")
    assert "/portal/" not in printed
    assert (await intake.channel.get(f"{path}/letters", headers={"Letter-Code": code})).status_code == 404
    said = (await intake.officer.get(f"{path}/timeline")).json()["entries"]
    assert "letter.printed" in [each["action"] for each in said], "the reading is on record"


async def test_a_mail_that_quotes_a_letter_shows_no_link_and_its_original_ends_it(door: Opened, intake: Intake) -> None:
    await asked(door.visitor())
    async with mail_server() as server:
        await Sender(intake.unit_of_work, server.settings, Letters(), Heartbeats()).send_due()
        [taken] = server.taken
    quoted = taken.mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    (letter,) = await door.letters()
    link = link_in(letter)
    assert link in quoted
    reply = mail(f"What is this?\n\n{quoted}", more=f"In-Reply-To: {taken.mail['Message-ID']}\n")
    assert await take(intake, reply) == "reply"
    [listed] = await waiting(intake, "reply")
    shown = (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).json()["text"]
    assert "What is this?" in shown
    assert not [secret for secret in (link.rpartition("/")[2], code_in(letter)) if secret in shown]
    assert (await door.visitor().open(link)).status == 200
    assert link.encode() in (await intake.officer.get(f"/v1/mail/{listed['mail_id']}/raw")).content
    assert "not good any more" in (await door.visitor().open(link)).text


@pytest.mark.parametrize("spelled", ["subject", "alone", "rewritten", "html", "broken"])
async def test_no_spelling_of_a_link_that_is_good_is_read_in_a_mail(door: Opened, intake: Intake, spelled: str) -> None:
    await asked(door.visitor())
    (letter,) = await door.letters()
    link = link_in(letter)
    base, _, token = link.rpartition("/")
    filtered = f"https://filter.example/?url={quote(quote(link, safe=''), safe='')}&data=1"
    texts = {"alone": token, "rewritten": filtered, "broken": f"> {base}/{token[:8]}\n> {token[8:]}"}
    raw = mail(texts.get(spelled, "See above."), subject=f"Re: {link}" if spelled == "subject" else "Re: yours")
    if spelled == "html":
        raw = raw.replace(b"text/plain", b"text/html").replace(b"See above.", f"<p>My <b>{token}</b></p>".encode())
    await take(intake, raw)
    [listed] = await waiting(intake, "proposed")
    assert "not good any more" not in (await door.visitor().open(link)).text
    shown = (await intake.officer.get(f"/v1/mail/{listed['mail_id']}")).raise_for_status().text
    assert token not in shown
    still = "not good any more" not in (await door.visitor().open(link)).text
    assert still is (spelled == "subject"), "as a letter has it, it is masked whole"
