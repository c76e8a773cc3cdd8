"""Erasing callers and callees from real call records: two people in every row, numbers that change hands."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from unittest.mock import AsyncMock
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import JsonValue

from deploy.demo.company.model import Call
from deploy.demo.seed.cdr import CdrStore
from deploy.local import postgres_databases as databases
from shared.domain.errors import LimitExceeded, Unavailable, Withdrawn, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.systems.engine import erasing, retention
from shared.systems.sql.catalog import DatasetOutdated
from shared.systems.sql.settings import path_of
from shared.systems.sql.system import SqlUnit
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from tests.fixtures.cdr import (
    ANNA,
    BORIS,
    CHIARA,
    OURS,
    SqlEngine,
    ask,
    at,
    call,
    each,
    engine,
    missing,
    number,
    store_of,
    with_tables,
)
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.written_calls import Written, write

GIVEN_UP, ASSIGNED_AGAIN = at("2026-01-10"), at("2026-03-01")


async def everything(store: CdrStore) -> str:
    """Dumps every value of every table."""
    tables = ("acc_cdrs", "acc", "missed_calls", "restricted_number")
    return "\n".join([str(await ask(store.admin, f"SELECT t::text FROM {table} t")) for table in tables])


async def test_subject_leaves_all_tables_and_the_other_party_stays(cdr_store: CdrStore, calls: SqlEngine) -> None:
    spelt = [prefix + ANNA[1:] for prefix in ("+", "00", "", "000")]
    await cdr_store.seed(
        [call(spelling, BORIS) for spelling in spelt]
        + [call(CHIARA, spelling) for spelling in spelt]
        + [call(ANNA, BORIS, missed=True), call(BORIS, CHIARA)]
    )
    done = await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert (done.outcome, done.found, done.changed, done.remaining) == (TaskOutcome.ERASED, 17, 17, 0)
    assert done.by_category == {"call_record": 8, "call_signalling": 8, "missed_call": 1}
    assert ANNA[1:] not in await everything(cdr_store)
    left = await ask(cdr_store.admin, "SELECT caller, callee, count(*) FROM acc_cdrs GROUP BY 1, 2 ORDER BY 1, 2")
    assert left == [("", BORIS, 4), (CHIARA, "", 4), (BORIS, CHIARA, 1)]
    blanked = await ask(cdr_store.admin, "SELECT DISTINCT callid, src_ip, user_agent FROM acc_cdrs WHERE caller = ''")
    assert blanked == [("", "", "")]


@pytest.mark.parametrize(
    ("made", "left"),
    [
        ([call("anonymous", ANNA), call("", ANNA), call(ANNA, ANNA), call(BORIS, ANNA)], (BORIS, "")),
        ([call(ANNA, BORIS, pai=ANNA)], ("", BORIS)),
    ],
    ids=["an empty row", "withheld from the callee and known to the network"],
)
async def test_row_without_people_is_deleted_and_a_withheld_caller_is_found(
    cdr_store: CdrStore, calls: SqlEngine, made: list[Call], left: tuple[str, str]
) -> None:
    await cdr_store.seed(made)
    done = await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert done.by_category == {"call_record": len(made), "call_signalling": len(made)}
    assert ANNA[1:] not in await everything(cdr_store)
    assert await ask(cdr_store.admin, "SELECT caller, callee FROM acc_cdrs") == [left]


async def test_two_subjects_of_one_call_both_count_it_and_it_goes(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA), call(ANNA, CHIARA), call(BORIS, BORIS)])
    results = await calls.run(*each(Operation.ERASE, number(ANNA), number(BORIS)))
    assert [receipt(result).by_category["call_record"] for result in results] == [3, 3]
    assert await ask(cdr_store.admin, "SELECT caller, callee FROM acc_cdrs") == [("", CHIARA)]


@pytest.mark.parametrize("together", [False, True])
async def test_reassigned_number_goes_in_its_period(cdr_store: CdrStore, calls: SqlEngine, *, together: bool) -> None:
    days = ("2025-12-24", "2026-01-09", "2026-01-10", "2026-02-14", "2026-03-01", "2026-04-01")
    await cdr_store.seed([call(ANNA, CHIARA, day) for day in days] + [call(BORIS, CHIARA, "2026-04-01")])
    before, after = each(Operation.ERASE, number(ANNA, until=GIVEN_UP), number(ANNA, since=ASSIGNED_AGAIN))
    tasks = [before, task(Operation.ERASE, number(BORIS)), after] if together else [before]
    results = [receipt(result) for result in await calls.run(*tasks)]
    assert [result.by_category["call_record"] for result in results] == ([2, 1, 2] if together else [2])
    left = await ask(cdr_store.admin, "SELECT start_time::date::text FROM acc_cdrs WHERE caller_e164 = $1", ANNA)
    assert [day for (day,) in sorted(left)] == list(days[2:4] if together else days[2:])


async def test_batch_call_with_a_next_holder_loses_the_subject_alone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    hers, theirs = "2026-01-09", "2026-04-01"
    parties = [(ANNA, CHIARA, hers), (ANNA, BORIS, hers), (ANNA, CHIARA, theirs), (ANNA, BORIS, theirs)]
    await cdr_store.seed([call(*each) for each in [*parties, (BORIS, ANNA, theirs), (CHIARA, ANNA, theirs)]])
    results = await calls.run(*each(Operation.ERASE, number(ANNA, until=GIVEN_UP), number(BORIS)))
    assert [receipt(result).by_category["call_record"] for result in results] == [2, 3]
    left = await ask(cdr_store.admin, "SELECT caller, callee FROM acc_cdrs ORDER BY start_time, 1, 2")
    assert left[:1] == [("", CHIARA)]
    assert left[1:] == [("", ANNA), (ANNA, ""), (ANNA, CHIARA), (CHIARA, ANNA)]


async def test_repeat_of_a_finished_task_has_the_same_receipt(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA), call(CHIARA, BORIS)])
    tasks = each(Operation.ERASE, number(ANNA), number(CHIARA))
    first = await calls.run(*tasks)
    again = await calls.run(*map(calls.again, tasks))
    assert [receipt(result).found for result in first] == [4, 2]
    assert again == first


async def test_attempt_that_dies_uncommitted_changes_nothing(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA)])
    subject = task(Operation.ERASE, number(ANNA))
    lost = "CREATE FUNCTION lose() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS {}"
    lost = lost.format("'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'")
    await ask(cdr_store.admin, lost)
    noted = "CREATE TRIGGER lose AFTER INSERT ON dsr_platform.progress FOR EACH ROW EXECUTE FUNCTION lose()"
    await ask(cdr_store.admin, noted)
    with pytest.raises(Unavailable):
        await calls.run(subject)
    await ask(cdr_store.admin, "DROP TRIGGER lose ON dsr_platform.progress")
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller_e164 = $1", ANNA) == [(1,)]
    done = await calls.receipt(calls.again(subject))
    assert (done.found, done.changed, done.remaining) == (4, 4, 0)


async def test_withdrawal_before_the_first_commit_changes_nothing(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])

    async def withdrawn(_noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        raise Withdrawn("the request was withdrawn before this step")

    with pytest.raises(Withdrawn):
        await calls.adapter.erase([task(Operation.ERASE, number(ANNA))], withdrawn)
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller_e164 = $1", ANNA) == [(1,)]


async def test_concurrent_erasures_of_both_parties_count_both(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA)] * 200)
    results = await asyncio.gather(*map(calls.one, each(Operation.ERASE, number(ANNA), number(BORIS))))
    assert [receipt(result).by_category["call_record"] for result in results] == [400, 400]
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs") == [(0,)]


async def test_an_erased_subject_is_not_even_kept_as_restricted(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    await calls.run(*each(Operation.RESTRICT, number(ANNA), number(BORIS)))
    done = await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert done.by_category == {"call_record": 1, "call_signalling": 1, "restriction": 1}
    assert ANNA[1:] not in await everything(cdr_store)
    assert await ask(cdr_store.admin, "SELECT number FROM restricted_number") == [(BORIS,)]


@pytest.mark.parametrize("together", [True, False])
async def test_many_records_go_in_several_transactions(
    cdr_store: CdrStore, calls: SqlEngine, monkeypatch: pytest.MonkeyPatch, *, together: bool
) -> None:
    monkeypatch.setattr(erasing, "ROWS", 20)
    monkeypatch.setattr(erasing, "CHUNK", 10)
    numbers = [f"+3469000{i:04d}" for i in range(3)]
    days = [f"2026-{month:02d}-{day:02d}" for month in (1, 2) for day in range(1, 15)]
    made = sorted((call(n, BORIS, day) for n in numbers for day in days), key=lambda c: c.start)
    await cdr_store.seed(made)
    tasks = each(Operation.ERASE, *map(number, numbers))
    results = await calls.run(*tasks) if together else [await calls.one(each_) for each_ in tasks]
    assert [receipt(result).by_category["call_record"] for result in results] == [len(days)] * len(numbers)
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs WHERE caller <> ''") == [(0,)]


LINES = """
CREATE TABLE line (id int PRIMARY KEY, number text, at timestamptz);
INSERT INTO line SELECT n, CASE n % 3 WHEN 0 THEN '+34600000001' WHEN 1 THEN '+34600000002' END,
    CASE WHEN n % 7 > 0 THEN timestamptz '2026-01-01 00:00Z' + n * interval '1 hour' END FROM generate_series(1, 400) n;
