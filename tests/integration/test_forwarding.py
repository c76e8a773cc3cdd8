"""What a customer of ours decides about is passed on, and the customer reminded."""

from typing import Any

from shared.domain.events import ControllerSilent
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of, reference_of

TO = {"controller": "Harbour Cranes Ltd"}


def message(**said: object) -> dict[str, Any]:
    who = {"email": "ada@example.org", "account_id": "C-1001", "country": "DE"}
    return {"right": "access", "language": "en", "subject": who, **PROOF, **said}


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
    assert reference_of(path) in reminder["body"]
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


async def test_a_message_about_our_data_and_a_customers_becomes_two_requests_under_one_case_number(
    intake: Intake,
) -> None:
    answer = await intake.channel.post("/v1/requests", json=message(role="both"))
    assert answer.status_code == 201
    ours, theirs = (f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"])
    assert answer.json()["case_number"] == id_of(ours)
    assert [each["due_on"] for each in answer.json()["requests"]] == ["2026-04-01", "2026-03-04"]
    assert [(await intake.view(path))["role"] for path in (ours, theirs)] == ["controller", "processor"]
    (acknowledgement,) = (await intake.view(f"{ours}/letters"))["letters"]
    said = f"access (reference {reference_of(theirs)}"
    assert said in (body := " ".join(acknowledgement["body"].split()))
    assert "about data that a customer of ours decides about: we pass it on to them" in body
    await intake.complete(ours)
    assert (await intake.view(ours))["outcome"] == "fulfilled", "ours does not wait for theirs"
    assert await forward(intake, theirs, may_be_named=True) == "closed"
    view = await intake.view(theirs)
    assert (view["outcome"], view["forwarding"]["due_on"], view["forwarding"]["overdue"]) == (
        "forwarded",
        "2026-03-04",
        False,
    )
    assert [each["outcome"] for each in view["case"]["requests"]] == ["fulfilled", "forwarded"]
    assert (await intake.types()).count("verified") == 1, "no system is asked about the customer's data"


async def test_a_message_with_several_rights_becomes_two_requests_of_each(intake: Intake) -> None:
    said = message(role="both", rights=["access", "erasure"], packages_waived=True)
    del said["right"]
    answer = await intake.channel.post("/v1/requests", json=said)
    assert answer.status_code == 201, answer.text
    views = [await intake.view(f"/v1/requests/{each['request_id']}") for each in answer.json()["requests"]]
    assert [(view["right"], view["role"]) for view in views] == [
        ("access", "controller"),
        ("erasure", "controller"),
        ("access", "processor"),
        ("erasure", "processor"),
    ]


async def test_a_field_of_another_right_is_named_where_the_message_is_about_both(intake: Intake) -> None:
    answer = await intake.channel.post("/v1/requests", json=message(role="both", packages_waived=True))
    assert answer.status_code == 422
    assert "packages_waived" in answer.text
