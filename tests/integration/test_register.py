"""The register of assignments: filled only from its source, and followed by every task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from services.deadline.assignments import LOOP, AssignmentReader
from services.intake.jobs.resuming import search_again
from shared.domain.assignments import AssignedNumber, ConflictKind, RegisterConflict
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.events import FulfilmentBlocked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.policy_files import Readings, assignments_policy
from shared.domain.rights import Right
from shared.fulfilment.store import NewFulfilment
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from shared.storage.register import FillResult, TooMuchLost, announce, fill, record_conflicts, register_for
from shared.systems.contract import Receipt, Result, Task
from shared.systems.tryton.adapter import TrytonAdapter
from tests.fixtures.downstream import task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.tryton import SINCE, SYSTEM, Crm, account
from tests.integration.test_api import is_problem

EMAIL, PHONE, ACCOUNT, SIP = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID, IdentityType.SIP_URI
NUMBER, ADDRESS = "+442079460000", Identity(EMAIL, "ada@example.org")
JANUARY, MARCH, MAY, JULY = (datetime(2025, month, 1, tzinfo=UTC) for month in (1, 3, 5, 7))
ADA, BEN = "C1", "C2"


def number(since: datetime | None, until: datetime | None = None, source: str = "requester") -> Identity:
    return Identity(PHONE, NUMBER, since, until, source)


def assigned(code: str, since: datetime | None, until: datetime | None = None) -> AssignedNumber:
    return AssignedNumber(number(since, until, "crm"), code)


async def filled(harness: Harness, *rows: AssignedNumber, source: str = "crm", ago: int = 0) -> FillResult:
    keys, clock = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock
    assert isinstance(clock, SetClock)
    clock.pass_by(seconds=1)
    async with harness.pool.acquire() as connection:
        return await fill(connection, keys, source, "crm", rows, clock.now() - timedelta(seconds=ago))


async def vouched(harness: Harness, *stated: Identity) -> Sequence[tuple[datetime | None, datetime | None]]:
    known = (Identity(ACCOUNT, ADA, source="crm"), *stated)
    async with harness.pool.acquire() as connection:
        register = await register_for(connection, harness.unit_of_work.vault.keyring, known)
    return [(each.valid_from, each.valid_to) for each in register.vouched(known) if each.type is PHONE]


async def test_reading_corrects_adds_and_ends_assignments_without_names(harness: Harness) -> None:
    assert await filled(harness, assigned(ADA, JANUARY), assigned(BEN, None)) == FillResult(1, 0, 1)
    assert await vouched(harness, number(None)) == [(JANUARY, None)]
    assert await filled(harness, assigned(ADA, MARCH)) == FillResult(1, 0, 0), "the source has corrected the period"
    assert await vouched(harness, number(None)) == [(MARCH, None)]
    assert await filled(harness, assigned(ADA, MARCH)) == FillResult(0, 0, 0), "nothing has changed"
    assert await filled(harness, assigned(ADA, JANUARY), ago=60) == FillResult(0, 0, 0), "it was overtaken"
    assert await vouched(harness, number(None)) == [(MARCH, None)]
    other = AssignedNumber(Identity(PHONE, "+442079460001", JANUARY, source="crm"), BEN)
    assert await filled(harness, other) == FillResult(1, 1, 0), "the source no longer knows the party"
    assert await vouched(harness, number(None)) == [(MARCH, harness.unit_of_work.clock.now())]
    dump = str(await harness.pool.fetch("SELECT a::text FROM register.assignment a"))
    for value in (NUMBER, NUMBER[1:], ADA):
        assert value not in dump
        assert value.encode().hex() not in dump


async def test_nothing_another_source_or_namespace_replaces_nothing(harness: Harness) -> None:
    await filled(harness, assigned(ADA, JANUARY))
    with pytest.raises(Misconfigured, match="as it was"):
        await filled(harness)
    with pytest.raises(Misconfigured, match="filled by crm"):
        await filled(harness, assigned(BEN, JANUARY), source="file")
    keys, read_at = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock.now() + timedelta(seconds=1)
    async with harness.pool.acquire() as connection:
        given = (connection, keys, "crm", "billing", [assigned(ADA, JANUARY)], read_at)
        with pytest.raises(TooMuchLost, match="names accounts of crm, and those of billing would take the place"):
            await fill(*given, believed=assignments_policy().readings)
        assert await vouched(harness, number(None)) == [(JANUARY, None)]
        assert await fill(*given) == FillResult(1, 1, 0), "a person has said that it is right"


async def test_of_two_ends_the_earlier_one_holds(harness: Harness) -> None:
    ends = (assigned(ADA, JANUARY, MAY), assigned(ADA, JANUARY, MARCH), assigned(ADA, JANUARY))
    await filled(harness, *ends, assigned(BEN, MAY, MARCH))
    assert await vouched(harness, number(None)) == [(JANUARY, MARCH)]


def crm() -> ScriptedSystem:
    """Finds the account by the address."""
    system = ScriptedSystem("crm", needs=frozenset({EMAIL, PHONE}), yields=frozenset({PHONE, ACCOUNT}), assigns=True)

    def find(task: Task) -> Result:
        if ADDRESS not in task.identities:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        account = Identity(ACCOUNT, ADA, source="crm")
        return Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(account, number(JANUARY, None, "crm")))

    system.answers[Operation.LOCATE] = each(find)
    return system


async def erase(harness: Harness, *stated: Identity) -> NewFulfilment:
    new = NewFulfilment(uuid7(), await harness.subject(*stated), Right.ERASURE, Operation.ERASE, DUE)
    await harness.open(new)
    while any(
        [
            await harness.worker(name, operation).work()
            for name in harness.systems
            for operation in (Operation.LOCATE, Operation.ERASE)
        ]
    ):
        pass
    return new


async def test_erasure_asks_about_excluded_periods_beforehand(open_harness: OpenHarness) -> None:
    harness = await open_harness(crm(), ScriptedSystem("cdr", needs=frozenset({PHONE})))
    await filled(harness, assigned(ADA, JANUARY))
    new = await erase(harness, ADDRESS, number(JANUARY, MAY))
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert (await harness.states(new.request_id))["crm:erase"] == "waiting"
    why = "SELECT receipt ->> 'not_searched' FROM task WHERE system = 'cdr' AND operation = 'erase'"
    assert await harness.pool.fetchval(why) == Unsearched.NUMBER_NARROWED
    whole = await erase(harness, ADDRESS, number(None))
    assert (await harness.states(whole.request_id))["crm:erase"] == "done"


async def test_of_a_copy_it_is_noted_what_their_own_dates_leave_out(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("cdr", needs=frozenset({PHONE})))
    await filled(harness, assigned(ADA, JANUARY))
    subject = await harness.subject(Identity(ACCOUNT, ADA, source="crm"), number(JANUARY, MAY))
    new = NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await harness.worker("cdr", Operation.EXPORT).work()
    said = "SELECT receipt ->> 'narrowed', receipt ->> 'not_searched' FROM task"
    assert [tuple(row) for row in await harness.pool.fetch(said)] == [("true", None)]


async def test_system_is_asked_for_confirmed_periods_only(open_harness: OpenHarness) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, assigned(ADA, JANUARY, MARCH), assigned(BEN, MARCH))
    await erase(harness, ADDRESS, number(JANUARY, MAY))
    periods = [(each.valid_from, each.valid_to) for task in cdr.asked for each in task.identities if each.type is PHONE]
    assert periods == [(JANUARY, MARCH)]


@pytest.mark.parametrize(
    ("stated", "rows", "failure", "unsearched"),
    [
        ((ADDRESS, number(MAY)), [assigned(ADA, JANUARY, MARCH)], None, Unsearched.NUMBER_IN_CONFLICT),
        ((ADDRESS, number(MARCH)), [assigned(ADA, JANUARY), assigned(BEN, MARCH)], "assignment_in_doubt", None),
    ],
    ids=["unassigned at that time", "two holders"],
)
async def test_what_is_not_vouched_for_is_not_touched_and_is_said(
    open_harness: OpenHarness,
    stated: tuple[Identity, ...],
    rows: list[AssignedNumber],
    failure: str | None,
    unsearched: Unsearched | None,
) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, *rows)
    await erase(harness, *stated)
    assert cdr.asked == []
    task = await harness.pool.fetchrow("SELECT failure, receipt FROM task WHERE system = 'cdr'")
    assert task is not None
    assert (task["failure"], (task["receipt"] or {}).get("not_searched")) == (failure, unsearched)
    assert harness.completed == []


@pytest.mark.parametrize(
    ("rows", "kind", "touched"),
    [
        ([assigned(ADA, MARCH), assigned(BEN, JANUARY, MARCH)], ConflictKind.ANOTHER_HOLDER, [(MARCH, None)]),
        ([assigned(ADA, JANUARY + timedelta(hours=23))], None, [(JANUARY + timedelta(hours=23), None)]),
    ],
    ids=["another's", "the same change of holder"],
)
async def test_what_a_system_says_against_the_register_is_not_touched_and_waits_for_a_person(
    open_harness: OpenHarness,
    rows: list[AssignedNumber],
    kind: ConflictKind | None,
    touched: list[tuple[datetime, datetime | None]],
) -> None:
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}))
    harness = await open_harness(crm(), cdr)
    await filled(harness, *rows)
    request = await erase(harness, ADDRESS)
    asked = [(each.valid_from, each.valid_to) for task in cdr.asked for each in task.identities if each.type is PHONE]
    noted = await harness.pool.fetch("SELECT * FROM register.conflict")
    assert asked == touched
    assert [(row["kind"], row["system"], row["valid_from"], row["request_id"]) for row in noted] == (
        [(kind, "crm", JANUARY, request.request_id)] if kind else []
    )
    assert [done.request_id for done in harness.completed] == ([] if kind else [request.request_id])
    logged = "SELECT detail::json ->> 'kind' FROM evidence.entry WHERE action = 'assignment.conflict'"
    assert [row[0] for row in await harness.pool.fetch(logged)] == ([kind] if kind else [])
    if kind is None:
        return
    again = await erase(harness, ADDRESS)
    [row] = await harness.pool.fetch("SELECT request_id FROM register.conflict")
    assert row["request_id"] == again.request_id, "one statement of a system is one conflict, whichever task meets it"
    await harness.pool.execute("UPDATE register.conflict SET settled_at = now()")
    await erase(harness, ADDRESS)
    assert len(harness.completed) == 1, "the register is right: no task waits for it"


async def test_a_system_that_was_searched_by_something_else_says_which_part_was_not(open_harness: OpenHarness) -> None:
    ticketing = ScriptedSystem("ticketing", needs=frozenset({EMAIL, PHONE}))
    harness = await open_harness(crm(), ticketing)
    await filled(harness, assigned(BEN, JANUARY))
    await erase(harness, ADDRESS, number(MARCH))
    assert [each.type for task in ticketing.asked for each in task.identities if each.type is PHONE] == []
    receipt = await harness.pool.fetchval("SELECT receipt FROM task WHERE system = 'ticketing'")
    assert (receipt["changed"], receipt["not_searched"]) == (2, Unsearched.NUMBER_IN_CONFLICT)


async def test_the_crm_names_every_number_with_its_period_and_customer(crm: Crm) -> None:
    customer = await crm.add()
    assert isinstance(crm.adapter, TrytonAdapter)
    listed = [each for each in await crm.adapter.assignments() if each.account_id == customer.code]
    assert listed == [AssignedNumber(Identity(PHONE, customer.phones[0].number, SINCE, None, SYSTEM), customer.code)]


async def test_customer_erased_in_the_crm_stays_registered(open_harness: OpenHarness, crm: Crm) -> None:
    harness, customer = await open_harness(), await crm.add()
    assert isinstance(crm.adapter, TrytonAdapter)
    await filled(harness, *await crm.adapter.assignments())
    await crm.receipt(task(Operation.ERASE, account(customer.code, SYSTEM)))
    listed = await crm.adapter.assignments()
    assert customer.code not in {each.account_id for each in listed}
    assert (await filled(harness, *listed)).ended == 1
    known = [account(customer.code, SYSTEM), Identity(PHONE, customer.phones[0].number)]
    async with harness.pool.acquire() as connection:
        register = await register_for(connection, harness.unit_of_work.vault.keyring, known)
    [theirs] = [each for each in register.vouched(known) if each.type is PHONE]
    assert (theirs.valid_from, theirs.valid_to) == (SINCE, harness.unit_of_work.clock.now())


# The platform itself reads the register, once for all processes; a reading that loses too much is not believed.
SINCE_OF_READING = datetime(2025, 1, 1, tzinfo=UTC)
BELIEVED = Readings(lost_anyway=1, most_lost_share=0.1)
NUMBERS = 30


@dataclass
class Source(ScriptedSystem):
    """Says whose numbers are whose; ``lost``: those that it no longer knows; ``failure``: what it fails with."""

    assigns: bool = True
    lost: int = 0
    failure: Exception | None = None
    readings: list[int] = field(default_factory=list)

    async def assignments(self) -> Sequence[AssignedNumber]:
        if self.failure is not None:
            raise self.failure
        self.readings.append(NUMBERS - self.lost)
        numbers = (
            Identity(IdentityType.PHONE, f"+4420794600{n:02}", SINCE_OF_READING) for n in range(self.lost, NUMBERS)
        )
        return [AssignedNumber(number, f"C{n}") for n, number in enumerate(numbers, self.lost)]


async def opened(open_harness: OpenHarness, source: Source) -> tuple[Harness, AssignmentReader]:
    harness = await open_harness(source)
    await harness.stand(crm="on")
    return harness, reader(harness, source)


def reader(harness: Harness, source: Source) -> AssignmentReader:
    return AssignmentReader(harness.unit_of_work, source.declared, timedelta(hours=1), BELIEVED, Heartbeats())


async def an_hour_later(harness: Harness) -> None:
    """Ends the lease of the last reader."""
    assert isinstance(harness.unit_of_work.clock, SetClock)
    harness.unit_of_work.clock.pass_by(hours=1)
    await harness.pool.execute("UPDATE lease SET held_until = now() WHERE name = $1", LOOP)


async def held(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM register.assignment WHERE valid_to IS NULL"))


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"system": "crm", **labels})


async def test_of_several_processes_one_reads_and_none_again_before_it_is_time(open_harness: OpenHarness) -> None:
    source = Source("crm")
    harness, first = await opened(open_harness, source)
    second = reader(harness, source)
    for one in (first, second, first):
        await one.look()
    assert (source.readings, await held(harness)) == ([NUMBERS], NUMBERS)
    assert shown("dsr_assignments_read_timestamp_seconds") == harness.unit_of_work.clock.now().timestamp()
    await an_hour_later(harness)
    for one in (second, first):
        await one.look()
    assert source.readings == [NUMBERS] * 2
    assert shown("dsr_assignments_read_timestamp_seconds") == harness.unit_of_work.clock.now().timestamp()


async def test_implausible_reading_ends_nothing_until_the_source_is_whole(open_harness: OpenHarness) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await one.look()
    read_at = shown("dsr_assignments_read_timestamp_seconds")
    for lost, left, failed in ((4, NUMBERS, 1), (0, NUMBERS, 0), (3, NUMBERS - 3, 0)):
        source.lost = lost
        await an_hour_later(harness)
        await one.look()
        assert (await held(harness), shown("dsr_assignments_reading_failed", reason="too_much_lost")) == (left, failed)
        assert (shown("dsr_assignments_read_timestamp_seconds") == read_at) is bool(failed), "its age goes on"


@pytest.mark.parametrize(("failure", "reason"), [(Unavailable("away"), "unavailable"), (ValueError("C7"), "failed")])
async def test_a_source_that_fails_leaves_the_register_as_it_was_and_is_asked_again_within_a_minute(
    open_harness: OpenHarness, failure: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await one.look()
    await an_hour_later(harness)
    source.failure = failure
    await one.look()
    assert (await held(harness), shown("dsr_assignments_reading_failed", reason=reason)) == (NUMBERS, 1)
    again = "SELECT held_until <= now() + interval '1 minute' FROM lease WHERE name = $1"
    assert await harness.pool.fetchval(again, LOOP)
    assert "C7" not in caplog.text
    source.failure = None
    await an_hour_later(harness)
    await one.look()
    assert (len(source.readings), shown("dsr_assignments_reading_failed", reason=reason)) == (2, 0)


async def test_a_source_that_is_quarantined_or_declared_in_another_way_is_not_read(open_harness: OpenHarness) -> None:
    source = Source("crm")
    harness, one = await opened(open_harness, source)
    await harness.stand(crm="quarantined")
    await one.look()
    await harness.stand(crm="on")
    source.fingerprint = "changed since it was accepted"
    await reader(harness, source).look()
    assert source.readings == []


def test_the_policy_that_ships_lets_a_reading_lose_a_fiftieth() -> None:
    believed = assignments_policy().readings
    assert [believed.most_lost(known) for known in (0, 100, 10_000)] == [5, 5, 200]


# A contradiction about whose a number was: the request says what it waits for, and a person decides.
PHONE_OF_CONFLICTS = IdentityType.PHONE
CONFLICTS = "/v1/assignment-conflicts"


def searched(**said: object) -> TaskReport:
    known = {"task_id": uuid7(), "system": "cdr", "operation": Operation.EXPORT, "outcome": TaskOutcome.EXPORTED}
    return TaskReport.model_validate({**known, "found": 2, **said})


async def blocked(intake: Intake, task: TaskReport) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(task,)))
    return path


async def noted(intake: Intake, path: str) -> None:
    now = intake.clock.now()
    conflict = RegisterConflict(b"number", "billing", now - timedelta(days=9), None, ConflictKind.ANOTHER_HOLDER)
    async with intake.unit_of_work.begin() as tx:
        assert len(await record_conflicts(tx.connection, [(UUID(id_of(path)), conflict)], tx.now)) == 1


async def test_a_request_with_a_conflict_says_so_and_it_is_not_the_requester_who_is_asked(intake: Intake) -> None:
    path = await blocked(intake, searched(not_searched=Unsearched.NUMBER_IN_CONFLICT))
    view = await intake.view(path)
    assert (view["state"], "contradict one another" in view["blocked_by"][0]["message"]) == ("awaiting_decision", True)
    assert [(each["result"], each["why"]) for each in view["coverage"]] == [("exported", "number_in_conflict")]
    await intake.decide(path)
    await intake.report(path, searched(not_searched=Unsearched.NUMBER_IN_CONFLICT), outcome="partially_fulfilled")
    answered = await intake.view(path)
    assert (answered["outcome"], answered["blocked_by"]) == ("partially_fulfilled", [])
    assert "We could not search cdr completely: our records do not agree from when to when" in answered["answer"]
    doubted = await intake.view(await blocked(intake, searched(outcome=None, failure="assignment_in_doubt", found=0)))
    assert "several holders" in doubted["blocked_by"][0]["message"]


async def test_a_person_settles_a_conflict_once_and_by_name(intake: Intake) -> None:
    path = await intake.submit()
    await noted(intake, path)
    [conflict] = (await intake.officer.get(CONFLICTS)).raise_for_status().json()["data"]
    assert (conflict["system"], conflict["kind"], conflict["request_id"]) == ("billing", "another_holder", id_of(path))
    settle = f"{CONFLICTS}/{conflict['conflict_id']}/actions/settle"
    (await intake.officer.post(settle)).raise_for_status()
    assert is_problem(await intake.colleague.post(settle), 404, "not_found")
    assert (await intake.officer.get(CONFLICTS)).json()["data"] == []
    [entry] = [each for each in await intake.evidence(path) if each["action"] == "assignment.settled"]
    assert entry["actor"].startswith("key:")
    assert entry["detail"] == {"conflict_id": conflict["conflict_id"], "system": "billing", "kind": "another_holder"}


async def test_conflicts_that_wait_for_a_person_are_counted(intake: Intake) -> None:
    await noted(intake, await intake.submit())
    for wait in (1, 0):
        await intake.count()
        await intake.unit_of_work.pool.execute("UPDATE register.conflict SET settled_at = now()")
        kinds = ("another_holder", "not_in_register")
        counted = [PEOPLE.get_sample_value("dsr_assignment_conflicts", {"kind": kind}) for kind in kinds]
        assert counted == [wait, 0]


async def learned(intake: Intake, *numbers: str, until: timedelta | None = None) -> None:
    """The register's source was read, and says now whose these are."""
    intake.clock.pass_by(hours=1)
    now = intake.clock.now()
    end = now + until if until else None
    rows = [
        AssignedNumber(Identity(PHONE_OF_CONFLICTS, number, now - timedelta(days=99), end), "C1") for number in numbers
    ]
    async with intake.unit_of_work.pool.acquire() as connection:
        await fill(connection, intake.unit_of_work.vault.keyring, "crm", "crm", rows, now)
        await announce(connection, now + timedelta(seconds=1))


