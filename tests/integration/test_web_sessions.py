"""Sessions of the sites: nobody reads one from the database, and one that has ended stays ended."""

from datetime import timedelta

import pytest

from services.intake.web.sessions import Session, Sessions
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import Intake


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


async def test_a_session_ends_when_it_is_not_used_and_at_the_latest_after_its_longest(
    sessions: Sessions, clock: SetClock
) -> None:
    session, used = await signed_in(sessions, clock), await signed_in(sessions, clock)
    for _ in range(20):
        clock.at += timedelta(minutes=25)
        await sessions.keep(await sessions.read(used.token))
    assert not (await sessions.read(session.token)).stored
    assert not (await sessions.read(used.token)).stored


async def test_whoever_comes_back_with_the_cookie_of_a_session_that_has_expired_begins_another(
    sessions: Sessions, clock: SetClock
) -> None:
    session = await signed_in(sessions, clock)
    clock.at += timedelta(minutes=31)
    late = await sessions.read(session.token)
    late.data["to"] = "/breaches"
    await sessions.keep(late)
    again = await sessions.read(session.token)
    assert (again.data, again.principal) == ({"to": "/breaches"}, None)


async def test_who_signs_out_everywhere_is_signed_out_also_where_a_page_is_being_answered(
    sessions: Sessions, clock: SetClock
) -> None:
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
