"""What comes in and goes out, and what was stopped, as people work it in the console."""

import base64
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.intake.mail import tokens
from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import id_of
from tests.fixtures.portal import Visitor
from tests.integration.test_breach_record import RECORD
from tests.integration.test_mail_read import mail, take
from tests.integration.test_withheld_packages import withheld


async def confirmed(visitor: Visitor, path: str, **form: Any) -> Visitor:
    """Opens the page of a decision, fills it in, reads what it will do, and confirms."""
    await visitor.open(path)
    if visitor.status == 422:
        assert "Confirm: " not in visitor.text, "what is refused is not offered"
        return visitor
    assert visitor.status == 200, visitor.text
    if form:
        await visitor.send(step="check", **form)
        assert visitor.status == 200, visitor.text
    return await visitor.send(step="confirm", **form)


async def test_a_letter_is_entered_by_the_day_on_which_it_came_and_its_answer_is_posted(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    letter: dict[str, Any] = {
        "came_by": "letter",
        "received_at": "2026-02-27 10:00",
        "channel": "post",
        "rights": ["access", "restriction"],
        "subject.name": "Ada Quarzfels",
        "subject.phones": "+49 30 901820\n+49 30 901821",
        "subject.country": "DE",
    }
    await hanna.open("/console/new")
    await hanna.send(step="check", **letter)
    await hanna.send(step="confirm", **letter)
    assert hanna.status == 422
    assert "ground" in hanna.text, "a restriction needs its ground, and nothing is stored without it"
    letter["ground"] = "unlawful"
    await confirmed(hanna, "/console/new", **letter)
    first = hanna.path.rpartition("/")[2]
    assert "request entered" in hanna.text
    view = (await intake.officer.get(f"/v1/requests/{first}")).json()
    assert (view["received_at"], len(view["case"]["requests"])) == ("2026-02-27T15:00:00+00:00", 2)
    await confirmed(hanna, "/console/new", **letter)
    assert hanna.path.endswith(first), "the same letter entered twice is one"

    await confirmed(
        hanna,
        f"/console/requests/{first}/decide/postal-address",
        lines="Ada Quarzfels\nMusterstraße 1\n50667 Köln",
        on_file_in="crm",
    )
    printed = await hanna.client.get("/console/post/print")
    assert "50667 Köln" in printed.text
    style = printed.text.partition("<style>")[2].partition("</style>")[0]
    sha256 = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = printed.headers["content-security-policy"]
    assert f"style-src 'sha256-{sha256}'" in policy, "else letters lose their layout"
    [letter_id] = await intake.unit_of_work.pool.fetch("SELECT letter_id FROM delivery WHERE state = 'waiting'")
    await hanna.open("/console/post")
    assert "acknowledgement" in hanna.text
    await confirmed(hanna, f"/console/post/{letter_id[0]}/posted")
    assert await intake.unit_of_work.pool.fetchval("SELECT state FROM delivery") == "sent"


async def test_a_mail_is_read_and_becomes_a_request_in_the_words_that_it_proposes(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    for raw in (mail(), mail("Buy now!", name="2", subject="Offer")):
        await take(intake, raw)
    await hanna.open("/console/mail")
    asks, offer = [each[0] for each in await intake.unit_of_work.pool.fetch("SELECT mail_id FROM mail ORDER BY 1")]
    assert f"/console/mail/{asks}" in hanna.html
    await hanna.open(f"/console/mail/{asks}")
    assert "Auskunft über meine Daten" in hanna.text
    await hanna.open(f"/console/mail/{asks}/confirm")
    assert 'value="C-4711"' in hanna.html
    said: dict[str, Any] = {"rights": ["access"], "subject.email": "ada@mail.example", "language": "de"}
    await hanna.send(step="check", **said)
    await hanna.send(step="confirm", **said)
    request = f"/v1/requests/{hanna.path.rpartition('/')[2]}"
    assert (await intake.officer.get(request)).json()["received_at"] == "2026-02-28T22:59:00+00:00"
    await confirmed(hanna, f"/console/mail/{offer}/dismiss", reason="advertising")
    assert (await hanna.open(f"/console/mail/{offer}")).status == 410
    rows = "SELECT action FROM evidence.entry WHERE actor = 'person:hanna' AND request_id = $1 ORDER BY seq"
    actions = [row[0] for row in await intake.unit_of_work.pool.fetch(rows, UUID(str(asks)))]
    assert actions == ["mail.read", "mail.read"], "each look is on record"


async def test_a_key_is_released_by_one_and_a_system_and_a_hold_by_two(console: OpenedConsole) -> None:
    intake = console.intake
    hanna, anton, admin = [await console.member(who) for who in ("hanna", "anton", "ada-min")]
    path = await intake.submit(right="erasure")
    pool = intake.unit_of_work.pool
    key = await pool.fetchval("SELECT key_id FROM request WHERE request_id = $1", UUID(id_of(path)))
    await pool.execute("INSERT INTO suspended_key (key_id, suspended_at) VALUES ($1, $2)", key, intake.clock.now())
    assert (await hanna.open(f"/console/suspended-keys/{key}/release")).status == 403
    await confirmed(anton, f"/console/suspended-keys/{key}/release")
    assert "No API key is suspended" in anton.text

    await pool.execute(
        "INSERT INTO downstreams.system (name, state, hash) VALUES ('crm', 'on', 'a'), ('cdr', 'on', 'b')"
    )
    await pool.execute("UPDATE downstreams.system SET state = 'quarantined', reason = 'changed' WHERE name = 'cdr'")
    await confirmed(anton, "/console/systems/crm/quarantine")
    assert "by a person" in anton.text
    await confirmed(anton, "/console/systems/crm/release")
    assert (await confirmed(anton, "/console/systems/crm/release")).status == 422
    await confirmed(admin, "/console/systems/crm/release")
    assert await pool.fetchval("SELECT state FROM downstreams.system WHERE name = 'crm'") == "on"
    assert (await anton.open("/console/systems/cdr/release")).status == 404, "what was changed is checked first"
    assert (await intake.officer.post("/v1/systems/cdr/release")).status_code == 409

    hold = {"case_number": "LEG-2026-014", "reason": "LITIGATION", "review_on": "2026-05-01"}
    await confirmed(hanna, "/console/holds/place", **hold, **{"subject.email": "ada@example.org"})
    assert "LEG-2026-014" in hanna.text
    hold_id = await pool.fetchval("SELECT hold_id FROM vault.legal_hold")
    await confirmed(anton, f"/console/holds/{hold_id}/lift")
    assert (await confirmed(anton, f"/console/holds/{hold_id}/lift")).status == 422
    await confirmed(admin, f"/console/holds/{hold_id}/lift")
    assert "No hold is in force" in admin.text


async def test_what_the_owner_of_a_breach_has_proposed_waits_among_the_approvals_of_others(
    console: OpenedConsole,
) -> None:
    intake, owner, anton, ugo = console.intake, *[await console.member(who) for who in ("officer-1", "anton", "ugo")]
    assert "Nothing is proposed of a breach" in (await anton.open("/console/approvals")).text
    found = {"found_at": (intake.clock.now() - timedelta(hours=9)).isoformat(), **RECORD}
    breach = (await intake.colleague.post("/v1/breaches", json=found)).raise_for_status().json()["breach_id"]
    page = f"/console/breaches/{breach}"
    await confirmed(owner, f"{page}/own")
    await confirmed(owner, f"{page}/assess", high_risk="", reasons="Numbers alone, for an hour.")
    berlin = (intake.clock.now() - timedelta(hours=8)).astimezone(ZoneInfo("Europe/Berlin"))
    await confirmed(owner, f"{page}/awareness", found_at=f"{berlin:%Y-%m-%d %H:%M}", reasons="The shift began then.")
    told = {"whom": "authority", "to": "BlnBDI 521", "phase": "complete", "what": "All of it."}
    await confirmed(owner, f"{page}/notice", told_at=f"{berlin:%Y-%m-%d %H:%M}", **told)
    await anton.open("/console/approvals")
    steps = [f"{page}/{step}" for step in ("approve", "approve-awareness", "approve-notice")]
    assert [f'"{step}"' in anton.html for step in steps] == [True, True, True]
    assert "waits for a second person" in (await anton.open("/console/breaches")).text
    for nobody in (owner, ugo):
        await nobody.open("/console/approvals")
        assert ("its risk is judged" in nobody.text, steps[0] in nobody.html) == (True, False)
    for step in steps:
        await confirmed(anton, step)
    assert "Nothing is proposed of a breach" in (await anton.open("/console/approvals")).text
    assert "waits for a second person" not in (await anton.open("/console/breaches")).text


async def test_a_package_is_looked_into_by_the_two_who_release_it(console: OpenedConsole) -> None:
    intake = console.intake
    path = await withheld(intake)
    page = f"/console/requests/{id_of(path)}"
    hanna, anton, admin, ugo = [await console.member(who) for who in ("hanna", "anton", "ada-min", "ugo")]
    for nobody in (admin, ugo):
        assert (await nobody.open(f"{page}/package")).status == 403, "they read nothing that is about people"
    assert "look into the package first" in (await confirmed(hanna, f"{page}/decide/package-theirs")).text
    await (await hanna.open(f"{page}/package")).send(step="confirm")
    assert hanna.html == "everything"
    await confirmed(hanna, f"{page}/decide/package-theirs")
    assert "hanna has proposed: package" in hanna.text
    shown = await anton.open(f"{page}/decide/package-release")
    assert (shown.status, "hanna" in shown.text) == (422, True), "who has not looked is told before they confirm"
    assert (await hanna.client.get(f"{page}/decide/package-theirs")).status_code == 404, "now another must agree"
    berta = await (await console.member("berta")).open(f"{page}/decide/package-renewal")
    berta.path = f"{page}/decide/package-theirs"  # a form that no page shows any more
    assert "takes a second person" in (await berta.send(step="confirm")).text
    assert f"{page}/decide/package-release" in (await anton.open("/console/approvals")).html
    assert (await confirmed(anton, f"{page}/decide/package-release")).status == 422
    await (await anton.open(f"{page}/package")).send(step="confirm")
    await confirmed(anton, f"{page}/decide/package-release")
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    assert [each["holder"] for each in await intake.details(path, "package.viewed")] == ["hanna", "anton"]


def by_mail(number: int) -> dict[str, Any]:
    return {"right": "access", "channel": "email", "subject": {"email": f"ada{number}@example.org", "country": "DE"}}


async def test_an_answer_to_a_letter_that_asks_for_something_else_becomes_a_request_of_its_own(
    console: OpenedConsole,
) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit(right="erasure")
    letter_id = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM letter")
    token = tokens.token(intake.unit_of_work.vault.keyring.lookup, letter_id)
    assert await take(intake, mail(more=f"In-Reply-To: <{token}@example.org>\n")) == "reply"
    await hanna.open(f"/console/mail/{await intake.unit_of_work.pool.fetchval('SELECT mail_id FROM mail')}")
    assert "decide/reply" not in hanna.html, "nothing was asked"
    assert "Make it a new request" in hanna.text
    said: dict[str, Any] = {"rights": ["access"], "subject.email": "ada@mail.example", "language": "de"}
    await confirmed(hanna, f"{hanna.path}/confirm", **said)
    assert "request" in hanna.path
    assert id_of(path) not in hanna.path
