"""A declared system is believed only as declared, in batches, corrections and mailing lists."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response

from shared.domain.errors import (
    AnswerMalformed,
    ColumnUnmapped,
    DataStillPresent,
    DoneBefore,
    Misconfigured,
    NotSupported,
    Refused,
    SignInRefused,
    Unavailable,
    WrongPersonMatch,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.systems.contract import Pending, Receipt, Result
from shared.systems.http.declaration import read_declaration
from tests.contract.http_stands import ADA, Declared, declared, hubspot, task
from tests.contract.one_resource import BEARER, DECLARATION, ME, Ask, people
from tests.fixtures.engine import SetClock
from tests.fixtures.virtual_time import SkippingLoop

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
"""Not JSON, or ambiguous to parsers."""


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
        (people(ME, {"id": 8, "email": "eve@example.com"}), WrongPersonMatch),
        (people({"id": 8}), WrongPersonMatch),
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


async def test_declared_empty_answer_is_no_match(ask: Ask) -> None:
    result = await ask(lambda _: httpx.Response(404), find=", not_found = [{ status = 404 }]")
    assert isinstance(result, Receipt)
    assert result.outcome is TaskOutcome.NO_MATCH


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
async def test_a_link_may_be_relative(ask: Ask, link: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/people"
        if "page" in request.url.params:
            return people({**ME, "id": 8}, next=None)
        return people(ME, next=link)

    result = await ask(handle, find=', pages = { kind = "link", size = 1, next = "next" }', max_people=5)
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


async def test_pages_without_end_are_an_error(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.systems.http.session.MOST", 20)
    numbers = iter(range(1_000))

    def handle(_: httpx.Request) -> httpx.Response:
        return people({**ME, "id": (number := next(numbers))}, next=f"c{number}")

    pages = ', pages = { kind = "cursor", size = 1, next = "next", parameter = "cursor" }'
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
    assert isinstance(result, DataStillPresent)
    assert calls.count("DELETE") == 1


# Corrections and restrictions in a system behind HTTP, and what is a person's part of them.

DECLARATION_AMENDED = """
auth = { value = "Bearer {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.person]
category = "contact"
find = { get = "/people", query = { email = "{email}" }, by = ["email"], records = "items" }
owner = { email = "email" }
read = { get = "/people/{id}" }
[resource.person.restrict]
steps = [{ patch = "/people/{id}", body = { restricted = true } }]
seen = [{ path = "restricted", equals = true }]
[resource.person.suppress]
steps = [{ patch = "/people/{id}", body = { mail = false } }]
seen = [{ path = "mail", equals = false }]
[resource.person.rectify.name]
path = "name"
steps = [{ patch = "/people/{id}", body = { name = "{asserted}" } }]
[resource.person.rectify.email]
path = "email"
steps = [{ patch = "/people/{id}", body = { email = "{asserted}" } }]
[resource.order]
category = "order"
of = "person"
find = { get = "/people/{person.id}/orders", records = "items" }
owner = { person_id = "person.id" }
"""
Shop = tuple[Declared, dict[str, Any]]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """One person with two orders, and the system that has them."""
    ada: dict[str, Any] = {"id": 7, "email": ADA, "name": "Eda", "note": "n"}
    orders = [{"id": number, "person_id": 7, "to": ["EDITH"]} for number in (1, 2)]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            ada.update(httpx.Response(200, content=request.content).json())
            return httpx.Response(200, json=ada)
        if request.url.path.endswith("/orders"):
            return httpx.Response(200, json={"items": orders})
        if request.url.path.endswith("/people"):
            return httpx.Response(200, json={"items": [ada] if request.url.params["email"] == ada["email"] else []})
        return httpx.Response(200, json=ada)

    (tmp_path / "shop.toml").write_text(DECLARATION_AMENDED)
    async with declared(tmp_path / "shop.toml", httpx.MockTransport(handle), SetClock()) as engine:
        yield engine, ada


def change(field: str, asserted: str, current: str | None = None) -> Change:
    return Change(field=field, asserted=asserted, current=current)


@pytest.mark.parametrize(
    ("changes", "outcome", "corrected", "now"),
    [
        ([change("name", "Ada"), change("note", "NN")], TaskOutcome.AMENDED, (1, 0), {"name": "Ada", "note": "n"}),
        ([change("name", "Ada", "Wrong")], TaskOutcome.UNCHANGED, (0,), {"name": "Eda"}),
        ([change("name", "Eda", "Wrong")], TaskOutcome.AMENDED, (1,), {"name": "Eda"}),
    ],
)
async def test_each_correction_is_counted_and_a_found_person_is_not_unknown(
    shop: Shop, changes: list[Change], outcome: TaskOutcome, corrected: tuple[int, ...], now: Mapping[str, str]
) -> None:
    engine, ada = shop
    [done] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, *changes)], engine.save_progress)
    assert isinstance(done, Receipt), done
    assert (done.outcome, done.corrected) == (outcome, corrected)
    assert done.found > 0
    assert now.items() <= ada.items()


@pytest.mark.parametrize(
    ("changes", "says", "done"),
    [
        ([change("city", "Bilbao", "lisboa")], "person holds what is to be", None),
        (
            [change("name", "Ada"), change("city", "Bilbao", "Lisboa")],
            "person holds what is to be",
            (2, 1, 1),
        ),
        ([change("city", "Bilbao")], "person holds what is to be", None),
    ],
    ids=["said", "next to a correction", "unsaid"],
)
async def test_value_without_a_declared_correction_is_manual(
    shop: Shop, changes: list[Change], says: str, done: tuple[int, int, int] | None
) -> None:
    engine, ada = shop
    ada["home"] = {"city": "Lisboa"}
    [left] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, *changes)], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert says in str(left)
    before = left.done_before and (left.done_before.found, left.done_before.changed, left.done_before.remaining)
    assert before == done


async def test_old_value_in_another_record_is_manual(shop: Shop) -> None:
    engine, ada = shop
    ada["name"] = "Edith"
    [left] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, change("name", "Ada"))], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert "order holds what is to be corrected" in str(left)
    assert left.done_before == DoneBefore(found=3, changed=1, remaining=2)


async def test_value_in_no_record_is_reported_as_searched(shop: Shop) -> None:
    engine, _ = shop
    asked = task(Operation.RECTIFY, ADA, change("city", "Bilbao", "Porto"))
    [done] = await engine.adapter.amend([asked], engine.save_progress)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.corrected) == (TaskOutcome.UNCHANGED, (0,))


async def test_who_is_not_found_any_more_by_what_was_corrected_is_not_called_unknown_after_a_crash(shop: Shop) -> None:
    engine, ada = shop
    asked = task(Operation.RECTIFY, ADA, change("email", "ada@new.example"))
    done = await engine.once_amended(asked)
    assert isinstance(done, Receipt)
    assert ada["email"] == "ada@new.example"
    assert await engine.once_amended(asked) == done
    del engine.progress[asked.task_id]["counts"]  # as if it had ended before it could note what it did
    assert isinstance(await engine.once_amended(asked), NotSupported)


async def test_resource_without_restriction_is_manual_next_to_what_is_done(shop: Shop) -> None:
    engine, ada = shop
    [left] = await engine.adapter.amend([task(Operation.RESTRICT)], engine.save_progress)
    assert isinstance(left, NotSupported), left
    assert "order cannot show a restriction" in str(left)
    assert ada["restricted"] is True
    assert left.done_before is not None
    assert (left.done_before.found, left.done_before.changed, left.done_before.remaining) == (3, 1, 2)


async def test_marketing_goes_to_people_and_stops_with_the_one_who_gets_it(shop: Shop) -> None:
    engine, ada = shop
    [done] = await engine.adapter.amend([task(Operation.SUPPRESS)], engine.save_progress)
    assert isinstance(done, Receipt)
    assert (done.changed, ada["mail"]) == (1, False)


@pytest.mark.parametrize("operation", [Operation.RECTIFY, Operation.SUPPRESS])
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(204),
        httpx.Response(200, json=[]),
    ],
    ids=["a page", "nothing", "a list"],
)
async def test_unreadable_second_look_is_not_reported_as_a_change(
    tmp_path: Path, operation: Operation, answer: httpx.Response
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/people"):
            return httpx.Response(200, json={"items": [{"id": 7, "email": ADA, "name": "Eda"}]})
        return httpx.Response(200, json={"items": []}) if request.url.path.endswith("/orders") else answer

    (tmp_path / "shop.toml").write_text(DECLARATION_AMENDED)
    changes = [change("name", "Ada")] if operation is Operation.RECTIFY else []
    async with declared(tmp_path / "shop.toml", httpx.MockTransport(handle), SetClock()) as engine:
        [result] = await engine.adapter.amend([task(operation, ADA, *changes)], engine.save_progress)
    assert isinstance(result, AnswerMalformed), result


async def test_correction_of_a_part_of_a_list_leaves_nothing_to_a_person(tmp_path: Path) -> None:
    ada: dict[str, Any] = {"id": 7, "email": ADA, "names": ["Eda"]}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            ada["names"] = [httpx.Response(200, content=request.content).json()["name"]]
        searched = request.url.path.endswith(("/people", "/orders"))
        items = [ada] if request.url.path.endswith("/people") else []
        return httpx.Response(200, json={"items": items} if searched else ada)

    (tmp_path / "shop.toml").write_text(DECLARATION_AMENDED.replace('path = "name"', 'path = "names.0"'))
    asked = task(Operation.RECTIFY, ADA, change("name", "Ada", "Eda"))
    async with declared(tmp_path / "shop.toml", httpx.MockTransport(handle), SetClock()) as engine:
        [result] = await engine.adapter.amend([asked], engine.save_progress)
    assert isinstance(result, Receipt), result
    assert ada["names"] == ["Ada"]


# Many people in one call to a system behind HTTP.

DECLARATION_BATCHED = """
auth = { value = "Bearer {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.person]
category = "contact"
find = { get = "/people", query = { email = "{email}" }, by = ["email"], records = "people" }
owner = { email = "email" }
fields = { id = "T", email = "A" }
erase = [{ post = "/erasures", body = { ids = "{ids}" }, batch = 100STEP }]
verify = { settle = "1s", within = "10s", ask = [
    { get = "/people", query = { ids = "{ids}" }, batch = 100, shown = "people.*.id", gone = [LOOK] },
] }
[job.erasure]
id = "job"
status = { get = "/erasures/{job}" }
state = "state"
done = ["done"]
failed = ["failed"]
every = "1s"
"""
GONE = '{ path = "people", equals = [] }'
PEOPLE = 16


class Saas:
    """People by id; ``locked``: who is refused; ``kept``: who stays though it says yes; ``page``: how many it shows."""

    jobs_only = False

    def __init__(self) -> None:
        self.people = {str(n): f"p{n}@example.com" for n in range(PEOPLE)}
        self.locked: set[str] = set()
        self.kept: set[str] = set()
        self.page = 100
        self.jobs: list[list[str]] = []
        self.calls: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        asked = request.url.params
        match request.method, request.url.path.split("/")[2:]:
            case "POST", _:
                return self.erase(httpx.Response(200, content=request.content).json()["ids"])
            case _, ["erasures", number]:
                return httpx.Response(200, json={"state": self.run(self.jobs[int(number)])})
            case _ if "ids" in asked:
                wanted = asked["ids"].split(",")
                there = [{"id": n, "email": e} for n, e in self.people.items() if n in wanted]
                return httpx.Response(200, json={"people": there[: self.page]})
        found = [{"id": n, "email": e} for n, e in self.people.items() if e == asked["email"]]
        return httpx.Response(200, json={"people": found})

    def erase(self, ids: list[str]) -> httpx.Response:
        if self.locked & {*ids} and not self.jobs_only:
            return httpx.Response(422)
        self.jobs.append(ids)
        if not self.jobs_only:
            self.run(ids)
        return httpx.Response(202, json={"job": len(self.jobs) - 1})

    def run(self, ids: list[str]) -> str:
        if self.locked & {*ids}:
            return "failed"
        for each in {*ids} - self.kept:
            self.people.pop(each, None)
        return "done"


@pytest.fixture
def saas() -> Saas:
    return Saas()


@pytest.fixture(params=["", ', job = "erasure"'], ids=["immediately", "by a job"])
async def engine(saas: Saas, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Declared]:
    saas.jobs_only = bool(request.param)
    (tmp_path / "saas.toml").write_text(DECLARATION_BATCHED.replace("STEP", request.param).replace("LOOK", GONE))
    async with declared(tmp_path / "saas.toml", httpx.MockTransport(saas.answer), SetClock()) as engine:
        yield engine


async def everybody(engine: Declared) -> list[Result]:
    return await engine.erase(*(task(email=f"p{number}@example.com") for number in range(PEOPLE)))


async def test_all_are_deleted_in_one_call_without_a_refusal(engine: Declared, saas: Saas) -> None:
    assert all(isinstance(each, Receipt) for each in await everybody(engine))
    assert saas.people == {}
    assert saas.calls.count("POST erasures") == 1
    assert len(saas.calls) == PEOPLE + 2 + saas.jobs_only


async def test_one_that_is_refused_fails_alone(engine: Declared, saas: Saas) -> None:
    saas.locked = {"5"}
    results = await everybody(engine)
    assert [isinstance(each, Refused) for each in results] == [number == 5 for number in range(PEOPLE)]
    assert saas.people == {"5": "p5@example.com"}


@pytest.mark.parametrize("page", [100, 1], ids=["shows all", "shows one at a time"])
async def test_kept_record_keeps_no_other(engine: Declared, saas: Saas, page: int) -> None:
    saas.kept, saas.page = {"5", "7"}, page
    results = await everybody(engine)
    assert [isinstance(each, DataStillPresent) for each in results] == [number in {5, 7} for number in range(PEOPLE)]
    assert saas.people.keys() == {"5", "7"}


async def test_job_without_a_name_is_not_begun(engine: Declared, saas: Saas, monkeypatch: pytest.MonkeyPatch) -> None:
    if not saas.jobs_only:
        return
    nameless = httpx.Response(202, json={"job": None})
    monkeypatch.setattr(saas, "erase", lambda _: nameless)
    tasks = [task(email=f"p{number}@example.com") for number in range(PEOPLE)]
    assert all(isinstance(each, AnswerMalformed) for each in await engine.once(tasks))
    assert saas.calls.count("POST erasures") == 1


# Recipients of marketing are read from every page of the system's list.

PAGES = '{ kind = "page", size = 2, parameter = "p" }'
LISTED = f"""everybody = {{ get = "/all", records = "people", pages = {PAGES} }}
read = {{ get = "/people/{{id}}" }}
suppress = {{ steps = [{{ delete = "/people/{{id}}/mail" }}], seen = [{{ path = "mail", equals = false }}] }}
"""


def test_unmarked_people_are_read_from_every_page_with_waits_for_a_busy_system() -> None:
    async def listed() -> tuple[list[str], int]:
        async with hubspot() as (engine, crm):
            for n in range(150):
                crm.add_contact(f"p{n}@example.com", hs_email_optout=str(n % 2 == 0).lower(), phone="+34600000001")
            crm.add_contact("no address")
            crm.busy = [Response(status_code=429, headers={"Retry-After": "7"})]
            pages = []
            async for page in engine.adapter.would_get_marketing():
                engine.clock.pass_by(seconds=0 if page else 5)
                pages.append(page)
            points = [each for page in pages for person in page for each in person]
            assert engine.adapter.can.not_compared == ()
            assert Identity(IdentityType.PHONE, "+34600000001", source="saas") in points
            return [each.value for each in points if each.type is IdentityType.EMAIL], sum(not page for page in pages)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        mailed, waits = runner.run(listed())
        assert mailed == [f"p{n}@example.com" for n in range(1, 150, 2)]
        assert waits > 0, "and the loop reports progress meanwhile"
        assert runner.get_loop().time() < 60


@pytest.mark.parametrize(("answer", "fails"), [({"people": 7}, AnswerMalformed), (None, Unavailable)])
async def test_broken_marketing_list_is_not_compared(tmp_path: Path, answer: object, fails: type[Exception]) -> None:
    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + LISTED)

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/all")
        return httpx.Response(200, json=answer) if answer else httpx.Response(500)

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        with pytest.raises(fails):
            _ = [page async for page in engine.adapter.would_get_marketing()]


async def test_who_shows_neither_is_taken_for_mailed(tmp_path: Path) -> None:
    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + LISTED)
    people = [{"id": 1, "email": ADA}, {"id": 2, "email": "b@example.com", "mail": False}]

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"people": people if request.url.params["p"] == "1" else []})

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        pages = [page async for page in engine.adapter.would_get_marketing()]
        assert [each.value for page in pages for person in page for each in person] == [ADA]


def test_a_list_of_everybody_needs_what_tells_who_is_mailed(tmp_path: Path) -> None:
    text = DECLARATION.format(auth=BEARER, find="", more="") + LISTED
    (tmp_path / "saas.toml").write_text(text)
    assert read_declaration(tmp_path / "saas.toml").resource["person"].everybody
    (tmp_path / "saas.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("suppress"))
    )
    with pytest.raises(Misconfigured, match="suppress with seen"):
        read_declaration(tmp_path / "saas.toml")
    (tmp_path / "saas.toml").write_text(text.replace('"/all"', '"/all/{email}"'))
    with pytest.raises(Misconfigured, match="is unknown"):
        read_declaration(tmp_path / "saas.toml")