"""
DATASET_OF_LINES = """
name = "lines"
[tables.line]
category = "line"
primary_key = ["id"]
at = { happened = "at", call_start = "at" }
columns = { id = { class = "T" }, number = { class = "A", identity = "phone" }, at = { class = "M" } }
"""


@pytest.mark.parametrize("judged", [True, False])
async def test_where_nothing_is_judged_the_same_rows_go_unread(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, judged: bool
) -> None:
    monkeypatch.setattr(erasing, "CLEARED", 7)
    monkeypatch.setattr(retention, "CLEARED", 7)
    if judged:
        monkeypatch.setattr(SqlUnit, "clears", lambda *_: False)
        monkeypatch.setattr(SqlUnit, "clears_past", lambda *_: False)
    (tmp_path / "lines.toml").write_text(DATASET_OF_LINES, encoding="utf-8")
    dsn = await with_tables(empty_database, LINES)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    period = (start + timedelta(hours=48), start + timedelta(hours=192))
    asked = each(Operation.ERASE, number("+34600000001", *period), number("+34600000002", *period))
    async with engine(dsn, tmp_path / "lines.toml", {"max_rows": 50}) as store:
        assert isinstance(await store.one(task(Operation.ERASE, number("+34600000001", start))), LimitExceeded)
        gone = set[int]()
        for who, done in enumerate(map(receipt, await store.run(*asked))):
            of_one = {n for n in range(48, 192) if n % 3 == who and n % 7}
            gone |= of_one
            assert (done.outcome, done.by_category, done.remaining) == (TaskOutcome.ERASED, {"line": len(of_one)}, 0)
        assert {row[0] for row in await ask(dsn, "SELECT id FROM line")} == {*range(1, 401)} - gone
        past = {n for n in range(1, 216) if n % 7} - gone
        due = DueRecords("line", "call_start", "delete", date(2026, 1, 10), ZoneInfo("UTC"), about=len(past))
        assert await store.adapter.count([due], {}) == [DueCount(len(past), 400 - len(gone))]
        assert await store.adapter.sweep([due], {}, AsyncMock()) == [SweepResult(len(past), 0)]
    assert {row[0] for row in await ask(dsn, "SELECT id FROM line")} == {*range(1, 401)} - gone - past


# Foreign keys of a store: the order of deletion, cascades, and undeclared tables.
ANNA_OF_REFERENCES = email("anna@example.org")
ERASE = Operation.ERASE
SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, email text, main_contact int);
CREATE TABLE contact (id int PRIMARY KEY, account_id int NOT NULL, name text);
CREATE TABLE letter (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE CASCADE, sender text,
    answers int);
INSERT INTO account VALUES (1, 'anna@example.org', 11), (2, 'boris@example.org', 12);
INSERT INTO contact VALUES (11, 1, 'Anna'), (12, 2, 'Boris'), (13, 1, 'Ann');
INSERT INTO letter VALUES (1, 1, 'anna@example.org'), (2, 2, 'boris@example.org');
"""
FORTH = "ALTER TABLE contact ADD CONSTRAINT forth FOREIGN KEY (account_id) REFERENCES account "
BACK = "ALTER TABLE account ADD CONSTRAINT back FOREIGN KEY (main_contact) REFERENCES contact "
DATASET = """
name = "accounts"
[tables.account]
category = "account"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, main_contact = { class = "T" } }
[tables.contact]
category = "contact"
primary_key = ["id"]
belongs_to = [{ table = "account", on = { account_id = "id" } }]
columns = { id = { class = "T" }, account_id = { class = "T" }, name = { class = "A" } }
[tables.letter]
category = "letter"
primary_key = ["id"]
[tables.letter.columns]
id = { class = "T" }
account_id = { class = "T" }
answers = { class = "T" }
sender = { class = "A", identity = "email" }
"""
LEFT = "SELECT 'a' || id FROM account UNION SELECT 'c' || id FROM contact UNION SELECT 'l' || id FROM letter ORDER BY 1"
dsn, accounts = store_of(SCHEMA, DATASET)


