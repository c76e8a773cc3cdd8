"""A rectification whose accuracy is contested restricts the data until they are corrected (Art. 18(1)(a))."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from services.amendment import handlers
from shared.domain.errors import NotSupported, Refused, SystemRefused
from shared.domain.events import (
    FulfilmentBlocked,
    LiftDecided,
    RequestVerified,
    RestrictionNeeded,
    RetryDecided,
)
from shared.domain.identities import Identity
from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome, TaskReport
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.fulfilment import handlers as fulfilling
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, call, each, engine, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem
from tests.fixtures.events import a
from tests.fixtures.intake import PROOF, Intake, id_of

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
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    body = " ".join((await intake.letters(path))[-1]["body"].split())
    short = (await intake.view(other))["reference"]
    assert f"Your data stay restricted for your request of 2 March 2026 (reference {short})." in body
    (await intake.officer.post(f"{other}/lift")).raise_for_status()
    assert "stay restricted" not in (await intake.letters(other))[-1]["body"]


@pytest.mark.parametrize("right", ["access", "erasure"])
async def test_nothing_else_is_contested(intake: Intake, right: str) -> None:
    said = {"right": right, "subject": {"email": "ada@example.org"}, "contested": True, **PROOF}
    assert (await intake.channel.post("/v1/requests", json=said)).status_code == 422


def corrected(system: str, **said: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=Operation.RECTIFY, **{"outcome": None} | said)


async def stuck(intake: Intake, **failed: Any) -> str:
    """A rectification that one system has done and another cannot do at once."""
    path = await intake.submit(**CITY)
    done = corrected("crm", outcome=TaskOutcome.AMENDED, found=1, changed=1)
    event = {
        "right": Right.RECTIFICATION,
        "operation": Operation.RECTIFY,
        "tasks": (done, corrected("switch", **failed)),
    }
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **event))
    return path


@pytest.mark.parametrize("failure", ["not_supported", "refused", "residue_found"])
async def test_value_that_a_system_cannot_change_at_once_is_restricted(intake: Intake, failure: str) -> None:
    path = await stuck(intake, failure=failure)
    assert (await intake.types())[-1] == "restriction_needed"
    view = await intake.view(path)
    assert view["state"] == "awaiting_decision"
    assert "cannot correct your data at once. Until that is settled we restrict your data (Art." in view["answer"]
    assert await intake.details(path, "restriction.needed") == [{"systems": ["switch"]}]


async def test_it_is_restricted_once_and_lifted_when_it_is_corrected_after_all(intake: Intake) -> None:
    path = await stuck(intake, failure="refused")
    said: dict[str, Any] = {"right": Right.RECTIFICATION}
    await intake.complete(path, **said, operation=Operation.RESTRICT)
    assert (await intake.view(path))["state"] == "awaiting_decision"  # nothing is answered by that
    (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).raise_for_status()
    again = {"operation": Operation.RECTIFY, "tasks": (corrected("switch", failure="refused"),)}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **said, **again))
    assert (await intake.types()).count("restriction_needed") == 1
    await intake.complete(path, **said, operation=Operation.RECTIFY)
    assert (await intake.view(path))["outcome"] == "fulfilled"
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion"]
    assert "decided on" in (await intake.letters(path))[-1]["body"]


async def test_what_must_be_restricted_by_hand_is_shown_beside_what_must_be_corrected_by_hand(intake: Intake) -> None:
    path = await stuck(intake, failure="not_supported")
    todo = corrected("switch", failure="not_supported").model_copy(update={"operation": Operation.RESTRICT})
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RESTRICT, "tasks": (todo,)}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), **said))
    tasks = (await intake.view(path))["tasks"]
    waiting = {(task["system"], task["operation"]) for task in tasks if task.get("failure") == "not_supported"}
    assert waiting == {("switch", "rectify"), ("switch", "restrict")}
    for _ in waiting:
        body = {"system": "switch", "found": 1, "changed": 1}
        (await intake.officer.post(f"{path}/task-result", json=body)).raise_for_status()
    assert not [task for task in (await intake.view(path))["tasks"] if task.get("failure")]


IN_FORCE = "SELECT request_id FROM restriction WHERE lifted_at IS NULL"


async def refusing(tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
    del save_progress
    return [Refused("it cannot change that")] * len(tasks)


async def amending(open_harness: OpenHarness, *systems: ScriptedSystem) -> Harness:
    amendment = await open_harness(*systems, service=ServiceName.AMENDMENT)
    amendment.concludes = dict.fromkeys(
        Operation, lambda completed, tx: handlers.finish(amendment.fulfilments, completed, tx)
    )
    return amendment


async def test_restriction_precedes_the_correction_and_ends_with_the_lift(open_harness: OpenHarness) -> None:
    crm, switch = ScriptedSystem("crm"), ScriptedSystem("switch")
    amendment = await amending(open_harness, crm, switch)
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "subject": await amendment.subject()}
    event = a(RequestVerified, **said)
    switch.answers[Operation.RECTIFY] = refusing
    async with amendment.unit_of_work.begin() as tx:
        await handlers.begin(amendment.fulfilments, [event], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.RECTIFY).work()
    assert await amendment.outbox() == ["dsr.fulfilment.blocked.v1"]
    needed = a(RestrictionNeeded, event)
    async with amendment.unit_of_work.begin() as tx:
        await handlers.restrict_meanwhile(amendment.fulfilments, [needed], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.RESTRICT).work()
    assert (
        await amendment.pool.fetchval("SELECT request_id FROM restriction WHERE lifted_at IS NULL") == event.request_id
    )
    turns = "SELECT operation FROM fulfilment WHERE request_id = $1 ORDER BY opened_at"
    order = [row[0] for row in await amendment.pool.fetch(turns, event.request_id)]
    assert order == ["restrict", "rectify"]  # a store lets the later of two stand
    async with amendment.unit_of_work.begin() as tx:
        switch.answers.clear()
        await fulfilling.retry(amendment.fulfilments, [a(RetryDecided, event)], tx)
    await amendment.worker("switch", Operation.RECTIFY).work()
    assert (await amendment.outbox())[-1] == "dsr.fulfilment.completed.v1"
    async with amendment.unit_of_work.begin() as tx:
        await handlers.lift(amendment.fulfilments, [a(LiftDecided, event)], tx)
    for system in ("crm", "switch"):
        await amendment.worker(system, Operation.LIFT).work()
    assert await amendment.pool.fetchval(IN_FORCE) is None


async def test_a_restriction_that_is_not_done_is_called_off_by_the_lift(open_harness: OpenHarness) -> None:
    amendment = await amending(open_harness, ScriptedSystem("crm"))
    event = a(RestrictionNeeded, right=Right.RECTIFICATION, subject=await amendment.subject())
    async with amendment.unit_of_work.begin() as tx:
        await handlers.restrict_meanwhile(amendment.fulfilments, [event], tx)
    async with amendment.unit_of_work.begin() as tx:
        await handlers.lift(amendment.fulfilments, [a(LiftDecided, event)], tx)
    assert await amendment.states(event.request_id) == {"crm:restrict": "cancelled", "crm:lift": "ready"}


# A call record is not rewritten: what the person says of it stands beside it, and goes where it goes (Art. 16).
STARTED = "2026-03-02T10:00:00+00:00"
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
SAID = "seconds: it was 20 seconds (2026-11-27)"
HELD = "SELECT field, said FROM dsr_platform.stated ORDER BY field, said"


def says(subject: Identity, asserted: str, field: str = "seconds", started: str = STARTED) -> Task:
    """A statement about the calls of somebody that an access shows as begun then."""
    meant = ShownRecord(category="call_record", fields={"started": started})
    about = Change(field=field, asserted=asserted, record=meant)
    return replace(task(Operation.RECTIFY, subject), changes=(about,), at=AT)


async def read(calls: SqlEngine, subject: Identity) -> Mapping[str, Any]:
    """What the call record of somebody shows them."""
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
    both = await calls.run(*each(Operation.EXPORT, number(ANNA), number(BORIS)))
    told = [[r for r in receipt(one).records if "statement" in r.data] for one in both]
    assert [len(theirs) for theirs in told] == [1, 0], "in one call too, whose the statement is not reads none"
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
    assert {SAID, "seconds: 22 seconds (2026-11-27)"} <= {*shown}, "nothing that was told to stand there is gone"


@pytest.mark.parametrize(
    ("subject", "started"),
    [(number(ANNA), "2026-03-02T10:00:01+00:00"), (number(ANNA), "2026-04-01T10:00:00+00:00")],
    ids=["nobody's call", "somebody else's call"],
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
    assert "nosuch" not in str(refused), "whatever somebody has written there"
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
            for who in ("boris@example.org", "nobody@example.org")
        ]
        left, nobody = await customers.run(*said)
    assert isinstance(left, NotSupported)
    assert "contact of store holds records of theirs and keeps no statements" in str(left)
    assert receipt(nobody).outcome is TaskOutcome.NO_MATCH
