"""Decisions in the console: shown before they are made, made once, and by two people where needed."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.domain.release import Match, ReleaseRow
from tests.fixtures.console import OpenedConsole
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import PROPOSAL, REASONS, Intake, approve, id_of
from tests.fixtures.portal import Opened, Visitor, link_in, opened, waiting
from tests.integration.test_objections import restricted
from tests.integration.test_portal import EMAIL, EXPORTED, asked


async def decided(visitor: Visitor, path: str, decision: str, **form: str) -> Visitor:
    """Opens the page of a decision, fills it in, reads what it will do, and confirms."""
    await visitor.open(f"/console/requests/{id_of(path)}/decide/{decision}")
    assert visitor.status == 200, visitor.text
    assert "What this will do" in visitor.text
    if form:
        await visitor.send(step="check", **form)
        if visitor.status != 200:
            return visitor
    return await visitor.send(step="confirm", **form)


async def approval(intake: Intake, path: str) -> str:
    """The page of what was proposed last of a request."""
    waiting = (await intake.officer.get("/v1/approvals", params={"subject": id_of(path)})).json()["data"]
    return f"/console/approvals/{waiting[-1]['approval_id']}"


async def test_approver_of_extension_or_finding_reads_the_words_first(console: OpenedConsole) -> None:
    intake, anton = console.intake, await console.member("anton")
    path = await intake.submit()
    (await intake.officer.post(f"{path}/actions/extend", json=PROPOSAL)).raise_for_status()
    await anton.open(f"{await approval(intake, path)}/approve")
    for said in (PROPOSAL["explanation"], PROPOSAL["new_due"], "officer-1"):
        assert said in anton.text, said
    await anton.send(step="confirm")
    assert (await intake.view(path))["due_on"] == PROPOSAL["new_due"]
    weighed = await restricted(intake)
    why = "The number was used to defraud others."
    finding = {"finding": "overridden", "explanation": why}
    (await intake.officer.post(f"{weighed}/actions/weigh", json=finding)).raise_for_status()
    page = await approval(intake, weighed)
    await anton.open(f"{page}/approve")
    assert why in anton.text
    assert "overridden" in anton.text
    assert (await intake.actions(weighed)).count("proposal.read") == 1
    hanna = await console.member("hanna")
    assert (await hanna.open(f"{page}/approve")).status == 403
    await (await anton.open(f"{page}/reject")).send(step="confirm")
    assert (await intake.actions(weighed)).count("proposal.read") == 2, "once for each page that was shown"
    assert (anton.status, (await intake.actions(weighed)).count("approval.rejected")) == (200, 1)
    assert "objection.weighed" not in await intake.actions(weighed)


async def test_one_person_with_a_key_and_a_sign_in_is_one_person(console: OpenedConsole) -> None:
    intake, officer = console.intake, await console.member("officer-1")
    path = await intake.submit()
    (await intake.officer.post(f"{path}/actions/refuse", json=REASONS["refuse"])).raise_for_status()
    await officer.open(f"{await approval(intake, path)}/approve")
    assert (officer.status, "Confirm: " in officer.text) == (422, False), "it is refused before anybody confirms"
    assert "a second person must approve it" in officer.text
    words = {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "Ada asked for it every day."}
    await decided(officer, path, "refuse", **words)
    agreed = await approve(intake.officer, path)
    assert (agreed.status_code, agreed.json()["type"]) == (409, "urn:dsr:problem:same_person"), (
        "nor the other way round"
    )
    (await intake.officer.post(f"{path}/actions/extend", json=PROPOSAL)).raise_for_status()
    page = f"{await approval(intake, path)}/approve"
    assert (await officer.open(page)).status == 422
    berta = await console.member("berta")
    await (await berta.open(page)).send(step="confirm")
    assert (await intake.view(path))["due_on"] == PROPOSAL["new_due"]
    await berta.open(f"/console/requests/{id_of(path)}/decide/extend")
    assert berta.status == 404, "it is extended, so there is nothing to propose"


async def kept(intake: Intake) -> list[int]:
    """Counts everything that a decision leaves."""
    tables = ("evidence.entry WHERE action <> 'statement.read'", "letter", "delivery", "vault.sealed", "outbox")
    return [await intake.unit_of_work.pool.fetchval(f"SELECT count(*) FROM {each}") for each in tables]


async def test_identity_question_is_withdrawn_asked_again_and_answered(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit(assurance=None)
    page, asked = f"/console/requests/{id_of(path)}", {"question": "identity", "condition_recorded": "yes"}
    await hanna.open(f"{page}/decide/ask")
    assert "what they mean" not in hanna.text, "it cannot be asked yet"
    await decided(hanna, path, "ask", **asked, text="Which mailbox is yours?")
    assert 'decide/ask"' not in hanna.html, "one question at a time"
    await decided(hanna, path, "withdraw-question")
    sent, back = [each for each in await intake.published() if "question_" in each["type"]]
    assert (back["question_id"], back["answered_at"]) == (sent["question_id"], sent["asked_at"]), "no day stood still"
    await decided(hanna, path, "ask", **asked, text="Since when is that mailbox yours?")
    await decided(hanna, path, "record-reply", text="Since last year.")
    assert (hanna.status, (await intake.view(path))["state"]) == (200, "awaiting_identity")
    steps = ("question.sent", "question.taken_back", "question.answered")
    noted = [each for each in await intake.actions(path) if each in steps]
    assert noted == ["question.sent", "question.taken_back", "question.sent", "question.answered"]
    assert 'decide/ask"' in hanna.html
    assert (await hanna.open(f"{page}/decide/withdraw-question")).status == 404


async def test_invalid_form_does_nothing_and_shows_its_errors(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit()
    for form, said in (
        ({"received_at": "yesterday", "reason": "It lay about."}, "2026-03-31 14:30"),
        ({"received_at": "2026-03-01"}, "this is needed"),
        ({"received_at": "2026-03-01", "country": "Germany", "reason": "x"}, "Country"),
        ({"received_at": "2029-03-01", "reason": "It lay about."}, "received_at"),
    ):
        await decided(hanna, path, "correct-arrival", **form)
        assert hanna.status == 422, form
        assert said in hanna.text, form
    assert "receipt.corrected" not in await intake.actions(path)
    await decided(hanna, path, "correct-arrival", received_at="2026-03-01", reason="It lay about.")
    assert (await intake.view(path))["received_at"] == "2026-03-01T07:00:00+00:00", "in the zone of the controller"


async def test_decision_on_a_stale_page_is_refused(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit()
    await hanna.open(f"/console/requests/{id_of(path)}/decide/withdraw")
    await intake.extend(path)
    await hanna.send(step="confirm")
    assert hanna.status == 412
    assert "has changed" in hanna.text
    assert (await intake.view(path))["state"] == "in_progress"


async def test_typed_text_survives_a_moved_request_or_an_expired_session(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit()
    page, words = f"/console/requests/{id_of(path)}/decide/ask", "Which of the two contracts do you mean?"
    said = {"question": "clarification", "text": words}
    await hanna.open(page)
    await hanna.send(step="check", **said)
    await intake.extend(path)
    await hanna.send(step="confirm", **said)
    assert (hanna.status, words in hanna.text, "has changed" in hanna.text) == (422, True, True)
    assert "question_asked" not in await intake.types()
    await hanna.send(step="check", **said)
    assert (await hanna.send(step="confirm", **said)).path.endswith(id_of(path)), "it is done for what it is now"
    await hanna.open(f"/console/requests/{id_of(path)}/decide/record-address")
    intake.clock.pass_by(minutes=31)
    await hanna.send(step="check", lines=words)
    assert (hanna.status, words in hanna.text) == (403, True)


# Proof that waits for a person is decided on the page of its request: what was disowned is lifted, or taken back.
WITHHELD = "SELECT fault FROM package WHERE request_id = $1"


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def disowned_after_the_answer(door: Opened, *, packed: bool = False) -> str:
    """Returns the reference of a request that was proved by one link, answered, and disowned by another link."""
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open("/portal/en/follow")).send(reference=reference)
    mine, theirs = await door.letters()
    await (await ada.open(link_in(mine))).send(answer="mine")
    package = None
    if packed:
        async with door.intake.unit_of_work.begin() as tx:
            subject = "SELECT subject_ref FROM request WHERE request_id = $1"
            of = await tx.connection.fetchval(subject, UUID(reference))
            package = await seal_package(tx, of, b"everything", ReleaseRow("ticket", [Match("email", EMAIL)]))
    await door.intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,), package_id=package)
    await (await door.visitor().open(link_in(theirs))).send(answer="not_me")
    assert await waiting(door) == [(reference, "disowned")]
    return reference


async def test_repudiation_after_the_answer_is_accepted_by_two_approvers(door: Opened, console: OpenedConsole) -> None:
    hanna, anton = await console.member("hanna"), await console.member("anton")
    reference = await disowned_after_the_answer(door)
    words = {"identity": "email", "note": "Ada called."}
    await decided(hanna, reference, "revoke-proof", **words)
    assert "A second person must approve it" in hanna.text
    assert "nothing is done before a second person approves it" in hanna.text
    assert await waiting(door) == [(reference, "disowned")]
    await anton.open("/console/approvals")
    page = f"{await approval(door.intake, f'/v1/requests/{reference}')}/approve"
    assert page in anton.html
    shown = await anton.open(page)
    for said in ("hanna", "email", "Ada called."):
        assert said in shown.text, "who approves it reads what was said"
    await shown.send(step="confirm")
    assert "nothing is done before" not in anton.text
    assert await waiting(door) == []
    assert "hanna has proposed" not in (await anton.open(f"/console/requests/{reference}")).text
    assert reference not in (await anton.open("/console/approvals")).html


async def test_rejected_revocation_ends_the_repudiation_and_the_withholding(
    door: Opened, console: OpenedConsole
) -> None:
    intake, hanna, officer = console.intake, await console.member("hanna"), await console.member("officer-1")
    reference = await disowned_after_the_answer(door, packed=True)
    page = f"/console/requests/{reference}"
    assert "the recipient says that they have asked for nothing" in (await hanna.open(page)).text
    await decided(hanna, reference, "revoke-proof", identity="email", note="")
    assert await intake.unit_of_work.pool.fetchval(WITHHELD, UUID(reference)) == "not_proved"
    assert await waiting(door) == [(reference, "disowned")]
    rejected = (await approval(intake, f"/v1/requests/{reference}")).replace("/console", "/v1")
    (await intake.officer.post(f"{rejected}/reject")).raise_for_status()
    assert await waiting(door) == []
    assert await intake.unit_of_work.pool.fetchval(WITHHELD, UUID(reference)) is None
    assert "hanna has proposed" not in (await officer.open(page)).text
    assert reference not in (await officer.open("/console/approvals")).html
    again, before = door.visitor(), len(await door.letters())
    await (await again.open("/portal/en/follow")).send(reference=reference)
    assert len(await door.letters()) == before + 1, "a link is sent again"
