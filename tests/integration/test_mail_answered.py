"""What is asked for somebody else in the form of the portal, confirmed by a person."""

from uuid import UUID

from services.intake.letters.rendering import Letters
from services.intake.mail import inbox
from services.intake.mail.form import Form, write
from services.intake.mail.incoming import read as read_mail
from shared.domain.rights import Right
from tests.fixtures.intake import Intake
from tests.integration.test_mail_read import mail, ours, take


async def come(intake: Intake, **said: str) -> str:
    """The path of a mail that has just come."""
    await take(intake, mail(**said))
    return f"/v1/mail/{await intake.unit_of_work.pool.fetchval('SELECT mail_id FROM mail ORDER BY mail_id DESC')}"


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
