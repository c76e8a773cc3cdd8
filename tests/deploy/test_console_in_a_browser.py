"""Every page of the console in a browser: accessible, usable by keyboard alone, and without refused requests."""

import socket
from pathlib import Path

import pytest
from playwright.async_api import Page

from shared.domain.events import FulfilmentBlocked
from tests.fixtures.browser import Eyes, eyes, press, walk_to
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, beyond, id_of
from tests.fixtures.serving import served
from tests.integration.test_incidents import FACTS
from tests.integration.test_mail_read import mail, take
from tests.integration.test_release_check import withheld

WITHHELD = "SELECT request_id FROM package WHERE fault IS NOT NULL"
TRACES = "https://traces.example/trace/{trace}"


async def sign_in(page: Page, site: str, account: str) -> None:
    """Signs in as a person does."""
    await page.goto(f"{site}/sign-in")
    await press(page, "a.button")
    await press(page, f"button[value='{account}']")
    await page.wait_for_url(f"{site}/**")


async def filled(intake: Intake) -> tuple[str, str]:
    """Something of everything that the console shows; a blocked erasure, and a request that has nothing yet."""
    intake.channel.headers["traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    blocked, other = await intake.submit(right="erasure"), await intake.submit(assurance=None)
    await intake.consume(a(FulfilmentBlocked, about=id_of(blocked), tasks=(beyond(3_000),)))
    await take(intake, mail())
    key = await intake.unit_of_work.pool.fetchval("SELECT key_id FROM request LIMIT 1")
    await intake.unit_of_work.pool.execute(
        "INSERT INTO suspended_key (key_id, suspended_at) VALUES ($1, $2)", key, intake.clock.now()
    )
    posted = {
        "right": "access",
        "channel": "post",
        "subject": {"name": "Ben Ahorn", "phones": [{"number": "+4930901820"}]},
    }
    (await intake.officer.post("/v1/requests", json=posted)).raise_for_status()
    hold = {
        "case_number": "LEG-2026-014",
        "reason": "LITIGATION",
        "review_on": "2026-05-01",
        "subject": {"email": "eve@example.org"},
    }
    (await intake.officer.post("/v1/holds", json=hold)).raise_for_status()
    await withheld(intake)
    await intake.unit_of_work.pool.execute(
        "INSERT INTO downstreams.system (name, state, hash, reason) VALUES"
        " ('crm', 'on', 'a', NULL), ('cdr', 'quarantined', 'b', 'changed'), ('rt', 'quarantined', 'c', 'by_a_person')"
    )
    incident = {**FACTS, "found_at": intake.clock.now().isoformat()}
    (await intake.officer.post("/v1/incidents", json=incident)).raise_for_status()
    return id_of(blocked), id_of(other)


async def decide(page: Page, look: Eyes, site: str, request: str) -> None:
    """Proposes to refuse, wrongly and then rightly, and looks at each step."""
    await page.goto(f"{site}/requests/{request}/decide/refuse")
    await look.look(page, "decide")
    await page.fill("#explanation", "Send a copy of your passport first.")
    await press(page, "button[value=check]")
    await look.look(page, "decide-error")
    assert await page.evaluate("document.querySelector('.summary a').hash") == "#reason"
    await page.select_option("[name=reason]", "EXCESSIVE")
    await page.select_option("[name=article]", "12(5)(b)")
    await page.fill("#explanation", "Ada asked for it every day.")
    await press(page, "button[value=check]")
    await look.look(page, "decide-confirm")
    await press(page, "button[value=confirm]")
    await look.look(page, "request-proposed")


async def by_keyboard(page: Page, site: str, request: str) -> None:
    """Agrees with what is proposed, with the Tab key and Enter alone."""
    await page.goto(f"{site}/approvals")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    for what in ("a[href$='/approve']", "button[value=confirm]"):
        await walk_to(page, what)
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
    assert page.url.endswith(request)


async def walk(page: Page, look: Eyes, site: str, console: OpenedConsole, request: str, other: str) -> None:
    """Looks at every page that a handler has."""
    pool = console.intake.unit_of_work.pool
    mail_id = await pool.fetchval("SELECT mail_id FROM mail")
    letter_id = await pool.fetchval("SELECT letter_id FROM delivery WHERE way = 'post'")
    hold_id = await pool.fetchval("SELECT hold_id FROM vault.legal_hold")
    incident_id = await pool.fetchval("SELECT incident_id FROM incident")
    for name, path in {
        "queue": "/",
        "queue-nothing": "/?system=nothing",
        "request": f"/requests/{request}",
        "request-unproved": f"/requests/{other}",
        "letters-read": f"/requests/{request}/letters",
        "plan": f"/requests/{request}/plan",
        "verify": f"/requests/{other}/decide/verify",
        "question": f"/requests/{other}/decide/ask",
        "approvals": "/approvals",
        "mail": "/mail",
        "mail-read": f"/mail/{mail_id}",
        "mail-confirm": f"/mail/{mail_id}/confirm",
        "mail-dismiss": f"/mail/{mail_id}/dismiss",
        "new": "/new",
        "post": "/post",
        "letter-given-up": f"/letters/{letter_id}/give-up",
        "holds": "/holds",
        "hold-place": "/holds/place",
        "hold-review": f"/holds/{hold_id}/review",
        "stopped": "/stopped",
        "systems": "/systems",
        "package": f"/requests/{await pool.fetchval(WITHHELD)}/package",
        "incidents": "/incidents",
        "incident": f"/incidents/{incident_id}",
        "incident-new": "/incidents/new",
        "incident-decision": f"/incidents/{incident_id}/decide",
        "sla": "/sla",
        "me": "/me",
    }.items():
        answer = await page.goto(site + path)
        assert answer is not None
        assert answer.ok, name
        await look.look(page, name)
    await page.goto(f"{site}/requests/{request}")
    await press(page, "form[action$='#sheet'] button")
    await look.look(page, "request-case-sheet")
    await page.goto(f"{site}/")
    await page.fill("#text", "unknown@example.org")
    await press(page, "form[action$='/search'] button")
    await look.look(page, "search-nothing")
    await page.goto(f"{site}/post/print")
    assert await page.evaluate("getComputedStyle(document.body).margin") == "0px", "the browser uses its style"


async def test_everybody_can_use_the_console(intake: Intake, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    site = f"{url}/console"
    request, other = await filled(intake)
    async with (
        opened_console(intake, monkeypatch, url, traces=TRACES) as console,
        served(console.application, listener),
        eyes("console", run_folder) as look,
    ):
        hanna = await look.person()
        await hanna.goto(site + "/")
        await look.look(hanna, "sign-in")
        await sign_in(hanna, site, "hanna")
        await walk(hanna, look, site, console, request, other)
        await decide(hanna, look, site, request)
        anton = await look.person()
        await sign_in(anton, site, "anton")
        await anton.goto(f"{site}/approvals")
        await press(anton, "a[href$='/approve']")
        await look.look(anton, "approve")
        await by_keyboard(anton, site, request)
        key = await intake.unit_of_work.pool.fetchval("SELECT key_id FROM suspended_key")
        await anton.goto(f"{site}/suspended-keys/{key}/release")
        await look.look(anton, "key-release")
        ugo = await look.person()
        await sign_in(ugo, site, "ugo")
        await ugo.goto(f"{site}/requests/{request}")
        await look.look(ugo, "request-audited")
        ada = await look.person()
        await sign_in(ada, site, "ada-min")
        await ada.goto(f"{site}/systems/rt/enable")
        await look.look(ada, "system-release")
        before = len(look.faults)
        await anton.goto(f"{site}/nothing")
        await look.look(anton, "nothing")
        del look.faults[before:]  # the browser says that it was answered 404
        await hanna.goto(f"{site}/me")
        await press(hanna, "button[value=everywhere]")
        await look.look(hanna, "signed-out")
        assert [each for each in look.faults if "422" not in each] == [], "nothing is refused by the policy of the page"
        assert len(look.seen) >= 30
