"""The dashboards: every panel's query has an answer under load, and every link leads somewhere."""

import asyncio
import itertools
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.local import postgres_databases as databases
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from tests.fixtures.live import EVERY_RIGHT, Live, eventually
from tests.fixtures.observation import DASHBOARDS, PanelQuery, panel_queries
from tests.fixtures.prometheus import Prometheus
from tests.fixtures.trouble import in_trouble, seen

TIMEOUT_SECONDS = 120
SUBMITTED = [(right, more) for right, more in EVERY_RIGHT.items() if right != "rectification"]
"""Requests that the same people can repeat."""
WINDOW = "30s"
QUERIES = [each for each in panel_queries() if each.source == "prometheus"]
RIGHTLY_ZERO = {
    *(
        "Calls refused",
        "Deferred erasures",
        "Evidence broken",
        "Extensions",
        "Lag",
        "Not yet consumed",
        "Outbox",
        "Outbox age",
    ),
    *("Oldest in an outbox", "Tasks ready", "Oldest ready task", "What it may be waiting for"),
    *("Database connections in use", "Loop lag"),
    *("Incidents", "Packages, by whether anybody fetched them", "Reasons of refusals"),
}
"""Panels that may show nothing but zero on a machine that is well; tests/contract/test_compose.py sees that
a test has each of their metrics show more."""


@pytest.fixture(scope="module")
def prometheus(live: Live, run_folder: Path) -> Iterator[Prometheus]:
    with Prometheus(run_folder / "prometheus", live.services.prometheus) as started:
        yield started


@asynccontextmanager
async def load(live: Live) -> AsyncIterator[Callable[[], bool]]:
    """Requests of every right, one after the other, and some that wait for an identity."""

    async def submitting() -> None:
        async with live.api() as client:
            people = [live.new_person() for _ in range(5)]
            for number in itertools.count():
                right, more = SUBMITTED[number % len(SUBMITTED)]
                submission = people[number % len(people)].submission(right, **more)
                submission["received_at"] = (SystemClock().now() - timedelta(hours=1)).isoformat()
                if number % 4 == 3:
                    submission |= {"assurance": None, "proofs": []}
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
    assert {each.panel for each in QUERIES} >= RIGHTLY_ZERO
    unanswered, zero = set(QUERIES), {each.panel for each in QUERIES} - RIGHTLY_ZERO
    deadline = time.monotonic() + TIMEOUT_SECONDS
    await seen(
        prometheus, f'count(up{{job="dsr"}} == 1) == {len(ServiceName)}'
    )  # counters are seen at zero before they count
    async with in_trouble(live, prometheus), load(live) as still_loading:
        while (unanswered or zero) and still_loading() and time.monotonic() < deadline:
            for each in [each for each in QUERIES if each in unanswered or each.panel in zero]:
                if found := await asyncio.to_thread(values, prometheus, each):
                    unanswered.discard(each)
                    zero -= {each.panel} if any(found) else set()
            await asyncio.sleep(1)  # Prometheus scrapes once a second without a signal
    assert not [f"{each.dashboard}: {each.panel}: {each.query}" for each in unanswered]
    assert not zero


def values(prometheus: Prometheus, each: PanelQuery) -> list[float]:
    """The numbers that the query gives over the last minutes; an error of the query is raised."""
    series = prometheus.query_range(each.query.replace("$__rate_interval", WINDOW), seconds=120)
    numbers = (float(value) for one in series for _, value in one["values"])
    return [number for number in numbers if not math.isnan(number)]


async def test_no_alert_of_a_healthy_machine_fires(live: Live, prometheus: Prometheus) -> None:
    """But for those that other tests bring about on purpose."""
    await live.closed(live.new_person().submission("access"))
    firing = await asyncio.to_thread(
        prometheus.query, 'ALERTS{alertstate="firing",alertname!~"DsrTaskFailed|DsrDeadLetter|DsrOverdue"}'
    )
    assert firing == []


async def test_the_timeline_of_one_request_is_read_out_of_the_evidence(live: Live) -> None:
    request_id = (await live.closed(live.new_person().submission("access")))["request_id"]
    queries = [each for each in panel_queries() if each.source == "postgres"]
    assert queries
    for each in queries:
        assert await found(live.dsn, each.query, request_id), each.panel


async def test_the_links_of_one_request_lead_to_its_timeline_its_certificate_and_its_trace(live: Live) -> None:
    page = json.loads((DASHBOARDS / "one-request.json").read_text())
    (trace_query,) = [each["query"] for each in page["templating"]["list"] if each["name"] == "trace_id"]
    trace_id = secrets.token_hex(16)
    traced = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with live.api() as client, live.api(live.privacy) as officer:
        answer = await client.post("/v1/requests", json=live.new_person().submission("access"), headers=traced)
        request_id = answer.json()["request_id"]
        await client.follow(request_id, "closed")
        ((known,),) = await found(live.dsn, trace_query, request_id)
        filled = {"request_id": request_id, "trace_id": known, "intake": live.services.url, "tracing": "http://tracing"}
        filled["traces"] = "a-tempo"
        links = {link["title"]: Template(link["url"]).substitute(filled) for link in page["links"]}
        ours = [await officer.get(url) for url in links.values() if url.startswith(live.services.url)]

    assert known == trace_id
    assert [answer.status_code for answer in ours] == [200, 200, 200]
    assert links["Trace (tracing UI)"] == f"http://tracing/trace/{trace_id}"
    panes = json.loads(parse_qs(urlsplit(links["Trace (Tempo)"]).query)["panes"][0])
    assert panes["dsr"]["queries"][0]["query"] == trace_id
    assert panes["dsr"]["datasource"] == "a-tempo"
    boards = {f"/d/{json.loads(path.read_text())['uid']}" for path in DASHBOARDS.glob("*.json")}
    assert {url for url in links.values() if url.startswith("/d/")} <= boards


async def found(dsn: str, query: str, request_id: str) -> Any:
    """Returns the rows once there are some: a request may close before the deadline service has read of it."""
    return await eventually(lambda: databases.fetch(dsn, query.replace("${request_id:sqlstring}", f"'{request_id}'")))
