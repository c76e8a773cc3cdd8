"""A request that somebody has asked for another, in the console."""

from tests.fixtures.console import OpenedConsole
from tests.integration.test_console_matters import confirmed
from tests.integration.test_mail_answered import a_form, intake_form


async def test_the_page_of_a_request_says_who_has_asked_for_the_person(console: OpenedConsole) -> None:
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
        assert f"/console/mail/{mail_id}" in hanna.html
        assert "bea@mail.example" not in (await ugo.open(each)).html, "an auditor reads no mail"
