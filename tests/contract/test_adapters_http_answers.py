"""What a declared system says is believed as far as it was declared, and leads nowhere else."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from shared.domain.errors import (
    AnswerMalformed,
    ColumnUnmapped,
    ForeignHit,
    Refused,
    ResidueFound,
    SignInRefused,
    Unavailable,
)
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Pending, Receipt
from tests.contract.http_stands import ADA, declared, task
from tests.contract.one_resource import BEARER, DECLARATION, ME, Ask, people
from tests.fixtures.engine import SetClock

UNREADABLE = (
    b"{",
    b'{"people": [{"id": NaN, "email": "ada@example.com"}]}',
    b'{"people": [{"id": 7, "email": "ada@example.com", "name": "\\ud800"}]}',
    b'{"people": [{"id": ' + b"9" * 400 + b', "email": "ada@example.com"}]}',
    b'\xef\xbb\xbf{"people": []}',
    '{"people": [], "x": "é"}'.encode("latin1"),
    b'{"people": [{"id": 7, "email": "eve@example.com", "email": "ada@example.com"}]}',
    b'{"people": [{"id": 8, "id": 7, "email": "ada@example.com"}]}',
)
"""What is no JSON, or is read by each in a way of their own."""


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (httpx.Response(302, headers={"location": "https://elsewhere.example"}), Refused),
        (httpx.Response(200, json=[1, 2]), AnswerMalformed),
        (httpx.Response(200, json={"people": [1, 2]}), AnswerMalformed),
        (httpx.Response(200, json={"people": [{"email": ADA}]}), AnswerMalformed),
        (people({"id": True, "email": ADA}), AnswerMalformed),
        (people({"id": "7" * 600, "email": ADA}), AnswerMalformed),
        (people({"id": 2**70, "email": ADA}), AnswerMalformed),
        (people(ME, {"id": 8, "email": "eve@example.com"}), ForeignHit),
        (people({"id": 8}), ForeignHit),
        (people({**ME, "religion": "none of your business"}), ColumnUnmapped),
        (httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}), AnswerMalformed),
        *(
            (httpx.Response(200, content=said, headers={"content-type": "application/json"}), AnswerMalformed)
            for said in UNREADABLE
        ),
        (httpx.Response(203, json={"people": []}), AnswerMalformed),
        (httpx.Response(206, json={"people": []}), AnswerMalformed),
        (people({"id": "a\x00b", "email": ADA}), AnswerMalformed),
        (httpx.Response(503, content=b"{", headers={"content-type": "application/json"}), Pending),
        (httpx.Response(500, content=b"{", headers={"content-type": "application/json"}), Unavailable),
        (httpx.Response(404), Refused),
        (httpx.Response(418), Refused),
        (httpx.Response(401), SignInRefused),
        (httpx.Response(403), SignInRefused),
        (httpx.Response(500), Unavailable),
        (httpx.Response(200, json={"people": [ME], "more": [[[[[[[[]]]]]]]]}), AnswerMalformed),
        (httpx.Response(200, json={"people": [{**ME, "email": ADA + " " * 5_000}]}), AnswerMalformed),
    ],
)
async def test_undeclared_answer_fails_by_name(ask: Ask, said: httpx.Response, failure: type[Exception]) -> None:
    result = await ask(lambda _: said, answer_depth=6, answer_bytes=4_096)
    assert isinstance(result, failure), result
    assert ADA not in str(result)
    assert "eve@" not in str(result)


async def test_nobody_found_is_no_match_where_the_declaration_says_how_that_looks(ask: Ask) -> None:
    result = await ask(lambda _: httpx.Response(404), find=", not_found = [{ status = 404 }]")
    assert isinstance(result, Receipt)
    assert result.outcome is TaskOutcome.NO_MATCH


async def test_what_a_search_by_words_brings_besides_is_left_out_where_that_is_declared(ask: Ask) -> None:
    result = await ask(lambda _: people(ME, {"id": 8, "email": "eve@example.com"}), find=', foreign = "skip"')
    assert isinstance(result, Receipt)
    assert (result.found, result.written_by_others) == (1, None)


async def test_a_link_to_another_host_is_followed_at_home_so_that_credentials_stay(ask: Ask) -> None:
    hosts: list[tuple[str, str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        hosts.append((request.url.host, request.url.path))
        more = "https://evil.example/api/people?page=2" if "page" not in request.url.params else None
        return people({**ME, "id": len(hosts)}, next=more)

    result = await ask(handle, find=', pages = { kind = "link", size = 1, next = "next" }', max_people=5)
    assert isinstance(result, Receipt)
    assert result.found == 2
    assert hosts == [("localhost", "/api/people")] * 2


@pytest.mark.parametrize(
    "link", ["https://evil.example/other/app?page=2", "/api/../admin?page=2", "/api/%2e%2e/admin", "https://[bad"]
)
async def test_a_link_leads_nowhere_but_into_the_interface(ask: Ask, link: str) -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return people(ME, next=link)

    result = await ask(handle, find=', pages = { kind = "link", size = 1, next = "next" }')
    assert isinstance(result, AnswerMalformed)
    assert asked == ["/api/people"]


@pytest.mark.parametrize("link", ["?page=2", "people?page=2", "/api/people?page=2"])
async def test_a_link_may_be_relative_and_may_stand_in_the_header(ask: Ask, link: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/people"
        if "page" in request.url.params:
            return people({**ME, "id": 8})
        answer = people(ME)
        answer.headers["link"] = f'<{link}>; rel="next"'
        return answer

    result = await ask(handle, find=', pages = { kind = "header", size = 1 }', max_people=5)
    assert isinstance(result, Receipt)
    assert result.found == 2


async def test_a_403_that_is_a_quota_is_waited_for_and_any_other_is_a_missing_right(ask: Ask) -> None:
    busy = 'busy = [{ status = 403, path = "error.code", equals = "quota" }]'
    full = httpx.Response(403, json={"error": {"code": "quota"}}, headers={"retry-after": "30"})
    quota = await ask(lambda _: full, more=busy)
    assert isinstance(quota, Pending)
    assert quota.retry_in == timedelta(seconds=30)
    right = await ask(lambda _: httpx.Response(403, json={"error": {"code": "scope"}}), more=busy)
    assert isinstance(right, SignInRefused)


@pytest.mark.parametrize("following", [{"next": "c1"}, {}], ids=["again", "unsaid"])
async def test_pages_that_loop_or_do_not_say_whether_they_end_fail(ask: Ask, following: Mapping[str, str]) -> None:
    pages = ', pages = { kind = "cursor", size = 1, next = "next", parameter = "cursor" }'
    assert isinstance(await ask(lambda _: people(ME, **following), find=pages), AnswerMalformed)


async def test_pages_without_end_are_an_error(ask: Ask) -> None:
    numbers = iter(range(1_000))

    def handle(_: httpx.Request) -> httpx.Response:
        return people({**ME, "id": (number := next(numbers))}, next=f"c{number}")

    pages = ', pages = { kind = "cursor", size = 1, next = "next", parameter = "cursor", max = 20 }'
    assert isinstance(await ask(handle, find=pages), AnswerMalformed)
    assert next(numbers) == 20


@pytest.mark.parametrize("number", ["../users", "..", "", "a/b?c=d"])
async def test_an_id_leads_to_no_other_path(ask: Ask, number: str) -> None:
    paths: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return people({"id": number, "email": ADA}) if request.url.path == "/api/people" else httpx.Response(404)

    await ask(handle, erase=True)
    changed = [path for path in paths if not path.startswith(b"/api/people?")]
    assert all(path.startswith(b"/api/people/") and path.count(b"/") == 3 for path in changed), changed


async def test_no_more_calls_are_made_than_the_system_allows_and_the_task_comes_again(ask: Ask) -> None:
    calls = iter(range(100))

    pages = ', pages = { kind = "page", size = 1, parameter = "page", more = "goes_on" }'
    result = await ask(
        lambda _: people({**ME, "id": next(calls)}, goes_on=True), find=pages, more='rate = [{ calls = 3, per = "1m" }]'
    )
    assert isinstance(result, Pending)
    assert result.retry_in == timedelta(minutes=1)
    assert next(calls) == 3


async def test_what_the_search_goes_on_to_show_is_not_gone_though_its_id_says_so(tmp_path: Path) -> None:
    declaration = DECLARATION.format(auth=BEARER, find="", more="").replace("verify = { ", "verify = { search = true, ")
    (tmp_path / "saas.toml").write_text(declaration)
    calls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        return people(ME) if request.url.path == "/api/people" else httpx.Response(404)

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        [result] = await engine.erase(task(), patience=100)
    assert isinstance(result, ResidueFound)
    assert calls.count("DELETE") == 1
