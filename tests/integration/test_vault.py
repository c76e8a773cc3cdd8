"""The vault: values are sealed for one subject under one key; a shredded key makes them unreadable."""

import base64
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from uuid_utils.compat import uuid7

from deploy.demo.traces import Seeker
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from services.intake.jobs.expiry import GRACE
from shared.domain.errors import Shredded, Unavailable, UnknownKey
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome, TaskReport
from shared.domain.release import Match
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment.export_parts import sealed_records
from shared.fulfilment.store import NewFulfilment
from shared.runtime.metrics import PEOPLE
from shared.storage import chunks, keyring, vault
from shared.storage.chunks import CHUNK, Chunked, ChunkWriter
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.vault import Sealing, Vault
from shared.systems.contract import Checkpoint, CopiedRecord, Receipt, Result, Task
from shared.systems.protocols import HandOver
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.intake import Intake
from tests.fixtures.packages import described, exporting, fetched, pack

ADA = Identity(IdentityType.EMAIL, "ada@example.org")
NUMBER = Identity(
    IdentityType.PHONE, "+442079460000", datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), "crm"
)


async def test_what_is_sealed_for_a_subject_is_read_back_as_it_was(harness: Harness) -> None:
    ref = uuid7()
    change = Change(field="email", current="ada@example.org", asserted="ada@example.net")
    async with harness.unit_of_work.begin() as tx:
        said = SubjectData((ADA, NUMBER), (change,))
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(ref, said, tx.now)])
        assert await tx.vault.subject_data(tx.connection, [ref]) == {ref: said}


SEALS_NOTHING: list[tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = [
    (bytes, bytes),
    (base64.b64encode, base64.b64decode),
]


@pytest.mark.parametrize("instead", [None, *SEALS_NOTHING], ids=["sealed", "in clear", "in base64"])
async def test_nothing_of_it_stands_in_the_database_in_clear_and_the_search_that_says_so_would_find_it(
    harness: Harness,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    instead: tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]] | None,
) -> None:
    if instead:
        seal, unseal = instead
        monkeypatch.setattr(vault, "_seal", lambda _key, content, *_: seal(content))
        monkeypatch.setattr(vault, "_open", lambda _key, content, _ref: unseal(content))
    ref = await harness.subject(ADA)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [Sealing(ref, "records", "crm", b"Ada Lovelace")], tx.now)
    seeker = Seeker({"address": [ADA.value], "name": ["Ada Lovelace"]}, encoded=True)
    await seeker.in_postgres(database)
    places = {who: set(found) for who, found in seeker.found.items()}
    assert places == ({"address": {"vault.subject"}, "name": {"vault.sealed"}} if instead else {})


async def test_identities_that_systems_yield_are_known_once_each(harness: Harness) -> None:
    ref = await harness.subject(ADA)
    async with harness.unit_of_work.begin() as tx:
        pieces = [Sealing(ref, "identities", "crm", encode_identities([ADA, NUMBER])) for _ in range(2)]
        await tx.vault.seal(tx.connection, pieces, tx.now)
        known = await tx.vault.subject_data(tx.connection, [ref])
        more = encode_identities([replace(ADA, shared=True)])
        await tx.vault.seal(tx.connection, [Sealing(ref, "identities", "crm", more)], tx.now)
        later = await tx.vault.subject_data(tx.connection, [ref])
    assert known[ref].identities == (ADA, NUMBER)
    assert later[ref].identities == (replace(ADA, shared=True), NUMBER)


async def test_a_shredded_subject_cannot_be_read_by_anyone(harness: Harness, clock: SetClock) -> None:
    ref, other = await harness.subject(ADA), await harness.subject(NUMBER)
    sealing = Sealing(ref, "package", "export", b"everything")
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [sealing], tx.now)
        assert await tx.vault.shred(tx.connection, [ref], clock.now()) == [ref]
        assert await tx.vault.shred(tx.connection, [ref], clock.now()) == []
        assert set(await tx.vault.subject_data(tx.connection, [ref, other])) == {other}
        with pytest.raises(Shredded):
            await tx.vault.open_one(tx.connection, sealing.sealed_id)
        with pytest.raises(Shredded):
            await tx.vault.open_kind(tx.connection, ref, "package")
        with pytest.raises(Shredded):
            await tx.vault.seal(tx.connection, [Sealing(ref, "package", "export", b"more")], tx.now)
    row = await harness.pool.fetchrow("SELECT wrapped_key, statement FROM vault.subject WHERE subject_ref = $1", ref)
    assert row is not None
    assert tuple(row) == (None, None)