NUMBER_OF_CONFLICTS, ANOTHER = "+442079460000", "+442079460999"
UNKNOWN, CONFLICT = Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NUMBER_IN_CONFLICT


async def waiting(intake: Intake, why: Unsearched = CONFLICT) -> str:
    """A request by that number, of which a part was not searched."""
    known = {
        "email": f"ada.{intake.submitted}@example.com",
        "phones": [{"number": NUMBER_OF_CONFLICTS}],
        "country": "DE",
    }
    path = await intake.submit(subject=known)
    task = searched(not_searched=why)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(task,)))
    return path


async def test_what_waits_for_a_conflict_goes_on_once_that_is_settled_and_nothing_else_does(intake: Intake) -> None:
    path, other = await waiting(intake), await blocked(intake, searched(not_searched=CONFLICT))
    known, now = (
        intake.unit_of_work.vault.keyring.fingerprint(Identity(PHONE_OF_CONFLICTS, NUMBER_OF_CONFLICTS)),
        intake.clock.now(),
    )
    conflict = RegisterConflict(known, "billing", now - timedelta(days=9), None, ConflictKind.ANOTHER_HOLDER)
    async with intake.unit_of_work.begin() as tx:
        await record_conflicts(tx.connection, [(UUID(id_of(path)), conflict)], tx.now)
    assert await search_again(intake.unit_of_work) == 0
    [listed] = (await intake.officer.get(CONFLICTS)).json()["data"]
    intake.clock.pass_by(hours=1)
    (await intake.officer.post(f"{CONFLICTS}/{listed['conflict_id']}/actions/settle")).raise_for_status()
    assert [await search_again(intake.unit_of_work) for _ in range(2)] == [2, 0]
    assert [(await intake.view(each))["state"] for each in (path, other)] == ["in_progress", "awaiting_decision"]
    assert (await intake.types())[-1] == "retry_requested"
    assert "search.begun_again" in await intake.actions(path)


