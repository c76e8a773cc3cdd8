"""Restrictions: while accuracy is contested (Art. 18(1)(a)), and where several are about the same people."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from services.amendment import handlers
from services.amendment import handlers as amendment
from shared.domain.errors import LimitExceeded, NotSupported, SystemRefused
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentReported,
    LiftDecided,
    RequestVerified,
    RequestWithdrawn,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Exceeded, Limit, Operation, ShownRecord, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.store import FulfilmentResult
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, call, engine, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of
from tests.integration.test_deferred_answers import flat, waiting
from tests.integration.test_immediate_stop import EMAIL, FOUND, company, work

CITY: dict[str, Any] = {"right": "rectification", "changes": [{"field": "address.city", "asserted": "Potsdam"}]}


RESTRICTED = TaskReport(
    task_id=uuid7(), system="crm", operation=Operation.RESTRICT, outcome=TaskOutcome.AMENDED, found=1, changed=1
)


async def restrict(intake: Intake, path: str) -> None:
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RESTRICT, "tasks": (RESTRICTED,)}
    await intake.complete(path, **said)


async def test_every_system_restricts_before_any_corrects(open_harness: OpenHarness) -> None:
    crm, calls = ScriptedSystem("crm"), ScriptedSystem("calls")
    amendment = await open_harness(crm, calls, service=ServiceName.AMENDMENT)
    amendment.concludes = dict.fromkeys(
        Operation, lambda completed, tx: handlers.finish(amendment.fulfilments, completed, tx)
    )
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "subject": await amendment.subject()}
    plain, contested = a(RequestVerified, **said), a(RequestVerified, **said, scope="accuracy_contested")
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [plain, contested], tx)
    assert set(await amendment.states(plain.request_id)) == {"crm:rectify", "calls:rectify"}
    await amendment.worker("crm", Operation.RESTRICT).work()
    assert set(await amendment.states(contested.request_id)) == {"crm:restrict", "calls:restrict"}
    await amendment.worker("calls", Operation.RESTRICT).work()
    states = await amendment.states(contested.request_id)
    assert {step for step, state in states.items() if state == "ready"} == {"crm:rectify", "calls:rectify"}
    assert await amendment.pool.fetchval("SELECT request_id FROM restriction") == contested.request_id
    assert await amendment.outbox() == ["dsr.fulfilment.completed.v1"]  # of the restriction: nothing is answered yet
    for system in ("crm", "calls"):
        await amendment.worker(system, Operation.RECTIFY).work()
    assert (await amendment.outbox()).count("dsr.fulfilment.completed.v1") == 3


async def test_the_letter_of_a_lift_names_what_else_restricts_the_same_person(intake: Intake) -> None:
    same = {"subject": {"email": "ada@example.org", "country": "DE"}}
    other = await intake.submit(right="restriction", ground="unlawful", **same)
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT, "tasks": (RESTRICTED,)}
    await intake.complete(other, **said)
    path = await intake.submit(**CITY, contested=True, **same)
    await restrict(intake, path)
    (await intake.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    body = " ".join((await intake.letters(path))[-1]["body"].split())
    short = (await intake.view(other))["reference"]
    assert f"Your data stay restricted for your request of 2 March 2026 (reference {short})." in body
    (await intake.officer.post(f"{other}/actions/lift")).raise_for_status()
    assert "stay restricted" not in (await intake.letters(other))[-1]["body"]


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_nothing_else_is_contested(intake: Intake, right: str) -> None:
    said = {"right": right, "subject": {"email": "ada@example.org"}, "contested": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422


# A call record is not rewritten: the person's statement is stored with it and copied with it (Art. 16).
STARTED = "2026-03-02T10:00:00+00:00"
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
SAID = "seconds: it was 20 seconds (2026-11-27)"
HELD = "SELECT field, said FROM dsr_platform.stated ORDER BY field, said"


def says(subject: Identity, asserted: str, field: str = "seconds", started: str = STARTED) -> Task:
    """Returns a statement about calls that an access shows as begun then."""
    meant = ShownRecord(category="call_record", fields={"started": started})
    about = Change(field=field, asserted=asserted, record=meant)
    return replace(task(Operation.RECTIFY, subject), changes=(about,), at=AT)


async def read(calls: SqlEngine, subject: Identity) -> Mapping[str, Any]:
    """Returns what a person's call record shows them."""
    records = (await calls.receipt(task(Operation.EXPORT, subject))).records
    [record] = [each for each in records if each.category == "call_record"]
    assert record.portable
    assert "statement" not in record.not_provided
    return record.data