@pytest.mark.parametrize(("name", "error"), [("k2", UnknownKey), ("k1", InvalidTag)])
async def test_a_keyring_without_the_key_opens_nothing_though_it_has_another_of_the_same_name(
    harness: Harness, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    ref = await harness.subject()
    keyring.create(tmp_path / "other.json", active=name)
    stranger = Vault(keyring.load(tmp_path / "other.json"))
    async with harness.pool.acquire() as connection:
        with pytest.raises(error):
            await stranger.subject_data(connection, [ref])


async def test_a_retired_key_still_opens_what_it_sealed(harness: Harness, tmp_path: Path) -> None:
    ref = await harness.subject(ADA)
    keyring.create(tmp_path / "next.json", active="k2")
    fresh, retired = keyring.load(tmp_path / "next.json"), harness.unit_of_work.vault.keyring
    rotated = Vault(dataclasses.replace(fresh, keys={**retired.keys, **fresh.keys}))
    later = uuid7()
    async with harness.unit_of_work.begin() as tx:
        await rotated.insert_subjects(tx.connection, [rotated.new_subject(later, SubjectData((NUMBER,)), tx.now)])
        known = await rotated.subject_data(tx.connection, [ref, later])
    assert {known[ref].identities, known[later].identities} == {(ADA,), (NUMBER,)}
    assert await harness.pool.fetchval("SELECT kek_id FROM vault.subject WHERE subject_ref = $1", later) == "k2"


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE vault.sealed SET subject_ref = $2 WHERE subject_ref = $1",
        """UPDATE vault.subject b SET wrapped_key = a.wrapped_key, statement = a.statement
           FROM vault.subject a WHERE a.subject_ref = $1 AND b.subject_ref = $2""",
    ],
)
async def test_what_was_sealed_for_one_subject_opens_for_no_other(harness: Harness, swap: str) -> None:
    one, other = await harness.subject(ADA), await harness.subject(NUMBER)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [Sealing(one, "records", "crm", b"hers")], tx.now)
    await harness.pool.execute(swap, one, other)
    async with harness.pool.acquire() as connection:
        with pytest.raises(InvalidTag):
            await _read_all(harness, connection, other)


async def _read_all(harness: Harness, connection: Connection, ref: UUID) -> None:
    await harness.unit_of_work.vault.subject_data(connection, [ref])
    await harness.unit_of_work.vault.open_kind(connection, ref, "records")


# The sweep of the vault finds everything that is no longer needed, and nothing else.
ERASED = {"outcome": TaskOutcome.ERASED, "found": 1, "changed": 1}
LATER = GRACE + timedelta(seconds=1)


async def swept(intake: Intake) -> dict[str, float]:
    """Returns the orphans found, by kind."""
    async with intake.unit_of_work.pool.acquire() as connection:
        await expiry.count_left(connection, retention(), intake.clock.now(), timedelta(days=14))
    found = {
        what: PEOPLE.get_sample_value("dsr_vault_orphans", {"what": what})
        for what in ("collected", "expired", "key", "no_request")
    }
    return {what: number for what, number in found.items() if number}


async def erased(intake: Intake, **report: object) -> str:
    """An erasure that is closed, with what its only system reported."""
    path = await intake.submit(right="erasure")
    task = TaskReport.model_validate({"task_id": uuid7(), "system": "crm", "operation": Operation.ERASE, **report})
    await intake.complete(path, operation=Operation.ERASE, tasks=(task,))
    return path


