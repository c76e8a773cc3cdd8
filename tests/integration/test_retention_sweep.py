"""Retention runs: a dry run first, limits, approvals, and exemptions."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from deploy.demo.company.model import Call
from deploy.demo.seed.cdr import CdrStore
from services.erasure.retention import exemptions, store
from services.erasure.retention.rules import Known, State, Terms
from services.erasure.retention.store import RunResult
from shared.domain.errors import LimitExceeded, Refused, TableMissing, Unavailable
from shared.domain.events import LiftDecided, RequestClosed, RequestVerified, RequestWithdrawn
from shared.domain.holds import HoldMarks
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Outcome, Right
from shared.runtime.metrics import PEOPLE
from shared.storage import holds, leader_lease
from shared.storage.holds import LegalHold
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Sealing
from shared.systems.contract import Receipt, Result, Task
from shared.systems.sweepable import DueCount, DueRecords, SweepResult, SweepStopped
from tests.fixtures.analytics import counted, due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call, engine, number, with_tables
from tests.fixtures.downstream import task
from tests.fixtures.engine import ACCOUNT, DUE, Harness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake
from tests.fixtures.nights import CALLS, EVENTS, FRESH, OLD, Nights
from tests.integration.test_api import is_problem

ADA = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")


def missed(category: str) -> float | None:
    return PEOPLE.get_sample_value("dsr_retention_misses", {"system": "cdr", "category": category})


async def test_a_new_ceiling_is_counted_on_record_and_acts_from_the_next_night_on(nights: Nights) -> None:
    assert await nights.look() == {"calls_19m": "dry_run", "analytics_26m": "dry_run"}
    assert await nights.look() == {"calls_19m": "dry_run", "analytics_26m": "dry_run"}
    assert nights.left == {CALLS: 404, EVENTS: 404}
    [(action, detail)] = await nights.recorded("calls_19m")
    assert (action, detail["due"], detail["of_rows"], detail["gone"]) == ("retention.dry_run", 4, 404, 0)
    assert detail["policy"] == nights.policy.version
    assert await nights.come() == {"calls_19m": "swept", "analytics_26m": "swept"}
    assert nights.left == {CALLS: 400, EVENTS: 400}
    (action, detail) = (await nights.recorded("calls_19m"))[-1]
    assert (action, detail["due"], detail["gone"], detail["missed"]) == ("retention.swept", 4, 4, 0)


async def test_sweep_waits_for_restrictions_on_the_bus(nights: Nights) -> None:
    await nights.look()
    nights.caught_up = False
    assert (await nights.come())["calls_19m"] == "dry_run"
    assert nights.left == {CALLS: 404, EVENTS: 404}
    nights.caught_up = True
    assert (await nights.look())["calls_19m"] == "swept"
    assert nights.left == {CALLS: 400, EVENTS: 400}


async def test_foreign_maximum_deletes_no_data_of_unknown_country(nights: Nights) -> None:
    nights.let("calls_19m", jurisdiction="DE", legal_source="§ 10 TDDDG")
    assert (await nights.look())["calls_19m"] == "no_country"
    assert (await nights.come())["calls_19m"] == "no_country"
    assert nights.left[CALLS] == 404
    assert missed("call_record") == 0
    ours = nights.policy.controller.country
    nights.let("calls_19m", jurisdiction=ours, legal_source="our own law")
    assert (await nights.come())["calls_19m"] == "dry_run", "what holds for everybody from now on is new"
    assert (await nights.come())["calls_19m"] == "swept"


async def test_foreign_ceiling_acts_on_declared_rows_after_a_dry_run(nights: Nights) -> None:
    dated = nights.store.dated
    nights.store.dated = (replace(dated[0], tells_countries=True), *dated[1:])
    nights.let("calls_19m", jurisdiction="DE", legal_source="§ 10 TDDDG")
    assert (await nights.look())["calls_19m"] == "dry_run"
    assert (await nights.come())["calls_19m"] == "swept"
    assert [each.country for each in nights.store.swept if each.table == CALLS] == ["DE"]
    assert (await nights.recorded("calls_19m"))[-1][1]["undetermined"] == 0
    nights.let("calls_19m", jurisdiction=None, legal_source=None)
    assert (await nights.come())["calls_19m"] == "dry_run", "everybody's rows are more than those of one country"
    assert (await nights.come())["calls_19m"] == "swept"
    assert [each.country for each in nights.store.swept if each.table == CALLS] == ["DE", None]


async def test_the_metrics_tell_what_is_missed_what_is_not_done_and_what_is_gone(nights: Nights) -> None:
    gone = {"system": "cdr", "action": "delete"}
    before = REGISTRY.get_sample_value("dsr_retention_rows_total", gone) or 0
    await nights.look()
    nights.let("calls_19m", sign_off=None)
    await nights.come()
    calls = {"system": "cdr", "category": "call_record"}
    assert PEOPLE.get_sample_value("dsr_retention_misses", calls) == 4
    states = {
        state: REGISTRY.get_sample_value("dsr_retention_tables", {"system": "cdr", "state": state})
        for state in ("unsigned", "swept", "stopped")
    }
    assert states == {"unsigned": 1, "swept": 2, "stopped": 0}
    assert REGISTRY.get_sample_value("dsr_retention_rows_total", gone) == before + 4


async def test_a_period_mistyped_in_days_is_stopped_before_a_row_goes(nights: Nights) -> None:
    await nights.look()
    await nights.come()
    nights.let("calls_19m", period="P18D")
    assert (await nights.come())["calls_19m"] == "dry_run"
    assert (await nights.recorded("calls_19m"))[-1][1]["due"] == 400
    assert (await nights.come())["calls_19m"] == "stopped"
    await nights.confirm("officer-1")
    assert (await nights.look())["calls_19m"] == "stopped"
    assert nights.left[CALLS] == 400
    nights.let("calls_19m", period="P19M")
    assert (await nights.come())["calls_19m"] == "swept"
    assert nights.left[CALLS] == 400


async def test_confirmed_rows_are_deleted_immediately_and_no_others(nights: Nights) -> None:
    nights.store.rows[CALLS] = [OLD] * 50 + [FRESH] * 50
    await nights.look()
    assert (await nights.come())["calls_19m"] == "stopped"
    assert missed("call_record") == 50
    await nights.confirm("officer-1", "officer-2")
    nights.store.rows[CALLS].append(OLD)
    assert (await nights.look())["calls_19m"] == "stopped", "that row was not shown"
    await nights.confirm("officer-1", "officer-2")
    assert (await nights.look())["calls_19m"] == "swept"
    assert nights.left[CALLS] == 50
    assert missed("call_record") == 0


async def test_without_a_valid_sign_off_nothing_of_that_category_is_touched(nights: Nights) -> None:
    await nights.look()
    expired = {"by": "C. Ounsel (fictitious)", "on": date(2024, 1, 1), "expires": "P1Y", "fictitious": True}
    nights.let("calls_19m", sign_off=expired)
    assert await nights.come() == {"calls_19m": "unsigned", "analytics_26m": "swept"}
    assert nights.left == {CALLS: 404, EVENTS: 400}
    assert missed("call_record") == 4
    nights.let("calls_19m", sign_off={**expired, "expires": "P9Y"})
    assert (await nights.come())["calls_19m"] == "dry_run", "a new signature starts a dry run"
    assert (await nights.come())["calls_19m"] == "swept"


async def test_nothing_goes_from_a_system_that_is_not_on(nights: Nights) -> None:
    await nights.look()
    for state in ("observe", "quarantined", "retired"):
        await nights.harness.stand(cdr=state)
        await nights.come()
    assert nights.left == {CALLS: 404, EVENTS: 404}


async def test_what_a_system_refuses_is_on_record_and_its_rows_are_missed(nights: Nights) -> None:
    await nights.look()
    nights.store.fails = TableMissing("a declared table is not there")
    assert (await nights.come())["calls_19m"] == "failed"
    assert (await nights.recorded("calls_19m"))[-1][1]["reason"] == "table_missing"
    assert missed("call_record") == 4
    nights.store.fails = Unavailable("away")
    await nights.come()
    nights.store.fails = None
    assert (await nights.look())["calls_19m"] == "swept"


async def test_what_a_sweep_breaks_on_is_on_record_and_the_service_goes_on(nights: Nights) -> None:
    await nights.look()
    nights.store.fails = KeyError("+34688886392")
    assert (await nights.come())["calls_19m"] == "failed"
    assert (await nights.recorded("calls_19m"))[-1][1]["reason"] == "unforeseen_error"


async def test_a_sweep_whose_process_ended_is_gone_on_with_and_counted_once(nights: Nights) -> None:
    nights.store.rows[CALLS] = [OLD] * 20 + [FRESH] * 980
    await nights.look()
    nights.store.stops_after = 10
    with pytest.raises(asyncio.CancelledError):
        await nights.come()
    nights.store.stops_after = None
    assert (await nights.look())["calls_19m"] == "swept"
    assert (await nights.recorded("calls_19m"))[-1][1]["gone"] == 20


async def test_one_instance_sweeps_at_a_time(nights: Nights) -> None:
    await nights.look()
    async with nights.harness.pool.acquire() as connection:
        assert await leader_lease.acquire(connection, "retention", timedelta(minutes=5))
    await nights.come()
    assert nights.store.swept == []


async def test_a_restriction_on_a_ground_of_the_policy_is_spared_until_it_is_lifted(nights: Nights) -> None:
    """Withdrawn, refused or merely stated restrictions exempt nothing."""
    grounds = (
        "unlawful",
        "needed_for_claims",
        "accuracy_contested",
        "objection_pending",
        "unlawful",
        "unlawful",
        "unlawful",
    )
    people = [Identity(IdentityType.EMAIL, f"ada{n}@example.org", level="L2") for n, _ in enumerate(grounds)]
    people[-1] = replace(people[-1], level="L0")
    asked = [
        a(RequestVerified, right=Right.RESTRICTION, subject=await nights.harness.subject(who), scope=ground, due_on=DUE)
        for who, ground in zip(people, grounds, strict=True)
    ]
    async with nights.harness.unit_of_work.begin() as tx:
        await exemptions.begin_restriction(asked, tx)
        await exemptions.close_restriction([a(RequestClosed, each) for each in asked[:4]], tx)
        await exemptions.end_restriction([a(RequestWithdrawn, asked[4])], tx)
        await exemptions.close_restriction([a(RequestClosed, asked[5], outcome=Outcome.REFUSED)], tx)
    await nights.look()
    found = {identity for task in nights.store.spared["call_record"] for identity in task.identities}
    assert found == {*people[:2]}
    async with nights.harness.unit_of_work.begin() as tx:
        await exemptions.end_restriction([a(LiftDecided, asked[0])], tx)
    await nights.come()
    assert {identity for task in nights.store.spared["call_record"] for identity in task.identities} == {people[1]}


async def test_pending_access_spares_all_yielded_identities_for_at_most_five_days(nights: Nights) -> None:
    """The pending access also exempts people who were not located yet."""

    def answer(task: Task) -> Result:
        located = Receipt(task.task_id, TaskOutcome.LOCATED, found=2, identities=(ACCOUNT,))
        return located if task.confirmed else LimitExceeded("two people", None)

    account = frozenset({IdentityType.ACCOUNT_ID})
    nights.knowing.append(ScriptedSystem("crm", yields=account, answers={Operation.LOCATE: each(answer)}).declared)
    people = [Identity(IdentityType.EMAIL, f"ada{n}@example.org", level="L2") for n in range(5)]
    rights = (Right.ACCESS, Right.PORTABILITY, Right.ACCESS, Right.ACCESS, Right.ACCESS)
    subjects = [await nights.harness.subject(who) for who in people]
    asked = [
        a(RequestVerified, right=right, subject=subject, due_on=DUE)
        for right, subject in zip(rights, subjects, strict=True)
    ]

    async def spared() -> set[Identity]:
        await nights.come()
        return {identity for task in nights.store.spared["call_record"] for identity in task.identities}

    async with nights.harness.unit_of_work.begin() as tx:
        await exemptions.begin_copy(asked, tx)
        await exemptions.end_copy([a(RequestClosed, asked[2]), a(RequestWithdrawn, asked[3])], tx)
        await tx.vault.seal(tx.connection, [Sealing(subjects[4], "records", "crm", b"[]")], tx.now)
        await tx.vault.seal(tx.connection, [Sealing(subjects[1], "records", "cdr", b"[]")], tx.now)
    assert await spared() == {people[0], people[4], ACCOUNT}, "what one system has copied another has not"
    nights.clock.pass_by(days=2)
    assert await spared() == {people[0], people[4], ACCOUNT}
    assert await spared() == set(), "on the fifth day"


async def place(harness: Harness, *categories: str, known: bool) -> UUID:
    """A hold on Ada's data, and whether it is known whom it is about."""
    hold = LegalHold(uuid7(), "LEG-1", "officer-1", "CLAIM", categories, harness.unit_of_work.clock.now(), DUE)
    async with harness.unit_of_work.begin() as tx:
        await holds.place(tx.connection, hold, HoldMarks.of(tx.vault.keyring, [ADA]))
        if known:
            row = tx.vault.new_subject(hold.hold_id, SubjectData((ADA,)), tx.now)
            await tx.vault.insert_subjects(tx.connection, [row])
    return hold.hold_id


