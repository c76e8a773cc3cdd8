"""Letters to whoever asked by e-mail: they are told once the next server has taken the letter, and not before."""

from typing import Any

from uuid_utils.compat import uuid7

from services.intake.expiry import end_all
from services.intake.mail import tokens
from services.intake.retention import retention
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from tests.fixtures.events import a
from tests.fixtures.intake import WORDS, Intake, id_of
from tests.fixtures.letters_sent import PROVED, asked, column, come_back, of, open_letters, send
from tests.fixtures.mail_server import MailServer
from tests.fixtures.told import Count

STAYS = "to lift that restriction, and tell you so before we do"
DONE = {"operation": Operation.RESTRICT, "right": "restriction"}


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


async def answer(intake: Intake, path: str) -> str:
    said: str = (await intake.officer.get(path)).json()["answer"]
    return said


async def test_a_lift_whose_letter_comes_back_is_restricted_again_until_it_is_delivered(
    intake: Intake, server: MailServer
) -> None:
    path = await asked(intake, right="restriction", ground="unlawful", **PROVED)
    await intake.complete(path, operation=Operation.RESTRICT)
    (await intake.officer.post(f"{path}/lift")).raise_for_status()
    assert STAYS in await answer(intake, path), "its letter waits"
    await send(intake, server)
    await intake.complete(path, operation=Operation.LIFT)
    assert f"was lifted on {intake.clock.now():%-d %B %Y}." in await answer(intake, path)
    told = await intake.officer.post(f"{path}/restrict-again")
    assert (told.status_code, "has not come back" in told.text) == (409, True)
    lifting = tokens.letters_in(intake.unit_of_work.vault.keyring.lookup, server.taken[-1].sender)
    [letter_id] = map(str, lifting)
    await come_back(intake, letter_id)
    (await intake.officer.post(f"{path}/restrict-again")).raise_for_status()
    assert STAYS in await answer(intake, path), "it is restricted again"
    assert (await of(intake, path))[-1] == "restriction_resumed"
    assert await column(intake, path, "lifted_at") is None
    again = await intake.officer.post(f"/v1/letters/{letter_id}/delivery", json={"way": "email"})
    assert again.status_code == 200, again.text
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
