"""What operators rely on: one trace per request, probes that mean what they say, a drain that loses nothing."""

import asyncio
import secrets
from functools import partial
from pathlib import Path

import httpx

from deploy.local.platform import Platform
from shared.domain.topics import ServiceName
from tests.fakes.collector import collecting
from tests.fixtures.live import TIMEOUT_SECONDS, eventually
from tests.fixtures.stack import seeded_stack, stack_alone
from tests.fixtures.stores import Subject


async def test_one_trace_runs_from_the_http_request_over_the_bus_to_every_store(
    platform: Platform, run_folder: Path
) -> None:
    trace_id = secrets.token_hex(16)
    with collecting() as collector:
        env = {"DSR_TELEMETRY_OTLP_ENDPOINT": collector.url, "DSR_TELEMETRY_SAMPLE_RATIO": "1"}
        async with seeded_stack(platform, run_folder / "trace", 1, env=env) as running:
            headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
            answer = await running.client.post("/v1/requests", json=Subject(0).submission(), headers=headers)
            assert answer.status_code == 201
            await running.all_closed(1)
            wanted = {
                *(("dsr-intake", "submit"), ("dsr-intake", "handle"), ("dsr-deadline", "handle")),
                *(("dsr-erasure", name) for name in ("handle", "erase calls", "erase customers", "erase tickets")),
            }
            seen = await asyncio.to_thread(collector.wait_for, wanted, trace_id, TIMEOUT_SECONDS)

    assert wanted <= seen


async def test_readiness_goes_with_the_database_or_behind_the_door_the_broker_and_liveness_stays(
    run_folder: Path,
) -> None:
    async with stack_alone(run_folder / "probes", 2) as running:
        urls = {name: running.services.url_of(name) for name in ServiceName}
        for server, door in ((running.kafka, 200), (running.postgres, 503)):
            await asyncio.to_thread(server.stop)
            assert await _all([url for name, url in urls.items() if name != ServiceName.INTAKE], "/readyz", 503)
            assert await _all([urls[ServiceName.INTAKE]], "/readyz", door)
            assert await _all([*urls.values()], "/healthz", 200)
            if door == httpx.codes.OK:
                await running.submit(range(1))
            await asyncio.to_thread(server.start)
            assert await _all([*urls.values()], "/readyz", 200)
        await running.submit(range(1, 2))
        await running.all_closed(2)


async def _all(urls: list[str], path: str, status: int) -> bool:
    """Whether every service comes to answer with that status."""
    async with httpx.AsyncClient(timeout=10) as client:

        async def answers(url: str) -> bool:
            return (await client.get(url + path)).status_code == status

        return all(await asyncio.gather(*(eventually(partial(answers, url)) for url in urls)))
