"""The dashboards on a real Prometheus: every panel's query has an answer while the services are under load."""

import asyncio
import itertools
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.local.prometheus import Prometheus, QueryError
from shared.bus.topics import ServiceName
from tests.fixtures.live import Live, submit, until
from tests.fixtures.observation import Asked, asked

PATIENCE = 120
ASKED: tuple[tuple[str, dict[str, object]], ...] = (
    ("erasure", {}),
    ("access", {}),
    ("portability", {}),
    ("restriction", {"ground": "unlawful"}),
    ("objection", {"scope": "direct_marketing"}),
)
WINDOW = "30s"
LABELS = {
    *("service", "topic", "type", "result", "system", "operation", "le", "kind", "state"),
    *("right", "event", "outcome", "timeliness", "age", "days", "clock", "channel", "quantile"),
    *("extended", "reason", "flaw", "question"),
}
"""Each has few values, known beforehand."""

QUERIES = [each for each in asked() if each.source == "prometheus"]


@pytest.fixture(scope="module")
def prometheus(live: Live, run_folder: Path) -> Iterator[Prometheus]:
    with Prometheus(run_folder / "prometheus", live.services) as started:
        yield started


@asynccontextmanager
async def load(live: Live) -> AsyncIterator[Callable[[], bool]]:
    """Requests of every right, one after the other, and some that wait for an identity."""

    async def submitting() -> None:
        async with live.api() as client:
            people = [live.somebody() for _ in range(5)]
            for number in itertools.count():
                right, more = ASKED[number % len(ASKED)]
                submission = people[number % len(people)].submission(right, **more)
                if number % 4 == 3:
                    submission["assurance"] = None
                await submit(client, submission)
                await asyncio.sleep(0.2)  # a load, not a flood

    task = asyncio.create_task(submitting())
    try:
        yield lambda: not task.done()
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_every_panel_has_an_answer_under_load(live: Live, prometheus: Prometheus) -> None:
    assert len(QUERIES) > 40
    waiting = set(QUERIES)
    deadline = time.monotonic() + PATIENCE
    async with load(live) as still_loading:
        while waiting and still_loading() and time.monotonic() < deadline:
            answered = [each for each in waiting if await asyncio.to_thread(has_values, prometheus, each)]
            waiting.difference_update(answered)
            await asyncio.sleep(1)  # Prometheus scrapes once a second and tells nobody
    assert not [f"{each.dashboard}: {each.panel}: {each.query}" for each in waiting]


def has_values(prometheus: Prometheus, each: Asked) -> bool:
    """Whether the query gives a number over the last minutes; an error of the query is raised."""
    series = prometheus.query_range(each.query.replace("$__rate_interval", WINDOW), seconds=120)
    return any(not math.isnan(float(value)) for one in series for _, value in one["values"])


async def test_a_query_with_an_error_is_noticed(prometheus: Prometheus) -> None:
    with pytest.raises(QueryError):
        await asyncio.to_thread(prometheus.query_range, "sum(dsr_requests_open", 10)


async def test_no_alert_of_a_healthy_machine_fires(live: Live, prometheus: Prometheus) -> None:
    async with live.api() as client:
        await until(client, await submit(client, live.somebody().submission("access")), "closed")
    firing = await asyncio.to_thread(
        prometheus.query, 'ALERTS{alertstate="firing",alertname!~"DsrTaskFailed|DsrDeadLetter"}'
    )
    assert firing == []


async def test_the_timeline_of_one_request_is_read_out_of_the_evidence(live: Live) -> None:
    async with live.api() as client:
        request_id = await submit(client, live.somebody().submission("access"))
        await until(client, request_id, "closed")
    queries = [each for each in asked() if each.source == "postgres"]
    assert queries
    connection = await asyncpg.connect(live.dsn)
    try:
        for each in queries:
            rows = await connection.fetch(each.query.replace("${request_id:sqlstring}", f"'{request_id}'"))
            assert rows, each.panel
    finally:
        await connection.close()


async def test_only_the_privacy_team_sees_how_many_exactly(live: Live) -> None:
    async with httpx.AsyncClient(timeout=10) as client, live.api() as api:
        await until(api, await submit(api, live.somebody().submission("access")), "closed")
        url = live.services.url_of(ServiceName.INTAKE)
        nobody = await client.get(f"{url}/metrics/privacy")
        wrong = await client.get(f"{url}/metrics/privacy", headers={"Authorization": "Bearer guessed"})
        token = {"Authorization": f"Bearer {live.services.metrics_token}"}
        exact = (await client.get(f"{url}/metrics/privacy", headers=token)).raise_for_status().text
        public = (await client.get(f"{url}/metrics")).raise_for_status().text

    assert (nobody.status_code, wrong.status_code) == (401, 401)
    assert people(exact)
    assert all(value % 5 == 0 for value in people(public))


async def test_no_label_says_who_and_no_label_grows_without_end(live: Live) -> None:
    async with live.api() as client:
        await until(client, await submit(client, live.somebody().submission("access")), "closed")
    token = {"Authorization": f"Bearer {live.services.metrics_token}"}
    async with httpx.AsyncClient(timeout=10, headers=token) as client:
        for name in ServiceName:
            told = (await client.get(f"{live.services.url_of(name)}/metrics/privacy")).raise_for_status().text
            lines = [line for line in told.splitlines() if line.startswith("dsr_")]
            assert set(re.findall(r'[{,]([a-z_]+)="', "".join(lines))) <= LABELS
            assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|@|\\+49", "".join(lines))
            assert len(lines) < 2_000


def people(exposition: str) -> list[float]:
    """The counts of requests in an exposition."""
    lines = [line for line in exposition.splitlines() if line.startswith("dsr_request") and "quantile" not in line]
    return [float(line.rsplit(" ", 1)[1]) for line in lines if "_sum" not in line and "_created" not in line]