async def test_a_legal_hold_spares_the_categories_that_it_covers(nights: Nights) -> None:
    await place(nights.harness, "call_record", known=True)
    await nights.look()
    found = {category: [task.identities for task in tasks] for category, tasks in nights.store.spared.items()}
    assert found == {"call_record": [(ADA,)], "analytics_event": []}


async def test_a_hold_that_comes_during_the_night_is_spared_before_the_next_step(nights: Nights) -> None:
    nights.store.rows[CALLS] = [OLD] * 20 + [FRESH] * 980
    await nights.look()
    nights.store.after_a_step = partial(place, nights.harness, "call_record", known=True)
    assert (await nights.come())["calls_19m"] == "sweeping"
    assert nights.left[CALLS] == 990, "ten at a time"
    nights.store.after_a_step = None
    await nights.look()
    assert [task.identities for task in nights.store.spared["call_record"]] == [(ADA,)]
    assert nights.left[CALLS] == 980


async def test_two_ceilings_that_end_the_same_rows_on_the_same_day_are_both_kept(nights: Nights) -> None:
    ceilings = nights.policy.ceilings
    nights.policy = nights.policy.model_copy(update={"ceilings": {**ceilings, "calls_too": ceilings["calls_19m"]}})
    await nights.look()
    states = await nights.come()
    assert (states["calls_19m"], states["calls_too"], nights.left[CALLS]) == ("swept", "swept", 400)


