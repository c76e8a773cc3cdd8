"""Every list of the console that is cut says so and goes on until its end."""

import re
from html import unescape
from urllib.parse import urljoin

import pytest

from services.intake import assignment_conflicts
from services.intake.console import breach_pages, inbox, outgoing, queue
from services.intake.console import stopped as stopped_page
from services.intake.identity import stopped
from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import PROPOSAL, id_of
from tests.fixtures.portal import Visitor
from tests.integration.test_console_matters import by_mail, confirmed


async def test_a_list_that_is_cut_goes_on_and_no_letter_hides_behind_others(
    console: OpenedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    monkeypatch.setattr(outgoing, "ROWS", 2)
    for number in range(3):
        (await intake.officer.post("/v1/requests", json=by_mail(number))).raise_for_status()
    posted = (await intake.officer.post("/v1/requests", json={**by_mail(9), "channel": "post"})).raise_for_status()
    await confirmed(
        hanna,
        f"/console/requests/{posted.json()['request_id']}/decide/postal-address",
        lines="Ada Quarzfels\nMusterstraße 1\n50667 Köln",
        on_file_in="crm",
    )
    page = (await hanna.open("/console/post")).html
    assert "Print all that are to be posted" in page
    [following] = re.findall(r'href="(/console/post\?waiting-email=[0-9a-f-]+)"', page)
    shown = {*re.findall(r"/console/requests/([0-9a-f-]+)", (await hanna.open(following)).html)}
    assert len(shown) == 2, "the third by e-mail, and the one on paper"
    assert (await hanna.open("/console/post?waiting-email=x")).status == 404


MANY = """
INSERT INTO breach (breach_id, downloads, found_at, notify_by, decision, closed_at)
SELECT gen_random_uuid(), 0, now(), now(), 'no_risk', timestamptz '2026-03-01' FROM generate_series(1, 3) n;
INSERT INTO breach (breach_id, downloads, found_at, notify_by)
SELECT gen_random_uuid(), 0, now(), now() FROM generate_series(1, 3);
INSERT INTO breach_assessment (assessment_id, breach_id, high_risk, concerned, proposed_by, proposed_at)
SELECT gen_random_uuid(), breach_id, false, '{}', 'officer-2', now() FROM breach WHERE closed_at IS NULL;
INSERT INTO mail (mail_id, digest, doubled, received_at, by_mx, read_at, state)
SELECT gen_random_uuid(), int4send(n), false, now(), true, now(), 'proposed' FROM generate_series(1, 3) n;
INSERT INTO register.conflict (conflict_id, identity, system, valid_from, kind, request_id, noticed_at)
SELECT gen_random_uuid(), int4send(n), 'crm', now(), 'another_holder', $1, now() FROM generate_series(1, 3) n;
INSERT INTO recipient_notice (request_id, recipient, what, categories, state, concerned_at)
SELECT $1, 'carrier' || n, 'erased', '{}', 'to_be_told', now() FROM generate_series(1, 3) n;
INSERT INTO proof_withheld (request_id, withheld_at) SELECT request_id, now() FROM request;
UPDATE request SET state = 'awaiting_identity'
"""
"""Three rows of each list of the console; ``$1``: a request."""


GOES_ON = {"/": 1, "/breaches": 1, "/mail": 1, "/post": 1}
"""Each list, and how many of its tables go on."""


SAYS_SO = {"/approvals": 3, "/stopped": 2}
"""Each list of what is to be done, and how many of its tables say that they show the first alone."""


SHORT = {"/holds", "/me", "/sla", "/systems", "/post/print"}
"""Pages with no more rows than the company has systems or holds."""


FORMS = {"/breaches/new", "/holds/place", "/new", "/search"}


ONWARD = re.compile(r'href="([^"]+)">(?:Show those after these|Next page)')


async def walked(member: Visitor, path: str, page: str, following: str) -> int:
    """How many pages a list has, of which none shows what another has shown; three at most are opened."""
    name = following.partition("?")[2].rpartition("&amp;")[2].partition("=")[0]
    seen = [page]
    while following and len(seen) < 3:
        html = (await member.open(urljoin(path, unescape(following)))).html
        assert member.status == 200, following
        assert html not in seen, following
        seen.append(html)
        following = next((each for each in ONWARD.findall(html) if f"{name}=" in each), "")
    return len(seen)


async def test_every_list_that_is_cut_says_so_and_goes_on_until_its_end(
    console: OpenedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    paths = {path for path in console.site.powers if "{" not in path}
    assert paths - {*GOES_ON, *SAYS_SO, *SHORT, *FORMS} == set(), "a list that is new is looked at here"
    for module in (breach_pages, inbox, outgoing, queue, stopped_page):
        monkeypatch.setattr(module, "ROWS", 1)
    for module in (assignment_conflicts, stopped):
        monkeypatch.setattr(module, "MOST", 1)
    for number in range(3):
        (await intake.officer.post("/v1/requests", json=by_mail(number))).raise_for_status()
    for path in [await intake.submit() for _ in range(2)]:
        (await intake.officer.post(f"{path}/extension", json=PROPOSAL)).raise_for_status()
    for statement in MANY.split(";"):
        await intake.unit_of_work.pool.execute(statement.replace("$1", f"'{id_of(path)}'"))
    for path, tables in GOES_ON.items():
        page = (await hanna.open(f"/console{path}")).html
        onward = ONWARD.findall(page)
        assert len(onward) == tables, path
        for following in onward:
            assert await walked(hanna, f"/console{path}", page, following) == 3, path
    for path, tables in SAYS_SO.items():
        assert (await hanna.open(f"/console{path}")).text.count("The first 1 are shown") == tables, path
