"""Evidence: append-only, and whatever is changed, removed or put elsewhere is found."""

import asyncio
import io
import json
import os
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from deploy.local.paths import ROOT
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from shared.domain.events import RequestWithdrawn
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import RequestKind, RequestMarks
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.runtime.metrics import PEOPLE
from shared.storage import certificate, evidence, open_requests
from shared.storage.evidence import ChainVerifier
from tests.fixtures.databases import tables_with
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.events import a
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.recipients import digests

COLUMNS = {
    "chain": "chain = 'export'",
    "seq": "seq = 99",
    "at": "at = at + interval '1 microsecond'",
    "request_id": "request_id = gen_random_uuid()",
    "actor": "actor = 'person:someone-else'",
    "action": "action = 'task.skipped'",
    "detail": """detail = '{"found":3}'""",
    "prev_hash": "prev_hash = hash",
    "hash": "hash = prev_hash",
}
SWAP = """
UPDATE evidence.entry SET seq = -seq WHERE seq IN (4, 5);
UPDATE evidence.entry SET seq = 9 + seq WHERE seq < 0
"""
OTHERWISE_CHANGED = {
    "the first is gone": ("DELETE FROM evidence.entry WHERE seq = 1", 2),
    "one in between is gone": ("DELETE FROM evidence.entry WHERE seq = 5", 6),
    "several are gone": ("DELETE FROM evidence.entry WHERE seq BETWEEN 2 AND 7", 8),
    "the last is gone": ("DELETE FROM evidence.entry WHERE seq = 10", 10),
    "the end is gone": ("DELETE FROM evidence.entry WHERE seq > 8", 9),
    "all are gone": ("DELETE FROM evidence.entry", 1),
    "two have changed places": (SWAP, 4),
}


async def written(harness: Harness, count: int = 5) -> list[UUID]:
    """Entries of as many requests, two of them in each transaction."""
    requests = [uuid7() for _ in range(count)]
    for request in requests:
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(request, "task.concluded", {"found": 2, "system": "crm"})
            tx.log_evidence(request, "request.closed", {})
    return requests


async def chain(harness: Harness) -> list[asyncpg.Record]:
    return await harness.pool.fetch("SELECT * FROM evidence.entry ORDER BY seq")


async def tampered(harness: Harness, statement: str) -> None:
    """Tampers with all rights on the database."""
    async with harness.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement)


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_changed_column_is_found(harness: Harness, database: str, column: str) -> None:
    await written(harness)
    before = (await chain(harness))[4]
    assert set(before.keys()) == COLUMNS.keys()
    await tampered(harness, f"UPDATE evidence.entry SET {COLUMNS[column]} WHERE seq = 5")
    assert before[column] not in [row[column] for row in await chain(harness) if row["seq"] in {5, 99}]
    assert (await evidence.verify(database))["erasure"] in {5, 6}


@pytest.mark.parametrize(("statement", "broken_at"), OTHERWISE_CHANGED.values(), ids=OTHERWISE_CHANGED)
async def test_gap_or_swap_is_found(harness: Harness, database: str, statement: str, broken_at: int) -> None:
    await written(harness)
    await tampered(harness, statement)
    assert await evidence.verify(database) == {"erasure": broken_at}


async def test_every_entry_is_covered_by_the_signature_of_its_transaction(harness: Harness) -> None:
    await written(harness)
    rows, key = await chain(harness), harness.unit_of_work.vault.keyring.signing.public_key()
    proofs = await evidence.proofs(harness.pool, rows)
    assert len({proof.signature for proof in proofs}) == 5, "a signature for each transaction"
    for row, proof in zip(rows, proofs, strict=True):
        key.verify(proof.signature, evidence.merkle_root(row["hash"], proof.path))


async def test_the_database_refuses_to_change_what_is_on_record(harness: Harness) -> None:
    await written(harness, 1)
    for statement in (
        "UPDATE evidence.entry SET action = 'x'",
        "DELETE FROM evidence.entry",
        "TRUNCATE evidence.entry",
    ):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await harness.pool.execute(statement)
    assert len(await chain(harness)) == 2


async def test_concurrent_writers_make_one_chain_that_holds(open_harness: OpenHarness, database: str) -> None:
    harness, other = await open_harness(), await open_harness()
    await asyncio.gather(written(harness, 20), written(other, 20))
    rows = await chain(harness)
    assert [row["seq"] for row in rows] == list(range(1, 81))
    assert all(first["request_id"] == second["request_id"] for first, second in zip(rows[::2], rows[1::2], strict=True))
    assert await evidence.verify(database) == {"erasure": None}


