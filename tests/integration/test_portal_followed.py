"""Following a request in the portal: what it shows, asks and sends, and the report that is read there."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from services.export.pieces import Piece
from services.intake import unpacking
from services.intake.letters import delivered
from services.intake.letters.rendering import Letters
from shared.domain import reference as references
from shared.domain.operations import Operation
from shared.domain.release import Match, Row
from shared.domain.rights import Right
from shared.storage import chunks
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.portal import Opened, link_in, opened
from tests.integration.test_portal import EMAIL, EXPORTED, asked


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def test_a_question_is_answered_and_a_request_withdrawn(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    await ada.open("/portal/en/request")
    assert "Which Quarzfels account is yours?" in ada.text
    await ada.open("/portal/en/request/answer")
    assert (await ada.send(text="")).status == 422
    assert "We have your answer" in (await ada.send(text="The one in Berlin.")).text
    await ada.open("/portal/en/request/withdraw")
    assert "Your request is withdrawn" in (await ada.send()).text
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["outcome"] == "withdrawn"


async def test_what_has_changed_since_the_page_was_shown_is_looked_at_first(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await ada.open("/portal/en/request/withdraw")
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    assert "has changed meanwhile" in (await ada.send()).text
    assert (await door.intake.officer.get(f"/v1/requests/{reference}")).json()["outcome"] is None


async def test_a_session_shows_the_request_that_was_proved_and_no_other(door: Opened) -> None:
    ada, ben = door.visitor(), door.visitor()
    mine = references.of(UUID(await asked(ada)))
    theirs = references.of(UUID(await asked(ben, email="ben@example.org")))
    await (await ada.open(link_in((await door.letters())[0]))).send()
    for path in ("request", "request/letters", "request/withdraw"):
        page = await ada.open(f"/portal/en/{path}")
        assert theirs not in page.html, path
        assert "ben@example.org" not in page.html, path
        assert (await ben.open(f"/portal/en/{path}")).status == 403, path
    assert mine in (await ada.open("/portal/en/request")).html


async def test_whoever_asked_here_and_has_proved_their_address_is_written_to_when_there_is_something_to_read(
    door: Opened,
) -> None:
    visitor = door.visitor()
    path = f"/v1/requests/{await asked(visitor, language='de')}"
    assert await door.letters("portal_news") == [], "the page has said it"
    await visitor.open(link_in((await door.letters())[0]))
    await visitor.send()
    await door.intake.complete(path, tasks=(EXPORTED,))
    [news] = await door.letters("portal_news")
    assert (news["to"], news["language"]) == ([EMAIL], "de")
    assert "/portal/de/follow" in news["html"]
    assert "crm" not in news["html"]
    waits = "SELECT state FROM delivery WHERE kind = 'portal_news'"
    assert await door.intake.unit_of_work.pool.fetchval(waits) == "waiting"
    await visitor.open("/portal/de/request/letters")
    assert "etwas Neues" not in visitor.text
    back = door.visitor()
    await (await back.open("/portal/de/follow")).send(reference=path.rpartition("/")[2])
    first, again = await door.letters()
    assert "dieser Antrag von Ihnen ist" in first["subject"]
    assert "diesen Antrag verfolgt" in again["subject"], "it is answered, and not to be confirmed any more"
    await back.open(link_in(again))
    assert ("Dann beginnen wir" in back.text, "wie es um diesen Antrag steht" in back.text) == (False, True)


async def test_an_answer_of_which_nobody_could_know_is_not_given_until_they_can_and_is_a_persons_task(
    door: Opened,
) -> None:
    ada, intake = door.visitor(), door.intake
    path = f"/v1/requests/{await asked(ada)}"
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await intake.complete(path, tasks=(EXPORTED,))
    told = "SELECT responded_at FROM request"
    assert await intake.unit_of_work.pool.fetchval(told) == intake.clock.now(), "it can be read"
    news = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM delivery WHERE kind = 'portal_news'")
    async with intake.unit_of_work.begin() as tx:
        await delivered.stopped(tx, Letters(), news, "refused")
    assert await intake.unit_of_work.pool.fetchval(told) is None
    assert (await intake.types())[-2:] == ["closed", "letter_returned"]
    tasks = (await door.officer.get("/v1/letters")).json()["letters"]
    [task] = [each for each in tasks if each["state"] == "person"]
    assert (task["kind"], task["fault"]) == ("portal_news", "refused")
    (await door.officer.post(f"/v1/letters/{news}/delivery", json={"way": "email"})).raise_for_status()
    intake.clock.at += timedelta(days=2)
    async with intake.unit_of_work.begin() as tx:
        await delivered.sent(tx, Letters(), news)
    assert await intake.unit_of_work.pool.fetchval(told) == intake.clock.now()
    assert (await intake.types())[-1] == "closed"


async def test_the_report_is_read_here_as_it_was_made_and_that_counts_once_a_day(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (chunks, unpacking):
        monkeypatch.setattr(each, "CHUNK", 4096)
    ada, intake = door.visitor(), door.intake
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    notes = [hashlib.sha256(bytes([each])).hexdigest() * 4 for each in range(99)]
    pieces = [Piece("helpdesk", "ticket", f"ticket/{place}", {"note": note}) for place, note in enumerate(notes)]
    package = await made_of(pieces, Right.ACCESS, intake.clock.now())
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", UUID(reference))
        package_id = await seal_package(tx, subject, package, Row("ticket", [Match("email", EMAIL)]))
    assert (await ada.client.get("/portal/en/request/report")).status_code == 409, "it is still made"
    path = f"/v1/requests/{reference}"
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id)
    assert "/portal/en/request/report" in (await ada.open("/portal/en/request")).html
    for later, counted in ((timedelta(), 1), (timedelta(hours=23), 1), (timedelta(hours=2), 2)):
        intake.clock.at += later
        await (await ada.open("/portal/en/follow")).send(reference=reference)
        await (await ada.open(link_in((await door.letters())[-1]))).send(answer="mine")
        assert (await ada.client.get("/portal/en/request/report")).content == unpacked(package)["report.html"]
        timeline = await intake.officer.get(f"{path}/timeline")
        assert timeline.text.count("package.read") == counted
    page = await ada.client.get("/portal/en/request/report")
    assert page.headers["Cache-Control"] == "no-store"
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.headers["Content-Security-Policy"].split("; ")[-1] == f"style-src 'sha256-{digest}'"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    for fetched in (5, 2):
        await intake.unit_of_work.pool.execute("UPDATE request SET downloads = $1", fetched)
        shown = await ada.open("/portal/en/request")
        assert ("as often as it can be" in shown.text, "/request/report" in shown.html) == (fetched == 5, fetched == 2)
    before = len(await door.letters("portal_news"))
    await intake.officer.post(f"{path}/proof-withdrawal", json={"identity": "email"})
    assert (await ada.client.get("/portal/en/request/report")).status_code == 409, "somebody doubts whose it is"
    assert len(await door.letters("portal_news")) == before + 1, "whoever asked hears that it is withheld"
    downloads = "SELECT downloads FROM request WHERE request_id = $1"
    assert await intake.unit_of_work.pool.fetchval(downloads, UUID(reference)) == 2, "as a download does"
    assert (await door.visitor().client.get("/portal/en/request/report")).status_code == 403
