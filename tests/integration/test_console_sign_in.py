"""Who is let into the console, by what the identity provider says, and what else a browser comes back with."""

from datetime import timedelta

import orjson
import pytest

from services.intake.web.sessions import Session, Sessions
from tests.fixtures.console import OpenedConsole
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.portal import opened


async def test_whoever_has_signed_in_comes_to_the_page_that_they_asked_for(console: OpenedConsole) -> None:
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


async def test_who_has_no_second_factor_or_no_role_is_told_so_and_not_let_in(console: OpenedConsole) -> None:
    for account, form, said in (("hanna", {"once": "yes"}, "second factor"), ("nemo", {}, "roles:")):
        visitor = await console.sign_in(console.visitor(), account, **form)
        assert visitor.status == 403
        assert said in visitor.text
        assert (await visitor.open("/console/")).path == "/console/sign-in"


async def test_a_token_signed_by_another_key_lets_nobody_in(console: OpenedConsole) -> None:
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
async def test_a_name_stays_bound_to_the_account_that_first_signed_in_with_it(
    console: OpenedConsole, changed: dict[str, str]
) -> None:
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


# Sessions of the sites: nobody reads one from the database, and one that has ended stays ended.
@pytest.fixture
def sessions(intake: Intake) -> Sessions:
    return Sessions(intake.unit_of_work, "console", timedelta(minutes=30), timedelta(hours=8))


async def signed_in(sessions: Sessions, clock: SetClock, principal: str = "officer-1") -> Session:
    session = Session(clock.now(), {"said": "Ada Quarzfels"}, principal, wanted=True)
    await sessions.keep(session)
    return session


async def test_the_database_holds_neither_the_cookie_nor_what_was_said(
    intake: Intake, sessions: Sessions, clock: SetClock
) -> None:
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
    late.data["to"] = "/breaches"
    await sessions.keep(late)
    again = await sessions.read(session.token)
    assert (again.data, again.principal) == ({"to": "/breaches"}, None)


async def test_sign_out_everywhere_reaches_a_page_being_answered(sessions: Sessions, clock: SetClock) -> None:
    one, other = await signed_in(sessions, clock), await signed_in(sessions, clock, "officer-2")
    answered = await sessions.read(one.token)
    answered.data["more"] = True
    await sessions.end_all("officer-1")
    await sessions.keep(answered)
    assert not (await sessions.read(one.token)).stored
    assert (await sessions.read(other.token)).stored


async def test_who_signs_in_goes_on_under_another_cookie(sessions: Sessions, clock: SetClock) -> None:
    session = await signed_in(sessions, clock)
    before = session.token
    session.renew()
    await sessions.keep(session)
    assert not (await sessions.read(before)).stored
    assert (await sessions.read(session.token)).data == session.data


async def test_a_cookie_of_one_site_opens_no_session_of_another(
    intake: Intake, sessions: Sessions, clock: SetClock
) -> None:
    session = await signed_in(sessions, clock)
    portal = Sessions(intake.unit_of_work, "portal", timedelta(minutes=30), timedelta(hours=8))
    assert not (await portal.read(session.token)).stored
    assert not (await sessions.read("x" * 43)).stored
    assert not (await sessions.read("kurz")).stored
