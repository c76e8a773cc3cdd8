"""A customer's instruction goes to systems that tell that customer's data apart, and to a person for every other."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.amendment import overlapping_restrictions, registers
from services.amendment.handlers import begin as amend
from services.intake.access import auth
from services.intake.access.grant import Grant, Power
from shared.domain.events import RequestVerified, TaskRecorded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.release import Match, ReleaseFault
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.systems.contract import CopiedRecord, Receipt, Result, Task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import FREELY, PROOF, Intake
from tests.fixtures.packages import exporting, pack
from tests.integration.test_api import is_problem

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
ACME = frozenset({"acme"})


async def instructed(
    harness: Harness, operation: Operation = Operation.ERASE, tenant: str = "acme", right: Right = Right.ERASURE
) -> NewFulfilment:
    subject = await harness.subject(tenant=tenant)
    new = NewFulfilment(uuid7(), subject, right, operation, DUE, tenant=tenant)
    await harness.open(new)
    return new


async def test_instruction_is_done_where_tenants_are_separate(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", yields=frozenset({PHONE}))
    cdr = ScriptedSystem("cdr", needs=frozenset({EMAIL, PHONE}), tenants=ACME)
    harness = await open_harness(crm, cdr)
    new = await instructed(harness)
    assert await harness.states(new.request_id) == {"cdr:erase": "ready", "crm:erase": "waiting"}, "nothing is located"
    await harness.worker("cdr").work()
    assert [(task.tenant, task.operation) for task in cdr.asked] == [("acme", "erase")]
    await harness.worker("crm").work()
    assert (crm.asked, harness.completed) == ([], [])
    assert await harness.fulfilment_state(new.request_id) == "blocked"
    task = await harness.manual_task()
    assert (task.system, task.failure, task.not_asked) == ("crm", "not_supported", True)
    done = task.model_copy(update={"outcome": "erased", "failure": None, "found": 1, "changed": 1, "by_hand": True})
    async with harness.unit_of_work.begin() as tx:
        event = a(TaskRecorded, about=str(new.request_id), task=done)
        await handlers.record(harness.fulfilments, harness.concludes, [event], tx)
    [completed] = harness.completed
    assert {(report.system, report.not_asked) for report in completed.reports} == {("cdr", None), ("crm", True)}


async def test_manual_task_does_not_delay_other_systems(open_harness: OpenHarness) -> None:
    cdr = ScriptedSystem("cdr", yields=frozenset({PHONE}), tenants=ACME)  # erased after what waits for its numbers
    harness = await open_harness(cdr, ScriptedSystem("tickets", needs=frozenset({PHONE})))
    new = await instructed(harness)
    for operation in (Operation.LOCATE, Operation.ERASE):
        await harness.worker("cdr", operation).work()
    assert await harness.states(new.request_id) == {
        "cdr:locate": "done",
        "cdr:erase": "done",
        "tickets:erase": "failed",
    }


@pytest.mark.parametrize("tenants", [frozenset(), ACME, None])
async def test_foreign_tenant_needs_tenant_columns(open_harness: OpenHarness, tenants: frozenset[str] | None) -> None:
    cdr = ScriptedSystem("cdr", tenants=tenants)
    harness = await open_harness(cdr)
    new = await instructed(harness, tenant="beta")
    await harness.worker("cdr").work()
    assert [task.tenant for task in cdr.asked] == (["beta"] if tenants is None else [])
    assert await harness.fulfilment_state(new.request_id) == ("complete" if tenants is None else "blocked")


async def test_own_plan_is_not_run_where_tenants_are_mixed(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    subject = await harness.subject(tenant="acme")
    new = NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE)
    await harness.open(new)
    await harness.worker("crm").work()
    assert crm.asked == []
    assert await harness.states(new.request_id) == {"crm:erase": "failed"}


async def test_what_follows_an_instruction_is_that_customers_too(open_harness: OpenHarness) -> None:
    crm, cdr = ScriptedSystem("crm"), ScriptedSystem("cdr", tenants=ACME)
    harness = await open_harness(crm, cdr, service=ServiceName.AMENDMENT)
    new = await instructed(harness, Operation.RESTRICT, right=Right.RESTRICTION)
    lift = NewFulfilment(new.request_id, new.subject_ref, new.right, Operation.LIFT, DUE)
    repair = NewFulfilment(new.request_id, new.subject_ref, new.right, Operation.RESTRICT, DUE, {"repair": True})
    await harness.open(lift, repair)
    assert await harness.pool.fetch("SELECT FROM fulfilment WHERE tenant IS DISTINCT FROM 'acme'") == []
    for operation in (Operation.RESTRICT, Operation.LIFT):
        await harness.worker("crm", operation).work()
        await harness.worker("cdr", operation).work()
    assert crm.asked == []
    assert {task.tenant for task in cdr.asked} == {"acme"}


async def test_customers_instruction_changes_no_register(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("cdr", tenants=ACME), service=ServiceName.AMENDMENT)
    event = a(
        RequestVerified,
        right=Right.OBJECTION,
        scope="direct_marketing",
        tenant="acme",
        subject=await harness.subject(tenant="acme"),
    )
    async with harness.unit_of_work.begin() as tx:
        await amend(harness.fulfilments, [event], tx)
        stopped = FulfilmentResult(
            uuid7(), event.request_id, event.subject, Right.OBJECTION, Operation.SUPPRESS, {}, ()
        )
        await registers.suppress(tx, [stopped], located=True)
        restricted = (event.request_id, event.subject, Right.RESTRICTION, Operation.RESTRICT)
        await overlapping_restrictions.note_people(tx, [FulfilmentResult(uuid7(), *restricted, {}, ())])
    assert await harness.pool.fetchval("SELECT tenant FROM fulfilment") == "acme"
    for table in ("register.suppression", "restriction_identity"):
        assert await harness.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_number_of_a_tenant_follows_the_register_then_the_tenant(open_harness: OpenHarness) -> None:
    known, unknown = "+442079460000", "+442079460999"
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}), tenants=frozenset({"acme", "beta"}))
    harness = await open_harness(cdr)
    await harness.register(Identity(PHONE, known), account="acme/1001")
    account = Identity(IdentityType.ACCOUNT_ID, "1001")
    since = harness.unit_of_work.clock.now()
    stated = (account, Identity(PHONE, known), Identity(PHONE, unknown, since))
    asked: dict[str | None, list[str]] = {}
    for tenant in ("acme", "beta"):
        subject = await harness.subject(*stated, tenant=tenant)
        await harness.open(NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE, tenant=tenant))
        await harness.worker("cdr").work()
        asked[tenant] = [identity.value for task in cdr.asked if task.tenant == tenant for identity in task.identities]
    assert asked == {"acme": [known, unknown], "beta": [unknown]}


@pytest.mark.parametrize("owner", ["acme", "beta", "", None])
@pytest.mark.parametrize("tenant", ["acme", None])
async def test_foreign_tenant_gets_nothing(open_harness: OpenHarness, owner: str | None, tenant: str | None) -> None:
    def collect(task: Task) -> Result:
        record = CopiedRecord("call", "cdr", {"seconds": 61}, matched=(Match(EMAIL, "ada@example.org", None, owner),))
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, remaining=1, records=(record,))

    cdr = ScriptedSystem("cdr", tenants=ACME, answers={Operation.EXPORT: each(collect)})
    harness = exporting(await open_harness(cdr, service=ServiceName.EXPORT))
    subject = await harness.subject(Identity(EMAIL, "ada@example.org", level="L3"), tenant=tenant)
    await harness.open(NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE, tenant=tenant))
    await harness.worker("cdr", Operation.EXPORT).work()
    await pack(harness)
    fits = (owner or None) == tenant
    assert await harness.outbox() == [f"dsr.fulfilment.{'completed' if fits else 'blocked'}.v1"]
    sentences = await harness.pool.fetch("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert [row[0] for row in sentences] == (
        [] if fits else [f"nothing was handed out: {ReleaseFault.ANOTHER_TENANT.sentence}"]
    )


# What a customer's key asks for is an instruction of that customer: on record, for its data and eyes alone.
ONE = "/v1/requests"
SUBJECT = {"email": "ada@example.org", "country": "DE"}
ERASURE = {"right": "erasure", "subject": SUBJECT, "instruction_id": "INS-2026-7"}
COPIED = TaskReport.model_validate(
    {"task_id": "019c0000-0000-7000-8000-000000000001", "system": "cdr", "operation": "erase", "outcome": "erased"}
    | {"found": 2, "changed": 2}
)
NOT_ASKED = COPIED.model_copy(update={"system": "crm", "outcome": None, "failure": "not_supported", "not_asked": True})


async def key_of(intake: Intake, database: str, tenant: str | None, **bounds: Any) -> dict[str, str]:
    """The header of a new channel of that customer."""
    grant = Grant(**{"level": "L3", "powers": frozenset(Power), "tenant": tenant, **bounds})
    key = await auth.create(database, "channel", tenant or "portal", intake.clock.now(), grant)
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def acme(intake: Intake, database: str) -> Intake:
    """Intake as the channel of a customer sees it."""
    intake.channel.headers.update(await key_of(intake, database, "acme"))
    return intake


async def submit(acme: Intake, **changed: object) -> str:
    answer = await acme.channel.post(ONE, json={**ERASURE, **changed})
    assert answer.status_code == 201, answer.text
    return f"{ONE}/{answer.json()['request_id']}"


async def test_instruction_begins_immediately_and_is_logged_by_its_id(acme: Intake) -> None:
    path = await submit(acme)
    shown = await acme.view(path)
    assert (shown["state"], shown["tenant"], shown["instruction_id"]) == ("in_progress", "acme", "INS-2026-7")
    assert (shown["role"], "forwarding" in shown) == ("processor", False), "we process it, and carry it out ourselves"
    [received] = await acme.details(path, "request.received")
    assert (received["tenant"], received["instruction_id"]) == ("acme", "INS-2026-7")
    assert [(each["type"], each["tenant"]) for each in await acme.published()] == [("dsr.request.verified.v1", "acme")]
    proved = await acme.unit_of_work.pool.fetchval("SELECT count(*) FROM request_lookup WHERE proved")
    assert proved == 0, "a customer's instruction repeats and awaits none of our own requests"


async def test_it_ends_as_assisted_and_its_letter_goes_to_the_customer_who_answers_the_person(acme: Intake) -> None:
    path = await submit(acme)
    by_hand = NOT_ASKED.model_copy(update={"outcome": "erased", "failure": None, "by_hand": True})
    await acme.complete(path, operation="erase", tasks=(COPIED, by_hand))
    shown = await acme.view(path)
    assert (shown["outcome"], shown["state"]) == ("assisted", "closed")
    assert (
        "Not asked, since nothing tells our customers apart there, but looked through by hand: crm." in shown["answer"]
    )
    code = {"Letter-Code": (await acme.channel.post(ONE, json=ERASURE)).json()["letter_code"]}
    assert (await acme.channel.get(f"{path}/letters", headers=code)).status_code == 403, "another request's code"
    letters = (await acme.officer.get(f"{path}/letters")).json()["data"]
    assert [(letter["kind"], letter["to"]) for letter in letters] == [
        ("acknowledgement", ["acme"]),
        ("answer", ["acme"]),
    ]
    assert "your instruction INS-2026-7" in letters[1]["body"]
    assert "ada@example.org" not in str(letters)
    certificate = (await acme.channel.get(f"{path}/certificate")).json()
    assert "INS-2026-7" in str(certificate)


async def test_only_a_customers_request_names_its_instruction(acme: Intake, database: str) -> None:
    unnamed = {name: value for name, value in ERASURE.items() if name != "instruction_id"}
    assert is_problem(await acme.channel.post(ONE, json=unnamed), 403, "forbidden")
    ours = await key_of(acme, database, None)
    assert is_problem(await acme.channel.post(ONE, json={**ERASURE, **PROOF}, headers=ours), 403, "forbidden")
    weighed = {"right": "objection", "scope": "legitimate_interests"}
    for changed in ({"role": "processor"}, weighed):
        assert (await acme.channel.post(ONE, json={**ERASURE, **changed})).status_code == 422
    for reference in ("Ada Quarzfels", "ada@example.org", "x" * 65, ""):
        answer = await acme.channel.post(ONE, json={**ERASURE, "instruction_id": reference})
        assert answer.status_code == 422, reference


async def test_a_customers_key_is_bounded_in_rights_and_rate_like_any_other(intake: Intake, database: str) -> None:
    bounds = {"rights": frozenset({Right.ACCESS}), "per_minute": 1}
    headers = await key_of(intake, database, "acme", **bounds)
    assert is_problem(await intake.channel.post(ONE, json=ERASURE, headers=headers), 403, "forbidden")
    access = {**ERASURE, "right": "access"}
    answers = [await intake.channel.post(ONE, json=access, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 429]


async def test_the_key_that_replaces_a_customers_is_that_customers(acme: Intake, database: str) -> None:
    path = await submit(acme)
    key_id = acme.channel.headers["Authorization"].split("_")[1]
    other = await auth.replace(database, key_id, acme.clock.now())
    acme.channel.headers["Authorization"] = f"Bearer {other}"
    assert (await acme.view(path))["tenant"] == "acme"
    assert (await acme.view(await submit(acme)))["tenant"] == "acme"


async def test_key_moved_to_another_tenant_loses_access(acme: Intake, database: str) -> None:
    path = await submit(acme)
    key_id = acme.channel.headers["Authorization"].split("_")[1]
    ours = await auth.replace(database, key_id, acme.clock.now(), tenant=None)
    headers = {"Authorization": f"Bearer {ours}"}
    assert is_problem(await acme.channel.get(path, headers=headers), 404, "not_found")
    assert FREELY.tenant is None