async def test_statement_stands_next_to_its_record_for_its_author_alone(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, "2026-04-01")])
    row = "SELECT duration, caller, callee FROM acc_cdrs ORDER BY start_time"
    before = await ask(cdr_store.admin, row)
    done = await calls.receipt(first := says(number(ANNA), "it was 20 seconds"))
    assert (done.outcome, done.changed, done.corrected, done.stated) == (TaskOutcome.AMENDED, 0, (1,), True)
    assert done.by_category == {"call_record": 1}
    assert (await read(calls, number(ANNA)))["statement"] == SAID
    assert "statement" not in await read(calls, number(CHIARA))
    both = await calls.run(*(task(Operation.EXPORT, number(who)) for who in (ANNA, BORIS)))
    stated = [[r for r in receipt(one).records if "statement" in r.data] for one in both]
    assert [len(theirs) for theirs in stated] == [1, 0], "in one call too, whose the statement is not reads none"
    assert await ask(cdr_store.admin, row) == before
    assert await calls.receipt(calls.again(first)) == done
    await calls.receipt(says(number(ANNA), "22 seconds"))
    await calls.receipt(says(number(ANNA), "I called the shop", "to"))
    all_said = "it was 20 seconds (2026-11-27)\nseconds: 22 seconds"
    assert await ask(cdr_store.admin, HELD) == [("seconds", all_said), ("to", "I called the shop")]
    await calls.receipt(calls.again(first))
    assert await ask(cdr_store.admin, HELD) == [("seconds", all_said), ("to", "I called the shop")], (
        "each stands there once"
    )
    shown = (await read(calls, number(ANNA)))["statement"].split("\n")
    assert {SAID, "seconds: 22 seconds (2026-11-27)"} <= {*shown}, "no stored statement is gone"


@pytest.mark.parametrize(
    ("subject", "started"),
    [(number(ANNA), "2026-03-02T10:00:01+00:00"), (number(ANNA), "2026-04-01T10:00:00+00:00")],
    ids=["unassigned call", "another person's call"],
)
async def test_a_record_that_an_access_would_not_show_them_bears_no_statement(
    cdr_store: CdrStore, calls: SqlEngine, subject: Identity, started: str
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, "2026-04-01")])
    left = await calls.receipt(says(subject, "not me", started=started))
    assert (left.outcome, left.corrected, left.stated) == (TaskOutcome.UNCHANGED, (0,), True)
    assert await ask(cdr_store.admin, HELD) == []


async def test_statement_about_an_unknown_field_names_the_known_ones(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    refused = await calls.one(says(number(ANNA), "x", "nosuch"))
    assert isinstance(refused, SystemRefused)
    assert "seconds" in str(refused)
    assert "nosuch" not in str(refused), "free text is not repeated"
    assert await ask(cdr_store.admin, HELD) == []


async def test_a_number_that_is_withheld_from_them_names_no_record(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, pai=ANNA)])
    meant = ShownRecord(category="call_record", fields={"from": ANNA, "network_number": ANNA})
    asked = replace(
        task(Operation.RECTIFY, number(BORIS)), changes=(Change(field="from", asserted="x", record=meant),), at=AT
    )
    assert (await calls.receipt(asked)).corrected == (0,)


async def test_statement_ends_with_the_erasure_of_its_author(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    await calls.receipt(says(number(ANNA), "A"))
    await calls.receipt(says(number(BORIS), "B"))
    await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert await ask(cdr_store.admin, HELD) == [("seconds", "B")]
    assert (await read(calls, number(BORIS)))["statement"] == "seconds: B (2026-11-27)"
    await calls.receipt(task(Operation.ERASE, number(BORIS)))
    assert await ask(cdr_store.admin, HELD) == []


async def test_statement_is_deleted_with_its_record_at_the_ceiling(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(ANNA, BORIS, "2026-04-02")])
    for asked in (says(number(ANNA), "old"), says(number(ANNA), "new", started="2026-04-02T10:00:00+00:00")):
        await calls.receipt(asked)
    await sweep(calls, due("acc_cdrs", "call_start", "2026-04-01"))
    assert await ask(cdr_store.admin, HELD) == [("seconds", "new")]


