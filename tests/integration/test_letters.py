"""Letters lie under a key of their own: they outlive the subject's, and are read by who may read them."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from services.intake.access.auth import create
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.messaging.dispatcher import Unreadable
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, WORDS, Intake, id_of, reference_of
from tests.fixtures.letters_sent import PROVED, asked, column, deliver, last_comes_back, of, open_letters, send
from tests.fixtures.mail_server import SENDER, MailServer
from tests.fixtures.metrics import Count, metric
from tests.fixtures.recipients import digests

TASK = {"task_id": "019c0000-0000-7000-8000-000000000001", "system": "crm"}
ERASED = TaskReport.model_validate(
    {**TASK, "operation": Operation.ERASE, "outcome": TaskOutcome.ERASED, "found": 2, "changed": 2}
)


async def submitted(intake: Intake, **said: object) -> tuple[str, dict[str, str]]:
    """The path of an erasure, and the header that opens its letters."""
    subject = {"name": "Ada Quarzfels", "email": "ada@example.org", "country": "DE"}
    submission = {"right": "erasure", "language": "en", "subject": subject, **PROOF, **said}
    accepted = (await intake.channel.post("/v1/requests", json=submission)).raise_for_status().json()
    return f"/v1/requests/{accepted['request_id']}", {"Letter-Code": accepted["letter_code"]}


async def erased(intake: Intake) -> tuple[str, dict[str, str]]:
    """The same of an erasure that is closed, and whose subject's key is gone."""
    path, code = await submitted(intake)
    await intake.complete(path, operation=Operation.ERASE, tasks=(ERASED,))
    await intake.shred(path)
    return path, code


async def test_after_an_erasure_the_letters_are_read_by_the_privacy_team_and_by_their_code(intake: Intake) -> None:
    path, code = await erased(intake)
    for wrong in ({}, {"Letter-Code": "AAAAAAAAAAAAAAAAAAAAAAAA"}, {"Letter-Code": ""}):
        assert (await intake.channel.get(f"{path}/letters", headers=wrong)).status_code == 403
    for reader, headers in ((intake.officer, {}), (intake.channel, code)):
        answer = await reader.get(f"{path}/letters", headers=headers)
        acknowledgement, closing = answer.raise_for_status().json()["data"]
        assert (acknowledgement["kind"], closing["kind"]) == ("acknowledgement", "answer")
        assert [each["to"] for each in (acknowledgement, closing)] == [[], []], "no recipient is shown any more"
        assert not any(said in str(each) for said in ("Quarzfels", "ada@") for each in (acknowledgement, closing))
        assert "crm: 2 records erased" in closing["body"]
        assert (code["Letter-Code"] in acknowledgement["body"]) is (reader is intake.channel), "it is theirs alone"
    read = await intake.details(path, "letters.read")
    assert read == [{"holder": "officer-1", "by_code": False}, {"holder": "portal", "by_code": True}]


async def test_answer_to_a_rectification_names_what_was_to_be_corrected_and_no_value(intake: Intake) -> None:
    changes = [{"field": "email", "asserted": "new@example.org"}, {"field": "address.city", "asserted": "Quarzfels"}]
    path, code = await submitted(intake, right="rectification", changes=changes)
    corrected = TaskReport.model_validate({**TASK, "operation": "rectify", "outcome": "amended", "found": 1})
    await intake.complete(path, operation=Operation.RECTIFY, right=Right.RECTIFICATION, tasks=(corrected,))
    closing = (await intake.officer.get(f"{path}/letters", headers=code)).raise_for_status().json()["data"][1]
    assert "You asked us to correct: E-mail address and Town." in closing["body"]
    assert not any(value in closing["body"] for value in ("new@example.org", "Quarzfels."))


async def test_austrian_without_a_language_is_answered_in_german(intake: Intake) -> None:
    path = await intake.submit(subject={"email": "ada@example.org", "country": "AT"}, language=None)
    (letter,) = (await intake.view(f"{path}/letters"))["data"]
    view, theirs = await intake.view(path), (await intake.officer.get(path)).json()
    assert (letter["language"], letter["subject"]) == (
        "de",
        "Wir haben Ihren Antrag auf eine Kopie Ihrer Daten erhalten (Aktenzeichen " + reference_of(path) + ")",
    )
    assert view["answer"] == "Wir bearbeiten Ihren Antrag. Sie hören bis zum 1. April 2026 von uns."
    assert view["answer"] in letter["body"]
    assert '<html lang="de">' in letter["html"]
    assert theirs["answer"] == "We are working on your request. You will hear from us by 1 April 2026."
    assert view["language"] == theirs["language"] == "de"


