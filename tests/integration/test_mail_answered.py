"""What a person of ours writes back to a mail: once, in its thread, where it came from, and kept no longer than it."""

from typing import Any
from uuid import UUID

import pytest

from services.intake import expiry
from services.intake.letters.rendering import Letters
from services.intake.mail import inbox, tokens
from services.intake.mail.form import Form, write
from services.intake.mail.incoming import read as read_mail
from services.intake.retention import retention
from shared.domain.rights import Right
from tests.fixtures.intake import Intake
from tests.fixtures.letters_sent import send
from tests.fixtures.mail_server import SENDER, MailServer
from tests.integration.test_mail_read import mail, ours, take, waiting
from tests.integration.test_mail_reports import report
from tests.integration.test_vault_orphans import LATER, swept

WORDS = "Bitte nennen Sie uns die {Rufnummer} <und> den Zeitraum.\nVielen Dank!"
SAID: dict[str, Any] = {"text": WORDS}
PERIODS = retention()


async def come(intake: Intake, **said: str) -> str:
    """The path of a mail that has just come."""
    await take(intake, mail(**said))
    return f"/v1/mail/{await intake.unit_of_work.pool.fetchval('SELECT mail_id FROM mail ORDER BY mail_id DESC')}"


async def answered(intake: Intake, path: str, **said: Any) -> str:
    """The id of the letter that was written back."""
    answer = await intake.officer.post(f"{path}/answer", json={**SAID, **said})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["letter_id"])


async def read(intake: Intake, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await intake.officer.get(path)).raise_for_status().json()
    return found


async def actions(intake: Intake, path: str) -> list[str]:
    query = "SELECT action FROM evidence.entry WHERE request_id = $1 ORDER BY seq"
    return [row[0] for row in await intake.unit_of_work.pool.fetch(query, UUID(path.rpartition("/")[2]))]


async def ended(intake: Intake) -> int:
    return (await expiry.end_all(intake.unit_of_work, PERIODS, lambda: None))["mail_answers"]


async def kept(intake: Intake, letter_id: str) -> int:
    """How many rows of any kind there are of an answer."""
    rows = 0
    for table, column in (
        ("vault.sealed", "subject_ref"),
        ("vault.subject", "subject_ref"),
        ("delivery", "letter_id"),
        ("mail_answer", "letter_id"),
    ):
        rows += await intake.unit_of_work.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE {column} = $1", UUID(letter_id)
        )
    return rows


async def test_an_answer_goes_out_once_in_the_thread_and_the_language_of_the_mail_and_is_on_record(
    intake: Intake, server: MailServer
) -> None:
    path = await come(intake, more="Reply-To: eve@elsewhere.example\nReferences: <0@mail.example>\n")
    shown = (await intake.officer.post(f"{path}/answer/preview", json=SAID)).raise_for_status().json()
    assert (shown["to"], shown["language"], shown["subject"]) == ("ada@mail.example", "de", "Ihre Nachricht an uns")
    assert WORDS in shown["body"]
    assert await send(intake, server) == 0, "looking sends nothing"
    letter_id = await answered(intake, path)
    again = await intake.officer.post(f"{path}/answer", json=SAID)
    assert (again.status_code, await send(intake, server)) == (412, 1), "sent twice it is one"
    [taken] = server.taken
    assert (taken.to, taken.mail["Subject"]) == ("ada@mail.example", "Ihre Nachricht an uns")
    assert (taken.mail["In-Reply-To"], taken.mail["References"]) == (
        "<1@mail.example>",
        "<0@mail.example> <1@mail.example>",
    )
    text = taken.mail.get_body(("plain",)).get_content().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert text.strip() == shown["body"].strip(), "what went out is what was shown"
    for each in ("Sehr geehrte", "Mit freundlichen", "30 N Gould St", "Ansprechpartner für Datenschutz", path[-36:]):
        assert each in text
    assert [*taken.mail.iter_attachments()] == []
    [answer] = (await read(intake, path))["answers"]
    assert (answer["letter_id"], answer["state"], answer["to"]) == (letter_id, "sent", "ada@mail.example")
    assert WORDS in answer["body"]
    assert await actions(intake, path) == ["mail.read", "mail.answered", "letter.sent", "mail.read"]
    assert len(await waiting(intake)) == 1, "the mail is decided about apart"
    await answered(intake, path, answers=1, text="Noch eines.")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("Bitte schicken Sie uns eine Ausweiskopie.", "text"),
        ("Please send a copy of your passport.", "text"),
        (" ", "text"),
    ],
)
async def test_an_answer_that_asks_for_an_identity_document_is_refused_before_it_is_shown(
    intake: Intake, text: str, field: str
) -> None:
    path = await come(intake)
    for step in ("answer/preview", "answer"):
        refused = await intake.officer.post(f"{path}/{step}", json={"text": text})
        assert (refused.status_code in {400, 422}, refused.json()["errors"][0]["field"]) == (True, field)
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 0


