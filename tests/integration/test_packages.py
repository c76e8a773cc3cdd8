"""Packages: sealed once, handed out five times or kept fourteen days, whichever ends first; then nothing is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from secrets import token_hex
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from orjson import dumps
from uuid_utils.compat import uuid7

from services.export import handlers as export
from services.export import package as built
from services.export.package import Part
from services.intake.access.auth import create, replace
from services.intake.access.grant import Power
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from services.intake.packages import downloads
from shared.domain.events import RequestClosed, RequestWithdrawn
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match, ReleaseRow
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.fulfilment import queue
from shared.fulfilment.lease import Lease
from shared.fulfilment.store import NewFulfilment
from shared.runtime.metrics import PEOPLE
from shared.storage import chunks, uploads
from shared.storage.uploads import UploadResult, Uploads
from shared.storage.vault import Sealing
from shared.systems.bus.adapter import BusAdapter
from shared.systems.bus.identity_token import IdentityToken, issue
from shared.systems.bus.messages import ReplyOutcome, TaskReply, TaskRequested, progress_from_reply
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import read_result
from shared.systems.contract import CopiedRecord, Receipt
from tests.contract.bus_stand import EVERYTHING
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake, downloaded, id_of
from tests.fixtures.live import eventually
from tests.fixtures.packages import described, exporting, fetched, maker, pack

KEPT, TIMES = timedelta(days=14), 5


async def answered(intake: Intake, content: bytes = b"everything") -> str:
    """An access that is closed, with a package."""
    path = await intake.submit()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        package_id = await seal_package(tx, subject, content, ReleaseRow("ticket", [Match("email", "ada@example.org")]))
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id)
    return path


async def kept(intake: Intake) -> int:
    async with intake.unit_of_work.pool.acquire() as connection:
        await expiry.count_left(connection, retention(), intake.clock.now(), KEPT)
        found: int = await connection.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'package'")
    return found


async def overdue() -> float | None:
    return PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "expired"})


async def test_the_letter_about_an_erasure_says_until_when_an_earlier_copy_stays(intake: Intake) -> None:
    access = await answered(intake)
    intake.clock.pass_by(days=3)
    ada, bob = {"email": "ada@example.org"}, {"email": "bob@example.org"}
    for subject, named in ((bob, False), (ada, True)):
        erasure = await intake.submit(right="erasure", subject=subject)
        await intake.complete(erasure, operation=Operation.ERASE)
        letters = (await intake.officer.get(f"{erasure}/letters")).raise_for_status().json()["data"]
        body = " ".join(letters[-1]["body"].split())
        assert ("stays available to you until 16 March 2026 at the latest; then we delete it" in body) is named
    intake.clock.pass_by(days=10)
    assert (await downloaded(intake.channel, access)).status_code == 200
    intake.clock.pass_by(days=1, hours=1)
    await downloads.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert (await downloaded(intake.channel, access)).status_code == 410


async def test_it_is_handed_out_so_many_times_each_on_record_and_then_removed(intake: Intake) -> None:
    path = await answered(intake)
    statuses = [(await downloaded(intake.channel, path)).status_code for _ in range(TIMES + 1)]
    assert statuses == [200] * TIMES + [410]
    assert await kept(intake) == 0
    actions = await intake.actions(path)
    assert (actions.count("package.downloaded"), actions.count("package.removed")) == (TIMES, 1)
    refused = (await downloaded(intake.channel, path)).json()
    assert "14 days and 5 downloads" in refused["detail"]
    shown, letter = await intake.view(path), (await intake.letters(path))[-1]
    assert (shown["package"], "no longer kept" in shown["answer"], "is ready" in shown["answer"]) == (
        False,
        True,
        False,
    )
    assert "until 16 March 2026, and 5 times at most" in " ".join(letter["body"].split())


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_last_download_removes_it_also_while_the_request_is_locked(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, *, hangs_up: bool
) -> None:
    """The client may hang up right after the last byte, as a command does."""
    path, read, pool = await answered(intake), chunks.read, intake.unit_of_work.pool
    for _ in range(TIMES - 1):
        await downloaded(intake.channel, path)
    locked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with pool.acquire() as other:
        in_hand = other.transaction()

        async def taking_it(*piece: Any) -> AsyncIterator[bytes]:
            async for chunk in read(*piece):
                yield chunk
            await in_hand.start()
            await other.execute("SELECT FROM request WHERE request_id = $1 FOR UPDATE", id_of(path))

        monkeypatch.setattr(chunks, "read", taking_it)
        last = asyncio.create_task(downloaded(intake.channel, path))
        while not (last.done() or await pool.fetch(locked)):
            await asyncio.wait({last}, timeout=0.01)
        if hangs_up:
            last.cancel()
            await asyncio.wait({last})
        await in_hand.rollback()
        assert hangs_up or (await last).status_code == 200

    async def gone() -> bool:
        return await kept(intake) == 0

    await eventually(gone, within=5)


async def link_to(intake: Intake, path: str, what: str = "package") -> str:
    answer = await intake.channel.post(f"{path}/downloads", json={"what": what})
    assert (answer.status_code, answer.json()["url"]) == (201, answer.headers["Location"]), answer.text
    return answer.headers["Location"]


async def test_a_download_that_broke_off_is_fetched_again_and_counted_once(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await answered(intake)
    links, read = [await link_to(intake, path) for _ in range(TIMES)], chunks.read

    async def breaking_off(*piece: Any) -> AsyncIterator[bytes]:
        async for _ in read(*piece):
            raise ConnectionResetError
        yield b""

    monkeypatch.setattr(chunks, "read", breaking_off)
    with pytest.raises(RuntimeError):
        await intake.channel.get(links[-1])
    monkeypatch.setattr(chunks, "read", read)
    assert (await downloaded(intake.channel, path)).status_code == 410, "each link is counted"
    assert (await intake.colleague.get(links[-1])).status_code == 410, "it is the link of another key"
    for link in links:
        assert (await intake.channel.get(link)).content == b"everything"
        assert (await intake.channel.get(link)).status_code == 410, "it is over with the last byte"
    assert await kept(intake) == 0


async def test_a_link_is_for_the_package_as_it_was_and_for_keys_that_may_fetch(intake: Intake, database: str) -> None:
    path = await answered(intake)
    link, key = await link_to(intake, path), intake.channel.headers["Authorization"].split("_")[1]
    submits = await replace(database, key, intake.clock.now(), powers=[Power.SUBMIT])
    assert (await intake.channel.get(link, headers={"Authorization": f"Bearer {submits}"})).status_code == 403
    fetches = await replace(database, key, intake.clock.now(), powers=[Power.FETCH])
    await intake.unit_of_work.pool.execute(
        "UPDATE package SET package_id = $2 WHERE request_id = $1", id_of(path), uuid7()
    )
    by = {"Authorization": f"Bearer {fetches}"}
    assert (await intake.channel.get(link, headers=by)).status_code == 410


async def test_a_link_is_good_for_a_day(intake: Intake) -> None:
    path = await answered(intake)
    links = [await link_to(intake, path) for _ in range(TIMES)]
    await downloads.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert await kept(intake) == 1
    intake.clock.at += downloads.LINK_LASTS
    assert (await intake.channel.get(links[-1])).status_code == 410
    await downloads.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert await kept(intake) == 0


async def test_it_is_removed_when_its_days_are_over_and_not_before(intake: Intake) -> None:
    path = await answered(intake)
    intake.clock.at += KEPT - timedelta(seconds=1)
    assert await downloads.remove_due(intake.unit_of_work, KEPT, TIMES) == 0
    assert (await downloaded(intake.channel, path)).status_code == 200
    intake.clock.at += timedelta(seconds=1)
    assert await downloads.remove_due(intake.unit_of_work, KEPT, TIMES) == 2, "it, and by what its rows were found"
    assert await downloads.remove_due(intake.unit_of_work, KEPT, TIMES) == 0
    assert (await downloaded(intake.channel, path)).status_code == 410
    assert await intake.details(path, "package.removed") == [{"reason": "days"}]
    assert "no longer kept" in (await intake.view(path))["answer"]


async def test_one_that_outlives_its_days_is_counted(intake: Intake) -> None:
    await answered(intake)
    intake.clock.at += KEPT + timedelta(minutes=30)
    assert (await kept(intake), await overdue()) == (1, 0)
    intake.clock.at += timedelta(hours=1)
    assert (await kept(intake), await overdue()) == (1, 1)
    await downloads.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert (await kept(intake), await overdue()) == (0, 0)


# A package is made outside of any transaction: one process has it in hand, another takes it over, it counts once.
FOUND = (Match("email", "ada@example.org"),)
MANY = tuple(CopiedRecord("calls", "cdrs", {"value": token_hex(800_000)}, matched=FOUND) for _ in range(2))
"""Records that do not pack well: more than a chunk, so that a part of the package is stored before its end."""


async def copied(open_harness: OpenHarness, *records: CopiedRecord) -> tuple[Harness, NewFulfilment]:
    """An access of which everything is collected."""
    given = each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), records=records))
    system = ScriptedSystem("cdr", answers={Operation.EXPORT: given})
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    new = NewFulfilment(uuid7(), await harness.subject(), Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await harness.worker("cdr", Operation.EXPORT).work()
    return harness, new


async def left(harness: Harness) -> dict[str, int]:
    kinds = "SELECT kind, count(*) FROM vault.sealed WHERE kind <> 'identities' GROUP BY kind"
    return {row[0]: row[1] for row in await harness.pool.fetch(kinds)}


def standing_still(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Stops the build of a package before its last chunk is stored."""
    reached, build = asyncio.Event(), built.build

    async def slow(*arguments: Any) -> Any:
        found = await build(*arguments)
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return found

    monkeypatch.setattr(built, "build", slow)
    return reached


