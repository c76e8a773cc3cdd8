"""Incoming and outgoing mail, and stopped work, in the console."""

import base64
import hashlib
import io
import re
import zipfile
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urljoin
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from services.console import queue, tables
from services.intake.identity import stopped
from services.intake.reviews import rows
from shared.domain import notices as tokens
from shared.domain.operations import Operation
from shared.domain.policy import read_policy
from shared.storage import certificate
from tests.fixtures.console import OpenedConsole
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import PROPOSAL, downloaded, id_of, reference_of
from tests.fixtures.portal import Visitor
from tests.fixtures.recipients import digest_of, digests, erased, listed, report
from tests.integration.test_console_decisions import approval
from tests.integration.test_incidents import FACTS
from tests.integration.test_mail_read import mail, take
from tests.integration.test_release_check import withheld


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
    assert (view["received_at"], len(view["case"]["requests"])) == ("2026-02-27T17:00:00+00:00", 2)
    await confirmed(hanna, "/console/new", **letter)
    assert hanna.path.endswith(first), "the same letter entered twice is one"

    await confirmed(
        hanna,
        f"/console/requests/{first}/decide/record-address",
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
    await confirmed(hanna, f"/console/letters/{letter_id[0]}/mark-posted")
    assert await intake.unit_of_work.pool.fetchval("SELECT state FROM delivery") == "sent"


async def test_a_key_is_released_by_one_and_a_system_by_two(console: OpenedConsole) -> None:
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
    await confirmed(anton, "/console/systems/crm/enable")
    assert (await confirmed(anton, "/console/systems/crm/enable")).status == 422
    await confirmed(admin, "/console/systems/crm/enable")
    assert await pool.fetchval("SELECT state FROM downstreams.system WHERE name = 'crm'") == "on"
    assert (await anton.open("/console/systems/cdr/enable")).status == 404, "what was changed is checked first"
    assert (await intake.officer.post("/v1/systems/cdr/actions/enable")).status_code == 409


async def test_decision_on_an_incident_waits_among_approvals_of_others(console: OpenedConsole) -> None:
    owner, anton, ugo = [await console.member(who) for who in ("officer-1", "anton", "ugo")]
    zone = ZoneInfo(read_policy().controller.zone)
    at = f"{(console.intake.clock.now() - timedelta(hours=8)).astimezone(zone):%Y-%m-%d %H:%M}"
    said = {name: str(value) for name, value in FACTS.items() if not isinstance(value, list)}
    said |= {"nature": "confidentiality", "categories": "call_record", "controllers": "us"}
    await confirmed(owner, "/console/incidents/new", found_at=at, **said)
    page = owner.path
    assert ("64 h left" in owner.text, FACTS["facts"] in owner.text) == (True, True)
    await confirmed(owner, f"{page}/decide", risk="none", reasons="Numbers alone, for an hour.")
    [approving] = re.findall('href="([^"]+/approve)"', (await anton.open("/console/approvals")).html)
    assert "a second person" in (await anton.open("/console/incidents")).text
    for excluded in (owner, ugo):
        await excluded.open("/console/approvals")
        assert ("Decide the risk" in excluded.text, approving in excluded.html) == (True, False)
    await anton.open(approving)
    assert all(each in anton.text for each in ("Numbers alone, for an hour.", FACTS["effects"], "call_record"))
    await confirmed(anton, approving)
    assert "Nothing waits for a second person" in (await anton.open("/console/approvals")).text
    notified = {"whom": "authority", "to": "BlnBDI 521", "complete": "yes", "what": "All of it."}
    await confirmed(owner, f"{page}/notified", notified_at=at, **notified)
    assert "The notice is complete yes" in " ".join(owner.text.split())
    form = (await owner.open(f"{page}/facts")).html
    assert ('value="1200"' in form, f'value="{at}"' in form) == (True, True), "the facts stand in the form"
    await confirmed(owner, f"{page}/close", explanation="The BlnBDI has closed its case.")
    assert "The BlnBDI has closed its case." in owner.text


async def test_two_approvers_check_a_withheld_package(console: OpenedConsole) -> None:
    intake = console.intake
    path = await withheld(intake)
    page = f"/console/requests/{id_of(path)}"
    hanna, anton, admin, ugo = [await console.member(who) for who in ("hanna", "anton", "ada-min", "ugo")]
    for excluded in (admin, ugo):
        assert (await excluded.open(f"{page}/package")).status == 403, "they read nothing that is about people"
    assert "look into the package first" in (await confirmed(hanna, f"{page}/decide/release-package")).text
    await (await hanna.open(f"{page}/package")).send(step="confirm")
    assert hanna.html == "everything"
    await confirmed(hanna, f"{page}/decide/release-package")
    assert "hanna has proposed: Release the package" in hanna.text
    approving = f"{await approval(intake, path)}/approve"
    assert approving in (await anton.open("/console/approvals")).html
    shown = await anton.open(approving)
    assert (shown.status, "hanna" in shown.text) == (422, True), "an approver must look before they confirm"
    assert (await hanna.client.get(approving)).status_code == 403, "a handler approves nothing"
    await (await anton.open(f"{page}/package")).send(step="confirm")
    await confirmed(anton, approving)
    assert (await downloaded(intake.channel, path)).status_code == 200
    assert [each["holder"] for each in await intake.details(path, "package.viewed")] == ["hanna", "anton"]


def by_mail(number: int) -> dict[str, Any]:
    return {"right": "access", "channel": "email", "subject": {"email": f"ada{number}@example.org", "country": "DE"}}


async def test_reply_with_another_request_becomes_a_request_of_its_own(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await intake.submit(right="erasure")
    letter_id = await intake.unit_of_work.pool.fetchval("SELECT letter_id FROM letter")
    token = tokens.token(intake.unit_of_work.vault.keyring.lookup, letter_id)
    assert await take(intake, mail(more=f"In-Reply-To: <{token}@example.org>\n")) == "reply"
    await hanna.open(f"/console/mail/{await intake.unit_of_work.pool.fetchval('SELECT mail_id FROM mail')}")
    assert "decide/record-reply" not in hanna.html, "nothing was asked"
    assert "Make it a new request" in hanna.text
    said: dict[str, Any] = {"rights": ["access"], "subject.email": "ada@mail.example", "language": "de"}
    await confirmed(hanna, f"{hanna.path}/confirm", **said)
    assert "request" in hanna.path
    assert id_of(path) not in hanna.path


async def test_person_asks_about_an_unanswered_digest_and_enters_the_reply(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    path = await erased(intake, report(Operation.ERASE, call=1))
    await digests(intake, days=0)
    digest = (await digest_of(intake, path, "carrier")).replace("/v1/recipient-digests", "/console/recipients")
    assert reference_of(path) in (await hanna.client.get(digest)).text
    reminded = "UPDATE recipient_digest SET reminded_by = digest_id, written_at = written_at - interval '30 days'"
    await intake.unit_of_work.pool.execute(reminded)
    await hanna.open("/console/approvals")
    assert f'href="{digest}"' in hanna.html
    await confirmed(hanna, digest.replace("recipients", "recipient-digests") + "/record-reply", reply="done")
    assert (await listed(intake, path))["carrier"]["state"] == "done"


MANY = """
INSERT INTO incident (incident_id, downloads, opened_at, found_at, closed_at)
SELECT gen_random_uuid(), 0, now(), now(), timestamptz '2026-03-01' FROM generate_series(1, 3) n;
INSERT INTO mail (mail_id, digest, received_at, by_mx, read_at, state)
SELECT gen_random_uuid(), int4send(n), now(), true, now(), 'proposed' FROM generate_series(1, 3) n;
INSERT INTO register.conflict (conflict_id, identity, system, valid_from, kind, request_id, noticed_at)
SELECT gen_random_uuid(), int4send(n), 'crm', now(), 'another_holder', $1, now() FROM generate_series(1, 3) n;
INSERT INTO recipient_digest (digest_id, recipient, written_on, written_at, notified_at)
SELECT gen_random_uuid(), 'carrier' || n, now(), '2025-01-01', now() FROM generate_series(1, 3) n;
UPDATE recipient_digest SET reminded_by = digest_id;
INSERT INTO recipient_notice (request_id, recipient, what, categories, state, concerned_at, digest_id)
SELECT $1, recipient, 'erased', '{}', 'notified', now(), digest_id FROM recipient_digest;
INSERT INTO proof_withheld (request_id, withheld_at) SELECT request_id, now() FROM request;
UPDATE request SET state = 'awaiting_identity', waits = 'proof'
"""
"""Three rows of each list of the console; ``$1``: a request."""


GOES_ON = {"/": 1, "/mail": 1, "/post": 1}
"""Lists, with the number of their tables that go on."""


SAYS_SO = {"/approvals": 2, "/incidents": 1, "/stopped": 2}
"""Lists of open work, with the number of their tables that show only the first rows."""


SHORT = {"/holds", "/me", "/sla", "/systems", "/post/print"}
"""Pages with no more rows than the company has systems or holds."""


FORMS = {"/incidents/new", "/holds/place", "/new", "/search"}


ONWARD = re.compile(r'href="([^"]+)">(?:Show those after these|Next page)')


async def walked(member: Visitor, path: str, page: str, following: str) -> int:
    """Counts the pages of a list, which show no row twice; opens at most three."""
    name = following.partition("?")[2].rpartition("&amp;")[2].partition("=")[0]
    seen = [page]
    while following and len(seen) < 3:
        html = (await member.open(urljoin(path, unescape(following)))).html
        assert member.status == 200, following
        assert html not in seen, following
        seen.append(html)
        following = next((each for each in ONWARD.findall(html) if f"{name}=" in each), "")
    return len(seen)


async def test_every_truncated_list_leads_to_its_end(console: OpenedConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    paths = {path for path in console.site.powers if "{" not in path}
    assert paths - {*GOES_ON, *SAYS_SO, *SHORT, *FORMS} == set(), "a list that is new is looked at here"
    for module in (queue, tables):
        monkeypatch.setattr(module, "ROWS", 1)
    for module in (rows, stopped):
        monkeypatch.setattr(module, "MOST", 1)
    for number in range(3):
        (await intake.officer.post("/v1/requests", json=by_mail(number))).raise_for_status()
    for path in [await intake.submit() for _ in range(2)]:
        (await intake.officer.post(f"{path}/actions/extend", json=PROPOSAL)).raise_for_status()
    for statement in MANY.split(";"):
        await intake.unit_of_work.pool.execute(statement.replace("$1", f"'{id_of(path)}'"))
    for path, many in GOES_ON.items():
        page = (await hanna.open(f"/console{path}")).html
        onward = ONWARD.findall(page)
        assert len(onward) == many, path
        for following in onward:
            assert await walked(hanna, f"/console{path}", page, following) == 3, path
    for path, many in SAYS_SO.items():
        assert (await hanna.open(f"/console{path}")).text.count("The first 1 are shown") == many, path


# Pages of the console on incidents, promises and who did what.
WORDS = {"happened": "A list was public.", "consequences": "Calls.", "measures": "It is gone."}


async def step(visitor: Visitor, path: str, **form: str) -> Visitor:
    """Opens the page of a step, fills it in, and confirms."""
    await visitor.open(path)
    assert visitor.status == 200, visitor.text
    assert "<form" in visitor.html, visitor.text
    if form:
        await visitor.send(step="check", **form)
        assert "Confirm:" in visitor.text, visitor.text
    return await visitor.send(step="confirm", **form)


async def test_incident_clock_shows_full_hours_and_the_day_in_the_controllers_zone(console: OpenedConsole) -> None:
    intake = console.intake
    intake.clock.pass_by(hours=17)  # the next day there
    found = {"found_at": intake.clock.now().isoformat(), **FACTS}
    incident = (await intake.officer.post("/v1/incidents", json=found)).json()["incident_id"]
    at = f"{intake.clock.now().astimezone(ZoneInfo(read_policy().controller.zone)):%Y-%m-%d %H:%M}"
    hanna = await console.member("hanna")
    assert f"Incident found {at}" in (await hanna.open(f"/console/incidents/{incident}/close")).text
    intake.clock.pass_by(hours=72, minutes=5)
    hanna = await console.member("hanna")
    assert "< 1 h late" in (await hanna.open("/console/incidents")).text


async def test_auditor_exports_a_case_without_the_words_of_letters(console: OpenedConsole) -> None:
    intake, ugo = console.intake, await console.member("ugo")
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    await intake.officer.get(f"{path}/letters")
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    count = "SELECT count(*) FROM evidence.entry WHERE action = 'case.exported'"
    before = await intake.unit_of_work.pool.fetchval(count)
    export = f"/console/requests/{id_of(path)}/case-file"
    assert (await ugo.client.get(export, headers=elsewhere)).status_code == 403
    assert await intake.unit_of_work.pool.fetchval(count) == before, "a link of another site exports nothing"
    assert "Case file" in (await ugo.open(f"/console/requests/{id_of(path)}")).text
    answer = await ugo.client.get(f"/console/requests/{id_of(path)}/case-file")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert certificate.verify(orjson.loads(archive.read("certificate.json"))) == []
    assert not [name for name in archive.namelist() if name.startswith("letters/")]
    assert "ada@example.org" not in "".join(archive.read(name).decode() for name in archive.namelist())
    hanna = await console.member("hanna")
    assert (await hanna.client.get(f"/console/requests/{id_of(path)}/case-file")).status_code == 403
    [exported] = await intake.details(path, "case.exported")
    assert (exported["holder"], exported["letters"]) == ("ugo", 0)


async def test_commitments_are_plotted_without_inline_styles_or_scripts(console: OpenedConsole) -> None:
    intake = console.intake
    await intake.submit()
    done = await intake.submit(right="erasure")
    intake.clock.pass_by(days=1)
    await intake.complete(done, operation=Operation.ERASE, tasks=(GIVEN.model_copy(update={"operation": "erase"}),))
    ugo = await console.member("ugo")
    text = (await ugo.open("/console/sla")).html
    assert "names 5 to 7" in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 5
    assert [len(re.findall(each, text)) for each in ("<table", "<details")] == [5, 5], "each table is folded"
    assert not re.search(r"style=|<style|<script|href=", "".join(plots))
    assert all('role="img" aria-label="' in each for each in plots)
    assert re.search(r'<th scope="row">erasure</th><td class="number">1\.0', text)
    assert "all that is open is closed in 30 days" in text
    await intake.submit()
    assert (await ugo.open("/console/sla")).html.count("<svg") == 5
    intake.clock.pass_by(minutes=2)
    assert "closed in 60 days" in (await ugo.open("/console/sla")).text, "counted again"