async def test_nobody_but_the_privacy_team_writes_back_and_nobody_says_where_to(intake: Intake) -> None:
    path = await come(intake)
    assert (await intake.channel.post(f"{path}/answer", json=SAID)).status_code == 403
    assert (await intake.channel.post(f"{path}/answer/preview", json=SAID)).status_code == 403
    assert (await intake.officer.post(f"{path}/answer", json={**SAID, "to": "eve@mail.example"})).status_code == 422
    unknown = f"/v1/mail/{UUID(int=7)}/answer"
    assert (await intake.officer.post(unknown, json=SAID)).status_code == 404


@pytest.mark.parametrize("more", ["Auto-Submitted: auto-replied\n", "Precedence: bulk\n", "From: x@example.org\n"])
async def test_machines_and_reports_are_not_answered(intake: Intake, server: MailServer, more: str) -> None:
    path = await come(intake, more=more)
    if more.startswith("From"):
        path = await come(intake)
        await answered(intake, path)
        await send(intake, server)
        assert await take(intake, report(server.taken[0].sender, "failed", "5.1.1", "9", "<eve@x.example>")) == "reply"
        [listed] = [each for each in await waiting(intake) if not path.endswith(each["mail_id"])]
        path = f"/v1/mail/{listed['mail_id']}"
    shown = await read(intake, path)
    assert (shown["answer_to"], bool(shown["unanswerable"])) == (None, True)
    assert (await intake.officer.post(f"{path}/answer", json=SAID)).status_code == 409


async def test_whose_language_nobody_can_tell_is_written_to_in_the_one_that_is_named(
    intake: Intake, server: MailServer
) -> None:
    path = await come(intake, text="?", subject="?")
    refused = await intake.officer.post(f"{path}/answer", json=SAID)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "language")
    await answered(intake, path, language="fr")
    await send(intake, server)
    assert server.taken[0].mail["Content-Language"] == "fr"


async def test_an_answer_waits_while_mail_is_away_and_outlives_the_mail_until_nobody_can_report_it(
    intake: Intake, server: MailServer
) -> None:
    path = await come(intake)
    letter_id = await answered(intake, path)
    [task] = (await intake.officer.get("/v1/letters")).json()["letters"]
    assert (task["kind"], task["state"], task["request_id"]) == ("mail_answer", "waiting", path[-36:])
    (await intake.officer.post(f"{path}/dismiss", json={"reason": "answered_otherwise"})).raise_for_status()
    assert (await intake.officer.get(path)).status_code == 410
    assert (await intake.officer.post(f"{path}/answer", json={**SAID, "answers": 1})).status_code == 410
    intake.clock.at += LATER
    assert (await ended(intake), await swept(intake)) == (0, {}), "it is not sent yet"
    intake.clock.pass_by(days=1)
    assert await send(intake, server) == 1
    intake.clock.pass_by(days=9)
    assert (await ended(intake), await kept(intake, letter_id)) == (0, 4)
    intake.clock.pass_by(days=2)
    assert (await ended(intake), await kept(intake, letter_id)) == (1, 0)
    assert (await actions(intake, path))[-1] == "evidence.tier_expired"
    assert await swept(intake) == {}


async def test_an_answer_that_comes_back_is_a_persons_who_has_it_sent_there_again_or_gives_it_up(
    intake: Intake, server: MailServer
) -> None:
    path = await come(intake)
    letter = f"/v1/letters/{await answered(intake, path)}"
    await send(intake, server)
    assert await take(intake, report(server.taken[0].sender, "failed", "5.1.1", "2")) == "bounce"
    assert [(each["state"], each["fault"]) for each in (await read(intake, path))["answers"]] == [
        ("person", "returned")
    ]
    assert (await intake.officer.post(f"{letter}/delivery", json={"way": "post"})).status_code == 409
    (await intake.officer.post(f"{letter}/delivery", json={"way": "email"})).raise_for_status()
    server.answers = ["550 no such user"]
    await send(intake, server)
    [task] = (await intake.officer.get("/v1/letters")).json()["letters"]
    assert (task["state"], task["fault"]) == ("person", "refused")
    (await intake.officer.post(f"{path}/dismiss", json={"reason": "other"})).raise_for_status()
    assert await ended(intake) == 0, "a person has it in hand"
    (await intake.officer.post(f"{letter}/given-up", json={"explanation": "No such user."})).raise_for_status()
    assert await ended(intake) == 1