@pytest.mark.parametrize("back", ["", "DEFERRABLE", None], ids=["a column emptied", "deferred", "no circle"])
async def test_rows_go_in_the_order_of_foreign_keys(accounts: SqlEngine, dsn: str, back: str | None) -> None:
    for statement in [FORTH, *([] if back is None else [BACK + back])]:
        await ask(dsn, statement)
    done = receipt((await accounts.run(*each(ERASE, ANNA_OF_REFERENCES, email("unknown@example.org"))))[0])
    assert (done.outcome, done.by_category) == (TaskOutcome.ERASED, {"account": 1, "contact": 2, "letter": 1})
    assert [row[0] for row in await ask(dsn, LEFT)] == ["a2", "c12", "l2"]


async def test_letter_of_another_person_on_the_account_is_kept(accounts: SqlEngine, dsn: str) -> None:
    await ask(dsn, "UPDATE letter SET account_id = 1 WHERE id = 2")
    before = await ask(dsn, LEFT)
    refused = await accounts.one(task(ERASE, ANNA_OF_REFERENCES))
    assert isinstance(refused, WrongPersonMatch)
    assert "1 rows of letter refer to rows of the subject in account" in str(refused)
    assert await ask(dsn, LEFT) == before


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
async def test_child_row_in_the_same_table_goes_with_its_subject(accounts: SqlEngine, dsn: str, action: str) -> None:
    await ask(dsn, f"ALTER TABLE letter ADD FOREIGN KEY (answers) REFERENCES letter ON DELETE {action}")
    await ask(dsn, "INSERT INTO letter VALUES (3, NULL, 'anna@example.org', 1), (4, NULL, 'boris@example.org', 3)")
    before = await ask(dsn, LEFT)
    refused = await accounts.one(task(ERASE, ANNA_OF_REFERENCES))
    assert isinstance(refused, WrongPersonMatch)
    assert "1 rows of letter refer to rows of the subject in letter" in str(refused)
    assert await ask(dsn, LEFT) == before
    await ask(dsn, "UPDATE letter SET answers = NULL WHERE id = 4")
    assert (await accounts.receipt(task(ERASE, ANNA_OF_REFERENCES))).by_category == {
        "account": 1,
        "contact": 2,
        "letter": 2,
    }