async def test_hold_on_an_unknown_person_stops_its_categories(nights: Nights) -> None:
    await nights.look()
    await place(nights.harness, "call_record", known=False)
    assert await nights.come() == {"calls_19m": "failed", "analytics_26m": "swept"}
    assert nights.left == {CALLS: 404, EVENTS: 400}
    assert (await nights.recorded("calls_19m"))[-1][1]["reason"] == "hold_unreadable"


# Two people approve the rows that a run would delete; a new count needs a new approval.
SWEEPS = "/v1/sweeps"
TERMS = Terms("P19M", "UTC", "call_start/start_time")
KEY = ("cdr", "acc_cdrs", "calls_19m")


async def stopped(intake: Intake) -> UUID:
    """A night that found too much."""
    left = RunResult(
        *(KEY, "call_record", uuid7(), "delete", State.STOPPED, date(2026, 3, 2), TERMS, date(2026, 3, 1)),
        *(date(2024, 8, 2), "0123456789ab"),
        due=900,
        of_rows=1_000,
    )
    async with intake.unit_of_work.begin() as tx:
        await store.leave(tx.connection, left)
    return left.sweep_id


async def known(intake: Intake) -> Known:
    """Returns the state of the sweep."""
    async with intake.unit_of_work.pool.acquire() as connection:
        return (await store.read(connection))[KEY]


