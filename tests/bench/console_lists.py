"""Measures the lists of the console with 30,000 requests, next to the same lists with 1,000.

Each filter, pairs of filters and further pages, with most requests open and with most of them closed.
"""

import asyncio
import os
import re
import time
from datetime import timedelta
from itertools import combinations, product
from statistics import median
from typing import Any

import httpx

from services.console.console import BASE
from services.intake import app
from services.web.sessions import Session, Sessions
from shared.app.service import Running
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage import keyring
from shared.storage.migrate import migrate
from shared.storage.postgres import connect_pool
from shared.storage.vault import Vault
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.databases import in_process
from tests.fixtures.engine import TRACING

REQUESTS, FEW = 30_000, 1_000
_SHOWN = 12
_URL = "https://console.example"
_COMMON, _RARE = "crm", "archive"
# So many tenths are closed, of which a seventh is not finished; one in a thousand waits in a system that hardly any
# other waits in.
_FILL = """
INSERT INTO request (request_id, subject_ref, "right", channel, key_id, accepted_at, state, received_at, due_on,
                     closed_at, responded_at, tasks, open, waits, facts)
SELECT gen_random_uuid(), gen_random_uuid(),
       (ARRAY['access','erasure','rectification','portability','objection'])[1 + n % 5], 'api', 'bench',
       now() - n * interval '1 second',
       CASE WHEN n % 10 < $4 THEN 'closed' WHEN n % 30 = 9 THEN 'awaiting_identity'
            WHEN n % 300 = 19 THEN 'awaiting_decision' ELSE 'in_progress' END,
       now() - n * interval '1 second', current_date - 30 + n % 90,
       CASE WHEN n % 10 < $4 THEN now() - n * interval '1 minute' END,
       CASE WHEN n % 10 < $4 AND n % 7 > 0 THEN now() - n * interval '1 minute' END,
       CASE WHEN n % 1000 IN (3, 9) THEN $2::jsonb WHEN n % 3 = 0 THEN $3::jsonb END, n % 10 >= $4 OR n % 7 = 0,
       CASE WHEN n % 10 < $4 THEN NULL WHEN n % 30 = 9 THEN 'proof' WHEN n % 300 = 19 THEN 'person' END,
       '{"zones": ["Europe/Berlin"], "calendar": "DE"}'
FROM generate_series(1, $1) AS n
"""
_LISTS = (
    "/",
    "/?due=overdue",
    "/?due=soon",
    "/?waits=person",
    "/?waits=proof",
    "/?waits=package",
    "/?right=erasure",
    "/?right=restriction",
    "/?state=awaiting_decision&right=access",
    "/?state=closed",
    f"/?system={_COMMON}",
    f"/?system={_RARE}",
    "/?system=nothing",
    f"/?system={_COMMON}&right=erasure&waits=person",
    "/?due=overdue&right=objection&state=awaiting_decision",
    "/approvals",
    "/stopped",
    "/holds",
    "/mail",
    "/post",
    "/incidents",
)


_FILTERS = {
    "waits": ("person", "package"),
    "state": ("awaiting_decision", "closed"),
    "right": ("erasure", "restriction"),
    "due": ("overdue", "soon"),
    "system": (_COMMON, _RARE, "nothing"),
}
_PAIRS = tuple(
    f"/?{one}={this}&{other}={that}"
    for one, other in combinations(_FILTERS, 2)
    for this, that in product(_FILTERS[one], _FILTERS[other])
)


async def measure(ground: Ground) -> list[Row]:
    """Measures every list; ours is the slowest one."""
    timed: dict[int, dict[str, list[float]]] = {FEW: {}, REQUESTS: {}}
    for requests, closed in product(timed, (1, 9)):
        async with ground.database() as dsn:
            for path, took in (await _all(ground, dsn, requests, closed)).items():
                timed[requests][f"{path} {closed}0 % closed"] = took
    many, few = timed[REQUESTS], timed[FEW]
    slowest = sorted(many, key=lambda each: median(many[each]), reverse=True)
    shown = {each: rounded(median(many[each])) for each in slowest[:_SHOWN]}
    what, arms = f"the same list where {FEW:,} requests are all there is", (many[slowest[0]], few[slowest[0]])
    return [row("console_lists_30k", *arms, "ms", what, requests=REQUESTS, lists=len(many), slowest=shown)]


async def _all(ground: Ground, dsn: str, requests: int, closed: int) -> dict[str, list[float]]:
    """Returns how long each list takes in a new database with so many requests, so many tenths of them closed."""
    await migrate(dsn)
    path = ground.directory / "keyring.json"
    if not path.exists():
        keyring.create(path)
    os.environ |= {"DSR_CONSOLE_ISSUER": "http://127.0.0.1:1", "DSR_CONSOLE_URL": _URL}
    os.environ |= {"DSR_CONSOLE_PAGES_A_SECOND": "1000000"}
    async with await connect_pool(in_process(dsn), ServiceName.INTAKE) as pool:
        await pool.execute(_FILL, requests, _task(_RARE), _task(_COMMON), closed, timeout=300)
        await pool.execute("VACUUM ANALYZE request", timeout=300)
        factory = UnitOfWorkFactory(pool, ServiceName.INTAKE, SystemClock(), Vault(keyring.load(path)))
        running = Running(Settings.__new__(Settings), factory, TRACING, Heartbeats(), asyncio.Event())
        session = Session(SystemClock().now(), {"roles": ["handler", "auditor"]}, "bench", wanted=True)
        await Sessions(factory, "console", timedelta(hours=1), timedelta(hours=1)).keep(session)
        transport: Any = httpx.ASGITransport(app.build(running))
        cookies = {"__Host-dsr-console": session.token}
        async with httpx.AsyncClient(transport=transport, base_url=_URL, cookies=cookies) as client:
            lists = {**{each: each for each in (*_LISTS, *_PAIRS)}, **await _later(client)}
            return {name: await _timed(client, each, ground.repeats) for name, each in lists.items()}


def _task(system: str) -> list[dict[str, object]]:
    return [{"task_id": "019c0000-0000-7000-8000-000000000000", "system": system, "operation": "export", "found": 1}]


async def _later(client: httpx.AsyncClient) -> dict[str, str]:
    """Returns the second pages of some lists, and one in the middle of all that is open, by what they are."""
    found = dict[str, str]()
    for each in ("/", "/?state=closed", f"/?system={_COMMON}"):
        page = (await client.get(BASE + each)).text
        (following,) = re.findall(r'href="/console/(\?[^"]*after=[^"]+)"', page)
        found[f"second page of {each}"] = "/" + following.replace("&amp;", "&")
    last = found["second page of /"].partition("after=")[2].partition(".")
    return {**found, "a page in the middle": f"/?after={int(last[0]) + 45}.{last[2]}"}


async def _timed(client: httpx.AsyncClient, path: str, repeats: int) -> list[float]:
    took = list[float]()
    for _ in range(repeats + 1):
        began = time.perf_counter()
        answer = await client.get(BASE + path)
        took.append((time.perf_counter() - began) * 1000)
        must("is answered", (path, answer.status_code), (path, 200))
    return took[1:]