async def test_columns_nulled_by_the_database_are_counted_and_left_null(accounts: SqlEngine, dsn: str) -> None:
    await ask(dsn, "ALTER TABLE letter DROP CONSTRAINT letter_account_id_fkey, ALTER account_id SET DEFAULT 2")
    foreign = "ALTER TABLE letter ADD CONSTRAINT of_account FOREIGN KEY (account_id) REFERENCES account ON DELETE SET "
    await ask(dsn, f"{foreign}DEFAULT")
    await ask(dsn, "UPDATE letter SET account_id = 1")
    refused = await accounts.one(task(ERASE, ANNA_OF_REFERENCES))
    assert isinstance(refused, WrongPersonMatch), "Boris' letter would become one of account 2"
    await ask(dsn, "ALTER TABLE letter DROP CONSTRAINT of_account")
    await ask(dsn, f"{foreign}NULL")
    erased, unknown = await accounts.run(*each(ERASE, ANNA_OF_REFERENCES, email("unknown@example.org")))
    assert receipt(erased).by_category == {"account": 1, "contact": 2, "letter": 2}, "her own, and his that is emptied"
    assert receipt(unknown).outcome is TaskOutcome.NO_MATCH
    assert await ask(dsn, "SELECT id, account_id FROM letter") == [(2, None)]


