"""Without an operation in a system, a person does the work and enters it; nothing else ends the task."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.intake.access.auth import create
from shared.domain.errors import LimitExceeded, NotSupported, Refused, TableMissing, WrongPersonMatch
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, LimitConfirmed, TaskRecorded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, TaskReport
from shared.domain.proofs import ProofAction
from shared.domain.rights import Outcome, Right
from shared.fulfilment import handlers
from shared.fulfilment.store import NewFulfilment
from shared.storage.subject_data import encode_identities
from shared.storage.vault import MANUAL_STEPS, Sealing
from shared.systems.bus.identity_token import IdentityToken, issue
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.settings import LimitedSettings
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, beyond, id_of


class Team(ScriptedSystem):
    """A system that can erase, and nothing else."""

    @property
    def declared(self) -> Downstream:
        return Downstream(self.system, self.needs, adapter=_Erasing(), needed=dict.fromkeys(ProofAction, "L0"))


class _Erasing:
    can = Capabilities()

    async def erase(self) -> None: ...

    async def close(self) -> None: ...


async def asked(harness: Harness, right: Right, operation: Operation) -> UUID:
    new = NewFulfilment(UUID(int=7), await harness.subject(), right, operation, DUE)
    await harness.open(new)
    return new.request_id


async def enter(harness: Harness, request: UUID, task: TaskReport, found: int = 3) -> None:
    known = {"task_id": task.task_id, "system": task.system, "operation": task.operation, "by_hand": True}
    done = TaskReport.model_validate({**known, "outcome": TaskOutcome.AMENDED, "found": found})
    event = a(TaskRecorded, about=str(request), task=done)
    async with harness.unit_of_work.begin() as tx:
        await handlers.record(harness.fulfilments, harness.concludes, [event], tx)


@pytest.mark.parametrize("operation", [Operation.EXPORT, Operation.RESTRICT, Operation.SUPPRESS, Operation.RECTIFY])
async def test_unsupported_operation_completes_by_manual_entry(open_harness: OpenHarness, operation: Operation) -> None:
    harness = await open_harness(ScriptedSystem("crm"), Team("billing"))
    request = await asked(harness, Right.ACCESS, operation)
    await harness.worker("crm", operation).work()
    task = await harness.manual_task()
    assert (harness.completed, await harness.fulfilment_state(request)) == ([], "blocked")
    assert (task.system, task.failure) == ("billing", "not_supported")
    assert task.sentence == f"billing has no way to {operation}: do it there by hand, and enter what was done"

    await harness.retry(request)  # there is nothing that could be tried again: it waits as before
    assert await harness.fulfilment_state(request) == "blocked"
    await enter(harness, request, task)
    [done] = harness.completed
    assert {(report.system, report.by_hand, report.failure) for report in done.reports} == {
        ("crm", None, None),
        ("billing", True, None),
    }
    assert done.outcome is Outcome.FULFILLED
    await enter(harness, request, task)  # the same event once more
    assert (len(harness.completed), (await harness.actions(request))[-1]) == (1, "task.recorded_late")


async def test_manual_task_alone_waits_immediately_and_others_are_located_first(open_harness: OpenHarness) -> None:
    phones = ScriptedSystem("crm").needs
    crm = ScriptedSystem("crm", yields=phones)
    harness = await open_harness(crm, Team("billing"))
    await harness.stand(crm="retired", billing="on")
    request = await asked(harness, Right.RESTRICTION, Operation.RESTRICT)
    assert (await harness.states(request), await harness.fulfilment_state(request)) == (
        {"billing:restrict": "failed"},
        "blocked",
    )
    await harness.stand(crm="on")
    later = NewFulfilment(UUID(int=8), await harness.subject(), Right.RESTRICTION, Operation.RESTRICT, DUE)
    await harness.open(later)
    assert (await harness.states(later.request_id))["billing:restrict"] == "waiting"
    await harness.worker("crm", Operation.LOCATE).work()
    assert (await harness.states(later.request_id))["billing:restrict"] == "failed"
    assert await harness.fulfilment_state(later.request_id) == "open"


async def test_nightly_repair_makes_no_manual_task(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"), Team("billing"))
    subject, repair = await harness.subject(), {"repair": True}
    await harness.open(NewFulfilment(UUID(int=9), subject, Right.RESTRICTION, Operation.RESTRICT, DUE, repair))
    assert await harness.states(UUID(int=9)) == {"crm:restrict": "ready"}


async def test_shared_address_makes_the_task_manual(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.EMAIL}))
    billing = ScriptedSystem("billing")
    crm.answers[Operation.LOCATE] = located
    harness = await open_harness(crm, billing)
    request = await asked(harness, Right.ERASURE, Operation.ERASE)
    await harness.worker("crm", Operation.LOCATE).work()
    await harness.worker("billing", Operation.ERASE).work()
    assert (billing.asked, await harness.fulfilment_state(request)) == ([], "blocked")
    query = "SELECT task_id, receipt ->> 'not_searched' FROM task WHERE system = 'billing'"
    [(task_id, why)] = await harness.pool.fetch(query)
    assert why == "shared_identifier"
    await enter(harness, request, TaskReport(task_id=task_id, system="billing", operation="erase", outcome=None))
    assert await harness.fulfilment_state(request) == "open"  # now the CRM is erased


async def located(tasks: Sequence[Task], _: object) -> Sequence[Result]:
    """Finds every subject by a shared address."""
    return [
        Receipt(
            each.task_id,
            TaskOutcome.LOCATED,
            found=1,
            identities=tuple(replace(i, source="crm", shared=True) for i in each.identities),
        )
        for each in tasks
    ]


def waiting(operation: Operation = Operation.EXPORT) -> TaskReport:
    said = {"failure": "not_supported", "sentence": f"billing has no way to {operation}: do it there by hand"}
    known = {"task_id": UUID(int=3), "system": "billing", "operation": operation, "outcome": None}
    return TaskReport.model_validate({**known, **said})


COPIED = TaskReport(task_id=UUID(int=4), system="crm", operation="export", outcome="exported", found=5)
DONE = {"system": "billing", "found": 4, "changed": 0, "note": "Read from the ledger of Ada Quarzfels"}


async def blocked(intake: Intake, path: str, *tasks: TaskReport, operation: Operation = Operation.EXPORT) -> None:
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=operation, tasks=tasks))


async def test_manual_work_is_entered_and_reported_in_the_answer(intake: Intake) -> None:
    path = await intake.submit()
    await blocked(intake, path, COPIED, waiting())
    shown = (await intake.officer.get(path)).json()
    assert (shown["state"], shown["tasks"][1]["failure"]) == ("awaiting_decision", "not_supported")
    assert "by hand" in shown["tasks"][1]["sentence"]

    by_channel = await intake.channel.post(f"{path}/actions/record-result", json=DONE)
    unheard = await intake.officer.post(f"{path}/actions/record-result", json={**DONE, "system": "crm"})
    entered = await intake.officer.post(f"{path}/actions/record-result", json=DONE)
    again = await intake.officer.post(f"{path}/actions/record-result", json=DONE)
    assert (by_channel.status_code, unheard.status_code, entered.status_code, again.status_code) == (403, 409, 200, 409)
    said = (await intake.published())[-1]
    assert (said["type"], said["task"]["task_id"]) == ("dsr.request.task_recorded.v1", str(UUID(int=3)))
    assert (said["task"]["outcome"], said["task"]["found"]) == ("exported", 4)
    [detail] = await intake.details(path, "task.recorded")
    assert "Quarzfels" not in str(detail) + str(said)
    assert detail["note"]

    done = TaskReport.model_validate(said["task"])
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), tasks=(COPIED, done)))
    shown = await intake.view(path)
    assert shown["outcome"] == "fulfilled"
    assert shown["answer"].endswith("What billing holds was copied by hand, and you get it separately.")


async def test_manual_task_does_not_keep_intake_from_asking_for_identities(intake: Intake) -> None:
    path = await intake.submit()
    reason = {"outcome": "not_searched", "not_searched": "nothing_to_search_by"}
    unsearched = TaskReport.model_validate({"task_id": UUID(int=5), "system": "cdr", "operation": "export", **reason})
    await blocked(intake, path, COPIED, unsearched, waiting())
    assert (await intake.view(path))["state"] == "awaiting_clarification"
    entered = await intake.officer.post(f"{path}/actions/record-result", json={**DONE, "found": 0})
    assert (entered.status_code, entered.json()["state"]) == (200, "awaiting_clarification")


class Shredding(ScriptedSystem):
    """A system whose interface erases nothing, and shows what a person has erased there."""

    gone = False

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        if self.gone:
            return [Receipt(task.task_id, TaskOutcome.ERASED, found=2, changed=2) for task in tasks]
        said = "crm has no way to erase ticket: do it there"
        return [NotSupported(said, ["shred Ticket,4711"]) for _ in tasks]


async def test_manual_instructions_are_sealed_and_a_retry_shows_completion(open_harness: OpenHarness) -> None:
    crm = Shredding("crm")
    harness = await open_harness(crm)
    subject = await harness.subject()
    new = NewFulfilment(UUID(int=7), subject, Right.ERASURE, Operation.ERASE, DUE)
    await harness.open(new)
    for _ in range(2):
        await harness.worker("crm").work()
        assert (await harness.states(new.request_id), harness.completed) == ({"crm:erase": "failed"}, [])
        async with harness.unit_of_work.begin() as tx:
            steps = await tx.vault.open_kind(tx.connection, subject, MANUAL_STEPS)
        assert [(source, said) for _, source, said in steps] == [("crm", b'["shred Ticket,4711"]')]
        for place in ("evidence.entry", "outbox", "task"):
            rows = await harness.pool.fetch(f"SELECT * FROM {place}")
            assert "4711" not in str([[bytes(v) if isinstance(v, bytes) else v for v in row] for row in rows])
        await harness.retry(new.request_id)
    crm.gone = True
    await harness.worker("crm").work()
    [done] = harness.completed
    assert done.outcome is Outcome.FULFILLED


async def test_an_officer_reads_what_is_to_be_done_and_that_is_on_record(intake: Intake) -> None:
    path = await intake.submit()
    assert (await intake.officer.get(f"{path}/manual-steps")).json()["systems"] == []
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM intake.request")
        sealing = Sealing(subject, MANUAL_STEPS, "crm", b'["shred Ticket,4711"]')
        await tx.vault.seal(tx.connection, [sealing], tx.now)
    read = (await intake.officer.get(f"{path}/manual-steps")).json()
    assert read["systems"] == [{"system": "crm", "do": ["shred Ticket,4711"]}]
    assert (await intake.actions(path))[-1] == "manual_steps.read"


@pytest.mark.parametrize("operation", [Operation.ERASE, Operation.EXPORT])
@pytest.mark.parametrize(
    "refusal",
    [
        LimitExceeded("2 people", Exceeded(limit=Limit.MAX_PEOPLE, found=2, allowed=1)),
        LimitExceeded("9 rows", Exceeded(limit=Limit.MAX_ROWS, found=9, allowed=1)),
        WrongPersonMatch("rows of others"),
    ],
)
async def test_one_person_ends_nothing_that_a_limit_has_stopped(
    open_harness: OpenHarness, intake: Intake, refusal: Refused, operation: Operation
) -> None:
    right = Right.ERASURE if operation is Operation.ERASE else Right.ACCESS
    billing = ScriptedSystem("billing")
    billing.answers[operation] = each(lambda _: refusal)
    harness = await open_harness(billing)
    request = await asked(harness, right, operation)
    await harness.worker("billing", operation).work()
    task = await harness.manual_task()
    await enter(harness, request, task, found=5)
    assert harness.completed == []
    path = await intake.submit(right=right)
    await blocked(intake, path, task, operation=operation)
    entered = await intake.officer.post(
        f"{path}/actions/record-result", json={"system": "billing", "found": 5, "changed": 5}
    )
    assert (entered.status_code, "two people let it go on" in entered.text) == (409, True)


# Beyond a limit a task waits for two people, and then goes on up to the number that they saw.
ROWS = {"system": "billing", "limit": "max_rows"}
LIMITED = LimitedSettings(max_rows=100)


class Holding(ScriptedSystem):
    """A system with so many rows of everybody, and a limit of a hundred."""

    rows = 150

    def __init__(self, system: str) -> None:
        super().__init__(system)
        self.answers = dict.fromkeys((Operation.ERASE, Operation.LOCATE, Operation.RESTRICT), each(self.do))

    def do(self, task: Task) -> Result:
        n = self.rows
        return LIMITED.excess(task, rows=n) or Receipt(task.task_id, TaskOutcome.ERASED, found=n, changed=n)


async def confirm(harness: Harness, request: object, at_most: int, system: str = "billing") -> None:
    event = a(LimitConfirmed, about=str(request), right=Right.ERASURE, system=system, at_most=at_most)
    async with harness.unit_of_work.begin() as tx:
        await handlers.confirm(harness.fulfilments, [event], tx)


async def reports(harness: Harness) -> dict[str, TaskReport]:
    """Returns the last report of blocked tasks, by system."""
    query = "SELECT convert_from(value, 'UTF8') FROM outbox ORDER BY position DESC LIMIT 1"
    event = FulfilmentBlocked.model_validate_json(await harness.pool.fetchval(query))
    return {report.system: report for report in event.tasks}


async def test_more_than_was_confirmed_waits_again_with_the_number_of_now(open_harness: OpenHarness) -> None:
    harness = await open_harness(billing := Holding("billing"))
    [request] = await harness.open()
    await harness.worker("billing").work()
    billing.rows = 151
    await confirm(harness, request, 150)
    await harness.worker("billing").work()
    assert await harness.fulfilment_state(request) == "blocked"
    exceeded = (await reports(harness))["billing"].exceeded
    assert exceeded is not None
    assert (exceeded.found, exceeded.allowed) == (151, 150)


async def test_only_the_system_of_the_limit_goes_on_and_what_else_failed_still_waits(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", answers={Operation.ERASE: each(lambda _: TableMissing("no table"))})
    harness = await open_harness(Holding("billing"), crm)
    [request] = await harness.open()
    await harness.worker("billing").work()
    await harness.worker("crm").work()
    await confirm(harness, request, 150)
    assert await harness.states(request) == {"billing:erase": "ready", "crm:erase": "failed"}
    await harness.worker("billing").work()
    assert await harness.fulfilment_state(request) == "blocked"
    said = await reports(harness)
    assert (said["billing"].found, said["crm"].sentence) == (150, "no table")


async def test_confirmation_holds_for_later_retries_of_its_request_alone(open_harness: OpenHarness) -> None:
    harness = await open_harness(billing := Holding("billing"))
    [request] = await harness.open()
    await harness.worker("billing").work()
    await confirm(harness, request, 150)
    await confirm(harness, request, 120)  # less than what was confirmed before takes nothing back
    await harness.worker("billing").work()
    later = NewFulfilment(request, await harness.subject(), Right.ERASURE, Operation.ERASE, DUE)
    [_, other] = await harness.open(later, await harness.new_fulfilment())
    await harness.worker("billing").work()
    assert [task.confirmed for task in billing.asked[2:] if task.request_id == request] == [{"max_rows": 150}]
    assert await harness.fulfilment_state(other) == "blocked"


async def stopped(intake: Intake, found: int = 3_000, **submission: object) -> str:
    path = await intake.submit(**submission)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(found),)))
    return path


async def officers_view(intake: Intake, path: str) -> dict[str, object]:
    [task] = (await intake.officer.get(path)).raise_for_status().json()["tasks"]
    return dict(task)


async def test_two_people_confirm_a_limit_and_the_worker_gets_the_number(intake: Intake) -> None:
    path = await stopped(intake)
    shown = await officers_view(intake, path)
    assert shown["sentence"] == "3,000 are found, and max_rows = 2,000; nothing was done"
    assert shown["exceeded"] == {"limit": "max_rows", "found": 3_000, "allowed": 2_000}

    first = await intake.officer.post(f"{path}/actions/exceed-limit", json=ROWS)
    assert (first.status_code, first.json()["state"]) == (202, "awaiting_decision")
    assert "limit_confirmed" not in await intake.types()

    second = await intake.colleague.post(f"{path}/actions/exceed-limit", json=ROWS)
    assert (second.status_code, second.json()["state"]) == (200, "in_progress")
    event = (await intake.published())[-1]
    assert (event["type"], event["system"], event["limit"], event["at_most"]) == (
        "dsr.request.limit_confirmed.v1",
        *ROWS.values(),
        3_000,
    )
    assert not any("officer" in str(event) for event in await intake.published())
    holders = [(d["proposed_by"], d["holder"], d["found"]) for d in await intake.details(path, "limit.confirmed")]
    assert holders == [("officer-1", "officer-2", 3_000)]


async def test_unseen_excess_cannot_be_confirmed(intake: Intake) -> None:
    path = await stopped(intake)
    seen = {"If-Match": (await intake.colleague.get(path)).headers["ETag"]}
    (await intake.officer.post(f"{path}/actions/exceed-limit", json=ROWS)).raise_for_status()
    stale = await intake.colleague.post(f"{path}/actions/exceed-limit", json=ROWS, headers=seen)
    assert stale.status_code == 412

    (await intake.officer.post(f"{path}/actions/retry")).raise_for_status()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_001),)))
    alone = await intake.colleague.post(f"{path}/actions/exceed-limit", json=ROWS)
    assert alone.json()["state"] == "awaiting_decision"  # the first one's word was for another number
    assert "limit_confirmed" not in await intake.types()


async def test_a_second_task_beyond_the_same_limit_leaves_the_proposal_standing(intake: Intake) -> None:
    changes = [{"field": "address.city", "asserted": "Berlin"}]
    path = await intake.submit(right="rectification", changes=changes)
    for operation in (Operation.RECTIFY, Operation.RESTRICT):  # what cannot be corrected yet is restricted meanwhile
        reported = beyond(3_000, operation=operation)
        await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=operation, tasks=(reported,)))
        if operation is Operation.RECTIFY:
            first = await intake.officer.post(f"{path}/actions/exceed-limit", json=ROWS)
            assert first.status_code == 202, first.text
    second = await intake.colleague.post(f"{path}/actions/exceed-limit", json=ROWS)
    assert (second.status_code, second.json()["state"]) == (200, "in_progress")


async def test_only_an_exceeded_limit_can_be_confirmed(intake: Intake) -> None:
    path = await stopped(intake)
    for body, status in (
        ({"system": "crm", "limit": "max_rows"}, 409),
        ({"system": "billing", "limit": "max_people"}, 409),
        ({"system": "billing", "limit": "max_pages"}, 422),
        ({"system": "Billing!", "limit": "max_rows"}, 422),
        ({"system": "billing"}, 422),
    ):
        assert (await intake.officer.post(f"{path}/actions/exceed-limit", json=body)).status_code == status, body
    assert await intake.details(path, "limit.confirmed") == []


async def test_a_deferred_erasure_beyond_a_limit_goes_on_though_its_request_is_closed(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    stopped = beyond(3_000, operation=Operation.ERASE)
    kept = stopped.model_copy(
        update={"outcome": TaskOutcome.RETAINED, "failure": None, "sentence": None, "exceeded": None}
    )
    await intake.complete(path, operation=Operation.ERASE, tasks=(kept,))
    deferred = {"operation": Operation.ERASE, "deferred": True}
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(stopped,), **deferred))
    (await intake.officer.post(f"{path}/actions/exceed-limit", json=ROWS)).raise_for_status()
    second = await intake.colleague.post(f"{path}/actions/exceed-limit", json=ROWS)
    assert (second.status_code, second.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "limit_confirmed"


async def test_a_channel_and_a_certificate_have_the_failure_and_not_its_sentence(intake: Intake) -> None:
    path = await stopped(intake)
    [shown] = (await intake.view(path))["tasks"]
    assert shown["failure"] == "limit_exceeded"
    assert shown.keys() & {"sentence", "exceeded"} == set()
    await intake.decide(path)
    await intake.report(path, beyond(3_000))
    certificate = (await intake.officer.get(f"{path}/certificate")).raise_for_status()
    assert "are found" not in certificate.text


# A team that fetches whom a task is about gets the types that its system needs, and the fetching is on record.
FETCH = "/v1/tasks/identities"
PROVED = [{"identity": "phones.0", "method": "sms_code", "on_file_since": "2024-01-01T00:00:00Z"}]
SUBJECT = {
    "email": "ada@example.org",
    "phones": [{"number": "+34688886392", "since": "2024-01-01T00:00:00Z"}],
    "account_id": "C-1",
    "name": "Ada Quarzfels",
}


async def claim(intake: Intake, path: str, needs: set[IdentityType], **more: Any) -> str:
    """The token with which the system that needs those asks about the subject of a request."""
    request_id = UUID(path.rpartition("/")[2])
    subject = await intake.unit_of_work.pool.fetchval(
        "SELECT subject_ref FROM request WHERE request_id = $1", request_id
    )
    now = intake.clock.now()
    token = IdentityToken(
        task_id=UUID(int=7),
        request_id=request_id,
        system="billing",
        needs=frozenset(needs),
        level="L0",
        subject_ref=subject,
        expires_at=now + timedelta(hours=1),
        **more,
    )
    return issue(token, intake.unit_of_work.vault.keyring.claims, now)


@pytest.mark.parametrize(
    ("needs", "sent"),
    [
        ({IdentityType.EMAIL}, {("email", "ada@example.org")}),
        ({IdentityType.ACCOUNT_ID}, {("account_id", "C-1"), ("account_id", "CRM-9")}),
        ({IdentityType.EMAIL, IdentityType.PHONE}, {("email", "ada@example.org"), ("phone", "+34688886392")}),
        ({IdentityType.SIP_URI}, set()),
    ],
)
async def test_a_team_gets_the_types_that_its_system_needs_and_it_is_on_record(
    intake: Intake, database: str, needs: set[IdentityType], sent: set[tuple[str, str]]
) -> None:
    path = await intake.submit(subject=SUBJECT, proofs=PROVED)
    yielded = encode_identities((Identity(IdentityType.ACCOUNT_ID, "CRM-9", source="crm"),))
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        await tx.vault.seal(tx.connection, [Sealing(subject, "identities", "crm", yielded)], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs)}
    answer = await intake.channel.get(FETCH, headers=headers)
    assert {(each["type"], each["value"]) for each in answer.json()["identities"]} == sent
    [fetched] = [entry for entry in await intake.evidence(path) if entry["action"] == "identities.fetched"]
    types = sorted({type_ for type_, _ in sent})
    task = {"system": "billing", "task_id": str(UUID(int=7))}
    assert fetched["detail"] == {**task, "types": types, "holder": "billing"}
    assert fetched["actor"] == f"key:{key.split('_')[1]}"


@pytest.mark.parametrize(("operation", "sent"), [(Operation.SUPPRESS, ["+34688886392"]), (Operation.RESTRICT, [])])
async def test_team_gets_an_unconfirmed_number_only_to_stop_marketing(
    intake: Intake, database: str, operation: Operation, sent: list[str]
) -> None:
    path = await intake.submit(right="objection", scope="direct_marketing", subject=SUBJECT, assurance=None, proofs=[])
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    token = await claim(intake, path, {IdentityType.PHONE}, operation=operation)
    answer = await intake.channel.get(FETCH, headers={"Authorization": f"Bearer {key}", "DSR-Claim": token})
    assert [each["value"] for each in answer.json()["identities"]] == sent


async def test_team_never_gets_a_shared_address(intake: Intake, database: str) -> None:
    path = await intake.submit(subject=SUBJECT)
    known = (Identity(IdentityType.EMAIL, "ada@example.org", source="crm", shared=True),)
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        sealing = Sealing(subject, "identities", "crm", encode_identities(known))
        await tx.vault.seal(tx.connection, [sealing], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    both = {IdentityType.EMAIL, IdentityType.ACCOUNT_ID}
    for needs, status in ((both, 200), ({IdentityType.EMAIL}, 409)):
        headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs)}
        answer = await intake.channel.get(FETCH, headers=headers)
        assert (answer.status_code, "ada@example.org" in answer.text) == (status, False)


async def test_team_that_checks_periods_gets_former_identities(intake: Intake, database: str) -> None:
    path = await intake.submit(subject={"account_id": "C-1"})
    former = (Identity(IdentityType.EMAIL, "victim@example.org", None, intake.clock.now(), "selfcare"),)
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        sealing = Sealing(subject, "identities", "selfcare", encode_identities(former))
        await tx.vault.seal(tx.connection, [sealing], tx.now)
    key = await create(database, "downstream:billing", "billing", intake.clock.now())
    both = {IdentityType.EMAIL, IdentityType.ACCOUNT_ID}
    for needs, periods, status in ((both, False, 200), ({IdentityType.EMAIL}, False, 409), (both, True, 200)):
        headers = {"Authorization": f"Bearer {key}", "DSR-Claim": await claim(intake, path, needs, periods=periods)}
        answer = await intake.channel.get(FETCH, headers=headers)
        assert (answer.status_code, "victim@example.org" in answer.text) == (status, periods)
