"""Calls that serve several people: whom the system refuses, or keeps, is alone with it, and the others are erased."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shared.domain.errors import AnswerMalformed, Refused, ResidueFound
from shared.downstreams.contract import Receipt, Result
from tests.contract.http_stands import Declared, declared, task
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
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


@pytest.fixture(params=["", ', job = "erasure"'], ids=["at once", "by a job"])
async def engine(saas: Saas, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Declared]:
    saas.jobs_only = bool(request.param)
    (tmp_path / "saas.toml").write_text(DECLARATION.replace("STEP", request.param).replace("LOOK", GONE))
    async with declared(tmp_path / "saas.toml", httpx.MockTransport(saas.answer), SetClock()) as engine:
        yield engine


async def everybody(engine: Declared) -> list[Result]:
    return await engine.erase(*(task(email=f"p{number}@example.com") for number in range(PEOPLE)))


async def test_all_go_in_one_call_where_nobody_is_refused(engine: Declared, saas: Saas) -> None:
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
async def test_one_that_stays_keeps_nobody_else(engine: Declared, saas: Saas, page: int) -> None:
    saas.kept, saas.page = {"5", "7"}, page
    results = await everybody(engine)
    assert [isinstance(each, ResidueFound) for each in results] == [number in {5, 7} for number in range(PEOPLE)]
    assert saas.people.keys() == {"5", "7"}


async def test_job_without_a_name_is_not_begun(engine: Declared, saas: Saas, monkeypatch: pytest.MonkeyPatch) -> None:
    if not saas.jobs_only:
        return
    nameless = httpx.Response(202, json={"job": None})
    monkeypatch.setattr(saas, "erase", lambda _: nameless)
    tasks = [task(email=f"p{number}@example.com") for number in range(PEOPLE)]
    assert all(isinstance(each, AnswerMalformed) for each in await engine.once(tasks))
    assert saas.calls.count("POST erasures") == 1
