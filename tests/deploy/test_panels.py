"""The dashboards on a real Prometheus: every panel's query has an answer while the services are under load."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from shared.domain.clock import SystemClock
from tests.fixtures.live import EVERY_RIGHT, Live
from tests.fixtures.observation import PanelQuery, panel_queries
from tests.fixtures.prometheus import Prometheus
from tests.fixtures.trouble import in_trouble, seen

TIMEOUT_SECONDS = 120
SUBMITTED = [(right, more) for right, more in EVERY_RIGHT.items() if right != "rectification"]
"""What can be asked again and again by the same people."""
WINDOW = "30s"
QUERIES = [each for each in panel_queries() if each.source == "prometheus"]
RIGHTLY_ZERO = {
    *(
        "Calls refused",
        "Deferred erasures",
        "Evidence broken",
        "Extensions",
        "Hidden or suppressed by others",
        "Lag",
        "Not yet heard",
        "Outbox",
        "Outbox age",
    ),
    *("Oldest in an outbox", "Tasks ready", "Oldest ready task", "What it may be waiting for"),
    *("Database connections in use", "Loop lag"),
    *("Breaches", "Packages, by whether anybody fetched them", "Reasons of refusals"),
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
            people = [live.somebody() for _ in range(5)]
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


def values(prometheus: Prometheus, each: PanelQuery) -> list[float]:
    """The numbers that the query gives over the last minutes; an error of the query is raised."""
    series = prometheus.query_range(each.query.replace("$__rate_interval", WINDOW), seconds=120)
    numbers = (float(value) for one in series for _, value in one["values"])
    return [number for number in numbers if not math.isnan(number)]


async def test_no_alert_of_a_healthy_machine_fires(live: Live, prometheus: Prometheus) -> None:
    """But for those that other tests bring about on purpose."""
    await live.closed(live.somebody().submission("access"))
    firing = await asyncio.to_thread(
        prometheus.query, 'ALERTS{alertstate="firing",alertname!~"DsrTaskFailed|DsrDeadLetter|DsrOverdue"}'
    )
    assert firing == []
