"""The case sheet shows what is decided about: sealed until it is opened, by those who decide, on record."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from services.intake.console.decisions import of_requests
from shared.domain.identities import Identity, IdentityType
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_mail_read import mail, take, waiting

NUMBER = "+34688886392"
STATES: dict[str, Any] = {
    "right": "rectification",
    "changes": [{"field": "phone", "current": "+34600000001", "asserted": "+34600000002"}],
    "subject": {"name": "Ada Quarzfels", "email": "ada@example.org", "phones": [{"number": NUMBER}], "country": "ES"},
    "assurance": None,
    "proofs": [{"identity": "email", "method": "email_link", "on_file_since": "2020-01-01T00:00:00Z"}],
}


async def found(intake: Intake, path: str) -> None:
    """Two systems find the account, and one its contact on file."""
    account = Identity(IdentityType.ACCOUNT_ID, "C-4711")
    contact = Identity(IdentityType.EMAIL, "ada.office@example.org", source="crm")
    async with intake.unit_of_work.begin() as tx:
        row = await tx.connection.fetchrow("SELECT subject_ref FROM request WHERE request_id = $1", UUID(id_of(path)))
        assert row is not None
        sealings = [
            Sealing(
                row["subject_ref"],
                "identities",
                system,
                encode_identities([Identity(account.type, account.value, source=system), *more]),
            )
            for system, more in (("crm", [contact]), ("desk", []))
        ]
        await tx.vault.seal(tx.connection, sealings, tx.now)


async def test_it_shows_who_asks_how_that_was_proved_what_is_asked_and_who_was_found(intake: Intake) -> None:
    path = await intake.submit(**STATES)
    await found(intake, path)
    await intake.ask(path, "identity")
    (await intake.officer.post(f"{path}/reply", json={"text": "The one of my office."})).raise_for_status()
    answer = await intake.officer.get(f"{path}/statement")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    stated = {each["type"]: (each["value"], each["level"], each["proved_by"]) for each in shown["identities"]}
    assert stated == {
        "name": ("Ada Quarzfels", "L0", []),
        "email": ("ada@example.org", "L1", ["email_link"]),
        "phone": (NUMBER, "L0", []),
    }
    [change] = shown["corrections"]
    assert (change["field"], change["current"], change["asserted"]) == ("phone", "+34600000001", "+34600000002")
    assert [(each["value"], each["systems"]) for each in shown["accounts"]] == [("C-4711", ["crm", "desk"])]
    assert [each["value"] for each in shown["contacts"]] == ["ada.office@example.org"]
    assert shown["words"] == [{"kind": "reply", "subject": "", "text": "The one of my office."}]
    assert shown["letters_go_to"] == ["Ada Quarzfels", "ada@example.org"]
    opened = [each for each in await intake.evidence(path) if each["action"] == "statement.read"]
    assert [(each["detail"], each["actor"][:4]) for each in opened] == [({"holder": "officer-1"}, "key:")]


async def test_it_shows_the_mail_that_has_become_each_request_of_a_case(intake: Intake) -> None:
    await take(intake, mail())
    [listed] = await waiting(intake)
    subject = {"email": "ada@mail.example", "country": "DE"}
    asked = [{"right": right, "language": "de", "subject": subject} for right in ("access", "erasure")]
    confirmed = await intake.officer.post(f"/v1/mail/{listed['mail_id']}/confirm", json={"requests": asked})
    for each in confirmed.raise_for_status().json()["requests"]:
        shown = (await intake.officer.get(f"/v1/requests/{each['request_id']}/statement")).json()
        [words] = shown["words"]
        assert (words["kind"], words["subject"]) == ("mail", "Datenschutz")
        assert "Auskunft" in words["text"]


async def test_a_channel_opens_none_and_after_the_key_is_destroyed_nobody_does(intake: Intake) -> None:
    path = await intake.submit(**STATES)
    assert (await intake.channel.get(f"{path}/statement")).status_code == 403
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request")
        await tx.vault.shred(tx.connection, [ref], tx.now)
    answer = await intake.officer.get(f"{path}/statement")
    assert answer.status_code == 410
    assert "key of this person is destroyed" in answer.json()["detail"]
    assert "statement.read" not in await intake.actions(path)


async def test_it_is_opened_by_a_button_on_the_page_of_a_request(console: OpenedConsole) -> None:
    intake, hanna, ugo = console.intake, await console.member("hanna"), await console.member("ugo")
    path = await intake.submit(**STATES)
    await hanna.open(f"/console/requests/{id_of(path)}")
    assert NUMBER not in hanna.text
    assert "statement.read" not in await intake.actions(path)
    await hanna.send(f"/console/requests/{id_of(path)}#sheet")
    for said in (NUMBER, "ada@example.org", "proved to L1: email link", "+34600000001", "+34600000002"):
        assert said in hanna.text, said
    [opened] = [each for each in await intake.evidence(path) if each["action"] == "statement.read"]
    assert opened["actor"] == "person:hanna"
    await ugo.open(f"/console/requests/{id_of(path)}")
    assert "Open the case sheet" not in ugo.text
    assert "action=" in ugo.html or "<form" not in ugo.html


async def test_it_stands_beside_every_decision_and_manual_task(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    always = tuple(replace(each, when=lambda _: True) for each in of_requests.DECISIONS)
    monkeypatch.setattr(of_requests, "DECISIONS", always)
    path = await intake.submit(**STATES)
    async with opened_console(intake, monkeypatch) as console:
        anton, admin = await console.member("anton"), await console.member("ada-min")
        beside = set[str]()
        for each in always:
            await anton.open(f"/console/requests/{id_of(path)}/decide/{each.name}")
            if "What this will do" in anton.text:
                assert "+34600000002" in anton.text, each.name
                beside.add(each.name)
        assert {"refuse", "answer-in-part", "task-result", "verify", "withdraw", "confirm"} <= beside
        unproposed = {"approve", "approve-weighing", "approve-extension"}
        assert {each.name for each in always} - beside <= unproposed, "there is nothing to agree with"
        opened = await intake.details(path, "statement.read")
        assert opened == [{"holder": "anton"}] * len(beside)
        await admin.open(f"/console/requests/{id_of(path)}/decide/confirm")
        assert "What this will do" in admin.text
        assert "ada@example.org" not in admin.text
        assert "None of your roles may read" in admin.text