async def test_record_in_a_table_without_statements_is_manual(customer_store: CustomerStore) -> None:
    """Two tables of one category, of which one alone bears statements."""
    text = customer_store.dataset.read_text(encoding="utf-8")
    both = text.replace('category = "number"', 'category = "contact"\nstated = true', 1)
    customer_store.dataset.write_text(both, encoding="utf-8")
    meant = ShownRecord(category="contact", fields={"subject": "Invoice"})
    about = Change(field="subject", asserted="I never asked", record=meant)
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        said = [
            replace(task(Operation.RECTIFY, email(who)), changes=(about,), at=AT)
            for who in ("boris@example.org", "unknown@example.org")
        ]
        left, unknown = await customers.run(*said)
    assert isinstance(left, NotSupported)
    assert "contact of store holds records of the subject and stores no statements" in str(left)
    assert receipt(unknown).outcome is TaskOutcome.NO_MATCH


# Restrictions of the same people: each falls alone, and the flag that a system has for a person with the last (M3).

ADA, ACCOUNT = Identity(IdentityType.EMAIL, "ada@example.org"), Identity(IdentityType.ACCOUNT_ID, "C-1")
ELSE = Identity(IdentityType.EMAIL, "noa@example.org")
DUE = date(2026, 4, 2)


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """Amendment with a CRM, which has one flag for a person, and a store of calls, which counts requests."""
    harness = await open_harness(ScriptedSystem("crm"), ScriptedSystem("calls"), service=ServiceName.AMENDMENT)
    harness.fulfilments.one_flag = {"crm"}
    return harness


async def restricted(harness: Harness, *identities: Identity) -> LiftDecided:
    """Returns the event that lifts a restriction in force."""
    event = a(RequestVerified, right=Right.RESTRICTION, subject=await harness.subject(*identities), due_on=DUE)
    await conclude(harness, event.request_id, event.subject, Operation.RESTRICT)
    return a(LiftDecided, about=event, due_on=DUE)


async def conclude(harness: Harness, request_id: UUID, subject: UUID, operation: Operation) -> None:
    report = TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=TaskOutcome.AMENDED, found=1)
    done = FulfilmentResult(uuid7(), request_id, subject, Right.RESTRICTION, operation, {}, (report,))
    async with harness.unit_of_work.begin() as tx:
        await amendment.finish(harness.fulfilments, [done], tx)


async def lift(harness: Harness, *decided: LiftDecided) -> None:
    async with harness.unit_of_work.begin() as tx:
        await amendment.lift(harness.fulfilments, decided, tx)


async def lifted_in(harness: Harness, decided: LiftDecided) -> set[str]:
    states = await harness.states(decided.request_id)
    return {step.partition(":")[0] for step in states if step.endswith(":lift")}


async def test_flag_stays_while_another_restriction_covers_the_subject(harness: Harness) -> None:
    first, second = [await restricted(harness, ADA, ACCOUNT) for _ in range(2)]
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"calls"}
    assert "restriction.kept_by_another" in await harness.actions(first.request_id)
    await lift(harness, second)
    assert await lifted_in(harness, second) == {"crm", "calls"}


async def test_two_concurrent_lifts_clear_the_flag(harness: Harness) -> None:
    first, second = [await restricted(harness, ADA) for _ in range(2)]
    await lift(harness, first, second)
    assert await lifted_in(harness, first) == await lifted_in(harness, second) == {"crm", "calls"}


async def test_restriction_of_another_person_keeps_no_flag(harness: Harness) -> None:
    first, _other = await restricted(harness, ADA), await restricted(harness, ELSE)
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"crm", "calls"}


async def test_partly_covered_flag_is_restored_immediately(harness: Harness) -> None:
    first, other = await restricted(harness, ADA, ELSE), await restricted(harness, ADA)
    await lift(harness, first)
    assert await lifted_in(harness, first) == {"crm", "calls"}
    assert await harness.states(other.request_id) == {}
    await conclude(harness, first.request_id, first.subject, Operation.LIFT)
    assert await harness.states(other.request_id) == {"crm:restrict": "ready"}