async def test_what_was_left_out_is_searched_once_the_register_knows_more_of_that_very_number(intake: Intake) -> None:
    path = await waiting(intake, UNKNOWN)
    assert (await intake.view(path))["state"] == "awaiting_clarification"
    await learned(intake, ANOTHER)
    assert await search_again(intake.unit_of_work) == 1
    assert (await intake.view(path))["state"] == "awaiting_clarification", "it knows no more of theirs"
    await learned(intake, ANOTHER, NUMBER_OF_CONFLICTS)
    assert [await search_again(intake.unit_of_work) for _ in range(2)] == [1, 0]
    assert (await intake.types())[-2:] == ["question_answered", "retry_requested"]
    assert (await intake.view(path))["state"] == "in_progress"
    await intake.consume(
        a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(searched(not_searched=UNKNOWN),))
    )
    assert (await intake.view(path))["state"] == "awaiting_clarification", "it may be asked again"


async def test_of_an_answered_request_what_is_owed_is_searched_again_and_what_is_ended_is_not(intake: Intake) -> None:
    paths = [await waiting(intake) for _ in range(2)]
    await intake.decide(paths[0], reason="NOT_SEARCHABLE", article="11(2)")
    await intake.decide(paths[1], reason="RIGHTS_OF_OTHERS", article="15(4)")
    for path in paths:
        await intake.report(path, searched(not_searched=CONFLICT), outcome="partially_fulfilled")
    await learned(intake, NUMBER_OF_CONFLICTS)
    before = len(await intake.types())
    assert await search_again(intake.unit_of_work) == 1
    said = (await intake.published())[before:]
    assert [(each["type"], each["request_id"]) for each in said] == [
        ("dsr.request.retry_requested.v1", id_of(paths[0]))
    ]
