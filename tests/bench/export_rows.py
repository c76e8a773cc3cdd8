"""An access to 100,000 calls of one person: from acceptance to the package, and its download, in flat memory."""

import asyncio
import os
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deploy.local import postgres_databases as databases
from shared.domain.topics import ServiceName
from shared.storage.chunks import CHUNK
from shared.storage.postgres import connected
from tests.bench.figures import Row, resident_mib, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Subject

FEW, MANY = 1_000, 100_000
_WITHIN = 300
_EVERY_SECONDS = 0.2
_FILL = """
INSERT INTO call (caller, callee, started_at, seconds)
SELECT $1::text, '+4989' || (40000000 + n % 90000), timestamptz '2020-01-01' + n * interval '2 minutes', n % 600
FROM generate_series(1, $2::int) n
"""
_ROWS = "SELECT * FROM call WHERE caller = $1 ORDER BY started_at"


async def measure(ground: Ground) -> list[Row]:
    """The same processes with few rows and with many; then what reading, packing and sealing them once must cost."""
    few, *many = map(Subject, range(1 + ground.repeats))
    async with ground.seeded(1 + ground.repeats, calls_each=0) as seeded:
        for subject, rows in ((few, FEW), *((each, MANY) for each in many)):
            await databases.fetch(seeded.dsns["calls"], _FILL, subject.phone, rows)
        await databases.fetch(seeded.dsns["calls"], "VACUUM ANALYZE")
        async with ground.services(seeded) as running:
            before = await _answered(ground, running, few, FEW)
            after = [await _answered(ground, running, each, MANY) for each in many]
        limits = [await _least(seeded.dsns["calls"], each.phone) for each in many]
    last = after[-1]
    memory = {
        f"{name}_mib": {"few": before[name], "many": last[name], "ratio": rounded(last[name] / before[name])}
        for name in ("export", "intake")
    }
    shown = {key: last[key] for key in ("download_s", "package_mib")}
    what = "reading the same rows by COPY, packing them by zlib and sealing them, once and in one thread"
    seconds = [each["accepted_to_closed_s"] for each in after]
    return [row("export_100k_rows", seconds, limits, "s", what, rows=MANY, **memory, **shown)]


async def _answered(ground: Ground, running: Stack, subject: Subject, rows: int) -> dict[str, float]:
    """Seconds until the answer, and of the download; the most memory of both services meanwhile."""
    figures: dict[str, float] = {}
    async with _most_memory(running, figures):
        started = time.monotonic()
        request_id = await running.client.submit(subject.submission("access"))
        view = await running.client.follow(request_id, "closed", within=_WITHIN)
        figures["accepted_to_closed_s"] = rounded(time.monotonic() - started)
        found = sum(task["found"] for task in view["tasks"] if task["system"] == "calls")
        must("rows found", found, rows)
        ground.say(f"{rows:,} rows: closed after {figures['accepted_to_closed_s']} s")
        started, size = time.monotonic(), 0
        link = (await running.client.post(f"/v1/requests/{request_id}/downloads", json={})).raise_for_status().json()
        async with running.client.stream("GET", link["url"]) as answer:
            async for chunk in answer.aiter_bytes():
                size += len(chunk)
        must("bytes", size, int(answer.headers["Content-Length"]))
        figures["download_s"], figures["package_mib"] = rounded(time.monotonic() - started), rounded(size / 2**20)
    return figures


@asynccontextmanager
async def _most_memory(running: Stack, figures: dict[str, float]) -> AsyncIterator[None]:
    """Notes the most resident memory of export and intake until the block ends."""
    watched = {name: running.services.children[name].pid for name in (ServiceName.EXPORT, ServiceName.INTAKE)}

    async def watch() -> None:
        while True:
            for name, pid in watched.items():
                figures[name] = max(figures.get(name, 0), rounded(resident_mib(pid)))
            await asyncio.sleep(_EVERY_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


async def _least(dsn: str, phone: str) -> float:
    """Returns the unavoidable seconds: the rows read as text, packed and sealed."""
    packer, key, packed = zlib.compressobj(), AESGCM(AESGCM.generate_key(256)), bytearray()

    async def take(content: bytes) -> None:
        packed.extend(packer.compress(content) if content else packer.flush())
        while len(packed) >= CHUNK:
            key.encrypt(os.urandom(12), bytes(packed[:CHUNK]), None)
            del packed[:CHUNK]

    async with connected(dsn) as connection:
        started = time.monotonic()
        await connection.copy_from_query(_ROWS, phone, output=take)
        await take(b"")
    return time.monotonic() - started
