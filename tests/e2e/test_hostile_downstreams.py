"""A hostile downstream, beside other people's requests: what it answers of one person delays that person's alone.

The system is worked by the same service, in the same batches, for everybody. Of one person it answers as the table
says, of all others as it should. Once it is well again, that person's request ends too: by itself where it was an
outage, after a person's retry where it was refused.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.ports import HOST, free_port
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from tests.fixtures.hostile_server import Answer, bomb, dripping, said
from tests.fixtures.listening import listening

VICTIM = "ada@example.com"
DOWNSTREAMS = """
[shop]
adapter = "opendsr"
url = "${SHOP_URL}"
needs = ["email"]
timeout_s = 1
answer_seconds = 1
answer_bytes = 100000
answer_items = 1000
answer_depth = 10
"""
PROOF = {"level": "L2", "method": "signed_in_mfa"}


def _json(value: object, code: int = 200) -> Answer:
    return said(json.dumps(value).encode(), "Connection: close", status=code)


def status(**more: object) -> Callable[[str], Answer]:
    """A status of the request that it is asked about, and what else it says of it."""
    return lambda asked: _json({"subject_request_id": asked, "request_status": "completed", **more})


def whatever(answer: Answer) -> Callable[[str], Answer]:
    """The same answer to each request."""
    return lambda _asked: answer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
HOSTILE: list[tuple[str, Callable[[str], Answer], str]] = [
    ("a gzip bomb", whatever(bomb("gzip")), "answer_malformed"),
    ("a body that drips", whatever(dripping(HEAD, b" ")), ""),
    ("somebody else's request", lambda _: status(results_count=0)("0" * 32), "answer_malformed"),
    ("a redirect", whatever(said(b"", "Location: http://127.0.0.1:1/", status=302)), "refused"),
]


@dataclass
class Shop:
    """Holds one subscription of each person; speaks OpenDSR, but of the victim as ``answer`` says."""

    answer: Callable[[str], Answer] | None = None
    erased: set[str] = field(default_factory=set)
    _taken: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            method, path, *_ = head.split(" ")
            await self._answer(method, path, body)(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        asked = path.rpartition("/")[2]
        if asked == "discovery":
            offered = [{"identity_type": "email", "identity_format": "raw"}]
            types = ["access", "erasure"]
            return _json({"supported_identities": offered, "supported_subject_request_types": types})
        if method == "POST":
            request = json.loads(body)
            kind, email = request["subject_request_type"], request["subject_identities"][0]["identity_value"]
            asked = request["subject_request_id"]
            self._taken.setdefault(asked, (kind, email, email not in self.erased))
            if kind == "erasure":
                self.erased.add(email)
            return _json({"subject_request_id": asked}, 201)
        if asked not in self._taken:
            return _json({}, 404)
        _, email, held = self._taken[asked]
        return self.answer(asked) if self.answer and email == VICTIM else status(results_count=int(held))(asked)


@asynccontextmanager
async def open_shop(port: int) -> AsyncIterator[Shop]:
    """The shop on that port, until the block ends."""
    shop = Shop()
    async with listening(shop.serve, port):
        yield shop


@dataclass(frozen=True)
class Running:
    """Intake and erasure, and the port at which the shop is to be."""

    services: Services
    port: int
    channel: str
    privacy: str


@pytest.fixture(scope="module")
def running(run_folder: Path, postgres_dsn: str, template: str) -> Iterator[Running]:
    folder = run_folder / "hostile downstreams"
    folder.mkdir()
    (folder / "downstreams.toml").write_text(DOWNSTREAMS)
    port, kafka = free_port(), Kafka(folder / "kafka")
    name = f"hostile_{secrets.token_hex(4)}"
    dsn = databases.wait_for(databases.create(postgres_dsn, name, template))
    with kafka:
        servers, env = Servers(dsn, kafka.bootstrap), {"SHOP_URL": f"http://{HOST}:{port}/v2"}
        services = Services(folder, servers, folder / "downstreams.toml", env)
        services.prepare()
        children = services.children
        with children[ServiceName.INTAKE], children[ServiceName.ERASURE]:
            yield Running(services, port, services.key("channel"), services.key("privacy"))
    databases.wait_for(databases.drop(postgres_dsn, name))


async def submit(client: DsrClient, email: str) -> str:
    return await client.submit({"right": "erasure", "subject": {"email": email}, "assurance": PROOF})


async def erased(client: DsrClient) -> None:
    """Somebody else is erased from the shop, and counted right."""
    view = await client.follow(await submit(client, f"{secrets.token_hex(6)}@example.org"), "closed")
    counts = [(task["outcome"], task["found"], task["changed"], task["remaining"]) for task in view["tasks"]]
    assert (view["outcome"], counts) == ("fulfilled", [("erased", 1, 1, 0)])


@pytest.mark.parametrize(("what", "answer", "failure"), HOSTILE, ids=[row[0] for row in HOSTILE])
async def test_what_a_system_answers_of_one_person_delays_that_one_alone(
    running: Running, what: str, answer: Callable[[str], Answer], failure: str
) -> None:
    url = running.services.url
    async with open_shop(running.port) as shop, DsrClient(url, running.channel) as client:
        shop.answer = answer
        request_id = await submit(client, VICTIM)
        await asyncio.gather(*(erased(client) for _ in range(5)))
        if failure:
            waits = await client.follow(request_id, "awaiting_decision")
            assert [task["failure"] for task in waits["tasks"]] == [failure], what
        assert VICTIM not in shop.erased
        async with httpx.AsyncClient(trust_env=False) as probe:
            health = await probe.get(f"{running.services.url_of(ServiceName.ERASURE)}/healthz")
        assert health.status_code == 200
        shop.answer = None
        if failure:
            async with DsrClient(url, running.privacy) as officer:
                await officer.decide(request_id, "decision", {"decision": "retry"})
        view = await client.follow(request_id, "closed")
        assert [(task["outcome"], task["changed"]) for task in view["tasks"]] == [("erased", 1)], what
        shop.erased.discard(VICTIM)
