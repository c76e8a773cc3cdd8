"""What agents and bills read of calls with somebody restricted (Art. 18): nothing of them, all of the others."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import asyncpg
import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.operations import Operation, TaskOutcome
from shared.storage.postgres import connected
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, number
from tests.fixtures.downstream import task

TABLES = ("acc_cdrs", "acc", "missed_calls")
RESTRICT = task(Operation.RESTRICT, number(ANNA, since=at("2026-01-10")))
BEFORE, SINCE = "2026-01-09", "2026-01-10"

_ACC = """
INSERT INTO {0} (method, from_tag, to_tag, callid, sip_code, sip_reason, time, src_user, src_domain, src_ip, dst_ouser,
    dst_user, dst_domain, src_pai, privacy)
SELECT 'INVITE', 'f' || n, 't' || n, n || '@198.18.0.7', '200', 'OK', $5::text::timestamp, $1, 'a.example', '198.18.0.7'
    , $2, $3, 'b.example', $4::text, CASE WHEN $4::text IS NULL THEN '' ELSE 'id' END
FROM (SELECT count(*) AS n FROM {0}) x
"""
_CDR = """
INSERT INTO acc_cdrs (start_time, end_time, duration, caller, callee, callid, src_ip, user_agent, pai, privacy)
SELECT $4::text::timestamp, $4::text::timestamp, 60, $1, $2, n || '@198.18.0.7', '198.18.0.7', 'Linphone', $3::text,
    CASE WHEN $3::text IS NULL THEN '' ELSE 'id' END
FROM (SELECT count(*) AS n FROM acc_cdrs) x
"""


async def rows(dsn: str, table: str) -> list[tuple[object, ...]]:
    return await ask(dsn, f"SELECT * FROM {table} ORDER BY id")


async def every_call(store: CdrStore) -> None:
    """Each way in which people can be in a row, before she is restricted and since; diverted ones too."""
    callers = [(ANNA, None), ("00" + ANNA[1:], None), (BORIS, None), ("anonymous", ANNA), ("anonymous", BORIS)]
    callers += [("anonymous", None), ("1001", None), ("", None)]
    called = (ANNA, BORIS, CHIARA, "112", "")
    async with connected(store.admin) as admin:
        for (caller, pai), reached, day in product(callers, called, (BEFORE, SINCE)):
            await admin.execute(_CDR, caller, reached, pai, f"{day} 10:00")
            for dialled, table in product(called, ("acc", "missed_calls")):
                await admin.execute(_ACC.format(table), caller, dialled, reached, pai, f"{day} 10:00")


async def test_readers_see_of_whoever_is_restricted_what_an_erasure_would_leave_and_all_of_everybody_else(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await every_call(cdr_store)
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


async def test_the_bill_of_whoever_spoke_with_somebody_restricted_stays_as_it_was(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
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


async def test_a_call_that_was_diverted_keeps_whoever_is_not_restricted_of_its_three(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(CHIARA, ANNA)])
    await ask(cdr_store.admin, "UPDATE acc SET dst_ouser = $1", BORIS)
    await calls.receipt(RESTRICT)
    people = "SELECT src_user, dst_ouser, dst_user FROM acc"
    assert await ask(cdr_store.reader, people) == [(CHIARA, BORIS, "")]
    await calls.receipt(task(Operation.RESTRICT, number(BORIS)))
    assert await ask(cdr_store.reader, people) == [(CHIARA, "", "")]


def guesses() -> Iterator[str]:
    """Ways of asking whether somebody is restricted, or of reading what is hidden."""
    yield from (f"SELECT count(*) FROM public.{table}" for table in (*TABLES, "restricted_number"))
    yield from (f"SELECT count(*) FROM public.acc_{kind}" for kind in ("parties", "unrestricted", "masked"))
    yield "SELECT count(*) FROM public.restricted"
    yield f"SELECT count(*) FROM public.acc_cdrs_default WHERE caller = '{ANNA}'"


async def test_readers_find_nothing_of_whoever_is_restricted_whatever_they_guess(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
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
            "CREATE FUNCTION pg_temp.told(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
            " $$ BEGIN RAISE EXCEPTION 'told %', $1; END $$"
        )
        with pytest.raises(asyncpg.RaiseError) as told:
            await reader.execute("SELECT 1 FROM acc_cdrs WHERE callee = '' AND pg_temp.told(caller)")
    assert ANNA not in str(told.value)
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
