"""Sending in the portal, as people do it: twice, from two windows, after a long time, and once more."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from shared.domain import reference as references
from shared.domain.operations import Operation
from shared.domain.release import Match, Row
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, Visitor, code_in, link_in, opened
from tests.integration.test_portal import EXPORTED, asked

SESSIONS = "SELECT count(*) FROM web_session"


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def at_the_check(visitor: Visitor, **details: str) -> None:
    """Answers every question but the last."""
    await visitor.open("/portal/en/ask/right")
    await visitor.send(right="access")
    await visitor.send(whom="me")
    await visitor.send(email="ada@example.org", country="DE")
    await visitor.send(**details)
    assert visitor.path == "/portal/en/ask/check", visitor.text


async def test_the_button_sends_what_its_page_has_shown_and_nothing_else(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    window = Visitor(ada.client)
    await window.open("/portal/en/ask/right")
    await window.send(right="erasure")
    await ada.send()
    assert (ada.status, "changed since this page was shown" in ada.text) == (422, True)
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 0
    assert "Erase my data" in ada.text
    await ada.send()
    assert ada.path == "/portal/en/sent"


async def test_whoever_sends_twice_or_goes_back_sees_that_it_was_sent(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    again = Visitor(ada.client, ada.path, ada.status, ada.html)
    await ada.send()
    for other in (await again.send(), await again.open("/portal/en/ask/check")):
        assert (other.path, "We have your request" in other.text) == ("/portal/en/sent", True)
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 1


async def test_two_clicks_at_once_make_one_request_one_mail_and_its_code_is_good(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada)
    again = Visitor(ada.client, ada.path, ada.status, ada.html)
    await asyncio.gather(ada.send(), again.send())
    assert await door.intake.unit_of_work.pool.fetchval("SELECT count(*) FROM request") == 1
    (letter,) = await door.letters()
    await (await ada.open("/portal/en/code")).send(code=code_in(letter))
    assert ada.path == "/portal/en/request"


@pytest.mark.parametrize("page", ["follow", "again"])
async def test_two_clicks_for_another_link_send_one_and_its_code_is_good(door: Opened, page: str) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await ada.open("/portal/en/follow" if page == "follow" else "/portal/en/code")
    twin = Visitor(ada.client, ada.path, ada.status, ada.html)
    to, said = ("", {"reference": reference}) if page == "follow" else ("/portal/en/code/again", {})
    await asyncio.gather(*(each.send(to, **said) for each in (ada, twin)))
    _, letter = await door.letters()
    await (await ada.open("/portal/en/code")).send(code=code_in(letter))
    assert ada.path == "/portal/en/request"


@pytest.mark.parametrize("since", ["20240101", "2024-W10", "2024-W10-1", "2090-01-01"])
async def test_a_day_that_cannot_be_sent_stands_at_its_field(door: Opened, since: str) -> None:
    ada = door.visitor()
    with pytest.raises(AssertionError):
        await at_the_check(ada, number1="030 901820", since1=since)
    assert (ada.status, 'href="#since1"' in ada.html) == (422, True)


async def test_a_number_that_is_none_without_its_country_is_asked_for_again(door: Opened) -> None:
    ada = door.visitor()
    await at_the_check(ada, number1="030 901820")
    await (await ada.open("/portal/en/ask/contact")).send(email="ada@example.org", country="")
    assert (ada.path, ada.status) == ("/portal/en/ask/details", 422)
    assert 'value="030 901820"' in ada.html
    await ada.send(number1="+49 30 901820")
    await ada.send()
    assert ada.path == "/portal/en/sent"


async def test_what_somebody_wrote_is_not_lost_by_taking_their_time(door: Opened) -> None:
    ada, ben = door.visitor(), door.visitor()
    await at_the_check(ada)
    door.intake.clock.at += timedelta(hours=20)
    await ada.send()
    assert ada.path == "/portal/en/sent"
    reference = await asked(ben)
    await (await ben.open(link_in((await door.letters())[-1]))).send()
    await door.intake.ask(f"/v1/requests/{reference}", "clarification")
    await ben.open("/portal/en/request/answer")
    door.intake.clock.at += timedelta(minutes=31)
    await ben.send(text="The account in Berlin, <i>not</i> the other.")
    assert (ben.status, "What you had written" in ben.text) == (403, True)
    assert "The account in Berlin, <i>not</i> the other." in ben.text
    assert 'href="/portal/en/follow"' in ben.html


async def test_a_page_that_was_only_looked_at_is_in_no_table(door: Opened) -> None:
    ada, pool = door.visitor(), door.intake.unit_of_work.pool
    await ada.open("/portal/en/ask/right")
    await ada.client.head("/portal/en/ask/contact")
    assert await pool.fetchval(SESSIONS) == 0
    await ada.send(right="access")
    assert await pool.fetchval(SESSIONS) == 1


async def test_another_request_leaves_the_one_that_was_proved_open_in_this_session(door: Opened) -> None:
    ada = door.visitor()
    first = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    second = await asked(ada, email="ben@example.org")
    assert "See your request" not in ada.text, "it is not proved"
    await ada.open("/portal/en/request")
    assert [references.of(UUID(each)) in ada.text for each in (first, second)] == [True, False]


async def test_a_stale_page_says_what_was_not_done(door: Opened) -> None:
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    await ada.open("/portal/en/request/withdraw")
    stale = Visitor(ada.client, ada.path, ada.status, ada.html)
    assert (await ada.send(version="9" * 5000)).status == 400
    await door.intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,))
    assert "could not be withdrawn any more" in (await stale.send()).text


async def packed(door: Opened, ada: Visitor) -> str:
    """The reference of a request of hers that is answered with a package, and that she follows."""
    intake, reference = door.intake, await asked(ada)
    await (await ada.open(link_in((await door.letters())[0]))).send()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", UUID(reference))
        row = Row("ticket", [Match("email", "ada@example.org")])
        package_id = await seal_package(tx, subject, b"everything", row)
    await intake.complete(f"/v1/requests/{reference}", operation=Operation.EXPORT, package_id=package_id)
    return reference


async def package_link(ada: Visitor) -> str:
    """The link of a tab in which she opens the page of her request."""
    await ada.open("/portal/en/request")
    (link,) = re.findall(r'href="([^"]+/package\?link=[^"]+)"', ada.html)
    return str(link)


async def downloads(intake: Intake, reference: str) -> int:
    return (await intake.officer.get(f"/v1/requests/{reference}/timeline")).text.count("package.downloaded")


async def test_the_link_of_one_tab_ends_that_of_no_other_and_each_goes_on_with_its_own_download(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    reference = await packed(door, ada)
    first, second = await package_link(ada), await package_link(ada)
    assert (await ada.client.get(first, headers={"Range": "bytes=0-3"})).content == b"ever", "it breaks off"
    assert (await ada.client.get(second)).content == b"everything"
    assert await downloads(intake, reference) == 2
    assert (await ada.client.get(first, headers={"Range": "bytes=4-"})).content == b"ything"
    for link, part in ((first, "bytes=4-"), (first, "bytes=0-"), (second, "bytes=3-")):
        assert (await ada.client.get(link, headers={"Range": part})).status_code == 303
    assert await downloads(intake, reference) == 2, "each is counted once"
    other = await package_link(ada)
    assert (await ada.client.get(f"{other}x")).status_code == 303
    assert await downloads(intake, reference) == 2
    assert (await ada.client.get(other)).content == b"everything"


async def test_a_download_that_is_clicked_twice_or_continued_is_counted_once(door: Opened) -> None:
    ada, intake = door.visitor(), door.intake
    reference = await packed(door, ada)
    link = ""
    for counted in (1, 2):
        link = await package_link(ada)
        assert (await ada.client.get(link)).content == b"everything"
        assert (await ada.client.get(link)).status_code == 303
        assert "has begun already" in (await ada.open("/portal/en/request")).text
        await ada.client.get(link, headers={"Range": "bytes=3-"})
        assert await downloads(intake, reference) == counted
    eve = await door.visitor().open("/portal/en/request")
    assert (await eve.client.get(link)).status_code == 403
