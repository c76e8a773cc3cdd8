"""Restricted calls are read by one role, which states a reason that stays on record; every other read returns none."""

import asyncpg
import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.storage.postgres import connected
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, number
from tests.fixtures.downstream import task

REASON = "claim 4711: the invoice of March is disputed"
STATE, READ = "SELECT legal.state_reason($1, $2)", "SELECT source, call ->> 'callee' FROM legal.restricted_calls($1)"


@pytest.fixture
async def store(cdr_store: CdrStore, calls: SqlEngine) -> CdrStore:
    """Anna and Chiara are restricted; Anna has called Boris, and spoken with Chiara."""
    await cdr_store.seed([call(ANNA, BORIS, "2026-03-02"), call(ANNA, CHIARA, "2026-03-03"), call(BORIS, CHIARA)])
    for restricted in (ANNA, CHIARA):
        await calls.receipt(task(Operation.RESTRICT, number(restricted, since=at("2026-01-01"))))
    return cdr_store


async def test_recorded_reason_opens_the_calls_of_one_subject_alone(store: CdrStore) -> None:
    async with connected(store.legal) as legal:
        reading = await legal.fetchval(STATE, REASON, ANNA)
        rows = {tuple(row) for row in await legal.fetch(READ, reading)}
    assert rows == {("acc_cdrs", BORIS), ("acc_cdrs", None), ("acc", None)}
    (record,) = await ask(store.admin, "SELECT reader, reason, whose FROM legal.reading")
    assert tuple(record) == ("cdr_legal", REASON, ANNA)


async def test_a_reading_that_is_rolled_back_has_left_its_reason_or_has_read_nothing(store: CdrStore) -> None:
    async with connected(store.legal) as legal:
        transaction = legal.transaction()
        await transaction.start()
        reading = await legal.fetchval(STATE, REASON, ANNA)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="commit the reason first"):
            await legal.fetch(READ, reading)
        await transaction.rollback()
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="state your reason first"):
            await legal.fetch(READ, reading)


@pytest.mark.parametrize(("reason", "whose", "said"), [("  ", ANNA, "reason:"), (REASON, "1001", "whose:")])
async def test_reason_and_subject_must_be_stated(store: CdrStore, reason: str, whose: str, said: str) -> None:
    async with connected(store.legal) as legal:
        with pytest.raises(asyncpg.InvalidParameterValueError, match=said):
            await legal.fetchval(STATE, reason, whose)


async def test_the_calls_of_a_sip_user_are_read_by_its_uri(cdr_store: CdrStore, calls: SqlEngine) -> None:
    uri = "sip:front.desk@voice.example.com"
    await cdr_store.seed([call(uri, BORIS)])
    await calls.receipt(task(Operation.RESTRICT, Identity(IdentityType.SIP_URI, uri, at("2026-01-01"))))
    async with connected(cdr_store.legal) as legal:
        reading = await legal.fetchval(STATE, REASON, "sip:front.desk@VOICE.example.com")
        assert {tuple(row) for row in await legal.fetch(READ, reading)} == {("acc_cdrs", BORIS), ("acc", None)}


async def test_a_reason_holds_for_its_number_its_reader_and_an_hour(store: CdrStore) -> None:
    async with connected(store.legal) as legal:
        reading = await legal.fetchval(STATE, REASON, BORIS)
        assert await legal.fetch(READ, reading) == []  # nobody restricts him
        mine = await legal.fetchval(STATE, REASON, ANNA)
        for changed in ("stated_at = stated_at - interval '61 minutes'", "reader = 'somebody', stated_at = now()"):
            async with connected(store.admin) as admin:
                await admin.execute(f"UPDATE legal.reading SET {changed} WHERE reading = $1", mine)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="state your reason first"):
                await legal.fetch(READ, mine)


async def test_nobody_else_reads_so_and_counsel_reads_no_other_way(store: CdrStore) -> None:
    for dsn in (store.reader, store.switch, store.privacy):
        async with connected(dsn) as other:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await other.fetchval(STATE, REASON, ANNA)
    async with connected(store.legal) as legal:
        for table in ("acc_cdrs", "acc", "acc_cdrs_parties", "restricted_number", "readable.acc_cdrs", "legal.reading"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await legal.fetch(f"SELECT * FROM {table}")
    seen = await ask(store.reader, "SELECT count(*) FROM acc_cdrs WHERE $1 IN (caller_e164, callee_e164)", ANNA)
    assert seen[0][0] == 0