async def test_what_has_flags_alone_has_nothing_to_lift_and_says_so(harness: Harness) -> None:
    harness.fulfilments.one_flag = {"crm", "calls"}
    first, _second = [await restricted(harness, ADA) for _ in range(2)]
    await lift(harness, first)
    assert await harness.states(first.request_id) == {}
    assert await harness.pool.fetchval("SELECT count(*) FROM restriction WHERE lifted_at IS NOT NULL") == 1
    assert "dsr.fulfilment.completed.v1" in await harness.outbox()


async def found(harness: Harness, **flags: bool) -> LiftDecided:
    """Returns the event that lifts a restriction whose CRM noted the preexisting flags."""
    event = a(RequestVerified, right=Right.RESTRICTION, subject=await harness.subject(ADA, ACCOUNT), due_on=DUE)

    async def note(tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await save_progress({task.task_id: {"flags": {**flags}} for task in tasks})
        return [Receipt(task.task_id, TaskOutcome.AMENDED, found=1, changed=1) for task in tasks]

    harness.systems["crm"].answers[Operation.RESTRICT] = note
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    for system in harness.systems:
        await harness.worker(system, Operation.RESTRICT).work()
    return a(LiftDecided, about=event, due_on=DUE)


async def left(harness: Harness, decided: LiftDecided) -> object:
    """Returns the preexisting flags that the lift of a request leaves."""
    query = "SELECT details -> 'left' FROM fulfilment WHERE request_id = $1 AND operation = 'lift'"
    return await harness.pool.fetchval(query, decided.request_id)


@pytest.fixture
def amending_stacked(harness: Harness) -> Harness:
    """The same, and what is completed is concluded."""
    harness.concludes = dict.fromkeys(
        Operation, lambda completed, tx: amendment.finish(harness.fulfilments, completed, tx)
    )
    return harness


async def test_a_flag_that_an_agent_had_set_before_ours_is_left_by_the_lift(amending_stacked: Harness) -> None:
    first = await found(amending_stacked, p12=True, p13=False)
    await lift(amending_stacked, first)
    assert await left(amending_stacked, first) == {"crm": ["p12"]}
    assert "restriction.left_as_found" in await amending_stacked.actions(first.request_id)
    for system in amending_stacked.systems:
        await amending_stacked.worker(system, Operation.LIFT).work()
    assert await amending_stacked.pool.fetchval("SELECT count(*) FROM restriction_flag") == 0


@pytest.mark.parametrize("agents", [True, False])
async def test_first_of_several_tells_the_former_flag(amending_stacked: Harness, *, agents: bool) -> None:
    first, second = await found(amending_stacked, p12=agents), await found(amending_stacked, p12=True)
    await lift(amending_stacked, first)
    for system in amending_stacked.systems:
        await amending_stacked.worker(system, Operation.LIFT).work()
    await lift(amending_stacked, second)
    assert await left(amending_stacked, second) == ({"crm": ["p12"]} if agents else None)


async def test_of_two_concurrent_one_without_a_flag_decides_for_both(amending_stacked: Harness) -> None:
    later = await found(amending_stacked, p12=True)  # it saw what the other had just set, and was noted before it
    earlier = await found(amending_stacked, p12=False)
    await lift(amending_stacked, earlier, later)
    assert (await left(amending_stacked, earlier), await left(amending_stacked, later)) == (None, None)


# What was restricted is lifted by what it was restricted by; what a system has not lifted is a person's.
LOCATE, RESTRICT, LIFT = Operation.LOCATE, Operation.RESTRICT, Operation.LIFT
SEVERAL = Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)


