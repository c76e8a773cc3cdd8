"""Health, readiness and metrics of a service over HTTP.

``/healthz``: its loops go round (not: its neighbours are well). ``/readyz``: broker and database answer.
``/metrics``: for Prometheus.
"""

import asyncio
from dataclasses import dataclass

import asyncpg
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.bus.producer import KafkaProducer
from shared.postgres import AWAY
from shared.telemetry import Pulse


@dataclass(frozen=True)
class Vitals:
    """What the probes look at."""

    pulse: Pulse
    pool: asyncpg.Pool
    producer: KafkaProducer


def router(vitals: Vitals) -> APIRouter:
    """The three routes, for every service alike."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/healthz")
    async def alive() -> JSONResponse:
        still = vitals.pulse.still()
        return JSONResponse({"loops_standing_still": still}, status_code=503 if still else 200)

    @routes.get("/readyz")
    async def ready() -> JSONResponse:
        database, broker = await asyncio.gather(_database(vitals.pool), vitals.producer.reachable())
        ok = database and broker
        return JSONResponse({"database": database, "broker": broker}, status_code=200 if ok else 503)

    @routes.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _database(pool: asyncpg.Pool) -> bool:
    try:
        async with asyncio.timeout(2):
            await pool.fetchval("SELECT 1")
    except AWAY:
        return False
    return True
