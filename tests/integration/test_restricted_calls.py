"""Agents and billing see nothing of a restricted person in calls (Art. 18), and everything of the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import product

import asyncpg
import pytest

from deploy.demo.seed.cdr import CdrStore
from services.amendment import handlers as amendment
from services.amendment import reconciliation
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.events import RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from shared.storage.register import fill
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, LONG_AGO, SqlEngine, ask, at, call, number
from tests.fixtures.downstream import task
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.events import a
from tests.fixtures.written_calls import Written, write

TABLES = ("acc_cdrs", "acc", "missed_calls")
USER = Identity(IdentityType.SIP_URI, "sip:1001@pbx.example", at("2026-01-10"))
RESTRICT = task(Operation.RESTRICT, number(ANNA, since=at("2026-01-10")), USER)
BEFORE, SINCE = "2026-01-09", "2026-01-10"


async def rows(dsn: str, table: str) -> list[tuple[object, ...]]:
    return await ask(dsn, f"SELECT * FROM {table} ORDER BY id")


def every_call() -> Iterator[Written]:
    """Yields every way in which people appear in a row, before the restriction and since, with diversions."""
    callers = [(ANNA, None), ("00" + ANNA[1:], None), (BORIS, None), ("anonymous", ANNA), ("anonymous", BORIS)]
    callers += [("anonymous", None), ("1001", None), ("1002", None), ("", None), (ANNA[3:], None), (ANNA, BORIS)]
    called = (ANNA, BORIS, "1001", "112", "")
    for (caller, pai), dialled, reached, day in product(callers, called, called, (BEFORE, SINCE)):
        yield Written(caller, pai, dialled, reached, day)


async def test_readers_see_of_a_restricted_caller_what_an_erasure_leaves(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await write(cdr_store, every_call())
    whole = [await rows(cdr_store.admin, table) for table in TABLES]
    assert [await rows(cdr_store.reader, table) for table in TABLES] == whole
    assert (await calls.receipt(RESTRICT)).outcome is TaskOutcome.AMENDED
    seen = [await rows(cdr_store.reader, table) for table in TABLES]
    assert [await rows(cdr_store.admin, table) for table in TABLES] == whole
    lifted = await calls.receipt(replace(RESTRICT, operation=Operation.LIFT))
    assert lifted.outcome is TaskOutcome.AMENDED
    assert [await rows(cdr_store.reader, table) for table in TABLES] == whole
    await calls.receipt(replace(RESTRICT, operation=Operation.ERASE))
    assert [await rows(cdr_store.admin, table) for table in TABLES] == seen


async def test_bill_of_the_other_party_stays_unchanged(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, "2026-03-02"), call(BORIS, ANNA, "2026-03-03"), call(ANNA, CHIARA)])
    bill = "SELECT count(*), sum(duration) FROM acc_cdrs WHERE $1 IN (caller_e164, callee_e164)"
    before = await ask(cdr_store.reader, bill, BORIS)
    await calls.receipt(RESTRICT)
    assert await ask(cdr_store.reader, bill, BORIS) == before == [(2, 240.0)]
    assert await ask(cdr_store.reader, bill, ANNA) == [(0, None)]


async def test_a_call_in_which_everybody_is_restricted_is_not_shown(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA, pai=BORIS), call(ANNA, CHIARA)])
    await calls.receipt(RESTRICT)
    await calls.receipt(task(Operation.RESTRICT, number(BORIS)))
    assert await ask(cdr_store.reader, "SELECT caller, callee FROM acc_cdrs") == [("", CHIARA)]
    assert await ask(cdr_store.reader, "SELECT src_user, dst_user FROM acc") == [("", CHIARA)]


async def test_diverted_call_keeps_its_unrestricted_parties(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(CHIARA, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", BORIS)
    await calls.receipt(RESTRICT)
    people = "SELECT src_user, dst_ouser, dst_user FROM acc"
    assert await ask(cdr_store.reader, people) == [(CHIARA, BORIS, "")]
    await calls.receipt(task(Operation.RESTRICT, number(BORIS)))
    assert await ask(cdr_store.reader, people) == [(CHIARA, "", "")]


def guesses() -> Iterator[str]:
    """Yields queries that try to reveal a restriction or hidden values."""
    yield from (f"SELECT count(*) FROM public.{table}" for table in (*TABLES, "restricted_number"))
    yield from (f"SELECT count(*) FROM public.acc_{kind}" for kind in ("parties", "unrestricted", "masked"))
    yield "SELECT count(*) FROM public.restricted"
    yield f"SELECT count(*) FROM public.acc_cdrs_default WHERE caller = '{ANNA}'"


async def test_readers_find_no_restricted_caller_by_guessing(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA)])
    await calls.receipt(RESTRICT)
    text = "SELECT count(*) FROM {0} t WHERE t::text LIKE $1"
    for table in TABLES:
        assert await ask(cdr_store.reader, text.format(table), f"%{ANNA[1:]}%") == [(0,)]
    for guess in guesses():
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(cdr_store.reader, guess)
    async with connected(cdr_store.reader) as reader:  # their own function is shown masked rows
        await reader.execute(
            "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
            " $$ BEGIN RAISE EXCEPTION 'leak %', $1; END $$"
        )
        with pytest.raises(asyncpg.RaiseError) as leaked:
            await reader.execute("SELECT 1 FROM acc_cdrs WHERE callee = '' AND pg_temp.leak(caller)")
    assert ANNA not in str(leaked.value)
    ours = await ask(
        cdr_store.admin,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        " AND has_function_privilege('cdr_reader', oid, 'EXECUTE')",
    )
    assert ours == []


async def test_readers_may_read_nothing_but_the_views(cdr_store: CdrStore) -> None:
    readable = await ask(
        cdr_store.admin,
        "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')"
        " AND relnamespace::regnamespace::text IN ('public', 'readable', 'dsr_platform')"
        " AND has_any_column_privilege('cdr_reader', oid, 'SELECT') ORDER BY 2",
    )
    assert readable == [("readable", "acc"), ("readable", "acc_cdrs"), ("readable", "missed_calls")]


async def test_readers_find_a_number_by_the_index_of_the_table(cdr_store: CdrStore, calls: SqlEngine) -> None:
    others = [call(f"+3491875{n:04}", f"+3493111{n:04}") for n in range(9999)]
    await cdr_store.seed([*others, call(ANNA, BORIS)])
    await calls.receipt(RESTRICT)
    query = "EXPLAIN SELECT * FROM acc WHERE src_e164 = '+34918750146' AND time > '2026-01-01'"
    plan = "\n".join(str(row[0]) for row in await ask(cdr_store.reader, query))
    assert "acc_src" in plan
    assert "Seq Scan on acc " not in plan, plan


# A restriction hides a number in the time in which the register says it was the subject's, and no longer.
CDR, OTHER = "cdr", "C2"
HER_CALL, LATER = ("", BORIS), (ANNA, CHIARA)
"""The calls as readers see them: hers hidden, and one of the number's next holder."""
HELD = "SELECT number, valid_from, valid_to FROM restricted_number"


