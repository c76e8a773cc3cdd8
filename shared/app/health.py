"""Health, readiness and metrics of a service over HTTP.

``/healthz``: its loops go round (not: its neighbours are well); a process too busy to answer fails it by not answering.
``/readyz``: broker and database answer, and the service is not about to leave.
``/metrics``: for any Prometheus, requests in steps of five; ``/metrics/privacy``: for the privacy team's, exactly.
"""

import asyncio
import secrets
from dataclasses import dataclass

import asyncpg
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from shared.messaging.producer import KafkaProducer
from shared.runtime.disclosure import text_for_everybody, text_for_privacy
from shared.runtime.liveness import Heartbeats
from shared.storage.postgres import AWAY


@dataclass(frozen=True)
class ProbeTargets:
    """What the probes look at."""

    heartbeats: Heartbeats
    pool: asyncpg.Pool
    producer: KafkaProducer
    stopping: asyncio.Event
    privacy_token: SecretStr | None


def router(vitals: ProbeTargets) -> APIRouter:
    """The routes, for every service alike."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/healthz")
    async def alive() -> JSONResponse:
        stalled = vitals.heartbeats.stalled()
        return JSONResponse({"loops_standing_still": stalled}, status_code=503 if stalled else 200)

    @routes.get("/readyz")
    async def ready() -> JSONResponse:
        if vitals.stopping.is_set():
            return JSONResponse({"leaving": True}, status_code=503)
        database, broker = await asyncio.gather(_database(vitals.pool), vitals.producer.reachable())
        ok = database and broker
        return JSONResponse({"database": database, "broker": broker}, status_code=200 if ok else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        return Response(text_for_everybody(), media_type=CONTENT_TYPE_LATEST)

    if token := vitals.privacy_token:
        wanted = f"Bearer {token.get_secret_value()}".encode()

        @routes.get("/metrics/privacy")
        async def exact_metrics(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, wanted):
                return Response(status_code=401)
            return Response(text_for_privacy(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _database(pool: asyncpg.Pool) -> bool:
    try:
        async with asyncio.timeout(2):
            await pool.fetchval("SELECT 1")
    except AWAY:
        return False
    return True
