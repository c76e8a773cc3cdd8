"""Requests accepted durably per second, next to a bare reply of the same framework, server and size."""

import asyncio
import sys
from dataclasses import dataclass, field
from functools import partial

import orjson

from deploy.local.paths import ROOT
from shared.domain.topics import ServiceName
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.stack import Stack

CONNECTIONS = 64
SECONDS = 5.0


@dataclass
class Loads:
    """Puts load on a server; every submission is another, and all that were answered 201 are counted."""

    key: str
    sent: int = 0
    created: dict[int, int] = field(default_factory=dict)

    async def on(self, port: int) -> float:
        """Requests answered 201 per second."""
        first, self.sent = self.sent, self.sent + 1_000_000
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.bench.load", str(port), self.key, str(CONNECTIONS), str(SECONDS), str(first)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(10 * SECONDS):
            output, _ = await process.communicate()
        must("the load generator's exit status", process.returncode, 0)
        counted = orjson.loads(output)
        must("answers other than 201", counted["other"], 0)
        self.created[port] = self.created.get(port, 0) + counted["created"]
        return float(counted["created"] / counted["seconds"])


async def measure(ground: Ground) -> list[Row]:
    """Measures intake alone and the bare application in turn, after all five services together."""
    async with ground.seeded(1) as seeded, ground.services(seeded) as running:
        loads = Loads(running.client.headers["Authorization"].removeprefix("Bearer "))
        intake = running.services.ports[ServiceName.INTAKE]
        with_all = await loads.on(intake)
        ground.say(f"with all five at work: {with_all:.0f} requests/s")
        await asyncio.to_thread(_stop_all_but_intake, running)
        async with ground.program("bare", "tests.bench.bare_reply") as bare:
            ports = {"ours": intake, "bare reply": bare}
            arms = {arm: partial(loads.on, port) for arm, port in ports.items()}
            figures = await ground.interleaved(arms, "requests/s")
        stored = await running.pool.fetchval("SELECT count(*) FROM intake.request")
        must("requests stored", stored, loads.created[intake])
    what = "a FastAPI route with the same body and answer as its declared models, no database; one process each"
    more = {
        "with_all_five_at_work": rounded(with_all),
        "connections": CONNECTIONS,
        "seconds_each": SECONDS,
    }
    return [row("intake_durable", figures["ours"], figures["bare reply"], "requests/s", what, **more)]


def _stop_all_but_intake(running: Stack) -> None:
    for name, child in running.services.children.items():
        if name is not ServiceName.INTAKE:
            child.stop()