@dataclass
class CallStore(ScriptedSystem):
    """The store of calls as a system of the engine."""

    needs: frozenset[IdentityType] = frozenset({IdentityType.PHONE})


def mine(until: datetime | None = None, *, line: Line = Line.PERSONAL) -> AssignedNumber:
    return AssignedNumber(number(ANNA, until=until), ACCOUNT.value, line)


def theirs(since: datetime) -> AssignedNumber:
    return AssignedNumber(number(ANNA, since), OTHER)


async def read(harness: Harness, *rows: AssignedNumber) -> None:
    """One reading of the register's source."""
    keys, source = harness.unit_of_work.vault.keyring, ACCOUNT.source
    async with harness.pool.acquire() as connection:
        await fill(connection, keys, source, source, rows, harness.unit_of_work.clock.now())


async def look(harness: Harness, clock: SetClock, **later: float) -> int:
    """The look of somewhat later; how many tasks it had for the store."""
    clock.pass_by(**later)
    await reconciliation.look_at_all(harness.unit_of_work, harness.fulfilments)
    return await harness.worker(CDR, Operation.RESTRICT).work()


async def seen(store: CdrStore) -> Sequence[tuple[object, ...]]:
    return await ask(store.reader, "SELECT caller, callee FROM acc_cdrs ORDER BY start_time")