async def test_withdrawal_lifts_by_the_same_identities_without_locating(open_harness: OpenHarness) -> None:
    """A shop shares an address between two people, of whom the other stays unknown."""
    crm, postbox, shop = company(FOUND)
    several = each(lambda _: LimitExceeded("2 are found", SEVERAL))
    register = ScriptedSystem("register", yields=crm.yields, answers={LOCATE: several, RESTRICT: several})
    for system in (crm, postbox, shop):
        system.answers |= dict.fromkeys(
            (RESTRICT, LIFT), each(lambda t: Receipt(t.task_id, TaskOutcome.AMENDED, 1, changed=1))
        )
    harness = await open_harness(crm, postbox, shop, register, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys((RESTRICT, LIFT), partial(handlers.finish, harness.fulfilments))
    said: dict[str, Any] = {"subject": await harness.subject(EMAIL), "right": Right.RESTRICTION}
    event = a(RequestVerified, **said, scope="unlawful")
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [event], tx)
    await work(harness, ("crm", RESTRICT), ("list", RESTRICT), ("crm", LOCATE), ("register", LOCATE))
    assert await harness.fulfilment_state(event.request_id) == "blocked"
    about: dict[str, Any] = {"about": event.request_id, **said}
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.cancel([a(RequestWithdrawn, **about)], tx)
        await handlers.lift(harness.fulfilments, [a(LiftDecided, **about)], tx)
    await work(harness, *((name, operation) for name in harness.systems for operation in (LOCATE, LIFT)))
    lifted = {name: t.identities for name, of in harness.systems.items() for t in of.asked if t.operation is LIFT}
    restricted = {n: t.identities for n, of in harness.systems.items() for t in of.asked if t.operation is RESTRICT}
    assert restricted.keys() == {"crm", "list"}
    assert all(set(identities) <= set(lifted[name]) for name, identities in restricted.items())
    assert "shop" in lifted, "by the account that a system yielded"
    assert "restriction.lifted" in await harness.actions(event.request_id)
    async with harness.unit_of_work.begin() as tx:
        known = (await tx.vault.subject_data(tx.connection, [event.subject]))[event.subject]
    assert [each_of.source for each_of in known.identities] == ["requester"], "what was collected is dropped after that"


def report(operation: Operation, outcome: TaskOutcome | None = TaskOutcome.AMENDED, **more: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": "shop", "operation": operation, "outcome": outcome}
    return TaskReport.model_validate(known | more)


async def withdrawn(intake: Intake) -> str:
    """Returns a withdrawn restriction that was partly done and is not lifted."""
    path = await intake.submit(right="restriction", ground="unlawful", **PROOF)
    about: dict[str, Any] = {"about": id_of(path), "right": Right.RESTRICTION}
    restricted = report(RESTRICT, found=1, changed=1)
    await intake.consume(
        a(FulfilmentReported, **about, operation=RESTRICT, tasks=(restricted,), so_far=True, outcome=Outcome.FULFILLED)
    )
    (await intake.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    letter = (await intake.letters(path))[-1]
    assert letter["kind"] == "answer"
    assert "lifted on" not in flat(letter)
    assert "decided to lift that restriction" in flat(letter)
    stopped = report(LIFT, None, failure="limit_exceeded", exceeded=SEVERAL)
    await intake.consume(a(FulfilmentBlocked, **about, operation=LIFT, tasks=(stopped,)))
    return path


async def test_stopped_lift_stays_listed_for_review_until_it_is_done(intake: Intake) -> None:
    path = await withdrawn(intake)
    assert await waiting(intake) == [id_of(path)]
    view = await intake.view(path)
    assert "In shop what was restricted is not lifted" in view["blocked_by"][0]["message"]
    assert "Not lifted so far, since a person does that by hand: shop." in view["answer"]
    beyond = {"system": "shop", "limit": "max_people"}
    for officer, decision, said, status in (
        (intake.officer, "retry", {}, 200),
        (intake.officer, "exceed-limit", beyond, 202),
        (intake.officer, "record-result", {"system": "shop", "found": 1, "changed": 1}, 409),
        (intake.colleague, "exceed-limit", beyond, 200),
    ):
        answered = await officer.post(f"{path}/actions/{decision}", json=said)
        assert answered.status_code == status, (decision, answered.text)
    assert {"retry_requested", "limit_confirmed"} <= {*await intake.types()}
    await intake.complete(path, operation=LIFT, tasks=(report(LIFT, found=1, changed=1),))
    assert ((await intake.view(path))["blocked_by"], await waiting(intake)) == ([], [])
    assert "restriction was lifted on" in (await intake.view(path))["answer"]