async def test_the_check_names_what_would_be_refused_or_hidden_at_work(dsn: str, tmp_path: Path) -> None:
    name = f"checked_{dsn.rpartition('/')[2].rpartition('_')[2]}"
    parties = DATASET.replace(
        'category = "letter"', 'category = "letter"\non_erase = "blank"\nparties = { a = {}, b = {} }'
    )
    parties = parties.replace('identity = "email" }', 'identity = "email", party = "a" }').replace(
        'email = { class = "A", identity = "email", party = "a" }', 'email = { class = "A", identity = "email" }'
    )
    parties = parties.replace('answers = { class = "T" }', 'answers = { class = "A", party = "b" }')
    (tmp_path / "store.toml").write_text(parties, encoding="utf-8")
    await ask(dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    for statement in (
        f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}",
        f"GRANT DELETE ON account, contact TO {name}",
        "ALTER TABLE account ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY half ON account TO {name} USING (id % 2 = 0)",
        "ALTER TABLE contact ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY whole ON contact TO {name} USING (true)",
        "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
    ):
        await ask(dsn, statement)
    async with engine(databases.as_role(dsn, name, "x"), tmp_path / "store.toml", {}) as checked:
        said = "; ".join(await missing(checked))
    await ask(dsn, f"DROP OWNED BY {name}")
    await ask(dsn, f"DROP ROLE {name}")
    assert said.count(f'GRANT USAGE ON SCHEMA "public" TO {name}') == 3
    assert f'GRANT DELETE ON "public"."letter" TO {name}' in said, "who is alone in a row that is blanked goes with it"
    assert "row security may hide rows of public.account" in said
    assert "public.contact from this role" not in said


async def test_undeclared_referring_table_is_named_beforehand(accounts: SqlEngine, dsn: str) -> None:
    await ask(dsn, "CREATE TABLE rating (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE SET NULL)")
    await ask(dsn, "CREATE TABLE visit (id int PRIMARY KEY, account_id int REFERENCES account ON DELETE CASCADE)")
    before = await ask(dsn, LEFT)
    with pytest.raises(DatasetOutdated, match=r"rating \(to account, rating_account_id_fkey\), visit"):
        await missing(accounts)
    with pytest.raises(DatasetOutdated, match="declare each, with belongs_to"):
        await accounts.one(task(ERASE, ANNA_OF_REFERENCES))
    assert await ask(dsn, LEFT) == before
    assert (await accounts.receipt(task(Operation.EXPORT, ANNA_OF_REFERENCES))).found == 4


# Erasing or restricting a person changes only their fields in their periods, in any set of calls.

LINE, USER = "+34918750146", "sip:1001@pbx.example"
WAYS: Mapping[str, tuple[str, ...]] = {
    ANNA: (ANNA, "00" + ANNA[1:], "000" + ANNA[1:], ANNA[3:]),
    BORIS: (BORIS, BORIS[1:]),
    CHIARA: (CHIARA,),
    LINE: (LINE, LINE[3:]),
    USER: ("1001",),
    "": ("", "112", "anonymous"),
}
"""Spellings of each number by a trunk in Spain; the last identify no one."""
DAYS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(10)]

Call_alone = tuple[Written, tuple[str, str, str], datetime]
"""As it is written, who called, who was dialled and who was reached, and the day."""


