"""A copy that a team uploads is sealed once, while its task is open, and goes with the task's end."""

import gzip
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from uuid_utils.compat import uuid7

from services.export import handlers as export
from services.intake.auth import create
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.bus.adapter import BusAdapter
from shared.downstreams.bus.identity_token import IdentityToken, issue
from shared.downstreams.bus.messages import ReplyOutcome, TaskReply, TaskRequested, progress_from_reply
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.bus.upload import read_result
from shared.fulfilment import queue
from shared.fulfilment.store import NewFulfilment
from shared.storage import uploads
from shared.storage.uploads import Kept, Uploads
from shared.storage.vault import Sealing
from tests.contract.bus_stand import EVERYTHING
from tests.fixtures.engine import DUE, OpenHarness, ScriptedSystem
from tests.fixtures.intake import Intake
from tests.fixtures.packages import pack

PUT, FETCH = "/v1/tasks/result", "/v1/tasks/identities"
ADA = "ada@example.org"
ROW = {
    "category": "account",
    "source": "invoice",
    "data": {"email": ADA, "cents": 100},
    "matched": [{"type": "email", "value": ADA}],
}


class Team:
    """The billing team at intake, with a task about the subject of one request."""

    def __init__(self, intake: Intake, key: str, claim: str, command: UUID) -> None:
        self.command = command
        self._intake = intake
        self._headers = {"Authorization": f"Bearer {key}", "DSR-Claim": claim}

    async def put(self, *rows: dict[str, Any], **headers: str) -> httpx.Response:
        """Uploads these rows."""
        body = orjson.dumps({"command_id": str(self.command), "records": rows or (ROW,)})
        return await self.send(gzip.compress(body) if headers else body, **headers)

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        """Uploads these bytes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= self._headers | {"Content-Type": "application/json"}
        return await self._intake.channel.put(PUT, content=body, headers=named)


async def team(
    intake: Intake, path: str, database: str, operation: Operation = Operation.EXPORT, role: str = "downstream:billing"
) -> Team:
    pool, vault = intake.unit_of_work.pool, intake.unit_of_work.vault
    request_id, now = UUID(path.rpartition("/")[2]), intake.clock.now()
    subject = await pool.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", request_id)
    token = IdentityToken(
        task_id=uuid7(),
        request_id=request_id,
        system="billing",
        needs=frozenset({IdentityType.EMAIL}),
        level="L0",
        subject_ref=subject,
        expires_at=now + timedelta(hours=1),
        operation=operation,
        fields=frozenset({"email"}),
    )
    command = uuid7()
    await Uploads(pool, vault, intake.clock).expect("billing", {command: subject})
    return Team(intake, await create(database, role, "billing", now), issue(token, vault.keyring.claims, now), command)


async def sealed(intake: Intake) -> list[tuple[str, str]]:
    rows = await intake.unit_of_work.pool.fetch("SELECT kind, source FROM vault.sealed WHERE kind = 'upload'")
    return [tuple(row) for row in rows]


async def test_a_copy_is_sealed_once_and_the_same_again_changes_nothing(intake: Intake, database: str) -> None:
    path = await intake.submit()
    billing = await team(intake, path, database)
    for answer in (await billing.put(ROW, ROW), await billing.put(ROW, ROW)):
        assert (answer.status_code, answer.json()) == (200, {"records": 2})
    other = await billing.put(ROW)
    assert (other.status_code, other.json()["type"]) == (409, "urn:dsr:problem:result_given")
    uploaded = [entry for entry in await intake.evidence(path) if entry["action"] == "result.uploaded"]
    assert [entry["detail"]["records"] for entry in uploaded] == [2]
    content = await intake.unit_of_work.pool.fetchval("SELECT content FROM vault.sealed WHERE kind = 'upload'")
    assert ADA.encode() not in content
    kept = Uploads(intake.unit_of_work.pool, intake.unit_of_work.vault, intake.clock)
    assert len(orjson.loads((await kept.take([billing.command]))[billing.command])) == 2


async def test_packed_copy_is_unpacked_up_to_its_limit(intake: Intake, database: str) -> None:
    billing = await team(intake, await intake.submit(), database)
    bomb = gzip.compress(b" " * (17 * 2**20))
    assert (await billing.send(bomb, content_encoding="gzip")).status_code == 413
    assert (await billing.send(b"\x1f\x8bnone", content_encoding="gzip")).status_code == 422
    assert (await billing.send(bomb[:-9], content_encoding="gzip")).status_code == 413
    assert (await billing.send(b"{}", content_encoding="br")).status_code == 415
    assert (await billing.put(ROW, content_encoding="gzip")).status_code == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "not JSON in UTF-8, or nested too deep"),
        (b'{"records": [], "records": []}', "a name comes twice in an object"),
        (orjson.dumps({"command_id": str(uuid7()), "records": [{**ROW, ADA: 1}]}), "records.0.a field that is none"),
    ],
)
async def test_invalid_copy_is_refused_unquoted(intake: Intake, database: str, body: bytes, says: str) -> None:
    billing = await team(intake, await intake.submit(), database)
    answer = await billing.send(body)
    assert answer.status_code == 422
    assert says in answer.text
    assert ADA not in answer.text


async def test_nobody_else_and_for_nothing_else_a_copy_is_taken(intake: Intake, database: str) -> None:
    path, other = await intake.submit(), await intake.submit()
    billing, stranger = await team(intake, path, database), await team(intake, path, database, role="downstream:shop")
    assert (await stranger.put()).status_code == 403
    assert (await (await team(intake, path, database, Operation.ERASE)).put()).status_code == 400
    billing.command = (await team(intake, other, database)).command
    assert (await billing.put()).json()["type"] == "urn:dsr:problem:expired"
    billing.command = uuid7()
    assert (await billing.put()).status_code == 410
    assert "result.uploaded" not in await intake.actions(path)


async def test_team_gets_new_values_of_its_own_fields_alone(intake: Intake, database: str) -> None:
    wanted = [
        {"field": "email", "current": ADA, "asserted": "ada@quarzfels.example"},
        {"field": "name", "asserted": "Ada Quarzfels"},
    ]
    path = await intake.submit(right="rectification", subject={"email": ADA}, changes=wanted)
    billing = await team(intake, path, database, Operation.RECTIFY)
    told = (await intake.channel.get(FETCH, headers=billing._headers)).json()  # noqa: SLF001  # its own
    assert told["changes"] == [wanted[0]]
    [fetched] = [entry for entry in await intake.evidence(path) if entry["action"] == "identities.fetched"]
    assert fetched["detail"]["fields"] == ["email"]


async def test_copy_becomes_records_and_its_place_is_removed(open_harness: OpenHarness) -> None:
    system = ScriptedSystem("billing")
    harness = await open_harness(system, service=ServiceName.EXPORT)
    vault, clock = harness.unit_of_work.vault, harness.unit_of_work.clock
    published: list[bytes] = []

    async def publish(messages: Any) -> None:
        published.extend(message.value for message in messages)

    adapter = BusAdapter(
        "billing",
        BusSettings.model_validate(EVERYTHING),
        needs=frozenset({IdentityType.EMAIL}),
        publish=publish,
        token_key=b"k" * 32,
        clock=clock,
        uploads=Uploads(harness.pool, vault, clock),
        held=frozenset({"account"}),
    )
    system.answers[Operation.EXPORT] = adapter.export
    subject = await harness.subject()
    await harness.open(NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE))
    worker = harness.worker("billing", Operation.EXPORT)
    assert await worker.work() == 1
    asked = TaskRequested.model_validate_json(published[0])
    copy = read_result(orjson.dumps({"command_id": str(asked.command_id), "records": [ROW]}))
    async with harness.unit_of_work.begin() as tx:
        sealing = Sealing(subject, uploads.KIND, "billing", copy.sealed(), asked.command_id)
        assert await uploads.keep(tx.connection, vault, sealing) is Kept.NEW
        ids = {"command_id": asked.command_id, "task_id": asked.task_id}
        said = {**ids, "operation": Operation.EXPORT, "outcome": ReplyOutcome.EXPORTED, "found": 1}
        _, progress = progress_from_reply(TaskReply.model_validate(said))
        await queue.store_reply(tx.connection, "billing", asked.task_id, progress, tx.now)
    assert await worker.work() == 1
    kinds = [row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed ORDER BY kind")]
    assert kinds == ["records"]
    async with harness.unit_of_work.begin() as tx:
        assert await uploads.keep(tx.connection, vault, sealing) is Kept.NOT_WAITED_FOR
        await export.finish(harness.fulfilments, harness.completed, tx)
    await pack(harness)
    assert [row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed ORDER BY kind")] == [
        "package",
        "release",
    ]
