"""Every page of the sites in a browser: accessible, usable by keyboard alone, and without refused requests."""

import socket
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from joserfc.jwk import KeySet, OKPKey
from playwright.async_api import Page

from services.export.pieces import Piece
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.release import Match, ReleaseRow
from shared.domain.rights import Right
from tests.fixtures.authority import issue
from tests.fixtures.browser import Eyes, eyes, press, walk_to
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake
from tests.fixtures.packages import made_of
from tests.fixtures.portal import code_in, link_in, opened
from tests.fixtures.serving import served

EMAIL = "ada@example.org"
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
REPORTS = tuple(
    TaskReport.model_validate(
        {
            "task_id": f"019c0000-0000-7000-8000-00000000000{place}",
            "system": system,
            "operation": Operation.EXPORT,
            "outcome": TaskOutcome.EXPORTED if counts else TaskOutcome.NO_MATCH,
            "found": sum(counts.values()),
            "by_category": counts,
        }
    )
    for place, (system, counts) in enumerate({"crm": {"contact": 7, "address": 2}, "helpdesk": {"ticket": 3}}.items())
)


async def by_keyboard(page: Page, portal: str) -> None:
    """Asks for a copy with the Tab key, blank and Enter."""

    async def press(what: str) -> None:
        await walk_to(page, what)
        async with page.expect_navigation():
            await page.keyboard.press("Enter")

    await page.goto(f"{portal}/de/")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await press("a.button")
    for name in ("right", "whom"):
        await walk_to(page, f"input[name={name}]")
        await page.keyboard.press("Space")
        await press("button")
    await walk_to(page, "#email")
    await page.keyboard.type("ben@example.org")
    for _ in range(3):
        await press("button")
    assert "/de/sent" in page.url


async def ask(page: Page, look: Eyes, portal: str) -> None:
    """Asks for a copy, and looks at every page, right and wrong."""
    await page.goto(f"{portal}/en/")
    await look.look(page, "start")
    await press(page, "a.button")
    await press(page, "button")
    await look.look(page, "right-error")
    assert await page.evaluate("document.querySelector('.summary a').hash") == "#right"
    await page.check("input[value=access]")
    await press(page, "button")
    await look.look(page, "whom")
    await page.check("input[value=me]")
    await press(page, "button")
    await page.fill("#email", "no-address")
    await page.fill("#name", LONG)
    await press(page, "button")
    await look.look(page, "contact-error")
    await page.fill("#email", EMAIL)
    await page.select_option("#country", "DE")
    await press(page, "button")
    await look.look(page, "details")
    await page.fill("#number1", "030 901820")
    await page.fill("#since1", "2021-03-31")
    await press(page, "button")
    await look.look(page, "check")
    await press(page, "#send")
    await look.look(page, "sent")
    await press(page, "a.button")
    await page.fill("#code", "12")
    await press(page, "button")
    await look.look(page, "code-error")


async def detailed(page: Page, look: Eyes, portal: str) -> None:
    """The pages of rights that have to be said more exactly."""
    for right in ("rectification", "restriction", "objection", "consent_withdrawal"):
        await page.goto(f"{portal}/de/ask/right")
        await page.check(f"input[value={right}]")
        await press(page, "button")
        await look.look(page, f"detail-{right}")


async def id_on(page: Page, intake: Intake) -> str:
    """The id of the request whose reference the page shows."""
    shown = await page.inner_text("dd.reference")
    return str((await intake.officer.get(f"/v1/requests/{shown}")).raise_for_status().json()["request_id"])


async def packed(intake: Intake, reference: str) -> UUID:
    """A package with a report, as export makes them; its id."""
    ticket = Piece("helpdesk", "ticket", "ticket/1", {"subject": "My telephone does not ring", "note": LONG})
    content = await made_of([ticket], Right.ACCESS, intake.clock.now())
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", UUID(reference))
        return await seal_package(tx, subject, content, ReleaseRow("ticket", [Match("email", EMAIL)]))


async def test_over_tls_a_browser_keeps_the_cookie_that_is_bound_to_the_host(
    intake: Intake, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        opened(intake, monkeypatch, url=url) as opening,
        served(opening.application, listener, issue(tmp_path)),
        eyes("portal", run_folder) as look,
    ):
        page = await look.person(ignore_https_errors=True)
        await page.goto(f"{url}/portal/en/ask/right")
        await page.check("input[value=access]")
        await press(page, "button")
        assert page.url.endswith("/en/ask/whom"), "the form was taken, so its session was"
        [cookie] = await page.context.cookies()
        shown = (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["path"], cookie["domain"])
        assert shown == ("__Host-dsr-portal", True, True, "/", "127.0.0.1")
        assert await page.evaluate("document.cookie") == ""
        assert not look.faults


async def test_everybody_can_use_the_portal(intake: Intake, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    portal = f"{url}/portal"
    sign_in = {"sign_in_url": f"{url}/elsewhere", "sign_in_issuer": "customers", "sign_in_keys": str(_keys(run_folder))}
    async with (
        opened(intake, monkeypatch, url=url, **sign_in) as opening,
        served(opening.application, listener),
        eyes("portal", run_folder) as look,
    ):
        page = await look.person()
        await ask(page, look, portal)
        letter = (await opening.letters())[0]
        await page.goto(url + link_in(letter, url))
        await look.look(page, "link")
        await press(page, "main button")
        await look.look(page, "request-at-work")
        reference = await id_on(page, intake)
        await intake.ask(f"/v1/requests/{reference}", "clarification")
        await page.reload()
        await look.look(page, "request-question")
        await press(page, ".warning a.button")
        await look.look(page, "answer")
        await page.goto(f"{portal}/en/request/withdraw")
        await look.look(page, "withdraw")
        await page.goto(f"{portal}/en/request/answer")
        await page.fill("#text", "The one in Berlin.")
        await press(page, "main button")
        package_id = await packed(intake, reference)
        await intake.complete(
            f"/v1/requests/{reference}", operation=Operation.EXPORT, tasks=REPORTS, package_id=package_id
        )
        await page.goto(f"{portal}/de/request")
        await look.look(page, "request-answered")
        await press(page, "a.button[href$=report]")
        await look.look(page, "report")
        assert await page.evaluate("getComputedStyle(document.querySelector('header')).borderBottomWidth") == "3px"
        await page.go_back()
        await page.goto(f"{portal}/en/request/letters")
        await look.look(page, "letters")
        await page.goto(url + link_in(letter, url))
        await look.look(page, "link-used")
        for name in (
            "notice",
            "complain",
            "port-my-number",
            "for-another",
            "follow",
            "ask/contact",
            "nothing",
        ):
            before = len(look.faults)
            await page.goto(f"{portal}/{'fr' if len(name) % 2 else 'es'}/{name}")
            await look.look(page, name.replace("/", "-"))
            if name == "nothing":
                del look.faults[before:]  # the browser says that it was answered 404
        await detailed(await look.person(), look, portal)
        await by_keyboard(await look.person(), portal)
        newest = (await opening.letters())[-1]
        assert code_in(newest)
        await page.goto(url + link_in(newest, url))
        await press(page, "button[value=not_me]")
        await look.look(page, "disowned")
        assert [each for each in look.faults if "422" not in each] == [], "nothing is refused by the policy of the page"
        assert len(look.seen) >= 29


def _keys(folder: Path) -> Path:
    path = folder / "sign-in.json"
    path.write_bytes(orjson.dumps(KeySet([OKPKey.generate_key("Ed25519")]).as_dict(private=False)))
    return path
