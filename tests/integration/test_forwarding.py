"""What a customer of ours decides about: all of a request or a part of it, passed on and answered for what it is."""

from datetime import date
from typing import Any

from services.intake.letters.rendering import Letters
from services.intake.postponed import begin_what_may
from shared.domain.events import ControllerSilent, DeadlineApproaching, DeadlineOverdue, ForwardingOverdue
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.storage import certificate
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, REASONS, Intake, id_of

TO = {"controller": "Harbour Cranes Ltd"}
OWN = "A copy of your personal data is ready for you to download."
IN_PART = "A part of your request is about data that we process for a customer of ours, who decides about them."
THEIRS = f"{IN_PART} We have passed that part on to them, and they will answer you about it."
NOT_YET = f"{IN_PART} We have not passed that part on to them yet, and tell you when we have."


async def forward(intake: Intake, path: str, **said: object) -> str:
    answer = await intake.officer.post(f"{path}/forward", json=TO | said)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


async def silent(intake: Intake, path: str, notice: str = "reminder", working_days: int = 5) -> None:
    await intake.consume(a(ControllerSilent, about=id_of(path), notice=notice, working_days=working_days))


async def to_send(intake: Intake, path: str) -> list[str]:
    listed = (await intake.officer.get("/v1/letters")).raise_for_status().json()["letters"]
    return [each["kind"] for each in listed if each["request_id"] == id_of(path)]