async def test_what_comes_back_to_an_answer_says_so_and_goes_to_the_request_that_the_mail_has_become(
    intake: Intake, server: MailServer
) -> None:
    path = await come(intake)
    await answered(intake, path)
    await send(intake, server)
    to_us = f"In-Reply-To: {server.taken[0].mail['Message-ID']}\n"
    assert await take(intake, mail(name="2", more=to_us)) == "reply"
    second = next(each for each in await waiting(intake) if not path.endswith(each["mail_id"]))
    [followed] = (await read(intake, f"/v1/mail/{second['mail_id']}"))["follows"]
    assert (f"/v1/mail/{followed['mail_id']}", WORDS in followed["body"]) == (path, True)
    asked = {"right": "access", "language": "de", "subject": {"email": "ada@mail.example", "country": "DE"}}
    confirmed = await intake.officer.post(f"{path}/confirm", json={"requests": [asked]})
    request_id = confirmed.raise_for_status().json()["requests"][0]["request_id"]
    assert await take(intake, mail(name="3", more=to_us)) == "reply"
    [reply] = await waiting(intake, "reply")
    assert reply["request_id"] == request_id
    letters = (await intake.officer.get(f"/v1/requests/{request_id}/letters")).raise_for_status().json()
    assert "mail_answer" not in [each["kind"] for each in letters["letters"]], "it is no letter to the person"
    assert await ended(intake) == 0


async def test_what_is_asked_for_somebody_else_is_searched_by_no_address_of_the_asker_and_answered_on_paper(
    intake: Intake,
) -> None:
    raw, mail_id = a_form()
    await intake_form(intake, raw, mail_id)
    path, asked = f"/v1/mail/{mail_id}/confirm", {"right": "access", "subject": {"account_id": "C-4711"}}
    hers = {**asked, "subject": {"account_id": "C-4711", "email": "BEA@mail.example"}}
    refused = await intake.officer.post(path, json={"requests": [hers]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "requests.0.subject.email")
    [accepted] = (await intake.officer.post(path, json={"requests": [asked]})).raise_for_status().json()["requests"]
    [letter] = (await intake.officer.get("/v1/letters")).json()["letters"]
    assert (letter["request_id"], letter["way"]) == (accepted["request_id"], "post")
    assert (letter["state"], letter["fault"]) == ("person", "address_unknown")


async def test_a_mail_of_the_person_themselves_cannot_be_confirmed_without_an_address(intake: Intake) -> None:
    path = await come(intake)
    asked = {"right": "access", "subject": {"account_id": "C-4711"}}
    refused = await intake.officer.post(f"{path}/confirm", json={"requests": [asked]})
    assert (refused.status_code, "subject.email is needed" in refused.text) == (400, True)


async def test_an_answer_to_a_form_goes_to_whoever_has_asked_and_follows_nothing(
    intake: Intake, server: MailServer
) -> None:
    raw, mail_id = a_form()
    await intake_form(intake, raw, mail_id)
    await answered(intake, f"/v1/mail/{mail_id}")
    await send(intake, server)
    [taken] = server.taken
    assert (taken.to, taken.mail["In-Reply-To"], taken.mail["Content-Language"]) == ("bea@mail.example", None, "es")
    [letter_id] = tokens.letters_in(intake.unit_of_work.vault.keyring.lookup, taken.sender)
    assert SENDER not in taken.to
    assert await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM mail_answer") == letter_id


def a_form() -> tuple[bytes, UUID]:
    """What Bea has written in the form of the portal for Ida."""
    mail_id = UUID("019c0000-0000-7000-8000-0000000000aa")
    about = Form("Ida Quarzfels", "C-4711", Right.ACCESS, "es")
    return write(mail_id, about, "mandate", "Una copia, por favor.", ("Bea Quarzfels", "bea@mail.example")), mail_id


async def intake_form(intake: Intake, raw: bytes, mail_id: UUID) -> None:
    """Puts it before a person."""
    known = ours(intake)
    async with intake.unit_of_work.begin() as tx:
        await inbox.take(tx, Letters(), raw, read_mail(raw, intake.clock.now(), known), known, mail_id)
