"""Writing back to whoever has written a mail, in the console: what will go out is read before it goes."""

import io
import zipfile
from typing import Any

from tests.fixtures.console import OpenedConsole
from tests.fixtures.letters_sent import come_back, send
from tests.fixtures.mail_server import MailServer
from tests.integration.test_console_matters import confirmed
from tests.integration.test_mail_answered import a_form, come, intake_form

WORDS: dict[str, Any] = {"text": "Welche Nummer\nmeinen Sie?", "language": "de"}


async def test_an_answer_is_shown_as_it_goes_out_and_then_stands_with_the_mail(
    console: OpenedConsole, server: MailServer
) -> None:
    intake, hanna, ugo = console.intake, await console.member("hanna"), await console.member("ugo")
    page = f"/console{(await come(intake)).removeprefix('/v1')}"
    assert f"{page}/answer" in (await hanna.open(page)).html
    assert (await ugo.open(f"{page}/answer")).status == 403
    await hanna.open(f"{page}/answer")
    assert '<option value="de" selected>' in hanna.html
    await hanna.send(step="check", **{**WORDS, "text": "Bitte eine Ausweiskopie."})
    assert (hanna.status, "ask for no identity document" in hanna.text) == (422, True)
    await hanna.send(step="check", **WORDS)
    for each in ("ada@mail.example", "Ihre Nachricht an uns", "Sehr geehrte", "Welche Nummer", "Ansprechpartner"):
        assert each in hanna.text
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 0, "it is only shown"
    await hanna.send(step="confirm", **WORDS)
    assert (hanna.path, "Done: answer this mail" in hanna.text) == (page, True)
    assert "waits while the mail server is away" in hanna.text
    assert "mail answer" in (await hanna.open("/console/post")).text
    assert f'href="{page}"' in hanna.html
    await send(intake, server)
    assert "taken by the next server" in (await hanna.open(page)).text
    letter_id = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM delivery")
    await come_back(intake, letter_id)
    assert "not delivered, and waits for a person (returned)" in (await hanna.open(page)).text
    await confirmed(hanna, f"/console/post/{letter_id}/delivery", way="email")
    await come_back(intake, letter_id)
    assert await send(intake, server) == 1


async def test_who_answers_while_another_does_is_told_before_anything_goes_out(console: OpenedConsole) -> None:
    intake, hanna, anton = console.intake, await console.member("hanna"), await console.member("anton")
    page = f"/console{(await come(intake)).removeprefix('/v1')}/answer"
    await hanna.open(page)
    await hanna.send(step="check", **WORDS)
    await confirmed(anton, page, text="Welches Jahr?", language="de")
    await hanna.send(step="confirm", **WORDS)
    assert (hanna.status, "has changed since you opened this page" in hanna.text) == (422, True)
    assert "Welche Nummer" in hanna.text, "what was entered is kept"
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 1
    await hanna.send(step="check", **WORDS)
    await hanna.send(step="confirm", **WORDS)
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 2
    await hanna.open(page)
    assert "Welches Jahr?" in hanna.text, "what was written before is read first"


async def test_a_mail_that_a_machine_has_written_is_offered_no_answer(console: OpenedConsole) -> None:
    hanna = await console.member("hanna")
    page = f"/console{(await come(console.intake, more='Precedence: bulk' + chr(10))).removeprefix('/v1')}"
    await hanna.open(page)
    assert f"{page}/answer" not in hanna.html
    assert "machines are not answered" in hanna.text
    assert (await hanna.open(f"{page}/answer")).status == 409


async def test_the_page_of_a_request_says_who_has_asked_for_the_person_and_they_are_written_to(
    console: OpenedConsole, server: MailServer
) -> None:
    intake, hanna, ugo = console.intake, await console.member("hanna"), await console.member("ugo")
    raw, mail_id = a_form()
    await intake_form(intake, raw, mail_id)
    said = {"rights": ["access", "erasure"], "subject.account_id": "C-4711", "subject.name": "Ida", "language": "es"}
    hers = {"subject.email": "Bea@Mail.Example"}
    await hanna.open(f"/console/mail/{mail_id}/confirm")
    assert "their address of record" in hanna.text
    await hanna.send(step="check", **said, **hers)
    await hanna.send(step="confirm", **said, **hers)
    assert (hanna.status, "their own data would be found" in hanna.text) == (422, True)
    await confirmed(hanna, f"/console/mail/{mail_id}/confirm", **said)
    requests = await intake.unit_of_work.pool.fetch("SELECT request_id FROM request ORDER BY request_id")
    pages = [f"/console/requests/{row[0]}" for row in requests]
    for each in pages:
        await hanna.open(each)
        assert "Bea Quarzfels, bea@mail.example" in hanna.text, "also of what came with it"
        assert f"/console/mail/{mail_id}/answer" in hanna.html
        assert "bea@mail.example" not in (await ugo.open(each)).html, "an auditor reads no mail"
    await confirmed(hanna, f"/console/mail/{mail_id}/answer", text="¿Tiene un poder?", language="es")
    assert await send(intake, server) == 1, "letters of the request wait for the address of record"
    [taken] = server.taken
    assert taken.to == "bea@mail.example"
    assert "¿Tiene un poder?" in taken.mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    await hanna.open(pages[0])
    assert all(each in hanna.text for each in ("mail answered", "letter sent"))
    exported = await intake.officer.get(f"{pages[0].replace('/console', '/v1')}/case-file")
    with zipfile.ZipFile(io.BytesIO(exported.raise_for_status().content)) as archive:
        assert b"letter.sent" in archive.read("mail.json")
        assert "¿Tiene un poder?" in archive.read("letters/to-a-mail-01.txt").decode()
