"""Signs in to the console: what each role sees of the queue, a request and its case sheet."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.console import queue
from services.web.sessions import Session, Sessions
from shared.domain.events import FulfilmentBlocked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.console import OpenedConsole, opened_console
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, beyond, id_of
from tests.fixtures.letters_sent import send
from tests.fixtures.mail_server import MailServer
from tests.fixtures.portal import Visitor, opened
from tests.integration.test_mail_read import mail, take, waiting


async def test_sign_in_returns_to_the_page_that_was_asked_for(console: OpenedConsole) -> None:
    path = await console.intake.submit()
    visitor = await console.visitor().open(f"/console/requests/{id_of(path)}")
    assert (visitor.path, visitor.status) == ("/console/sign-in", 200)
    before = visitor.client.cookies.get("__Host-dsr-console")
    await console.sign_in(visitor, "hanna")
    assert (visitor.path, visitor.status) == (f"/console/requests/{id_of(path)}", 200)
    assert visitor.client.cookies.get("__Host-dsr-console") not in {before, None}
    [viewed] = await console.intake.details(path, "request.viewed")
    assert viewed == {"holder": "hanna"}
    await visitor.open("/console/me")
    await visitor.send("/console/sign-out", where="here")
    assert (await visitor.open("/console/")).path == "/console/sign-in"


async def test_an_answer_is_good_once_and_for_the_browser_that_asked(console: OpenedConsole) -> None:
    hanna, eve = console.visitor(), console.visitor()
    back = await console.way_back(hanna, "hanna")
    await eve.client.get("/console/sign-in/begin")
    assert (await eve.open(back)).status == 403
    back = await console.way_back(hanna, "hanna")
    assert (await hanna.open(back.replace("state=", "state=x"))).status == 403
    assert (await hanna.open(back)).status == 403, "the question was used up"
    back = await console.way_back(hanna, "hanna")
    assert (await hanna.open(back)).status == 200
    assert (await hanna.open(back)).status == 403


async def test_id_token_of_another_key_is_refused(console: OpenedConsole) -> None:
    visitor = console.visitor()
    await console.member("hanna")  # whose key is known from now on
    other = type(console.provider)(console.provider.issuer, console.url).key
    console.provider.key, known = other, console.provider.key
    assert other.kid == known.kid
    assert (await console.sign_in(visitor, "hanna")).status == 403
    console.provider.key = type(other).generate_key("P-256", {"kid": "two"})
    assert (await console.sign_in(visitor, "hanna")).status == 200, "a new key is asked for by its name"


async def test_a_code_that_is_exchanged_with_another_verifier_gives_no_token(console: OpenedConsole) -> None:
    visitor = console.visitor()
    back = await console.way_back(visitor, "hanna")
    for asked in console.provider.codes.values():
        asked["code_challenge"] = "x" * 43
    assert (await visitor.open(back)).status == 403


async def test_console_reports_an_unavailable_provider(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_CONSOLE_ISSUER", "http://127.0.0.1:1")
    async with opened(intake, monkeypatch) as both:
        visitor = both.visitor()
        await visitor.open("/console/sign-in/begin")
        assert visitor.status == 503
        assert "identity provider cannot be reached" in visitor.text
        assert (await visitor.open("/portal/en/")).status == 200


async def test_a_session_ends_and_takes_its_roles_with_it(console: OpenedConsole) -> None:
    hanna = await console.member("hanna")
    page = await hanna.open("/console/me")
    console.intake.clock.at += timedelta(minutes=31)
    await page.send("/console/sign-out", where="here")
    assert (await hanna.open("/console/")).path == "/console/sign-in"


@pytest.mark.parametrize("changed", [{"sub": "another"}, {"preferred_username": "anton"}])
async def test_name_stays_bound_to_its_first_account(console: OpenedConsole, changed: dict[str, str]) -> None:
    await console.member("hanna")
    console.provider.changed = changed
    eve = await console.sign_in(console.visitor(), "hanna")
    assert (eve.status, "bound to another account or name" in eve.text) == (403, True)
    assert (await eve.open("/console/")).path == "/console/sign-in"
    console.provider.changed = {}
    assert (await console.sign_in(eve, "hanna")).status == 200


async def test_each_sign_in_and_sign_out_is_on_record_without_any_secret(console: OpenedConsole) -> None:
    hanna, elsewhere = await console.member("hanna"), await console.member("hanna")
    await (await hanna.open("/console/me")).send("/console/sign-out", where="everywhere")
    assert (await elsewhere.open("/console/")).path == "/console/sign-in"
    rows = "SELECT actor, action, detail FROM evidence.entry WHERE action LIKE 'console.%' ORDER BY seq"
    entries = [tuple(row) for row in await console.intake.unit_of_work.pool.fetch(rows)]
    assert [(actor, action) for actor, action, _ in entries] == [
        *[("person:hanna", "console.signed_in")] * 2,
        ("person:hanna", "console.signed_out"),
    ]
    details = [orjson.loads(detail) for *_, detail in entries]
    assert details[0] == {"holder": "hanna", "roles": ["handler"], "from": "127.0.0.1"}, "and no secret"
    assert details[2] == {"holder": "hanna", "where": "everywhere"}


# Sessions of the sites: the database reveals none, and an ended one stays ended.
@pytest.fixture
def sessions(intake: Intake) -> Sessions:
    return Sessions(intake.unit_of_work, "console", timedelta(minutes=30), timedelta(hours=8))


async def signed_in(sessions: Sessions, clock: SetClock, principal: str = "officer-1") -> Session:
    session = Session(clock.now(), {"said": "Ada Quarzfels"}, principal, wanted=True)
    await sessions.keep(session)
    return session


async def test_database_holds_no_cookie_and_no_words(intake: Intake, sessions: Sessions, clock: SetClock) -> None:
    session = await signed_in(sessions, clock)
    (row,) = await intake.unit_of_work.pool.fetch("SELECT * FROM web_session")
    held = b"".join(value for value in row.values() if isinstance(value, bytes))
    assert b"Quarzfels" not in held
    assert session.token.encode() not in held
    read = await sessions.read(session.token)
    assert (read.data, read.principal, read.csrf) == ({"said": "Ada Quarzfels"}, "officer-1", session.csrf)


async def test_session_ends_when_idle_or_after_its_maximum(sessions: Sessions, clock: SetClock) -> None:
    session, used = await signed_in(sessions, clock), await signed_in(sessions, clock)
    for _ in range(20):
        clock.at += timedelta(minutes=25)
        await sessions.keep(await sessions.read(used.token))
    assert not (await sessions.read(session.token)).stored
    assert not (await sessions.read(used.token)).stored


async def test_cookie_of_an_expired_session_begins_another(sessions: Sessions, clock: SetClock) -> None:
    session = await signed_in(sessions, clock)
    clock.at += timedelta(minutes=31)
    late = await sessions.read(session.token)
    late.data["to"] = "/incidents"
    await sessions.keep(late)
    again = await sessions.read(session.token)
    assert (again.data, again.principal) == ({"to": "/incidents"}, None)


async def test_sign_out_everywhere_reaches_a_page_being_answered(sessions: Sessions, clock: SetClock) -> None:
    one, other = await signed_in(sessions, clock), await signed_in(sessions, clock, "officer-2")
    answered = await sessions.read(one.token)
    answered.data["more"] = True
    await sessions.end_all("officer-1")
    await sessions.keep(answered)
    assert not (await sessions.read(one.token)).stored
    assert (await sessions.read(other.token)).stored


async def test_sign_in_changes_the_cookie(sessions: Sessions, clock: SetClock) -> None:
    session = await signed_in(sessions, clock)
    before = session.token
    session.renew()
    await sessions.keep(session)
    assert not (await sessions.read(before)).stored
    assert (await sessions.read(session.token)).data == session.data


async def test_cookie_opens_no_session_of_another_site(intake: Intake, sessions: Sessions, clock: SetClock) -> None:
    session = await signed_in(sessions, clock)
    portal = Sessions(intake.unit_of_work, "portal", timedelta(minutes=30), timedelta(hours=8))
    assert not (await portal.read(session.token)).stored
    assert not (await sessions.read("x" * 43)).stored
    assert not (await sessions.read("kurz")).stored


# The queue and the story of a request, as each role sees them.

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def console(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenedConsole]:
    async with opened_console(intake, monkeypatch, traces="https://traces.example/{trace}") as console:
        yield console


def listed(visitor: Visitor) -> list[str]:
    return re.findall(r'href="/console/requests/([0-9a-f-]{36})"', visitor.html)


async def test_queue_shows_earliest_due_first(console: OpenedConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    intake, paths = console.intake, list[str]()
    for said in ({"assurance": None}, {"right": "erasure"}, {"assurance": None}):
        paths.append(await intake.submit(**said))
        intake.clock.at += timedelta(days=1)
    hanna = await console.member("hanna")
    first, erasure, last = map(id_of, paths)
    await intake.consume(a(FulfilmentBlocked, about=erasure, tasks=(beyond(3_000),)))
    await hanna.open("/console/")
    assert listed(hanna) == [first, erasure, last]
    assert "billing" in hanna.text, "what it waits for is said"
    assert "POST" not in hanna.text
    for query, found in (
        ("waits=proof", [first, last]),
        ("waits=person", [erasure]),
        ("right=erasure", [erasure]),
        ("state=awaiting_identity&right=erasure", []),
        ("system=billing", [erasure]),
        ("system=crm", []),
        ("state=closed", []),
        ("due=overdue", []),
    ):
        assert listed(await hanna.open(f"/console/?{query}")) == found, query
    for query in ("waits=godot", "sort=name", "after=1", "due=tomorrow", "system=%00", "reference=ada"):
        assert (await hanna.open(f"/console/?{query}")).status == 400, query
    monkeypatch.setattr(queue, "ROWS", 2)
    await hanna.open("/console/?right=")
    (following,) = re.findall(r'href="/console/(\?[^"]*after=[^"]+)"', hanna.html)
    assert listed(await hanna.open(f"/console/{following}")) == [last]
    intake.clock.at += timedelta(days=60)
    hanna = await console.member("hanna")
    assert listed(await hanna.open("/console/?due=overdue")) == [first, erasure]
    for path in paths:
        (await intake.officer.post(f"{path}/actions/withdraw")).raise_for_status()
    assert listed(await hanna.open("/console/")) == []
    assert len(listed(await hanna.open("/console/?state=closed"))) == 2
    (following,) = re.findall(r'href="/console/(\?[^"]*after=[^"]+)"', hanna.html)
    assert listed(await hanna.open(f"/console/{following.replace('&amp;', '&')}")) == [first]


async def test_request_page_shows_everything_and_records_the_look(console: OpenedConsole) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    intake.channel.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    path = await intake.submit(right="erasure")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_000),)))
    await intake.decide(path, "refuse")
    await hanna.open(f"/console/requests/{id_of(path)}")
    for said in ("erasure", "billing", "3,000 are found", "request received", "decision made", "Acknowledgement"):
        assert said.lower() in hanna.text.lower(), said
    assert "example.org" not in hanna.text, "who has asked stands in the letters alone"
    assert f'href="https://traces.example/{TRACE}"' in hanna.html
    await hanna.open(f"/console/requests/{id_of(path)}/letters")
    assert "ada@example.org" in hanna.text
    looked = [each for each in await intake.evidence(path) if each["actor"] == "person:hanna"]
    assert [each["action"] for each in looked] == ["request.viewed", "letters.read"]
    ugo = await console.member("ugo")
    assert (await ugo.open(f"/console/requests/{id_of(path)}")).status == 200
    assert (await ugo.open(f"/console/requests/{id_of(path)}/letters")).status == 403
    for wrong in ("nothing", "00000000-0000-0000-0000-000000000000"):
        assert (await hanna.open(f"/console/requests/{wrong}")).status == 404


async def test_closed_request_is_open_until_its_answer_arrived(console: OpenedConsole, server: MailServer) -> None:
    intake = console.intake
    path = await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET channel = 'email'")
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    visitor = await _shown_as_overdue(console, path, "has not reached the person")
    assert await send(intake, server)
    assert listed(await visitor.open("/console/?due=overdue")) == []


async def test_outstanding_part_of_an_answered_request_is_open_and_overdue(console: OpenedConsole) -> None:
    intake = console.intake
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    owed = GIVEN.model_dump(mode="json", exclude_none=True) | {"failure": "refused", "system": "billing"}
    execute = intake.unit_of_work.pool.execute
    await execute("UPDATE request SET outcome = 'partially_fulfilled', owed = true, open = true, tasks = $1", [owed])
    visitor = await _shown_as_overdue(console, path, "of billing the rest is still owed")
    owed.pop("failure")
    now = intake.clock.now()
    done = "UPDATE request SET tasks = $1, responded_at = $2, due_on = $3, open = false"
    await execute(done, [owed], now, now.date() + timedelta(days=1))
    intake.clock.pass_by(minutes=2)
    assert "100 %" in (await visitor.open("/console/sla")).text, "done in time"
    intake.clock.pass_by(days=4)
    async with intake.unit_of_work.begin() as tx:
        tx.log_evidence(UUID(id_of(path)), "part.completed", {}, "service:intake")
    visitor = await console.member("ugo")
    shown = (await visitor.open("/console/sla")).text
    assert re.search(r"\b0 %", shown), "what was owed was done late"
    assert listed(await visitor.open("/console/?due=overdue")) == []


async def _shown_as_overdue(console: OpenedConsole, path: str, why: str) -> Visitor:
    """Shows a closed, unfinished request sixty days later on each page."""
    console.intake.clock.pass_by(days=60)
    visitor = await console.member("ugo")
    for query in ("", "?due=overdue", "?right=access", "?state=closed"):
        assert listed(await visitor.open(f"/console/{query}")) == [id_of(path)], query
        assert why in visitor.text
    assert "days late" in (await visitor.open("/console/?due=overdue")).text
    assert listed(await visitor.open("/console/?state=in_progress")) == []
    await visitor.open(f"/console/requests/{id_of(path)}")
    assert why in visitor.text
    assert "Was due" not in visitor.text
    shown = (await visitor.open("/console/sla")).text
    assert "Nothing is open" not in shown
    assert "nothing is overdue" not in shown
    assert re.search(r"\b0 %", shown)
    return visitor


# The case sheet shows what is decided about: sealed until it is opened, by those who decide, on record.

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


async def test_case_sheet_shows_identities_proofs_and_accounts(intake: Intake) -> None:
    path = await intake.submit(**STATES)
    await found(intake, path)
    await intake.ask(path, "identity")
    (
        await intake.officer.post(f"{path}/actions/record-reply", json={"text": "The one of my office."})
    ).raise_for_status()
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


async def test_case_sheet_shows_the_mail_of_a_case(intake: Intake) -> None:
    await take(intake, mail())
    [listed] = await waiting(intake)
    subject = {"email": "ada@mail.example", "country": "DE"}
    asked = {"rights": ["access", "erasure"], "language": "de", "subject": subject}
    confirmed = await intake.officer.post(f"/v1/mail/{listed['mail_id']}/actions/confirm", json=asked)
    for each in confirmed.raise_for_status().json()["requests"]:
        shown = (await intake.officer.get(f"/v1/requests/{each}/statement")).json()
        [words] = shown["words"]
        assert (words["kind"], words["subject"]) == ("mail", "Datenschutz")
        assert "Auskunft" in words["text"]


async def test_case_sheet_is_closed_to_channels_and_after_key_destruction(intake: Intake) -> None:
    path = await intake.submit(**STATES)
    assert (await intake.channel.get(f"{path}/statement")).status_code == 403
    async with intake.unit_of_work.begin() as tx:
        ref = await tx.connection.fetchval("SELECT subject_ref FROM request")
        await tx.vault.shred(tx.connection, [ref], tx.now)
    answer = await intake.officer.get(f"{path}/statement")
    assert answer.status_code == 410
    assert "key of this person is destroyed" in answer.json()["detail"]
    assert "statement.read" not in await intake.actions(path)


async def test_button_opens_the_case_sheet(console: OpenedConsole) -> None:
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


async def test_case_sheet_is_shown_next_to_every_action(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await intake.submit(**STATES)
    offered = (await intake.officer.get(f"{path}/actions")).json()["data"]
    actions = {each["name"] for each in offered}
    assert {"verify", "ask", "extend", "withdraw"} <= actions
    stopped = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(stopped), tasks=(beyond(3_000),)))
    async with opened_console(intake, monkeypatch) as console:
        anton, admin = await console.member("anton"), await console.member("ada-min")
        for each in actions:
            await anton.open(f"/console/requests/{id_of(path)}/decide/{each}")
            assert "What this will do" in anton.text, each
            assert "+34600000002" in anton.text, each
        opened = await intake.details(path, "statement.read")
        assert opened == [{"holder": "anton"}] * len(actions)
        await admin.open(f"/console/requests/{id_of(stopped)}/decide/exceed-limit")
        assert "What this will do" in admin.text
        assert "ada@example.org" not in admin.text
        assert "None of your roles may read" in admin.text
