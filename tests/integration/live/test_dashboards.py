"""What is seen of requests from outside: the page of one request, and figures that name nobody."""

import json
import re
import secrets
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from deploy.local import postgres_databases as databases
from shared.domain.topics import ServiceName
from tests.fixtures.live import Live, eventually
from tests.fixtures.observation import DASHBOARDS, panel_queries

LABELS = {
    *("service", "topic", "type", "result", "system", "operation", "le", "kind", "state"),
    *("right", "event", "outcome", "timeliness", "age", "days", "clock", "channel", "quantile"),
    *("extended", "reason", "flaw", "question", "in_time", "regime", "target", "loop", "problem", "what"),
    *("review", "answer", "category", "action", "way", "decision", "article", "lodged_with", "found_by"),
}
"""Each has few values, known beforehand."""

PEOPLE = ("dsr_request", "dsr_processor")
"""How the names of what counts requests begin."""


async def test_the_timeline_of_one_request_is_read_out_of_the_evidence(live: Live) -> None:
    request_id = (await live.closed(live.somebody().submission("access")))["request_id"]
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
        answer = await client.post("/v1/requests", json=live.somebody().submission("access"), headers=traced)
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


async def test_only_the_privacy_team_sees_how_many_exactly(live: Live) -> None:
    await live.closed(live.somebody().submission("access"))
    async with httpx.AsyncClient(timeout=10) as client:
        url = live.services.url_of(ServiceName.INTAKE)
        nobody = await client.get(f"{url}/metrics/privacy")
        wrong = await client.get(f"{url}/metrics/privacy", headers={"Authorization": "Bearer guessed"})
        token = {"Authorization": f"Bearer {live.services.metrics_token}"}
        exact = (await client.get(f"{url}/metrics/privacy", headers=token)).raise_for_status().text
        public = (await client.get(f"{url}/metrics")).raise_for_status().text

    assert (nobody.status_code, wrong.status_code) == (401, 401)
    assert people(exact)
    assert people(public)
    assert all(value % 5 == 0 for value in people(public))


async def test_no_label_says_who_and_no_label_grows_without_end(live: Live) -> None:
    await live.closed(live.somebody().submission("access"))
    token = {"Authorization": f"Bearer {live.services.metrics_token}"}
    async with httpx.AsyncClient(timeout=10, headers=token) as client:
        for name in ServiceName:
            told = (await client.get(f"{live.services.url_of(name)}/metrics/privacy")).raise_for_status().text
            lines = [line for line in told.splitlines() if line.startswith("dsr_")]
            assert set(re.findall(r'[{,]([a-z_]+)="', "".join(lines))) <= LABELS
            assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|@|\+\d{7,}", "".join(lines))
            assert len(lines) < 2_000


async def found(dsn: str, query: str, request_id: str) -> Any:
    """The rows, once there are some: a request may be closed before the deadline service has heard of it."""
    return await eventually(lambda: databases.fetch(dsn, query.replace("${request_id:sqlstring}", f"'{request_id}'")))


def people(exposition: str) -> list[float]:
    """The counts of requests in an exposition."""
    lines = [line for line in exposition.splitlines() if line.startswith(PEOPLE) and "quantile" not in line]
    return [float(line.rsplit(" ", 1)[1]) for line in lines if "_sum" not in line and "_created" not in line]
