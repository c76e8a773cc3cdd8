"""Letters to whoever asked by e-mail: they are told once the next server has taken the letter, and not before."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.expiry import end_all
from services.intake.letters import delivered
from services.intake.letters.rendering import Letters
from services.intake.mail import tokens
from services.intake.mail.sending import Sender, count
from services.intake.retention import retention
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.runtime.liveness import Heartbeats
from tests.fixtures.events import a
from tests.fixtures.intake import WORDS, Intake, id_of
from tests.fixtures.mail_server import SENDER, MailServer, mail_server
from tests.fixtures.told import Count, told

PROVED: dict[str, Any] = {
    "proofs": [{"identity": "email", "method": "email_link", "on_file_since": "2020-01-01T00:00:00Z"}]
}
DONE = {"operation": Operation.RESTRICT, "right": "restriction"}


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


async def asked(intake: Intake, **said: object) -> str:
    """The path of a request that came by e-mail, and was entered by an officer."""
    subject = {"name": "Ada Quarzfels", "email": "ada@example.org", "country": "DE"}
    submission = {"right": "access", "language": "de", "channel": "email", "subject": subject, **said}
    answer = await intake.officer.post("/v1/requests", json=submission)
    assert answer.status_code == 201, answer.text
    return f"/v1/requests/{answer.json()['request_id']}"


async def send(intake: Intake, server: MailServer) -> int:
    return await Sender(intake.unit_of_work, server.settings, Letters(), Heartbeats()).send_due()


async def of(intake: Intake, path: str) -> list[str]:
    """Which events of a request were published."""
    return [each["type"].split(".")[2] for each in await intake.published() if each["request_id"] == id_of(path)]


async def column(intake: Intake, path: str, name: str) -> Any:
    return await intake.unit_of_work.pool.fetchval(f"SELECT {name} FROM request WHERE request_id = $1", id_of(path))


async def open_letters(intake: Intake) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get("/v1/letters")).raise_for_status().json()["letters"]
    return found


async def come_back(intake: Intake, letter_id: str) -> None:
    async with intake.unit_of_work.begin() as tx:
        await delivered.stopped(tx, Letters(), letter_id, "returned")  # type: ignore[arg-type]  # as the driver takes it


async def test_the_clock_stops_when_the_next_server_takes_the_answer_and_runs_on_when_it_comes_back(
    intake: Intake, server: MailServer
) -> None:
    path = await asked(intake, **PROVED)
    assert await send(intake, server) == 1
    await intake.complete(path)
    assert await of(intake, path) == ["received", "verified"]
    assert await column(intake, path, "responded_at") is None
    intake.clock.pass_by(hours=5)
    assert await send(intake, server) == 1
    assert (await of(intake, path))[2:] == ["closed"]
    [closed] = [each for each in await intake.published() if each["type"] == "dsr.request.closed.v1"]
    assert await column(intake, path, "responded_at") == intake.clock.now()
    assert closed["responded_at"].startswith(f"{intake.clock.now():%Y-%m-%dT%H:%M}")
    acknowledgement, answer = server.taken
    [letter_id] = tokens.letters_in(intake.unit_of_work.vault.keyring.lookup, answer.sender)
    await come_back(intake, str(letter_id))
    assert (await of(intake, path))[3:] == ["letter_returned"]
    assert await column(intake, path, "responded_at") is None
    [task] = await open_letters(intake)
    assert (task["kind"], task["state"], task["fault"]) == ("completion", "person", "returned")
    again = await intake.officer.post(f"/v1/letters/{letter_id}/delivery", json={"way": "email"})
    assert again.status_code == 200, again.text
    assert await send(intake, server) == 1
    assert (await of(intake, path))[4:] == ["closed"]
    assert server.taken[2].mail["Message-ID"] == answer.mail["Message-ID"]
    assert answer.mail["In-Reply-To"] == acknowledgement.mail["Message-ID"]


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
    assert id_of(path) in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Code" not in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    others = {name: value for name, value in mail.items() if name not in {"To", "From"}}
    assert "ada" not in str(others).lower()
    assert "quarzfels" not in str(others).lower()
    assert taken.sender.startswith("privacy+l")


async def test_a_restriction_is_lifted_only_once_the_letter_that_says_so_was_taken(
    intake: Intake, server: MailServer
) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", **PROVED)
    await intake.complete(path, operation=Operation.RESTRICT)
    await send(intake, server)
    (await intake.officer.post(f"{path}/lift")).raise_for_status()
    assert "lift_decided" not in await of(intake, path)
    entries = (await intake.officer.get(f"{path}/timeline")).json()["entries"]
    assert [each["detail"] for each in entries if each["action"] == "restriction.lift_decided"] == [{}], "not told yet"
    server.answers = ["451 later"]
    await send(intake, server)
    assert "lift_decided" not in await of(intake, path)
    intake.clock.pass_by(hours=1)
    await send(intake, server)
    assert (await of(intake, path))[-1] == "lift_decided"


async def test_a_question_is_asked_when_its_letter_is_taken(intake: Intake, server: MailServer) -> None:
    path = await asked(intake)
    await send(intake, server)
    asking = {"question": "identity", "text": WORDS}
    (await intake.officer.post(f"{path}/question", json=asking)).raise_for_status()
    assert "question_sent" not in await of(intake, path)
    intake.clock.pass_by(hours=7)
    await send(intake, server)
    assert (await of(intake, path))[-1] == "question_sent"
    assert (await intake.published())[-1]["asked_at"].startswith(f"{intake.clock.now():%Y-%m-%dT%H}")
    assert await column(intake, path, "asked_at") == intake.clock.now()


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


async def test_an_extension_is_told_when_its_letter_is_taken_and_not_while_it_has_come_back(
    intake: Intake, server: MailServer
) -> None:
    path = await asked(intake, **PROVED)
    await intake.extend(path)
    told = "SELECT told_at FROM extension"
    due_on = await column(intake, path, "due_on")
    assert await intake.unit_of_work.pool.fetchval(told) is None
    await send(intake, server)
    assert await column(intake, path, "due_on") > due_on
    assert (await of(intake, path))[-1] == "extended"
    assert await intake.unit_of_work.pool.fetchval(told) == intake.clock.now()
    [letter_id] = tokens.letters_in(intake.unit_of_work.vault.keyring.lookup, server.taken[-1].sender)
    await come_back(intake, str(letter_id))
    assert (await intake.published())[-1]["what"] == "extension"
    assert await column(intake, path, "due_on") == due_on
    assert await intake.unit_of_work.pool.fetchval(told) is None
    again = await intake.officer.post(f"/v1/letters/{letter_id}/delivery", json={"way": "email"})
    assert again.status_code == 200, again.text
    intake.clock.pass_by(days=1)
    await send(intake, server)
    assert (await of(intake, path))[-2:] == ["letter_returned", "extended"]
    assert await intake.unit_of_work.pool.fetchval(told) == intake.clock.now()


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


async def test_a_letter_whose_250_was_lost_is_sent_under_the_same_message_id(
    intake: Intake, server: MailServer
) -> None:
    await asked(intake)
    server.breaks_off = True
    assert await send(intake, server) == 0
    server.breaks_off = False
    intake.clock.pass_by(hours=1)
    assert await send(intake, server) == 1
    assert len({taken.mail["Message-ID"] for taken in server.taken}) == 1
    assert len(server.taken) == 2


async def test_a_refused_address_is_a_persons_task_and_the_answer_can_be_posted(
    intake: Intake, server: MailServer
) -> None:
    taken, refused = Count("dsr_letters_sent_total", way="email"), Count("dsr_letters_stopped_total", reason="refused")
    path = await asked(intake, **PROVED)
    await send(intake, server)
    await intake.complete(path)
    server.answers = ["550 no such user"]
    await send(intake, server)
    assert (taken.added, refused.added) == (1, 1)
    [task] = await open_letters(intake)
    letter = f"/v1/letters/{task['letter_id']}"
    assert (task["state"], task["fault"]) == ("person", "refused")
    assert (await intake.officer.post(f"{letter}/delivery", json={"way": "post"})).status_code == 409, "no address yet"
    window = {"lines": ["Ada Quarzfels", "Musterstraße 1 <b>", "50667 Köln"], "on_file_in": "crm"}
    (await intake.officer.post(f"{path}/postal-address", json=window)).raise_for_status()
    assert (await intake.officer.post(f"{letter}/delivery", json={"way": "post"})).status_code == 200
    printed = await intake.officer.get("/v1/letters/print")
    assert "Ada Quarzfels<br>Musterstraße 1 &lt;b&gt;<br>50667 Köln" in printed.text
    assert printed.headers["Cache-Control"] == "no-store"
    assert (await intake.channel.get("/v1/letters/print")).status_code == 403
    intake.clock.pass_by(days=1)
    assert (await intake.officer.post(f"{letter}/posted")).status_code == 200
    assert (await intake.officer.post(f"{letter}/posted")).status_code == 409
    assert (await of(intake, path))[-1] == "closed"
    assert await column(intake, path, "responded_at") == intake.clock.now()


async def test_the_words_of_an_answer_are_kept_until_it_is_delivered_or_given_up(intake: Intake) -> None:
    path = await asked(intake, **PROVED)
    await intake.complete(path)
    intake.clock.pass_by(days=400)
    assert (await end_all(intake.unit_of_work, retention(), lambda: None))["letters"] == 0
    for task in await open_letters(intake):
        given_up = {"explanation": "The address is no more."}
        (await intake.officer.post(f"/v1/letters/{task['letter_id']}/given-up", json=given_up)).raise_for_status()
    assert (await end_all(intake.unit_of_work, retention(), lambda: None))["letters"] == 1


async def test_an_answer_that_nobody_can_deliver_is_given_up_by_a_person_and_lifts_nothing(
    intake: Intake, server: MailServer
) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", channel="post", **PROVED)
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), **DONE))
    for task in await open_letters(intake):
        given_up = {"explanation": "The letter came back twice."}
        answer = await intake.officer.post(f"/v1/letters/{task['letter_id']}/given-up", json=given_up)
        assert answer.status_code == 200, answer.text
    assert (await of(intake, path))[-1] == "closed"
    (await intake.officer.post(f"{path}/lift")).raise_for_status()
    [task] = await open_letters(intake)
    await intake.officer.post(f"/v1/letters/{task['letter_id']}/given-up", json={"explanation": "Nobody lives there."})
    assert "lift_decided" not in await of(intake, path)
    assert (await intake.officer.post(f"{path}/lift")).status_code == 200, "it is in force, and may be lifted later"
    assert await send(intake, server) == 0


async def test_after_an_erasure_a_letter_goes_where_the_answer_went(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, **(PROVED | {"right": "erasure"}))
    known: dict[str, Any] = {"task_id": uuid7(), "system": "shop", "operation": Operation.ERASE, "found": 1}
    held = TaskReport(**known, outcome=TaskOutcome.RETAINED, remaining=1, ground="legal_hold")
    erasure = {"right": "erasure", "operation": Operation.ERASE}
    await intake.complete(path, **erasure, outcome="partially_fulfilled", tasks=(held,))
    await send(intake, server)
    server.taken.clear()
    async with intake.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [await column(intake, path, "subject_ref")], tx.now)
    gone = TaskReport(**known | {"task_id": uuid7()}, outcome=TaskOutcome.ERASED, changed=1)
    await intake.complete(path, **erasure, outcome="fulfilled", tasks=(gone,), deferred=True)
    await send(intake, server)
    assert "ada@example.org" in [each.to for each in server.taken[-2:]]
    assert not await open_letters(intake)