@asynccontextmanager
async def given_up(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lease]:
    """A process that has a part of a package stored, and then does not go on."""
    lease, reached = await harness.new_lease(), standing_still(monkeypatch)
    first = maker(harness, lease)
    due = await first.claim()
    assert due
    hanging = asyncio.create_task(first.make(due))
    await asyncio.wait({hanging, asyncio.ensure_future(reached.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not hanging.done(), "it came to its end, or broke"
    try:
        yield lease
    finally:
        hanging.cancel()


async def test_package_of_a_dead_process_is_rebuilt(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, *MANY)
    async with given_up(harness, monkeypatch) as lease:
        assert await left(harness) == {"records": 1, "package": 1, "release": 1}, "stored, but not released"
        assert await harness.outbox() == []
        assert await pack(harness) == 0, "it is in the hands of a process that is alive"
        await harness.silence(lease)
        await harness.reap()
        assert await pack(harness) == 1
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert (await harness.actions(new.request_id)).count("package.built") == 1
    assert await left(harness) == {"package": 1, "release": 1}
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    assert len(described(await fetched(harness, package_id))["records"]) == len(MANY)


async def test_late_builder_stores_nothing(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, *MANY)
    woken, build = asyncio.Event(), built.build
    lease = await harness.new_lease()
    slept = asyncio.Event()

    async def sleeping(parts: Any, about: Any, write: Any) -> Any:
        if not slept.is_set():
            slept.set()
            await woken.wait()
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", sleeping)
    first = maker(harness, lease)
    due = await first.claim()
    assert due
    asleep = asyncio.create_task(first.make(due))
    await slept.wait()
    await harness.silence(lease)
    await harness.reap()
    assert await pack(harness) == 1
    woken.set()
    await asleep
    assert await pack(harness) == 0
    assert await harness.outbox() == ["dsr.fulfilment.completed.v1"]
    assert (await harness.actions(new.request_id)).count("package.built") == 1
    assert await harness.pool.fetchval("SELECT count(DISTINCT sealed_id) FROM vault.chunk") == 1


@pytest.mark.parametrize("how", ["withdrawn", "closed"])
async def test_unneeded_package_is_gone(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    harness, new = await copied(open_harness, *MANY)
    about: dict[str, Any] = {"about": str(new.request_id), "right": new.right, "subject": new.subject_ref}
    build, began, goes_on = built.build, asyncio.Event(), asyncio.Event()

    async def sleeping(parts: Any, about: Any, write: Any) -> Any:
        async def late(content: bytes) -> None:
            began.set()
            await goes_on.wait()
            await write(content)

        return await build(parts, about, late)

    monkeypatch.setattr(built, "build", sleeping)
    packing = asyncio.create_task(pack(harness))
    await began.wait()
    async with harness.unit_of_work.begin() as tx:
        if how == "withdrawn":
            await export.cancel([a(RequestWithdrawn, **about)], tx)
        else:
            await export.close([a(RequestClosed, **about, outcome=Outcome.WITHDRAWN)], tx)
    goes_on.set()
    assert await packing == 1
    assert await left(harness) == {}, "what was packed meanwhile is stored no more"


async def test_change_during_packing_rebuilds(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness, new = await copied(open_harness, CopiedRecord("calls", "cdrs", {"value": "then"}, matched=FOUND))
    build, times = built.build, iter(range(9))

    async def interrupted(parts: Any, about: Any, write: Any) -> Any:
        if next(times) == 0:
            more = [["calls", "cdrs", {"value": "later"}, True, [["email", "ada@example.org", None]], {}, {}]]
            async with harness.unit_of_work.begin() as tx:
                piece = Sealing(new.subject_ref, "records", "cdr", dumps(more))
                await tx.vault.seal(tx.connection, [piece], tx.now)
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", interrupted)
    assert await pack(harness) == 2
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    found = described(await fetched(harness, package_id))["records"]
    assert [each["data"]["value"] for each in found] == ["then", "later"]


async def test_what_no_package_can_be_made_of_holds_up_no_other_and_comes_before_a_person(
    open_harness: OpenHarness, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness, new = await copied(open_harness, CopiedRecord("calls", "cdrs", {"value": "strange"}, matched=FOUND))
    build = built.build

    async def breaking(parts: list[Part], about: Any, write: Any) -> Any:
        if b"strange" in await parts[0].open():
            raise ZeroDivisionError
        return await build(parts, about, write)

    monkeypatch.setattr(built, "build", breaking)
    for _ in range(6):
        assert await pack(harness) == 1
        clock.pass_by(hours=1)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.pool.fetchval("SELECT failure FROM task") == "unforeseen_error"
    assert await harness.fulfilment_state(new.request_id) == "blocked"
    monkeypatch.setattr(built, "build", build)
    await harness.retry(new.request_id)
    await harness.worker("cdr", Operation.EXPORT).work()
    await pack(harness)
    assert (await harness.outbox())[-1] == "dsr.fulfilment.completed.v1"


async def test_a_key_that_is_gone_when_the_package_is_made_comes_before_a_person(open_harness: OpenHarness) -> None:
    harness, new = await copied(open_harness, MANY[0])
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [new.subject_ref], tx.now)
    await pack(harness)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.pool.fetchval("SELECT failure FROM task") == "key_gone"


# A copy that a team uploads is sealed once, while its task is open, and goes with the task's end.

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

    async def put(self, *rows: dict[str, Any]) -> httpx.Response:
        """Uploads these rows."""
        body = orjson.dumps({"command_id": str(self.command), "records": rows or (ROW,)})
        return await self.send(body)

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


async def test_copy_is_taken_uncompressed_up_to_its_limit(intake: Intake, database: str) -> None:
    billing = await team(intake, await intake.submit(), database)
    assert (await billing.send(b" " * (17 * 2**20))).status_code == 413
    for coding in ("gzip", "br"):
        assert (await billing.send(b"{}", content_encoding=coding)).status_code == 415


async def test_invalid_copy_is_refused_unquoted(intake: Intake, database: str) -> None:
    billing = await team(intake, await intake.submit(), database)
    for body, says in (
        (b"[" * 100_000 + b"]" * 100_000, "not JSON in UTF-8, or nested too deep"),
        (b'{"records": [], "records": []}', "a name comes twice in an object"),
        (orjson.dumps({"command_id": str(uuid7()), "records": [{**ROW, ADA: 1}]}), "records.0.a field that is none"),
    ):
        answer = await billing.send(body)
        assert (answer.status_code, says in answer.text, ADA in answer.text) == (422, True, False)


async def test_copy_is_taken_only_from_its_system_and_for_its_task(intake: Intake, database: str) -> None:
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
    identities = (await intake.channel.get(FETCH, headers=billing._headers)).json()  # noqa: SLF001  # its own
    assert identities["changes"] == [wanted[0]]
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
        categories=frozenset({"account"}),
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
        assert await uploads.keep(tx.connection, vault, sealing) is UploadResult.NEW
        ids = {"command_id": asked.command_id, "task_id": asked.task_id}
        said = {**ids, "operation": Operation.EXPORT, "outcome": ReplyOutcome.EXPORTED, "found": 1}
        _, progress = progress_from_reply(TaskReply.model_validate(said))
        await queue.store_reply(tx.connection, "billing", asked.task_id, progress, tx.now)
    assert await worker.work() == 1
    kinds = [row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed ORDER BY kind")]
    assert kinds == ["records"]
    async with harness.unit_of_work.begin() as tx:
        assert await uploads.keep(tx.connection, vault, sealing) is UploadResult.NOT_WAITED_FOR
        await export.finish(harness.fulfilments, harness.completed, tx)
    await pack(harness)
    assert [row[0] for row in await harness.pool.fetch("SELECT kind FROM vault.sealed ORDER BY kind")] == [
        "package",
        "release",
    ]