async def test_what_ended_requests_had_collected_is_found_after_an_hour(intake: Intake) -> None:
    withdrawn = {kind: await intake.submit() for kind in ("records", "package", "identities")}
    answered, pieces, at_work = [await intake.submit() for _ in range(3)]
    shredded = await intake.submit(right="erasure")
    for kind, path in withdrawn.items():
        await intake.seal(path, kind)
    for kind in ("package", "identities", "letter"):
        await intake.seal(answered, kind)
    for path in (pieces, at_work, shredded):
        await intake.seal(path, "records")
    for path in (*withdrawn.values(), shredded):
        (await intake.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    for path in (answered, pieces):
        await intake.complete(path)
    await intake.shred(shredded)
    assert await swept(intake) == {}
    intake.clock.at += LATER
    assert await swept(intake) == {"collected": 4}, "what is handed out, at work, or gone is none"


async def test_key_of_a_finished_erasure_is_found(intake: Intake) -> None:
    kept = {"outcome": TaskOutcome.RETAINED, "ground": "tax_law", "until": "2030-12-31"}
    needed = (kept, {"outcome": None, "failure": "data_still_present"}, {"outcome": None})
    for report in (ERASED, {"outcome": TaskOutcome.NO_MATCH}, *needed, {**ERASED, "not_searched": "not_proved"}):
        path = await erased(intake, **report)
        intake.clock.at += LATER
        finished = report.get("outcome") in {"erased", "no_match"} and "not_searched" not in report
        assert (await swept(intake)).get("key", 0) == finished, report
        await intake.shred(path)
        assert "key" not in await swept(intake)


async def test_the_key_of_what_may_be_resumed_is_needed(intake: Intake, unidentified: str) -> None:
    await intake.unit_of_work.pool.execute("UPDATE request SET \"right\" = 'erasure'")
    intake.clock.at += LATER
    assert (await intake.view(unidentified))["outcome"] == "unidentified"
    assert await swept(intake) == {}


async def test_subject_without_a_request_is_found(intake: Intake) -> None:
    ref: UUID = uuid7()
    async with intake.unit_of_work.begin() as tx:
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(ref, SubjectData(), tx.now)])
    assert await swept(intake) == {}
    intake.clock.at += LATER
    assert await swept(intake) == {"no_request": 1}
    assert PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "key"}) == 0
    await intake.unit_of_work.pool.execute("DELETE FROM vault.subject WHERE subject_ref = $1", ref)
    await intake.submit()
    assert await swept(intake) == {}


# A large piece lies in the vault chunk by chunk, and none of them can be moved, exchanged or left out unnoticed.
CONTENT = bytes(range(256)) * (CHUNK // 256) * 2 + b"the end"


async def written(harness: Harness, subject: UUID, content: bytes = CONTENT) -> Chunked:
    async with harness.unit_of_work.begin() as tx:
        piece = Sealing(subject, "package", "export", b"")
        writer = ChunkWriter(lambda: nullcontext(tx.connection), tx.vault, piece, tx.now)
        for start in range(0, len(content), 700_001):
            await writer.write(content[start : start + 700_001])
        return await writer.close(tx.connection)


async def read(harness: Harness, piece: Chunked, first: int = 0, end: int | None = None) -> bytes:
    vault, upto = harness.unit_of_work.vault, piece.size if end is None else end
    return b"".join([each async for each in chunks.read(harness.pool, vault, piece, first, upto)])


async def test_any_part_of_it_is_read_as_it_was_written_and_it_goes_with_the_piece(harness: Harness) -> None:
    piece = await written(harness, await harness.subject())
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.chunk") == 3
    async with harness.pool.acquire() as connection:
        assert await chunks.find(connection, harness.unit_of_work.vault, piece.sealed_id) == piece
    assert await read(harness, piece) == CONTENT
    for first, end in (
        (0, 1),
        (CHUNK - 1, CHUNK + 1),
        (CHUNK, 2 * CHUNK),
        (2 * CHUNK + 3, piece.size),
        (5, piece.size),
    ):
        assert await read(harness, piece, first, end) == CONTENT[first:end]
    assert CONTENT[:64] not in await harness.pool.fetchval("SELECT content FROM vault.chunk WHERE position = 0")
    async with harness.pool.acquire() as connection:
        await harness.unit_of_work.vault.drop_one(connection, piece.sealed_id)
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.chunk") == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vault.chunk SET position = 1 - position WHERE position < 2",
        """UPDATE vault.chunk c SET content = o.content FROM vault.chunk o
           WHERE c.sealed_id = $1 AND o.sealed_id = $2 AND c.position = o.position""",
        "UPDATE vault.chunk SET content = set_byte(content, 40, 1 - get_byte(content, 40) % 2) WHERE position = 1",
    ],
    ids=["moved", "of another piece of the same subject", "changed"],
)
async def test_swapped_chunk_opens_as_nothing(harness: Harness, change: str) -> None:
    subject = await harness.subject()
    piece, other = await written(harness, subject), await written(harness, subject, bytes(len(CONTENT)))
    if "position = 1 - position" in change:
        await harness.pool.execute("ALTER TABLE vault.chunk DROP CONSTRAINT chunk_pkey")
    await harness.pool.execute(change, *([piece.sealed_id, other.sealed_id] if "$1" in change else []))
    with pytest.raises(InvalidTag):
        await read(harness, piece)