async def test_two_people_approve_the_rows_of_a_night(intake: Intake) -> None:
    sweep_id = await stopped(intake)
    [shown] = (await intake.officer.get(SWEEPS)).raise_for_status().json()["data"]
    assert (shown["sweep_id"], shown["state"], shown["due"], shown["of_rows"]) == (str(sweep_id), "stopped", 900, 1_000)
    approval = f"{SWEEPS}/{sweep_id}/actions/let-go"
    assert (await intake.officer.post(approval)).status_code == 202
    assert is_problem(await intake.officer.post(approval), 409, "same_person")
    assert not (await known(intake)).is_confirmed
    (await intake.colleague.post(approval)).raise_for_status()
    assert (await known(intake)).is_confirmed
    assert is_problem(await intake.officer.post(approval), 409, "illegal_transition")


async def test_a_proposal_is_gone_with_the_count_that_it_was_about(intake: Intake) -> None:
    before = await stopped(intake)
    proposed = (await intake.officer.post(f"{SWEEPS}/{before}/actions/let-go")).raise_for_status()
    await stopped(intake)
    assert (await intake.colleague.get("/v1/approvals")).json()["data"] == []
    late = await intake.colleague.post(f"/v1/approvals/{proposed.json()['approval_id']}/approve")
    assert is_problem(late, 404, "not_found")
    assert (await known(intake)).confirmed_by == ()