@pytest.fixture
async def harness(open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine) -> Harness:
    """Her open number is restricted, and of two calls with it one is of a time in which it is no longer hers."""
    await cdr_store.seed([call(ANNA, BORIS, "2026-02-01"), call(ANNA, CHIARA, "2026-03-01")])
    by_period = {"restricts_by_period": calls.adapter.can.restricts_by_period}
    store = CallStore(CDR, answers={Operation.RESTRICT: calls.adapter.amend}, more=by_period)
    harness = await open_harness(store, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys(Operation, partial(amendment.finish, harness.fulfilments))
    await read(harness, mine())
    subject = await harness.subject(ACCOUNT, Identity(IdentityType.PHONE, ANNA, source="crm"))
    event = a(RequestVerified, right=Right.RESTRICTION, subject=subject, scope="unlawful", due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    assert await harness.worker(CDR, Operation.RESTRICT).work() == 1
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]
    assert await seen(cdr_store) == [HER_CALL, ("", CHIARA)]
    return harness


async def test_next_holder_is_shown_the_former_hidden(harness: Harness, cdr_store: CdrStore, clock: SetClock) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-15")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1  # the same day: changes of the register apply immediately
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, at("2026-02-15"))]
    assert await seen(cdr_store) == [HER_CALL, LATER]
    assert await look(harness, clock, minutes=1) == 0
    assert await look(harness, clock, days=1) == 1  # and each night
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, at("2026-02-15"))]


async def test_passed_on_number_is_followed_without_calls(
    harness: Harness, cdr_store: CdrStore, clock: SetClock
) -> None:
    for table in ("acc_cdrs WHERE start_time", "acc WHERE time"):
        await ask(cdr_store.admin, f"DELETE FROM {table} < '2026-02-15'")
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-15")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1
    assert await seen(cdr_store) == [LATER]


async def test_shared_line_hides_no_calls(harness: Harness, cdr_store: CdrStore, clock: SetClock) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(line=Line.SHARED))
    assert await look(harness, clock, minutes=1) == 1
    assert await ask(cdr_store.admin, HELD) == []


async def test_register_conflict_changes_no_view(harness: Harness, cdr_store: CdrStore, clock: SetClock) -> None:
    clock.pass_by(minutes=5)
    await read(harness, mine(at("2026-02-25")), theirs(at("2026-02-20")))
    assert await look(harness, clock, minutes=1) == 1
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]


async def test_unknown_number_stays_hidden(harness: Harness, cdr_store: CdrStore, clock: SetClock) -> None:
    await harness.pool.execute("DELETE FROM register.assignment")
    await look(harness, clock, days=1)
    assert await ask(cdr_store.admin, HELD) == [(ANNA, LONG_AGO, None)]


# Restricted calls are read by one role, which states a reason that stays on record; every other read returns none.
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
        assert await legal.fetch(READ, reading) == []  # he is not restricted
        mine = await legal.fetchval(STATE, REASON, ANNA)
        for changed in ("stated_at = stated_at - interval '61 minutes'", "reader = 'another', stated_at = now()"):
            async with connected(store.admin) as admin:
                await admin.execute(f"UPDATE legal.reading SET {changed} WHERE reading = $1", mine)
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="state your reason first"):
                await legal.fetch(READ, mine)


async def test_only_counsel_reads_hidden_calls_and_only_so(store: CdrStore) -> None:
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
