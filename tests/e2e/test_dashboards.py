"""The dashboards on a real Prometheus: every panel's query has an answer while the services are under load."""

import asyncio
import itertools
import json
import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest

from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from tests.fixtures.live import Live
from tests.fixtures.observation import DASHBOARDS, Asked, asked
from tests.fixtures.prometheus import Prometheus, QueryError
from tests.fixtures.trouble import in_trouble, seen

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
    *("extended", "reason", "flaw", "question", "in_time", "regime", "target"),
}
"""Each has few values, known beforehand."""

PEOPLE = ("dsr_request", "dsr_processor")
"""How the names of what counts requests begin."""

QUERIES = [each for each in asked() if each.source == "prometheus"]
RIGHTLY_ZERO = {
    "Deferred erasures": "no store here has to keep anything; tests/integration/test_deferrals.py lets one keep some",
    "Evidence broken": "nobody has changed the evidence; tests/integration/test_machine.py does",
    "Extensions": "no promised day came after an extension; tests/integration/test_statistics.py lets one come",
    "Lag": "everybody keeps up; tests/integration/test_consumer.py holds a batch up",
    "Not yet heard": "the same",
    "Outbox": "whoever looks every two seconds finds it empty; tests/integration/test_machine.py fills it",
    "Outbox age": "the same",
    "Oldest in an outbox": "the same",
    "Tasks ready": "tasks are done at once; tests/integration/test_machine.py leaves some",
    "Oldest ready task": "the same",
    "What it may be waiting for": "the same",
    "Database connections in use": "a connection is busy for milliseconds; it is never more than its share",
    "Loop lag": "a machine that is not busy comes in time; tests/integration/test_machine.py keeps one busy",
}
"""Panels that may show nothing but zero on a machine that is well, and who has them show more."""


@pytest.fixture(scope="module")
def prometheus(live: Live, run_folder: Path) -> Iterator[Prometheus]:
    with Prometheus(run_folder / "prometheus", live.services.prometheus) as started:
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
                submission["received_at"] = (SystemClock().now() - timedelta(hours=1)).isoformat()
                if number % 4 == 3:
                    submission["assurance"] = None
                await client.submit(submission)
                await asyncio.sleep(0.2)  # a load, not a flood

    task = asyncio.create_task(submitting())
    try:
        yield lambda: not task.done()
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_every_panel_has_an_answer_under_load_and_shows_more_than_zero(
    live: Live, prometheus: Prometheus
) -> None:
    assert len(QUERIES) > 40
    assert RIGHTLY_ZERO.keys() <= {each.panel for each in QUERIES}
    unanswered, zero = set(QUERIES), {each.panel for each in QUERIES} - RIGHTLY_ZERO.keys()
    deadline = time.monotonic() + PATIENCE
    await seen(prometheus, 'count(up{job="dsr"} == 1) == 5')  # counters are seen at zero before they count
    async with in_trouble(live, prometheus), load(live) as still_loading:
        while (unanswered or zero) and still_loading() and time.monotonic() < deadline:
            for each in [each for each in QUERIES if each in unanswered or each.panel in zero]:
                if found := await asyncio.to_thread(values, prometheus, each):
                    unanswered.discard(each)
                    zero -= {each.panel} if any(found) else set()
            await asyncio.sleep(1)  # Prometheus scrapes once a second and tells nobody
    assert not [f"{each.dashboard}: {each.panel}: {each.query}" for each in unanswered]
    assert not zero


def values(prometheus: Prometheus, each: Asked) -> list[float]:
    """The numbers that the query gives over the last minutes; an error of the query is raised."""
    series = prometheus.query_range(each.query.replace("$__rate_interval", WINDOW), seconds=120)
    numbers = (float(value) for one in series for _, value in one["values"])
    return [number for number in numbers if not math.isnan(number)]


async def test_a_query_with_an_error_is_noticed(prometheus: Prometheus) -> None:
    with pytest.raises(QueryError):
        await asyncio.to_thread(prometheus.query_range, "sum(dsr_requests_open", 10)


async def test_no_alert_of_a_healthy_machine_fires(live: Live, prometheus: Prometheus) -> None:
    """But for those that other tests bring about on purpose."""
    async with live.api() as client:
        await client.follow(await client.submit(live.somebody().submission("access")), "closed")
    firing = await asyncio.to_thread(
        prometheus.query, 'ALERTS{alertstate="firing",alertname!~"DsrTaskFailed|DsrDeadLetter|DsrOverdue"}'
    )
    assert firing == []


async def test_the_timeline_of_one_request_is_read_out_of_the_evidence(live: Live) -> None:
    async with live.api() as client:
        request_id = await client.submit(live.somebody().submission("access"))
        await client.follow(request_id, "closed")
    queries = [each for each in asked() if each.source == "postgres"]
    assert queries
    connection = await asyncpg.connect(live.dsn)
    try:
        for each in queries:
            rows = await connection.fetch(each.query.replace("${request_id:sqlstring}", f"'{request_id}'"))
            assert rows, each.panel
    finally:
        await connection.close()


async def test_the_links_of_one_request_lead_to_its_timeline_its_certificate_and_its_trace(live: Live) -> None:
    page = json.loads((DASHBOARDS / "one-request.json").read_text())
    (trace_query,) = [each["query"] for each in page["templating"]["list"] if each["name"] == "trace_id"]
    trace_id = secrets.token_hex(16)
    traced = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with live.api() as client, live.api(live.privacy) as officer:
        answer = await client.post("/v1/requests", json=live.somebody().submission("access"), headers=traced)
        request_id = answer.json()["request_id"]
        await client.follow(request_id, "closed")
        connection = await asyncpg.connect(live.dsn)
        try:
            found = await connection.fetchval(trace_query.replace("${request_id:sqlstring}", f"'{request_id}'"))
        finally:
            await connection.close()
        filled = {"request_id": request_id, "trace_id": found, "intake": live.services.url, "tracing": "http://tracing"}
        links = {link["title"]: Template(link["url"]).substitute(filled) for link in page["links"]}
        ours = [await officer.get(url) for url in links.values() if url.startswith(live.services.url)]

    assert found == trace_id
    assert [answer.status_code for answer in ours] == [200, 200, 200]
    assert links["Trace (tracing UI)"] == f"http://tracing/trace/{trace_id}"
    panes = json.loads(parse_qs(urlsplit(links["Trace (Tempo)"]).query)["panes"][0])
    assert panes["dsr"]["queries"][0]["query"] == trace_id
    boards = {f"/d/{json.loads(path.read_text())['uid']}" for path in DASHBOARDS.glob("*.json")}
    assert {url for url in links.values() if url.startswith("/d/")} <= boards


async def test_only_the_privacy_team_sees_how_many_exactly(live: Live) -> None:
    async with httpx.AsyncClient(timeout=10) as client, live.api() as api:
        await api.follow(await api.submit(live.somebody().submission("access")), "closed")
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
        await client.follow(await client.submit(live.somebody().submission("access")), "closed")
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
    lines = [line for line in exposition.splitlines() if line.startswith(PEOPLE) and "quantile" not in line]
    return [float(line.rsplit(" ", 1)[1]) for line in lines if "_sum" not in line and "_created" not in line]