async def test_one_that_is_missing_and_a_key_that_is_gone_break_it_off(harness: Harness) -> None:
    piece = await written(harness, subject := await harness.subject())
    await harness.pool.execute("DELETE FROM vault.chunk WHERE position = 2")
    with pytest.raises(Shredded):
        await read(harness, piece)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [subject], tx.now)
    with pytest.raises(Shredded):
        await read(harness, piece, 0, 1)


async def test_a_piece_that_says_to_be_another_is_none(harness: Harness) -> None:
    subject = await harness.subject()
    piece, other = await written(harness, subject), await written(harness, subject, b"shorter")
    await harness.pool.execute(
        "UPDATE vault.sealed s SET content = o.content FROM vault.sealed o WHERE s.sealed_id = $1 AND o.sealed_id = $2",
        piece.sealed_id,
        other.sealed_id,
    )
    async with harness.pool.acquire() as connection:
        with pytest.raises(ValueError, match="exchanged"):
            await chunks.find(connection, harness.unit_of_work.vault, piece.sealed_id)


# A large copy comes in parts: each is in the vault immediately, and counts if its call ended.
@dataclass
class InParts(ScriptedSystem):
    """Hands over a part per call, and then answers or fails; the last call is repeated."""

    calls: list[tuple[Sequence[str], Result | None]] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver
    ) -> Sequence[Result]:
        del save_progress
        (task,) = tasks
        values, failure = self.calls.pop(0) if len(self.calls) > 1 else self.calls[0]
        if self.before:
            await self.before()
        for value in values:
            await hand_over(task.task_id, [record(value)])
        rest = record("the rest")
        n = len(values) + 1
        return [failure or Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, records=(rest,), parts=len(values))]


def record(value: str) -> CopiedRecord:
    return CopiedRecord("calls", "cdrs", {"value": value}, matched=(Match("email", "ada@example.org"),))


async def copying(open_harness: OpenHarness, *calls: tuple[Sequence[str], Result | None]) -> tuple[Harness, InParts]:
    system = InParts("cdr", calls=list(calls))
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    await harness.open(NewFulfilment(uuid7(), await harness.subject(), Right.ACCESS, Operation.EXPORT, DUE))
    return harness, system


async def packaged(harness: Harness) -> list[str]:
    await pack(harness)
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    return [one["data"]["value"] for one in described(await fetched(harness, package_id))["records"]]


async def test_parts_and_the_rest_are_one_package_and_nothing_of_them_stays(open_harness: OpenHarness) -> None:
    harness, _ = await copying(open_harness, (["first", "second"], None))
    await harness.worker("cdr", Operation.EXPORT).work()
    assert await packaged(harness) == ["first", "second", "the rest"]
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0


async def test_broken_attempt_does_not_count(open_harness: OpenHarness, clock: SetClock) -> None:
    away = Unavailable("it is away")
    for again in (["second"], []):
        harness, _ = await copying(open_harness, (["first"], away), (again, None))
        await harness.worker("cdr", Operation.EXPORT).work()
        assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0
        clock.pass_by(hours=1)
        await harness.worker("cdr", Operation.EXPORT).work()
        assert await packaged(harness) == [*again, "the rest"]
        await harness.pool.execute("DELETE FROM vault.sealed")


async def test_what_a_system_has_left_that_did_not_come_to_its_end_is_in_no_package(open_harness: OpenHarness) -> None:
    harness, system = await copying(open_harness, (["first"], None))
    subject = await harness.pool.fetchval("SELECT subject_ref FROM fulfilment")
    async with harness.unit_of_work.begin() as tx:
        left = [sealed_records(subject, "shop", [record("half of it")])]
        await tx.vault.seal(tx.connection, left, tx.now)
    await harness.worker(system.system, Operation.EXPORT).work()
    assert await packaged(harness) == ["first", "the rest"]


async def test_a_worker_whose_task_is_anothers_by_now_hands_nothing_over(open_harness: OpenHarness) -> None:
    harness, system = await copying(open_harness, (["first"], None))
    system.before = partial(harness.pool.execute, "UPDATE task SET attempt = attempt + 1")
    await harness.worker("cdr", Operation.EXPORT).work()
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0