# What is past a ceiling goes from a SQL store for everybody: set-wise, in order, and nothing else.

CALLS_SQL = "acc_cdrs"
BEGINNING = "call_start"


async def days(store: CdrStore, table: str = CALLS_SQL, column: str = "start_time") -> list[str]:
    """The days of the rows that are left."""
    return [row[0] for row in await ask(store.admin, f"SELECT {column}::date::text FROM {table} ORDER BY 1")]


async def test_expired_rows_go_and_kept_ones_stay_in_all_tables(cdr_store: CdrStore, calls: SqlEngine) -> None:
    old = [call(ANNA, BORIS, day) for day in ("2024-11-02", "2024-12-01", "2025-01-09")]
    await cdr_store.seed([*old, call(BORIS, CHIARA, "2025-01-10"), call(ANNA, BORIS, "2026-01-10")])
    dues = [due(table, BEGINNING, "2025-01-10") for table in (CALLS_SQL, "acc", "missed_calls")]
    assert await counted(calls, dues[0]) == (3, 5)
    assert await days(cdr_store) == ["2024-11-02", "2024-12-01", "2025-01-09", "2025-01-10", "2026-01-10"]
    assert await sweep(calls, *dues) == [SweepResult(3, 0), SweepResult(3, 0), SweepResult(0, 0)]
    assert await days(cdr_store) == await days(cdr_store, "acc", "time") == ["2025-01-10", "2026-01-10"]
    assert await sweep(calls, *dues) == [SweepResult(0, 0)] * 3


async def test_the_day_is_that_of_the_rules_zone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([replaced(call(ANNA, BORIS, "2025-01-09"), hour) for hour in (14, 16)])
    assert await sweep(calls, due(CALLS_SQL, BEGINNING, "2025-01-10", zone="Asia/Tokyo")) == [SweepResult(1, 0)]
    left = await ask(cdr_store.admin, "SELECT extract(hour FROM start_time)::int FROM acc_cdrs")
    assert left == [(16,)]