async def test_unsent_letter_is_rendered_when_first_read(intake: Intake) -> None:
    path, code = await submitted(intake)
    await intake.complete(path, operation=Operation.ERASE, tasks=(ERASED,))
    assert await asked_for(intake) == []
    first = (await intake.channel.get(f"{path}/letters", headers=code)).json()["data"]
    assert all(each["ready"] and each["body"] for each in first)
    assert await asked_for(intake) == [each["letter_id"] for each in first]
    assert (await intake.channel.get(f"{path}/letters", headers=code)).json()["data"] == first
    assert await asked_for(intake) == [each["letter_id"] for each in first], "a letter has one text for ever"


async def asked_for(intake: Intake) -> list[str]:
    """The letters that correspondence was asked to render."""
    query = "SELECT value FROM outbox WHERE topic = 'dsr.notices' ORDER BY position"
    return [json.loads(row["value"])["notice_id"] for row in await intake.unit_of_work.pool.fetch(query)]


async def test_another_channel_reads_letters_by_their_code_alone(intake: Intake, database: str) -> None:
    path, code = await submitted(intake)
    key = await create(database, "channel", "shop", intake.clock.now())
    known = {"Authorization": f"Bearer {key}"}
    assert (await intake.channel.get(f"{path}/letters", headers=known)).status_code == 404
    assert (await intake.channel.get(f"{path}/letters", headers=known | code)).status_code == 200
    assert (await intake.channel.get(path, headers=known | code)).status_code == 404


async def test_waiting_letters_are_listed_for_the_privacy_team_without_words(intake: Intake) -> None:
    path = await asked(intake)
    await erased(intake)
    first, *rest = (await intake.officer.get("/v1/letters")).raise_for_status().json()["data"]
    assert (first["kind"], rest) == ("acknowledgement", []), "what is fetched waits for nothing"
    assert first["request_id"] == id_of(path)
    await digests(intake, sent=False)
    *_, last = rest = (await intake.officer.get("/v1/letters")).json()["data"][1:]
    assert (last["kind"], last["request_id"]) == ("recipient_notice", None)
    assert first.keys() == {"letter_id", "request_id", "kind", "way", "state", "fault", "written_at"}
    assert (await intake.officer.get("/v1/letters", params={"cursor": first["letter_id"]})).json()["data"] == rest
    assert (await intake.channel.get("/v1/letters")).status_code == 403


async def test_the_answer_is_available_at_the_moment_it_is_said_to_be(intake: Intake, clock: SetClock) -> None:
    path, code = await submitted(intake)
    clock.pass_by(hours=3)
    await intake.complete(path, operation=Operation.ERASE, tasks=(ERASED,))
    (closed,) = [event for event in await intake.published() if event["type"] == "dsr.request.closed.v1"]
    letters = (await intake.channel.get(f"{path}/letters", headers=code)).json()["data"]
    assert letters[-1]["written_at"].replace("+00:00", "Z") == closed["responded_at"]
    immediately = ["letter.written", "request.closed"]
    assert (await intake.actions(path))[2:4] == immediately


