"""A letter and the next server: what it is given, what it may answer, and when a letter becomes a person's task."""

from typing import Any

from services.intake.letters.rendering import Letters
from services.intake.mail.sending import Sender, count
from shared.runtime.liveness import Heartbeats
from tests.fixtures.intake import Intake, reference_of
from tests.fixtures.letters_sent import asked, of, open_letters, send
from tests.fixtures.mail_server import SENDER, MailServer
from tests.fixtures.told import told


async def test_a_letter_is_text_and_html_and_names_nobody_outside_its_body(intake: Intake, server: MailServer) -> None:
    path = await asked(intake)
    await send(intake, server)
    [taken] = server.taken
    mail = taken.mail
    assert (taken.to, mail["From"].addresses[0].addr_spec) == ("ada@example.org", SENDER)
    assert mail["Subject"] == "Wir haben Ihren Antrag erhalten"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not [*mail.iter_attachments()]
    assert mail["Auto-Submitted"] == "auto-replied"
    assert reference_of(path) in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Code" not in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    others = {name: value for name, value in mail.items() if name not in {"To", "From"}}
    assert "ada" not in str(others).lower()
    assert "quarzfels" not in str(others).lower()
    assert taken.sender.startswith("privacy+l")


async def test_what_was_found_goes_to_no_address_that_nobody_vouches_for(intake: Intake, server: MailServer) -> None:
    stated = {"email": "somebody@else.example", "account_id": "C-1", "country": "DE"}
    proof: dict[str, Any] = {"proofs": [{"identity": "account_id", "method": "signed_in_mfa"}]}
    path = await asked(intake, subject=stated, **proof)
    await send(intake, server)
    await intake.complete(path)
    assert await send(intake, server) == 0
    [task] = await open_letters(intake)
    assert (task["kind"], task["fault"]) == ("completion", "address_not_proved")
    refused = await intake.officer.post(f"/v1/letters/{task['letter_id']}/delivery", json={"way": "email"})
    assert refused.status_code == 409
    assert "closed" not in await of(intake, path)


async def test_an_address_gets_one_acknowledgement_a_day(intake: Intake, server: MailServer) -> None:
    for _ in range(3):
        await asked(intake)
    await send(intake, server)
    assert len(server.taken) == 1
    intake.clock.pass_by(days=1)
    await asked(intake)
    await send(intake, server)
    assert len(server.taken) == 2


async def test_with_the_server_away_letters_wait_and_say_so(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    nowhere = server.settings.model_copy(update={"port": 1})
    sender = Sender(intake.unit_of_work, nowhere, Letters(), Heartbeats())
    assert await sender.send_due() == 0
    await count(intake.unit_of_work)
    [waits] = await open_letters(intake)
    assert (waits["state"], waits["way"], waits["tries"]) == ("waiting", "email", 1)
    assert told("dsr_letters_open", way="email", state="waiting") == 1
    assert told("dsr_letter_wait_seconds", way="email") == 0
    assert await send(intake, server) == 0, "it has just been tried"
    intake.clock.pass_by(minutes=2)
    assert await send(intake, server) == 1


async def test_a_letter_that_the_server_puts_off_for_days_is_a_persons_task(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    server.answers = ["451 later", "421 closing", "451 later", "452 later"]
    for hours, state in ((0, "waiting"), (1, "waiting"), (46, "waiting"), (2, "person")):
        intake.clock.pass_by(hours=hours)
        await send(intake, server)
        assert [each["state"] for each in await open_letters(intake)] == [state], hours
    [letter] = await open_letters(intake)
    assert letter["fault"] == "put_off"
    (await intake.officer.post(f"/v1/letters/{letter['letter_id']}/delivery", json={"way": "email"})).raise_for_status()
    server.answers = ["451 later"]
    await send(intake, server)
    assert (await open_letters(intake))[0]["state"] == "waiting", "its days begin anew"


async def test_a_server_that_offers_no_encryption_gets_no_letter(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    stripped = server.settings.model_copy(update={"tls": "starttls"})
    assert await Sender(intake.unit_of_work, stripped, Letters(), Heartbeats()).send_due() == 0
    assert server.taken == []


async def test_a_letter_that_cannot_go_is_a_persons_task_and_keeps_no_other_from_going(
    intake: Intake, server: MailServer
) -> None:
    for address in ("ä@example.org", "ada@müller.example", "ben@example.org", "eve@example.org", "kay@example.org"):
        await asked(intake, subject={"email": address, "country": "DE"})
    server.answers = ["250 OK", "", "452 later"]
    await send(intake, server)
    assert [each.to for each in server.taken] == ["ada@xn--mller-kva.example", "kay@example.org"]
    faults = {each["state"]: each["fault"] for each in await open_letters(intake)}
    assert faults == {"person": "address_unusable", "waiting": None}
    intake.clock.pass_by(hours=1)
    assert await send(intake, server) == 2


async def test_letter_without_its_250_is_resent_under_the_same_id(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    server.breaks_off = True
    assert await send(intake, server) == 0
    server.breaks_off = False
    intake.clock.pass_by(hours=1)
    assert await send(intake, server) == 1
    assert len({taken.mail["Message-ID"] for taken in server.taken}) == 1
    assert len(server.taken) == 2