def replaced(one: Call, hour: int) -> Call:
    """The same call at another hour of its day."""
    return one._replace(start=one.start.replace(hour=hour), end=one.end.replace(hour=hour))


async def test_whose_rows_are_spared_stay_and_in_their_time_alone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    """Anna had the number until June, and Chiara has it since."""
    await cdr_store.seed(
        [call(ANNA, BORIS, "2024-05-02"), call(BORIS, ANNA, "2024-05-03"), call(ANNA, BORIS, "2024-07-02")]
    )
    held = task(Operation.ERASE, number(ANNA, until=at("2024-06-01")))
    done = await sweep(calls, due(CALLS_SQL, BEGINNING, "2025-01-01"), spared={"call_record": [held]})
    assert done == [SweepResult(1, 2)]
    assert await days(cdr_store) == ["2024-05-02", "2024-05-03"]


async def test_what_we_process_for_a_customer_is_not_ours_to_end(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, "2024-05-02"), call(ANNA, CHIARA, "2024-05-03")])
    await ask(cdr_store.admin, "UPDATE acc_cdrs SET served_domain = 'sip.acme.example' WHERE callee = $1", CHIARA)
    assert await counted(calls, due(CALLS_SQL, BEGINNING, "2025-01-01")) == (1, 2)
    assert await sweep(calls, due(CALLS_SQL, BEGINNING, "2025-01-01")) == [SweepResult(1, 0)]
    assert await ask(cdr_store.admin, "SELECT callee FROM acc_cdrs") == [(CHIARA,)]


async def test_stopped_sweep_resumes(cdr_store: CdrStore, calls: SqlEngine) -> None:
    made = [call(ANNA, BORIS, f"2024-05-{day:02}") for day in range(1, 29)]
    await cdr_store.seed(made * 100)
    steps: list[int] = []

    async def stops(_due: DueRecords, gone: int) -> None:
        steps.append(gone)
        if sum(steps):
            raise SweepStopped("another one has the turn")

    one = due(CALLS_SQL, BEGINNING, "2024-05-29")
    with pytest.raises(SweepStopped):
        await calls.adapter.sweep([one], {}, stops)
    left = len(await days(cdr_store))
    assert left == 2_800 - sum(steps)
    assert await sweep(calls, one) == [SweepResult(left, 0)]


async def test_referring_rows_go_first_and_referenced_ones_stay(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, ORDERS)
    (tmp_path / "orders.toml").write_text(ORDERS_DATASET)
    async with engine(empty_database, tmp_path / "orders.toml", {}) as orders:
        dues = [due("purchase", "ordered", "2025-01-01"), due("line", "added", "2025-01-01")]
        assert await sweep(orders, *dues) == [SweepResult(1, 0), SweepResult(1, 0)]
        assert await ask(empty_database, "SELECT id FROM purchase ORDER BY 1") == [(2,), (3,)]


ORDERS = """
CREATE TABLE purchase (id bigint PRIMARY KEY, email text, ordered date);
CREATE INDEX ON purchase (email);
CREATE TABLE line (id bigint PRIMARY KEY, purchase_id bigint REFERENCES purchase ON DELETE CASCADE, added date);
INSERT INTO purchase VALUES (1, 'a@example.org', '2024-01-01'), (2, 'b@example.org', '2024-01-01'),
    (3, 'c@example.org', NULL);
INSERT INTO line VALUES (1, 1, '2024-01-01'), (2, 2, '2026-01-01');
"""
ORDERS_DATASET = """
name = "orders"
[tables.purchase]
category = "order"
primary_key = ["id"]
at = { ordered = "ordered" }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, ordered = { class = "M" } }
[tables.line]
category = "order"
primary_key = ["id"]
at = { added = "added" }
belongs_to = [{ table = "purchase", on = { purchase_id = "id" } }]
columns = { id = { class = "T" }, purchase_id = { class = "T" }, added = { class = "M" } }
"""