async def as_officer(intake: Intake, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    return found


async def test_a_silent_customer_gets_a_letter_of_their_own_that_waits_to_be_sent_and_their_word_ends_it(
    intake: Intake,
) -> None:
    path = await intake.submit(role="processor")
    assert await forward(intake, path) == "closed"
    assert (await intake.types())[-2:] == ["forwarded", "closed"]
    await silent(intake, path)
    reminder = (await as_officer(intake, path))[-1]
    assert (reminder["kind"], reminder["to"]) == ("reminder_to_controller", ["Harbour Cranes Ltd"])
    assert id_of(path) in reminder["body"]
    assert "ada@" not in reminder["body"]
    assert (await to_send(intake, path))[-1] == "reminder_to_controller"
    await silent(intake, path, "escalation", 15)
    assert await intake.details(path, "controller.silent") == [{"working_days": 15}]
    said = await intake.officer.post(f"{path}/controller-replied", json={"text": "We answer Ada Quarzfels by Friday."})
    assert (said.status_code, said.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "controller_replied"
    await silent(intake, path)
    assert len(await as_officer(intake, path)) == 3  # acknowledgement, forwarded, one reminder
    assert "controller.notice_late" in await intake.actions(path)
    again = await intake.officer.post(f"{path}/controller-replied", json={"text": "Again."})
    assert again.status_code == 409
    assert "Quarzfels" not in str(await intake.evidence(path))


async def test_who_the_customer_is_stands_in_no_letter_that_the_subject_reads_unless_it_may(intake: Intake) -> None:
    path = await intake.submit(role="processor")
    await forward(intake, path)
    await silent(intake, path)
    assert [letter["kind"] for letter in await intake.letters(path)] == ["forwarded"]
    assert "Harbour" not in str(await intake.letters(path))


async def test_a_customer_cannot_reply_to_what_they_do_not_have(intake: Intake) -> None:
    path = await intake.submit()
    answer = await intake.officer.post(f"{path}/controller-replied", json={"text": "What?"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "it was not passed on to a customer")
    assert (await intake.channel.post(f"{path}/controller-replied", json={"text": "What?"})).status_code == 403


async def test_of_a_request_that_is_both_our_own_part_is_worked_at_once_and_the_acknowledgement_names_both(
    intake: Intake,
) -> None:
    path = await intake.submit(role="both")
    view = await intake.view(path)
    assert (view["state"], view["due_on"]) == ("in_progress", "2026-04-01")
    assert await intake.types() == ["received", "verified"]
    expected = {"due_on": "2026-03-04", "overdue": False, "forwarded_at": None, "controller_replied_at": None}
    assert view["forwarding"] == expected
    (acknowledgement,) = (await intake.view(f"{path}/letters"))["letters"]
    body = " ".join(acknowledgement["body"].split())
    assert f"We are working on your request. You will hear from us by 1 April 2026. {IN_PART}" in body
    assert "We pass that part on to them by 4 March 2026." in body


async def test_both_parts_stand_in_one_answer_and_one_letter_once_the_customer_has_theirs(intake: Intake) -> None:
    path = await intake.submit(role="both")
    await intake.complete(path)
    view = await intake.view(path)
    assert (view["state"], view["outcome"]) == ("awaiting_decision", None)
    assert "pass it on" in view["waits_for"]
    assert await intake.letters(path) == []
    assert await forward(intake, path, may_be_named=True) == "closed"
    view = await intake.view(path)
    assert (view["outcome"], view["answer"]) == ("fulfilled", f"{OWN} {THEIRS}")
    (letter,) = await intake.letters(path)
    body = " ".join(letter["body"].split())
    assert letter["kind"] == "completion"
    assert f"{OWN} What was done" in body
    assert "We passed that part on to Harbour Cranes Ltd on 2 March 2026." in body
    assert (await intake.types())[-2:] == ["forwarded", "closed"]
    assert certificate.verify((await intake.channel.get(f"{path}/certificate")).json()) == []


async def test_what_was_forwarded_first_is_answered_when_our_own_part_is_done(intake: Intake) -> None:
    path = await intake.submit(role="both")
    assert await forward(intake, path) == "in_progress"
    assert await intake.letters(path) == []
    await intake.complete(path, outcome=Outcome.NO_DATA)
    (letter,) = await intake.letters(path)
    assert (await intake.view(path))["outcome"] == "no_data"
    assert "to the customer for whom we process the data on" in " ".join(letter["body"].split())
    assert (await intake.officer.post(f"{path}/forward", json=TO)).status_code == 409


async def test_the_part_of_a_customer_shows_as_overdue_until_they_have_it(intake: Intake) -> None:
    path = await intake.submit(role="both")
    await intake.consume(a(ForwardingOverdue, about=id_of(path), due_on=date(2026, 3, 4)))
    view = await intake.view(path)
    assert (view["forwarding"]["overdue"], view["warning"]) == (True, None)
    assert NOT_YET in view["answer"]
    await forward(intake, path)
    assert not (await intake.view(path))["forwarding"]["overdue"]


async def test_where_only_the_forwarding_is_missing_on_the_last_day_our_own_part_is_answered_alone(
    intake: Intake,
) -> None:
    path = await intake.submit(role="both")
    await intake.complete(path)
    await intake.consume(a(DeadlineApproaching, about=id_of(path), days_left=3))
    assert (await intake.view(path))["state"] == "awaiting_decision"
    await intake.consume(a(DeadlineApproaching, about=id_of(path), days_left=1))
    view = await intake.view(path)
    assert (view["state"], view["outcome"], view["answer"]) == ("closed", "fulfilled", f"{OWN} {NOT_YET}")
    assert "We have not passed that part on yet" in " ".join((await intake.letters(path))[0]["body"].split())
    assert await forward(intake, path, may_be_named=True) == "closed"
    assert (await intake.view(path))["answer"] == f"{OWN} {THEIRS}"
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion", "forwarded_part"]
    assert "Harbour Cranes Ltd" in (await intake.letters(path))[1]["body"]
    assert (await intake.types()).count("closed") == 1


async def test_our_own_part_that_is_done_when_it_is_due_already_is_answered_at_once(intake: Intake) -> None:
    path = await intake.submit(role="both")
    await intake.consume(a(DeadlineOverdue, about=id_of(path)))
    await intake.complete(path)
    assert (await intake.view(path))["outcome"] == "fulfilled"


async def test_two_persons_decide_no_answer_while_the_customer_could_still_have_their_part_in_time(
    intake: Intake,
) -> None:
    path = await intake.submit(role="both")
    refuse = {"decision": "refuse", **REASONS["refuse"]}
    early = await intake.officer.post(f"{path}/decision", json=refuse)
    assert (early.status_code, "forward that part first" in early.json()["detail"]) == (409, True)
    await forward(intake, path, may_be_named=True)
    await intake.decide(path, "refuse")
    await intake.report(path, operation="", outcome=Outcome.REFUSED)
    (letter,) = await intake.letters(path)
    assert (letter["kind"], (await intake.view(path))["outcome"]) == ("refusal", "refused")
    assert "We passed that part on to Harbour Cranes Ltd" in " ".join(letter["body"].split())


async def test_who_cannot_be_identified_is_told_of_the_part_that_needs_no_proof_of_ours(intake: Intake) -> None:
    path = await intake.submit(role="both", assurance=None)
    await forward(intake, path)
    assert (await intake.view(path))["state"] == "awaiting_identity"
    await intake.give_up(path, "identity")
    view = await intake.view(path)
    assert (view["outcome"], view["resumable"]) == ("unidentified", True)
    assert "passed that part on to the customer" in " ".join((await intake.letters(path))[-1]["body"].split())
    assert (await intake.channel.post(f"{path}/verify", json=PROOF)).status_code == 200
    await intake.complete(path)
    assert (await intake.view(path))["answer"] == f"{OWN} {THEIRS}"


async def test_a_withdrawal_of_both_parts_waits_for_nobody(intake: Intake) -> None:
    path = await intake.submit(role="both")
    await intake.complete(path)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert (await intake.view(path))["outcome"] == "withdrawn"
    assert (await intake.officer.post(f"{path}/forward", json=TO)).status_code == 409


async def test_an_erasure_waits_for_an_access_that_is_both_until_both_parts_are_answered(intake: Intake) -> None:
    who = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
    access = await intake.submit(role="both", subject=who)
    await intake.complete(access)
    erasure = await intake.submit(right="erasure", subject=who)
    await begin_what_may(intake.unit_of_work, Letters())
    assert (await intake.view(erasure))["awaits"] == [id_of(access)]
    await forward(intake, access)
    await begin_what_may(intake.unit_of_work, Letters())
    assert (await intake.view(erasure))["awaits"] == []
    assert (await intake.types())[-1] == "verified"


async def test_what_was_restricted_until_it_is_corrected_is_lifted_with_the_answer_to_both_parts(
    intake: Intake,
) -> None:
    city = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RECTIFY}
    at_last, on_the_last_day = [
        await intake.submit(right="rectification", role="both", contested=True, **city) for _ in range(2)
    ]
    for path in (at_last, on_the_last_day):
        await intake.complete(path, **said)
    assert "lift_decided" not in await intake.types()
    await forward(intake, at_last)
    await intake.consume(a(DeadlineApproaching, about=id_of(on_the_last_day), days_left=1))
    for path in (at_last, on_the_last_day):
        assert [letter["kind"] for letter in await intake.letters(path)] == ["completion"]