async def test_verify_command_exits_1_on_a_broken_chain(open_harness: OpenHarness, database: str) -> None:
    erasure, export = await open_harness(), await open_harness(service=ServiceName.EXPORT)
    await written(erasure, 2)
    await written(export, 2)
    assert await command(database) == (0, ["holds: erasure", "holds: export"])
    await tampered(erasure, "UPDATE evidence.entry SET action = 'x' WHERE chain = 'export' AND seq = 3")
    assert await command(database) == (1, ["holds: erasure", "does not hold: export, from entry 3 on"])
    status, (line,) = await command(database, "--json")
    found = {"erasure": {"holds": True, "broken_at": None}, "export": {"holds": False, "broken_at": 3}}
    assert (status, json.loads(line)) == (1, found)
    await tampered(erasure, "DELETE FROM evidence.head WHERE chain = 'erasure'")
    status, _ = await command(database)
    assert status == 1


async def command(dsn: str, *words: str) -> tuple[int | None, list[str]]:
    """Exit status and lines of ``dsr evidence verify``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "evidence", "verify", *words),
        cwd=ROOT,
        env={**os.environ, "DSR_POSTGRES_DSN": dsn},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


async def test_rolled_back_work_leaves_no_evidence_and_no_event(harness: Harness) -> None:

    async def fail() -> None:
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(uuid7(), "task.concluded", {})
            tx.publish(a(RequestWithdrawn, right=Right.ERASURE))
            await tx.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await written(harness, 1)
    assert [row["seq"] for row in await chain(harness)] == [1, 2]
    assert await harness.outbox() == []


def test_the_hash_of_an_entry_never_changes() -> None:
    fields = (UUID(int=1), "service:erasure", "task.concluded", '{"found":2}')
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    digest = evidence.digest(evidence.GENESIS, "erasure", 1, at, fields)
    assert digest.hex() == "b17b39007ceb32711d472ef1f3a02e4d981bf262d29b25209ebce3a5d13675c8"


async def stepped(harness: Harness, verifier: ChainVerifier, steps: int = 7) -> list[tuple[int, bool]]:
    async with harness.pool.acquire() as connection:
        return [(await verifier.step(connection, 4), verifier.broken_at is not None) for _ in range(steps)]


async def test_untouched_chain_holds_round_after_round_and_includes_new_entries(harness: Harness) -> None:
    verifier = ChainVerifier(ServiceName.ERASURE)
    assert await stepped(harness, verifier, 2) == [(0, False)] * 2
    await written(harness, 3)
    assert await stepped(harness, verifier, 1) == [(4, False)]
    await written(harness, 3)
    assert await stepped(harness, verifier, 11) == [(4, False)] * 11


@pytest.mark.parametrize("number", [3, 13, 20])
async def test_what_is_changed_during_a_round_is_found_within_the_next(harness: Harness, number: int) -> None:
    verifier = ChainVerifier(ServiceName.ERASURE)
    await written(harness, 10)
    await stepped(harness, verifier, 3)
    await tampered(harness, f"UPDATE evidence.entry SET hash = prev_hash WHERE seq = {number}")
    steps = await stepped(harness, verifier, 8)
    assert any(broken for _, broken in steps)
    assert steps[-1][1], "it stays broken for as long as it is"


async def test_a_chain_that_was_restored_holds_after_a_whole_round(harness: Harness) -> None:
    verifier = ChainVerifier(ServiceName.ERASURE)
    await written(harness, 10)
    await tampered(harness, "UPDATE evidence.entry SET actor = actor || 'x' WHERE seq = 2")
    assert (await stepped(harness, verifier, 1))[0][1]
    await tampered(harness, "UPDATE evidence.entry SET actor = rtrim(actor, 'x') WHERE seq = 2")
    steps = await stepped(harness, verifier, 12)
    assert steps[0][1]
    assert not steps[-1][1]


ADA = ("Ada Lovelace", "ada@example.com", "+4930123456", "Straße", "sip:ada@x")
TYPED: list[JsonValue] = [*ADA, {"Ada L": 1}, ["a b"]]


async def test_typed_text_never_enters_evidence(harness: Harness) -> None:
    for typed in TYPED:
        with pytest.raises(ValueError, match="would hold free text"):
            async with harness.unit_of_work.begin() as tx:
                tx.log_evidence(uuid7(), "decision.made", {"note": typed})
    assert not await chain(harness)


# One case goes into one file that an outsider can check.
async def test_the_file_of_a_case_has_all_that_was_done_and_a_certificate_that_holds_offline(intake: Intake) -> None:
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    answer = await intake.officer.get(f"{path}/case-file")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = set(archive.namelist())
    assert names >= {"README.txt", "request.json", "timeline.json", "certificate.json", "receipts.json", "letters.json"}
    assert {"letters/01-acknowledgement.txt", "letters/02-answer.txt"} <= names
    held = orjson.loads(archive.read("certificate.json"))
    trusted = intake.unit_of_work.vault.keyring.signing.public_key().public_bytes_raw()
    assert certificate.verify(held, trusted) == []
    timeline = orjson.loads(archive.read("timeline.json"))
    assert [each["action"] for each in timeline] == [each["action"] for each in held["entries"]]
    [exported] = await intake.details(path, "case.exported")
    assert (exported["holder"], exported["letters"]) == ("officer-1", 2)
    assert "letters.read" in await intake.actions(path)


# What the platform holds of a request ends tier by tier: nothing before its period is over, and nothing after it.
PERIODS = retention()
YEAR, REGISTER = timedelta(days=367), timedelta(days=3 * 366)
KEPT = TaskReport.model_validate(
    {
        "task_id": "019c0000-0000-7000-8000-000000000001",
        "system": "billing",
        "operation": Operation.ERASE,
        "outcome": TaskOutcome.RETAINED,
        "ground": "tax_law",
    }
)


async def end(intake: Intake) -> dict[str, int]:
    """Ends what is past its period, and counts it by tier; of lookups see ``test_status``."""
    ended = await expiry.end_all(intake.unit_of_work, PERIODS, lambda: None)
    async with intake.unit_of_work.pool.acquire() as connection:
        assert await expiry.past(connection, PERIODS, intake.clock.now()) == dict.fromkeys(expiry.DUE, 0)
    return {tier: count for tier, count in ended.items() if count and tier != "lookups"}


async def keys(intake: Intake) -> int:
    found: int = await intake.unit_of_work.pool.fetchval(
        "SELECT count(*) FROM vault.subject WHERE wrapped_key IS NOT NULL"
    )
    return found


async def closed(intake: Intake, **said: Any) -> str:
    path = await intake.submit(**{key: value for key, value in said.items() if key != "tasks"})
    await intake.complete(path, tasks=said.get("tasks", ()))
    return path


async def test_letters_and_identities_expire_a_year_after_closure(intake: Intake, database: str) -> None:
    path, open_one = await closed(intake), await intake.submit()
    assert await end(intake) == {}
    intake.clock.at += YEAR
    assert await end(intake) == {"letters": 1, "identities": 1}
    assert await keys(intake) == 2  # of the open one
    assert (await intake.officer.get(f"{path}/letters")).status_code == 410
    assert (await intake.officer.get(path)).status_code == 200
    assert [entry["tier"] for entry in await intake.details(path, "evidence.tier_expired")] == ["letters", "identities"]
    assert await end(intake) == {}

    intake.clock.at += REGISTER
    assert await end(intake) == {"register": 1}
    assert (await intake.officer.get(path)).status_code == 404
    assert await tables_with(intake.unit_of_work.pool, UUID(id_of(path))) == set()
    assert len(await intake.letters(open_one)) == 0
    assert (await evidence.verify(database))["intake"] is None


@pytest.mark.parametrize(
    "said", [{"right": "restriction", "ground": "unlawful"}, {"right": "erasure", "tasks": (KEPT,)}]
)
async def test_data_of_active_restrictions_and_deferrals_is_kept(intake: Intake, said: dict[str, Any]) -> None:
    await closed(intake, **said)
    intake.clock.at += YEAR
    assert await end(intake) == {}
    assert await keys(intake) == 2


async def test_whom_an_objection_in_force_is_about_is_kept_and_its_letters_end(intake: Intake) -> None:
    await closed(intake, right="objection", scope="direct_marketing")
    intake.clock.at += YEAR
    assert await end(intake) == {}, "the digest for the recipient is yet to be written"
    await digests(intake)
    assert await end(intake) == {"letters": 1}


async def test_a_restriction_ends_a_year_after_it_was_lifted(intake: Intake) -> None:
    path = await closed(intake, right="restriction", ground="unlawful")
    intake.clock.at += YEAR
    (await intake.officer.post(f"{path}/actions/lift")).raise_for_status()
    await intake.complete(path, operation=Operation.LIFT)
    assert await end(intake) == {}
    intake.clock.at += YEAR
    assert await end(intake) == {"letters": 1, "identities": 1}


async def test_letters_expire_a_year_after_the_last_of_them(intake: Intake) -> None:
    await closed(intake)
    intake.clock.at += YEAR - timedelta(days=30)
    await intake.unit_of_work.pool.execute("UPDATE letter SET written_at = $1", intake.clock.at)
    intake.clock.at += timedelta(days=40)
    assert await end(intake) == {"identities": 1}
    intake.clock.at += YEAR - timedelta(days=30)
    assert await end(intake) == {"letters": 1}


async def test_who_may_resume_their_request_is_still_known(intake: Intake, unidentified: str) -> None:
    intake.clock.at += YEAR
    assert await end(intake) == {}
    assert len(await intake.letters(unidentified)) == 2


async def test_what_systems_gave_ends_a_week_after_the_answer(intake: Intake) -> None:
    path = await intake.submit()
    await intake.seal(path, "records")
    await intake.complete(path)
    intake.clock.at += timedelta(days=7)
    assert await end(intake) == {}
    intake.clock.at += timedelta(seconds=1)
    assert await end(intake) == {"collected": 1}


async def test_an_idempotency_key_is_stored_keyed_and_ends_after_a_month(intake: Intake) -> None:
    body = {"right": "access", "subject": {"email": "ada@example.org"}}
    for key in ("ada@example.org", "another"):
        answer = await intake.channel.post("/v1/requests", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201
    rows = await intake.unit_of_work.pool.fetch("SELECT idempotency_key, body_hash FROM idempotency")
    assert len({row["body_hash"] for row in rows}) == 1
    assert not [row for row in rows if b"ada" in row["idempotency_key"]]
    intake.clock.at += timedelta(days=PERIODS.idempotency_days, seconds=1)
    assert await end(intake) == {"idempotency": 2}


async def test_what_outlives_its_period_by_two_hours_is_counted(intake: Intake) -> None:
    await closed(intake)
    intake.clock.at += YEAR

    async def overdue() -> float | None:
        async with intake.unit_of_work.pool.acquire() as connection:
            await expiry.count_left(connection, PERIODS, intake.clock.now(), timedelta(days=14))
        return PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "expired"})

    intake.clock.at += timedelta(hours=3)
    assert await overdue() == 2
    await end(intake)
    assert await overdue() == 0


async def subjects(intake: Intake) -> set[str]:
    """The paths of the requests of which it is still known whom they are about."""
    known = (
        "SELECT request_id FROM request JOIN vault.subject v ON v.subject_ref = request.subject_ref"
        " WHERE wrapped_key IS NOT NULL AND \"right\" <> 'erasure'"
    )
    return {f"/v1/requests/{row[0]}" for row in await intake.unit_of_work.pool.fetch(known)}


async def test_an_erasure_ends_what_was_left_under_another_address_that_was_located(intake: Intake) -> None:
    earlier = await closed(intake, subject={"email": "ada.l@example.org"})
    strangers = await closed(intake, subject={"email": "ada.l@example.org", "account_id": "C-9"})
    intake.clock.pass_by(hours=1)
    erasure = await intake.submit(right="erasure", subject={"email": "ada@example.org"})
    located = (Identity(IdentityType.EMAIL, "ada.l@example.org"), Identity(IdentityType.ACCOUNT_ID, "C-1"))
    marks = RequestMarks.of(intake.unit_of_work.vault.keyring, located)
    async with intake.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(UUID(id_of(erasure)), RequestKind.ERASURE, marks)])
    await intake.complete(erasure)
    intake.clock.pass_by(hours=1)
    assert await end(intake) == {"erased": 1}
    assert await subjects(intake) == {strangers}
    assert earlier != strangers


async def test_erasure_expires_earlier_requests_of_the_subject_except_letters(intake: Intake) -> None:
    ada = {"subject": {"email": "ada@example.org"}}
    earlier, others = await closed(intake, **ada), await closed(intake, subject={"email": "bob@example.org"})
    in_force = await closed(intake, right="restriction", ground="unlawful", **ada)
    with_package = await intake.submit(**ada)
    await intake.complete(with_package, package_id="019c0000-0000-7000-8000-000000000002")
    intake.clock.pass_by(hours=1)
    await closed(intake, right="erasure", **ada)
    intake.clock.pass_by(hours=1)
    later = await closed(intake, **ada)

    assert await end(intake) == {"erased": 1}
    assert await subjects(intake) == {others, in_force, with_package, later}
    assert [letter["kind"] for letter in await intake.letters(earlier)] == ["answer"]

    (await intake.officer.post(f"{in_force}/actions/lift")).raise_for_status()
    await intake.complete(in_force, operation=Operation.LIFT)
    intake.clock.pass_by(days=15)
    assert await end(intake) == {"erased": 2}
    assert await subjects(intake) == {others, later}