async def test_row_in_a_protected_state_goes_after_it(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, TICKETS)
    (tmp_path / "desk.toml").write_text(TICKETS_DATASET)
    async with engine(empty_database, tmp_path / "desk.toml", {}) as desk:
        one = due("ticket", "resolved", "2025-01-01")
        assert await counted(desk, one) == (2, 4)
        assert await sweep(desk, one) == [SweepResult(2, 1)]
        assert await ask(empty_database, "SELECT id FROM ticket ORDER BY 1") == [(1,), (4,)]
        await ask(empty_database, "UPDATE ticket SET status = 'closed'")
        assert await sweep(desk, one) == [SweepResult(1, 0)]
        assert await ask(empty_database, "SELECT id FROM ticket") == [(4,)]


TICKETS = """
CREATE TABLE ticket (id bigint, email text, resolved date, status text, PRIMARY KEY (id));
CREATE INDEX ON ticket (email);
INSERT INTO ticket VALUES (1, 'a@example.org', '2019-05-01', 'open'), (2, 'a@example.org', '2019-06-01', 'closed'),
    (3, 'b@example.org', '2020-05-01', NULL), (4, 'c@example.org', '2026-01-01', 'closed');
"""
TICKETS_DATASET = """
name = "desk"
[tables.ticket]
category = "ticket"
primary_key = ["id"]
at = { resolved = "resolved" }
states.open_ticket = { column = "status", in = ["open"] }
[tables.ticket.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
resolved = { class = "M" }
status = { class = "M" }
"""


async def test_ceiling_of_one_country_counts_rows_without_a_country(empty_database: str, tmp_path: Path) -> None:
    await with_tables(empty_database, BILLED)
    (tmp_path / "bills.toml").write_text(BILLED_DATASET)
    async with engine(empty_database, tmp_path / "bills.toml", {}) as bills:
        german = replace(due("call", "invoice_date", "2025-01-01"), country="DE")
        assert await bills.adapter.count([german], {}) == [DueCount(3, 10, undetermined=3)]
        assert await sweep(bills, german) == [SweepResult(3, 1)], "one of them is in dispute"
        left = [(each,) for each in ("", "DE", "DE", "FR", "XX", "us", None)]
        assert sorted(await ask(empty_database, "SELECT country FROM call"), key=str) == sorted(left, key=str)
        assert await sweep(bills, due("call", "invoice_date", "2025-01-01")) == [SweepResult(5, 1)]


BILLED = """
CREATE TABLE call (id bigint PRIMARY KEY, email text, billed date, country text, state text);
CREATE INDEX ON call (email);
INSERT INTO call SELECT n, 'a@example.org', '2024-01-01', c, 'paid'
    FROM unnest(ARRAY['DE', ' de', 'de', 'FR', 'us', NULL, '', 'XX']) WITH ORDINALITY AS w (c, n);
INSERT INTO call VALUES (10, 'b@example.org', '2024-01-01', 'DE', 'disputed'),
    (11, 'b@example.org', '2026-01-01', 'DE', 'paid');
"""
BILLED_DATASET = """
name = "bills"
[tables.call]
category = "call_record"
primary_key = ["id"]
at = { invoice_date = "billed" }
country = "country"
states.dispute = { column = "state", in = ["disputed"] }
[tables.call.columns]
id = { class = "T" }
email = { class = "A", identity = "email" }
billed = { class = "M" }
country = { class = "M" }
state = { class = "M" }
"""


async def test_one_table_that_cannot_be_swept_stops_no_other(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, "2024-05-02"), call(ANNA, BORIS, "2024-05-02", missed=True)])
    results: Sequence[SweepResult | Refused] = await sweep(
        calls, due(CALLS_SQL, BEGINNING, "2025-01-01", "anonymise"), due("missed_calls", BEGINNING, "2025-01-01")
    )
    refused, swept = results
    assert isinstance(refused, Refused)
    assert "does not say what becomes of its columns" in str(refused)
    assert swept == SweepResult(1, 0)
    assert await days(cdr_store) == ["2024-05-02"]