async def test_thousand_letters_need_no_more_statements(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = []
    for number in (1, 10, 20):  # of the first, the driver learns the types; few rows are inserted one by one
        paths = [(await submitted(intake))[0] for _ in range(number)]
        events = [a(FulfilmentCompleted, about=id_of(path), operation="erase", tasks=(ERASED,)) for path in paths]
        said: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(UnitOfWork, "__init__", _listening(said))
            await intake.consume(*events)
        statements.append(len(said))
    assert statements[1] == statements[2] > 3


def _listening(said: list[str]) -> Any:
    begin = UnitOfWork.__init__

    def init(self: UnitOfWork, connection: Any, factory: Any) -> None:
        connection.add_query_logger(lambda record: said.append(record.query))
        begin(self, connection, factory)

    return init


async def test_a_withdrawal_says_what_had_been_done_already(intake: Intake) -> None:
    path, code = await submitted(intake)
    async with intake.unit_of_work.begin() as tx:
        for report in (ERASED, ERASED.model_copy(update={"operation": "locate", "outcome": "located"})):
            tx.log_evidence(UUID(id_of(path)), "task.concluded", report.model_dump(mode="json"))
    (await intake.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    letters = (await intake.channel.get(f"{path}/letters", headers=code)).json()["data"]
    assert letters[-1]["kind"] == "answer"
    assert "- crm: 2 records erased." in letters[-1]["body"]


# Letters to an e-mail requester count once the next server has accepted them.
STAYS = "to lift that restriction, and tell you so before we do"
DONE = {"operation": Operation.RESTRICT, "right": "restriction"}


async def test_clock_stops_at_delivery_and_resumes_at_a_bounce(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, **PROVED)
    assert await send(intake, server) == 1
    await intake.complete(path)
    assert await of(intake, path) == ["verified"]
    assert await column(intake, path, "responded_at") is None
    intake.clock.pass_by(hours=5)
    assert await send(intake, server) == 1
    assert (await of(intake, path))[1:] == ["closed"]
    [closed] = [each for each in await intake.published() if each["type"] == "dsr.request.closed.v1"]
    assert await column(intake, path, "responded_at") == intake.clock.now()
    assert closed["responded_at"].startswith(f"{intake.clock.now():%Y-%m-%dT%H:%M}")
    acknowledgement, answer = server.taken
    letter_id = await last_comes_back(intake, server)
    assert (await of(intake, path))[2:] == ["letter_returned"]
    assert await column(intake, path, "responded_at") is None
    [task] = await open_letters(intake)
    assert (task["kind"], task["state"], task["fault"]) == ("answer", "needs_attention", "returned")
    await deliver(intake, letter_id)
    assert await send(intake, server) == 1
    assert (await of(intake, path))[3:] == ["closed"]
    assert server.taken[2].mail["Message-ID"] == answer.mail["Message-ID"]
    assert answer.mail["In-Reply-To"] == acknowledgement.mail["Message-ID"]


async def test_restriction_is_lifted_once_its_letter_was_accepted(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", **PROVED)
    await intake.complete(path, operation=Operation.RESTRICT)
    await send(intake, server)
    (await intake.officer.post(f"{path}/actions/lift")).raise_for_status()
    assert "lift_decided" not in await of(intake, path)
    entries = (await intake.officer.get(f"{path}/timeline")).json()["data"]
    assert [each["detail"] for each in entries if each["action"] == "restriction.lift_decided"] == [{}], "not yet"
    server.answers = ["451 later"]
    await send(intake, server)
    assert "lift_decided" not in await of(intake, path)
    intake.clock.pass_by(hours=1)
    await send(intake, server)
    assert (await of(intake, path))[-1] == "lift_decided"


async def answer(intake: Intake, path: str) -> str:
    said: str = (await intake.officer.get(path)).json()["answer"]
    return said


async def test_bounced_lift_stays_lifted_and_its_letter_goes_out_again(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", **PROVED)
    await intake.complete(path, operation=Operation.RESTRICT)
    (await intake.officer.post(f"{path}/actions/lift")).raise_for_status()
    assert STAYS in await answer(intake, path), "its letter waits"
    await send(intake, server)
    await intake.complete(path, operation=Operation.LIFT)
    letter_id = await last_comes_back(intake, server)
    assert [each["fault"] for each in await open_letters(intake)] == ["returned"]
    assert f"was lifted on {intake.clock.now():%-d %B %Y}." in await answer(intake, path)
    await deliver(intake, letter_id)
    await send(intake, server)
    assert (await of(intake, path)).count("lift_decided") == 1, "systems are asked once"


async def test_a_question_is_asked_when_its_letter_is_taken(intake: Intake, server: MailServer) -> None:
    path = await asked(intake)
    await send(intake, server)
    asking = {"question": "identity", "text": WORDS}
    (await intake.officer.post(f"{path}/actions/ask", json=asking)).raise_for_status()
    assert "question_sent" not in await of(intake, path)
    intake.clock.pass_by(hours=7)
    await send(intake, server)
    assert (await of(intake, path))[-1] == "question_sent"
    assert (await intake.published())[-1]["asked_at"].startswith(f"{intake.clock.now():%Y-%m-%dT%H}")
    asked_at = await column(intake, path, "facts -> 'question' ->> 'asked_at'")
    assert datetime.fromisoformat(asked_at) == intake.clock.now()


async def test_extension_takes_effect_with_its_accepted_letter(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, **PROVED)
    await intake.extend(path)
    notified = "SELECT notified_at FROM extension"
    due_on = await column(intake, path, "due_on")
    assert await intake.unit_of_work.pool.fetchval(notified) is None
    await send(intake, server)
    assert await column(intake, path, "due_on") > due_on
    assert (await of(intake, path))[-1] == "extended"
    assert await intake.unit_of_work.pool.fetchval(notified) == intake.clock.now()
    letter_id = await last_comes_back(intake, server)
    assert (await intake.published())[-1]["what"] == "extension"
    assert await column(intake, path, "due_on") == due_on
    assert await intake.unit_of_work.pool.fetchval(notified) is None
    await deliver(intake, letter_id)
    intake.clock.pass_by(days=1)
    await send(intake, server)
    assert (await of(intake, path))[-2:] == ["letter_returned", "extended"]
    assert await intake.unit_of_work.pool.fetchval(notified) == intake.clock.now()


async def test_refused_address_needs_review_and_allows_post(intake: Intake, server: MailServer) -> None:
    taken, refused = Count("dsr_letters_sent_total", way="email"), Count("dsr_letters_stopped_total", reason="refused")
    path = await asked(intake, **PROVED)
    await send(intake, server)
    await intake.complete(path)
    server.answers = ["550 no such user"]
    await send(intake, server)
    assert (taken.added, refused.added) == (1, 1)
    [task] = await open_letters(intake)
    letter = f"/v1/letters/{task['letter_id']}"
    assert (task["state"], task["fault"]) == ("needs_attention", "refused")
    await deliver(intake, task["letter_id"], "post", 409)
    window = {"lines": ["Ada Quarzfels", "Musterstraße 1 <b>", "50667 Köln"], "on_file_in": "crm"}
    (await intake.officer.post(f"{path}/actions/record-address", json=window)).raise_for_status()
    await deliver(intake, task["letter_id"], "post")
    printed = await intake.officer.get("/v1/letters/print")
    assert "Ada Quarzfels<br>Musterstraße 1 &lt;b&gt;<br>50667 Köln" in printed.text
    assert printed.headers["Cache-Control"] == "no-store"
    intake.clock.pass_by(days=1)
    assert (await intake.officer.post(f"{letter}/actions/mark-posted")).status_code == 200
    assert (await intake.officer.post(f"{letter}/actions/mark-posted")).status_code == 409
    assert (await of(intake, path))[-1] == "closed"
    assert await column(intake, path, "responded_at") == intake.clock.now()


async def give_all_up(intake: Intake) -> int:
    letters, given_up = await open_letters(intake), {"explanation": "The letter came back twice."}
    for each in letters:
        path = f"/v1/letters/{each['letter_id']}/actions/give-up"
        (await intake.officer.post(path, json=given_up)).raise_for_status()
    return len(letters)


async def test_undeliverable_answer_is_given_up_and_lifts_nothing(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", channel="post", **PROVED)
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), **DONE))
    await give_all_up(intake)
    assert (await of(intake, path))[-1] == "closed"
    (await intake.officer.post(f"{path}/actions/lift")).raise_for_status()
    assert await give_all_up(intake) == 1
    assert "lift_decided" not in await of(intake, path)
    assert (await intake.officer.post(f"{path}/actions/lift")).status_code == 200, (
        "it is in force, and may be lifted later"
    )
    assert await send(intake, server) == 0


async def test_after_an_erasure_a_letter_goes_where_the_answer_went(intake: Intake, server: MailServer) -> None:
    path = await asked(intake, **(PROVED | {"right": "erasure"}))
    known: dict[str, Any] = {"task_id": uuid7(), "system": "shop", "operation": Operation.ERASE, "found": 1}
    held = TaskReport(**known, outcome=TaskOutcome.RETAINED, remaining=1, ground="legal_hold")
    erasure = {"right": "erasure", "operation": Operation.ERASE}
    await intake.complete(path, **erasure, outcome="partially_fulfilled", tasks=(held,))
    await send(intake, server)
    server.taken.clear()
    await intake.shred(path)
    gone = TaskReport(**known | {"task_id": uuid7()}, outcome=TaskOutcome.ERASED, changed=1)
    await intake.complete(path, **erasure, outcome="fulfilled", tasks=(gone,), deferred=True)
    await send(intake, server)
    assert "ada@example.org" in [each.to for each in server.taken[-2:]]
    assert not await open_letters(intake)


# A letter and the next server: what it is given, what it may answer, and when a letter becomes a person's task.
async def test_letter_is_text_and_html_and_names_people_only_in_its_body(intake: Intake, server: MailServer) -> None:
    path = await asked(intake)
    await send(intake, server)
    [taken] = server.taken
    mail = taken.mail
    assert (taken.to, mail["From"].addresses[0].addr_spec) == ("ada@example.org", SENDER)
    reference = reference_of(path)
    assert mail["Subject"] == f"Wir haben Ihren Antrag auf eine Kopie Ihrer Daten erhalten (Aktenzeichen {reference})"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not [*mail.iter_attachments()]
    assert mail["Auto-Submitted"] == "auto-replied"
    assert reference_of(path) in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Code" not in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    others = {name: value for name, value in mail.items() if name not in {"To", "From"}}
    assert "ada" not in str(others).lower()
    assert "quarzfels" not in str(others).lower()
    assert taken.sender.startswith("privacy+l")


async def test_findings_go_to_no_unconfirmed_address(intake: Intake, server: MailServer) -> None:
    stated = {"email": "person@else.example", "account_id": "C-1", "country": "DE"}
    proof: dict[str, Any] = {"proofs": [{"identity": "account_id", "method": "signed_in_mfa"}]}
    path = await asked(intake, subject=stated, **proof)
    await send(intake, server)
    await intake.complete(path)
    assert await send(intake, server) == 0
    [task] = await open_letters(intake)
    assert (task["kind"], task["fault"]) == ("answer", "address_not_proved")
    await deliver(intake, task["letter_id"], status=409)
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
    assert await intake.correspondence.send(nowhere) == 0
    await intake.count()
    [waits] = await open_letters(intake)
    assert (waits["state"], waits["way"]) == ("waiting", "email")
    assert metric("dsr_letters_open", way="email", state="waiting") == 1
    assert metric("dsr_letter_wait_seconds", way="email") == 0
    assert await send(intake, server) == 0, "it has just been tried"
    intake.clock.pass_by(minutes=2)
    assert await send(intake, server) == 1


async def test_letter_deferred_for_days_is_manual(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    server.answers = ["451 later", "421 closing", "451 later", "452 later"]
    for hours, state in ((0, "waiting"), (1, "waiting"), (46, "waiting"), (2, "needs_attention")):
        intake.clock.pass_by(hours=hours)
        await send(intake, server)
        assert [each["state"] for each in await open_letters(intake)] == [state], hours
    [letter] = await open_letters(intake)
    assert letter["fault"] == "put_off"
    await deliver(intake, letter["letter_id"])
    server.answers = ["451 later"]
    await send(intake, server)
    assert (await open_letters(intake))[0]["state"] == "waiting", "its days begin again"


async def test_a_server_that_offers_no_encryption_gets_no_letter(intake: Intake, server: MailServer) -> None:
    await asked(intake)
    stripped = server.settings.model_copy(update={"tls": "starttls"})
    assert await intake.correspondence.send(stripped) == 0
    assert server.taken == []


async def test_letter_that_cannot_be_rendered_is_set_aside_alone(intake: Intake, server: MailServer) -> None:
    for address in ("ada@example.org", "ben@example.org"):
        await asked(intake, subject={"email": address, "country": "DE"})
    async with intake.unit_of_work.begin() as tx:
        [(request_id, letter_id), _] = await tx.connection.fetch("SELECT request_id, letter_id FROM letter ORDER BY 2")
        content = orjson.loads(await tx.vault.open_one(tx.connection, letter_id) or b"")
        del content["fields"]["standing"]
        await tx.vault.replace(tx.connection, Sealing(request_id, "letter", "", orjson.dumps(content), letter_id))
    with pytest.raises(Unreadable, match="acknowledgement cannot be rendered: UndefinedError"):
        await send(intake, server)
    letters = (await intake.officer.get(f"/v1/requests/{request_id}/letters")).json()["data"]
    assert [(each["ready"], each["delivery"]) for each in letters] == [(False, "waiting")]


async def test_undeliverable_letter_is_manual_and_delays_no_other(intake: Intake, server: MailServer) -> None:
    for address in ("ä@example.org", "ada@müller.example", "ben@example.org", "eve@example.org", "kay@example.org"):
        await asked(intake, subject={"email": address, "country": "DE"})
    server.answers = ["250 OK", "", "452 later"]
    await send(intake, server)
    assert [each.to for each in server.taken] == ["ada@xn--mller-kva.example", "kay@example.org"]
    faults = {each["state"]: each["fault"] for each in await open_letters(intake)}
    assert faults == {"needs_attention": "address_unusable", "waiting": None}
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