def some_calls(rng: Random, count: int = 150) -> list[Call_alone]:
    def anybody() -> tuple[str, str]:
        who = rng.choice(list(WAYS))
        return who, rng.choice(WAYS[who])

    calls: list[Call_alone] = []
    for _ in range(count):
        (caller, shown), (dialled, first), day = anybody(), anybody(), rng.choice(DAYS)
        reached, last = anybody() if rng.random() < 0.4 else (dialled, first)
        hides = caller.startswith("+") and rng.random() < 0.3
        claims = hides and rng.random() < 0.5  # another number is shown, whose caller is unknown
        written = rng.choice((BORIS, CHIARA, ANNA)) if claims else "anonymous" if hides else shown
        known = caller if hides else None
        first, last = (text if text != "anonymous" else "112" for text in (first, last))
        calls.append((Written(written, known, first, last, day.date().isoformat()), (caller, dialled, reached), day))
    return calls


def some_periods(rng: Random) -> dict[str, tuple[datetime, datetime]]:
    """Draws the subject's numbers with periods, without the shared line."""
    return {
        who: (start, start + timedelta(days=rng.randrange(1, 9)))
        for who in rng.sample([ANNA, BORIS, USER], rng.randrange(1, 3))
        for start in [rng.choice(DAYS)]
    }


FIELDS = {
    "acc": (
        "src_user || coalesce(src_pai, '') || callid || src_ip",
        "dst_ouser || dst_odomain",
        "dst_user || dst_domain",
    ),
    "acc_cdrs": ("caller || coalesce(pai, '') || callid || user_agent", None, "callee || callee_domain"),
}


@pytest.mark.parametrize("operation", [Operation.ERASE, Operation.RESTRICT])
@pytest.mark.parametrize("seed", range(4))
async def test_erasing_or_restricting_a_person_never_changes_others(
    cdr_store: CdrStore, calls: SqlEngine, seed: int, operation: Operation
) -> None:
    rng = Random(seed)  # noqa: S311 - nothing here is a secret
    made, periods = some_calls(rng), some_periods(rng)
    await write(cdr_store, (written for written, *_ in made))
    held = {table: await fields(cdr_store.admin, table) for table in FIELDS}
    kind = {True: IdentityType.PHONE, False: IdentityType.SIP_URI}
    known = [
        Identity(kind[who.startswith("+")], who, since, until, "register") for who, (since, until) in periods.items()
    ]
    await calls.receipt(task(operation, *known))
    dsn = cdr_store.admin if operation is Operation.ERASE else cdr_store.reader
    for table in FIELDS:
        left = await fields(dsn, table)
        for row, (written, people, day) in enumerate(made, 1):
            mine = [who in periods and periods[who][0] <= day < periods[who][1] for who in people]
            texts = (written.caller.replace("anonymous", "") or written.pai, written.dialled, written.reached)
            parties = [n for n in range(3) if FIELDS[table][n] is not None]
            others = [n for n in parties if texts[n] and not mine[n]]
            if row not in left:
                assert not others, (table, written)
                assert any(mine[n] for n in parties), (table, written)
                continue
            for n in parties:
                assert left[row][n] == ("" if mine[n] else held[table][row][n]), (table, written, n)
    if operation is Operation.RESTRICT:
        assert {table: await fields(cdr_store.admin, table) for table in FIELDS} == held


async def fields(dsn: str, table: str) -> Mapping[int, tuple[str, ...]]:
    """Returns each row's values by party."""
    columns = ", ".join(column or "NULL" for column in FIELDS[table])
    return {row[0]: row[1:] for row in await ask(dsn, f"SELECT id, {columns} FROM {table}")}


async def test_field_of_one_party_is_corrected_for_that_party_alone(cdr_store: CdrStore, tmp_path: Path) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(BORIS, ANNA)])
    text, device = path_of("kamailio").read_text(encoding="utf-8"), 'user_agent = { class = "M"'
    assert device in text
    (tmp_path / "calls.toml").write_text(text.replace(device, f'{device}, rectifies = "device"'), encoding="utf-8")
    async with engine(cdr_store.privacy, tmp_path / "calls.toml", {"ours": [OURS]}) as calls:
        done = await calls.receipt(task(Operation.RECTIFY, number(ANNA), changes=[("device", None, "a telephone")]))
    assert done.changed == 1
    devices = await ask(cdr_store.admin, "SELECT caller, user_agent FROM acc_cdrs ORDER BY caller = $1", ANNA)
    assert devices == [(BORIS, "Linphone/5.2.6"), (ANNA, "a telephone")]
