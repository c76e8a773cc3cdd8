"""Fan-out and fan-in: stages in the order of needs, one outcome however many tasks end together."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from services.erasure import handlers as erasure
from services.export import handlers as export
from shared.domain.errors import DataStillPresent, Misconfigured, Unavailable
from shared.domain.events import LiftDecided, RequestClosed, RequestExpired, RequestVerified, RequestWithdrawn
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.proofs import proof_policy
from shared.domain.release import Match
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.storage import suppression
from shared.storage.release import fault_of_package
from shared.storage.suppression import CHANNELS, SuppressionEntry
from shared.storage.vault import Sealing
from shared.systems.contract import Checkpoint, CopiedRecord, Receipt, Result, Task
from tests.fixtures.databases import tables_with
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.package_check import check
from tests.fixtures.packages import described, exporting, fetched, pack, unpacked

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")


def crm() -> ScriptedSystem:
    """Knows numbers by the e-mail address."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(NUMBER, ACCOUNT)))
    return ScriptedSystem("crm", frozenset({EMAIL}), frozenset({PHONE}), {Operation.LOCATE: found})


def cdr() -> ScriptedSystem:
    """Can be searched by number alone."""
    return ScriptedSystem("cdr", needs=frozenset({PHONE}))


async def begun(harness: Harness, *new_fulfilment: NewFulfilment) -> UUID:
    return (await harness.open(*new_fulfilment))[0]


async def test_what_yields_identities_is_located_first_and_erased_last(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    assert await harness.states(request) == {"crm:locate": "ready", "cdr:erase": "waiting", "crm:erase": "waiting"}
    await harness.worker("crm", Operation.LOCATE).work()
    assert await harness.states(request) == {"crm:locate": "done", "cdr:erase": "ready", "crm:erase": "waiting"}
    assert await harness.worker("crm").work() == 0
    await harness.worker("cdr").work()
    assert NUMBER.value in {each.value for each in calls.asked[0].identities}
    assert await harness.worker("crm").work() == 1
    [done] = harness.completed
    assert [f"{report.system}:{report.operation}" for report in done.reports] == [
        "crm:locate",
        "cdr:erase",
        "crm:erase",
    ]
    assert done.outcome is Outcome.FULFILLED
    assert await harness.fulfilment_state(request) == "complete"


async def test_two_workers_with_the_last_two_tasks_complete_it_once(open_harness: OpenHarness) -> None:
    systems = [ScriptedSystem(name) for name in ("a", "b", "c", "d")]
    ready, barrier = asyncio.Event(), Counter[str]()

    async def together(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        barrier["here"] += 1
        if barrier["here"] == len(systems):
            ready.set()
        await ready.wait()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    for system in systems:
        system.answers[Operation.ERASE] = together
    harness = await open_harness(*systems)
    requests = {await begun(harness) for _ in range(10)}
    await asyncio.gather(*(harness.worker(system.system).work() for system in systems))
    assert len(harness.completed) == len(requests)
    assert {done.request_id for done in harness.completed} == requests
    assert {len(done.reports) for done in harness.completed} == {len(systems)}
    assert await harness.pool.fetchval("SELECT count(*) FROM fulfilment WHERE state = 'complete'") == 10


async def test_a_failed_task_blocks_until_a_person_wants_it_tried_again(open_harness: OpenHarness) -> None:
    good, bad = ScriptedSystem("good"), ScriptedSystem("bad")

    bad.answers[Operation.ERASE] = each(lambda _: DataStillPresent("two rows"))
    harness = await open_harness(good, bad)
    request = await begun(harness)
    await harness.worker("bad").work()
    assert await harness.fulfilment_state(request) == "open"
    await harness.worker("good").work()
    assert await harness.fulfilment_state(request) == "blocked"
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    del bad.answers[Operation.ERASE]
    await harness.retry(request)
    assert await harness.states(request) == {"good:erase": "done", "bad:erase": "ready"}
    await harness.worker("bad").work()
    assert await harness.fulfilment_state(request) == "complete"
    assert len(good.asked) == 1
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1", "dsr.fulfilment.completed.v1"]


async def test_a_failure_in_an_early_stage_keeps_the_later_ones_from_beginning(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()

    party.answers[Operation.LOCATE] = each(lambda _: DataStillPresent(""))
    harness = await open_harness(party, calls)
    request = await begun(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    assert await harness.states(request) == {"crm:locate": "failed", "cdr:erase": "waiting", "crm:erase": "waiting"}
    assert await harness.fulfilment_state(request) == "blocked"


async def test_a_withdrawn_request_begins_nothing_more(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    await harness.withdraw(request)
    assert set((await harness.states(request)).values()) == {"cancelled"}
    assert await harness.worker("crm", Operation.LOCATE).work() == 0
    assert party.asked == []
    assert await harness.actions(request) == ["fulfilment.opened", "fulfilment.cancelled"]
    assert await harness.outbox() == []


async def test_withdrawal_lets_the_task_in_hand_end_alone(open_harness: OpenHarness, clock: SetClock) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)

    async def withdraw_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return [Unavailable("busy") for _ in asked]

    party.answers[Operation.LOCATE] = withdraw_meanwhile
    locating = harness.worker("crm", Operation.LOCATE)
    await locating.work()
    clock.pass_by(minutes=1)
    assert await locating.work() == 0
    assert len(party.asked) == 1
    assert set((await harness.states(request)).values()) == {"cancelled"}
    assert harness.completed == []


@pytest.mark.parametrize("notes", [True, False])
async def test_withdrawal_stops_the_next_step_of_its_tasks_alone(open_harness: OpenHarness, *, notes: bool) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    requests = [await begun(harness) for _ in range(3)]
    steps: list[tuple[int, int]] = []

    async def in_steps(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        for step in range(3):
            await save_progress({task.task_id: {"step": step} if notes else {} for task in asked})
            steps.append((len(asked), step))
            if len(asked) == 3:
                await harness.withdraw(requests[1])
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    system.answers[Operation.ERASE] = in_steps
    await harness.worker("crm").work()
    assert steps == [(3, 0), *[(1, step) for step in range(3)] * 2]
    assert [await harness.states(request) for request in requests] == [
        {"crm:erase": "done"},
        {"crm:erase": "cancelled"},
        {"crm:erase": "done"},
    ]
    assert {done.request_id for done in harness.completed} == {requests[0], requests[2]}
    concluded = "SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded'"
    assert '"failure":"withdrawn"' in await harness.pool.fetchval(concluded, requests[1])


async def test_task_done_despite_a_withdrawal_completes_nothing(open_harness: OpenHarness) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    request = await begun(harness)

    async def withdraw_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    system.answers[Operation.ERASE] = withdraw_meanwhile
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "cancelled"
    assert (harness.completed, await harness.outbox()) == ([], ["dsr.fulfilment.reported.v1"]), "it is reported"
    assert await harness.actions(request) == ["fulfilment.opened", "fulfilment.cancelled", "task.concluded"]


async def test_concurrent_withdrawals_and_conclusions_never_deadlock(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    requests = [await begun(harness) for _ in range(60)]

    async def withdraw(some: Sequence[UUID]) -> None:
        for request in some:
            await harness.withdraw(request)

    async def locate() -> None:
        while await harness.worker("crm", Operation.LOCATE, batch=5).work():
            pass

    async with asyncio.timeout(60):
        await asyncio.gather(withdraw(requests[::2]), locate(), locate())
    loose = await harness.pool.fetchval(
        "SELECT count(*) FROM task JOIN fulfilment f USING (fulfilment_id)"
        " WHERE f.state = 'cancelled' AND task.state IN ('ready', 'leased', 'waiting')"
    )
    assert loose == 0
    ready = await harness.pool.fetch("SELECT DISTINCT stage FROM task WHERE state = 'ready'")
    assert [row[0] for row in ready] == [1]


async def test_a_fulfilment_ends_with_the_stages_that_it_was_opened_with(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    before = await open_harness(party, calls)
    await before.register(NUMBER)
    request = await begun(before)
    after = await open_harness(party)  # the configuration has lost a system
    await after.worker("crm", Operation.LOCATE).work()
    assert await after.fulfilment_state(request) == "open"
    await before.worker("cdr").work()
    await after.worker("crm").work()
    assert await after.fulfilment_state(request) == "complete"


async def test_a_request_that_no_system_can_fulfil_is_refused_by_name(harness: Harness) -> None:
    with pytest.raises(Misconfigured, match="no downstream system can erase"):
        await begun(harness)
    assert await harness.pool.fetchval("SELECT count(*) FROM fulfilment") == 0


async def test_the_same_task_is_never_in_two_hands(open_harness: OpenHarness) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    new_fulfilments = [await harness.new_fulfilment() for _ in range(200)]
    await harness.open(*new_fulfilments)
    counts = await asyncio.gather(*(harness.worker("crm", batch=50).work() for _ in range(6)))
    assert sum(counts) == len(system.asked) == 200
    assert len({task.task_id for task in system.asked}) == 200


# What erasure and amendment each add to the same machine of fulfilment.
EMAIL_SERVICES = Identity(IdentityType.EMAIL, "ada@example.org")
PHONE_SERVICES = Identity(IdentityType.PHONE, "+442079460000")
NAME = Identity(IdentityType.NAME, "Ada")
KEYS = "SELECT subject_ref FROM vault.subject WHERE wrapped_key IS NOT NULL"


async def verified(harness: Harness, right: Right, *identities: Identity, scope: str | None = None) -> RequestVerified:
    return a(RequestVerified, right=right, subject=await harness.subject(*identities), scope=scope, due_on=DUE)


def done(event: RequestVerified, operation: Operation, outcome: TaskOutcome = TaskOutcome.AMENDED) -> FulfilmentResult:
    report = TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=outcome, found=1, changed=1)
    return FulfilmentResult(uuid7(), event.request_id, event.subject, event.right, operation, {}, (report,))


async def rows(harness: Harness, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await harness.pool.fetch(statement)]


async def in_amendment(open_harness: OpenHarness) -> Harness:
    return await open_harness(ScriptedSystem("crm"), service=ServiceName.AMENDMENT)


async def close(harness: Harness, *events: RequestClosed) -> set[UUID]:
    """Closes requests; whose key is still there of all subjects."""
    async with harness.unit_of_work.begin() as tx:
        await erasure.shred_key(events, tx)
    return {ref for (ref,) in await rows(harness, KEYS)}


async def test_closed_erasure_shreds_only_its_subjects_key(harness: Harness) -> None:
    event, other = await verified(harness, Right.ERASURE), await verified(harness, Right.ERASURE)
    closed = a(RequestClosed, about=event, outcome=Outcome.FULFILLED)
    assert await close(harness, closed, closed) == {other.subject}
    assert await harness.actions(event.request_id) == ["key.shredded"]


async def test_an_erasure_that_was_forwarded_keeps_its_key_since_nothing_was_erased(harness: Harness) -> None:
    event = await verified(harness, Right.ERASURE)
    closed = a(RequestClosed, about=event, outcome=Outcome.FORWARDED)
    assert await close(harness, closed) == {event.subject}


async def test_withdrawn_amendment_drops_yielded_identities_unless_in_force(open_harness: OpenHarness) -> None:
    harness = await in_amendment(open_harness)
    open_still, in_force = await verified(harness, Right.RESTRICTION), await verified(harness, Right.RESTRICTION)
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [open_still, in_force], tx)
        located = [Sealing(event.subject, "identities", "crm", b"[]") for event in (open_still, in_force)]
        await tx.vault.seal(tx.connection, located, tx.now)
        complete = "UPDATE fulfilment SET state = 'complete' WHERE request_id = $1"
        await tx.connection.execute(complete, in_force.request_id)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.cancel([a(RequestWithdrawn, about=event) for event in (open_still, in_force)], tx)
    assert await rows(harness, "SELECT subject_ref FROM vault.sealed") == [(in_force.subject,)]


async def test_objection_is_listed_immediately_as_fingerprints(open_harness: OpenHarness) -> None:
    harness = await in_amendment(open_harness)
    event = await verified(harness, Right.OBJECTION, EMAIL_SERVICES, PHONE_SERVICES, NAME, scope="direct_marketing")
    again = await verified(harness, Right.OBJECTION, EMAIL_SERVICES)
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event, again], tx)
    fingerprint = harness.unit_of_work.vault.keyring.fingerprint
    listed = {tuple(row) for row in await harness.pool.fetch("SELECT fingerprint, channel FROM register.suppression")}
    assert listed == {(fingerprint(EMAIL_SERVICES), "email"), (fingerprint(PHONE_SERVICES), "phone")}
    assert await harness.states(event.request_id) == {"crm:suppress": "ready"}
    assert await rows(harness, "SELECT details->>'scope' FROM fulfilment WHERE details <> '{}'") == [
        ("direct_marketing",)
    ]


async def test_restriction_stays_registered_until_it_is_lifted(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await in_amendment(open_harness)
    event = await verified(harness, Right.RESTRICTION, scope="accuracy_contested")
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
        await amendment.finish(harness.fulfilments, [done(event, Operation.RESTRICT)], tx)
    assert await rows(harness, "SELECT request_id, lifted_at FROM restriction") == [(event.request_id, None)]
    clock.pass_by(days=10)
    decided = a(LiftDecided, about=event, due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.LIFT, harness.fulfilments, [decided], tx)
        await amendment.finish(harness.fulfilments, [done(event, Operation.LIFT)], tx)
    assert await rows(harness, "SELECT lifted_at FROM restriction") == [(clock.now(),)]
    actions = await harness.actions(event.request_id)
    assert [action for action in actions if action.startswith("restriction")] == [
        "restriction.applied",
        "restriction.lifted",
    ]


async def test_correction_states_the_zone_of_times_even_after_a_restriction(open_harness: OpenHarness) -> None:
    harness = await in_amendment(open_harness)
    event = await verified(harness, Right.RECTIFICATION, scope="accuracy_contested")
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
        details = await tx.connection.fetchval("SELECT details FROM fulfilment")
        await amendment.finish(harness.fulfilments, [replace(done(event, Operation.RESTRICT), details=details)], tx)
    zones = "SELECT operation, details ->> 'zone' FROM fulfilment ORDER BY operation"
    assert await rows(harness, zones) == [("rectify", event.zones[-1]), ("restrict", event.zones[-1])]


async def test_tables_of_a_service_are_private_by_default(harness: Harness) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await harness.pool.fetch("SELECT * FROM restriction")


async def test_expired_request_leaves_no_row_but_its_evidence(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    event, other = await verified(harness, Right.ERASURE, EMAIL_SERVICES), await verified(harness, Right.ERASURE, NAME)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.ERASE, harness.fulfilments, [event, other], tx)
    for row in (
        "erasure.copying (request_id, subject_ref, since) VALUES ($1, gen_random_uuid(), now())",
        "downstreams.finding (system, request_id, outcome, found, found_at) VALUES ('crm', $1, 'located', 1, now())",
        "vault.hold_kept (task_id, hold_id, request_id, system) VALUES ($1, gen_random_uuid(), $1, 'crm')",
    ):
        await harness.pool.execute(f"INSERT INTO {row}", event.request_id)

    async with harness.unit_of_work.begin() as tx:
        await fulfilling.delete_expired([a(RequestExpired, about=event)], tx)

    assert await tables_with(harness.pool, event.request_id) == set()
    assert await rows(harness, "SELECT request_id FROM fulfilment") == [(other.request_id,)]
    assert await harness.states(other.request_id)
    assert await rows(harness, "SELECT count(*) FROM task") == [(1,)]


# What export adds to the same machine: the package, its pieces, and what a withdrawal or a closure leaves of them.
FOUND = (Match("email", EMAIL_SERVICES.value),)
CONTACT = CopiedRecord("contact", "party", {"name": "Ada"}, portable=True, matched=FOUND)


def giving(*records: CopiedRecord) -> ScriptedSystem:
    """Returns a system with these records for every subject."""
    given = each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), records=records))
    return ScriptedSystem("crm", answers={Operation.EXPORT: given})


async def collected(harness: Harness, event: RequestVerified) -> None:
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.EXPORT, harness.fulfilments, [event], tx)
    await harness.worker("crm", Operation.EXPORT).work()


SCORE = CopiedRecord("score", "risk", {"score": 3}, matched=FOUND)
EVENT = """
SELECT value ->> 'package_id', value #>> '{tasks,0,handed_out}'
FROM (SELECT convert_from(value, 'UTF8')::jsonb FROM outbox) o (value)
"""


@pytest.mark.parametrize(
    ("right", "names", "handed_out"), [(Right.ACCESS, 2, None), (Right.PORTABILITY, 1, {"contact": 1})]
)
async def test_a_finished_export_is_one_sealed_package_and_the_pieces_are_gone(
    open_harness: OpenHarness, right: Right, names: int, handed_out: dict[str, int] | None
) -> None:
    harness = exporting(await open_harness(giving(CONTACT, SCORE), service=ServiceName.EXPORT))
    await collected(harness, await verified(harness, right, replace(EMAIL_SERVICES, level="L2")))
    await pack(harness)
    assert await rows(harness, "SELECT kind FROM vault.sealed ORDER BY kind") == [("package",), ("release",)]
    [(package_id, said)] = await rows(harness, EVENT)
    assert len(described(await fetched(harness, UUID(package_id)))["records"]) == names
    assert (said and json.loads(said)) == handed_out
    [(built,)] = await rows(harness, "SELECT detail FROM evidence.entry WHERE action = 'package.built'")
    assert json.loads(built)["records"] == names
    lacks = {key: json.loads(built).get(key) for key in ("unexplained", "undeclared")}
    if right is Right.ACCESS:  # what makes the report one that is answered in part is on record
        assert lacks == {"unexplained": ["score.score"], "undeclared": ["score"]}
    else:
        assert lacks == {"unexplained": None, "undeclared": None}


async def test_a_portability_of_which_nothing_is_portable_has_no_package_and_says_so(open_harness: OpenHarness) -> None:
    harness = exporting(await open_harness(giving(SCORE), service=ServiceName.EXPORT))
    await collected(harness, await verified(harness, Right.PORTABILITY, replace(EMAIL_SERVICES, level="L2")))
    await pack(harness)
    [(package_id, said)] = await rows(harness, EVENT)
    assert (package_id, said) == (None, "{}")


async def test_access_includes_other_requests_and_own_suppression_entries(open_harness: OpenHarness) -> None:
    harness = exporting(await open_harness(giving(CONTACT), service=ServiceName.EXPORT))
    event = await verified(harness, Right.ACCESS, replace(EMAIL_SERVICES, level="L1"), PHONE_SERVICES)
    async with harness.unit_of_work.begin() as tx:
        tx.log_evidence(earlier := uuid7(), "request.received", {"right": "objection"})
    async with harness.unit_of_work.begin() as tx:
        fingerprint = tx.vault.keyring.fingerprint
        listed = [
            SuppressionEntry(fingerprint(each), uuid7(), Right.OBJECTION, CHANNELS[each.type])
            for each in (EMAIL_SERVICES, PHONE_SERVICES)
        ]
        await suppression.add(tx.connection, listed, tx.now)
    await collected(harness, event.model_copy(update={"of_same_person": (earlier,)}))
    await pack(harness)
    [(package_id,)] = await rows(harness, "SELECT convert_from(value, 'UTF8')::json->>'package_id' FROM outbox")
    lines = unpacked(await fetched(harness, UUID(package_id)))["request.jsonl"].splitlines()
    found = [step for line in lines if (step := json.loads(line))["what"] == "suppression.listed"]
    assert [(step["contact_point"], step["right"]) for step in found] == [(EMAIL_SERVICES.value, "objection")]
    assert [step["right"] for step in map(json.loads, lines) if step.get("other_request") == str(earlier)] == [
        "objection"
    ]


async def test_subject_only_on_the_suppression_list_has_data(open_harness: OpenHarness) -> None:
    empty = ScriptedSystem("crm", answers={Operation.EXPORT: each(lambda t: Receipt(t.task_id, TaskOutcome.NO_MATCH))})
    harness = exporting(await open_harness(empty, service=ServiceName.EXPORT))
    event = await verified(harness, Right.ACCESS, replace(EMAIL_SERVICES, level="L1"), PHONE_SERVICES)
    async with harness.unit_of_work.begin() as tx:
        fingerprint = tx.vault.keyring.fingerprint
        listed = [
            SuppressionEntry(fingerprint(each), uuid7(), Right.OBJECTION, CHANNELS[each.type])
            for each in (EMAIL_SERVICES, PHONE_SERVICES)
        ]
        await suppression.add(tx.connection, listed, tx.now)
        await suppression.withdraw(
            tx.connection, [(fingerprint(each), "analytics") for each in (EMAIL_SERVICES, PHONE_SERVICES)], tx.now
        )
    await collected(harness, event)
    await pack(harness)
    [(done,)] = await rows(harness, "SELECT convert_from(value, 'UTF8')::jsonb FROM outbox")
    assert done["outcome"] == "fulfilled"
    content = await fetched(harness, UUID(done["package_id"]))
    checked = check(content)
    assert (checked.faults, checked.items["A15.b"]) == ([], "answered")
    lines = [json.loads(line) for line in unpacked(content)["request.jsonl"].splitlines()]
    assert [(step["what"], step["contact_point"]) for step in lines if "contact_point" in step] == [
        ("suppression.listed", EMAIL_SERVICES.value),
        ("consent.withdrawn", EMAIL_SERVICES.value),
    ], "the number is not proved to be theirs"
    async with harness.unit_of_work.begin() as tx:
        about = event.subject, UUID(done["package_id"])
        fault = await fault_of_package(tx.connection, tx.vault, proof_policy(), *about)
    assert fault is None, "it contains nothing of another person"


COLLECTED = (("records", "crm"), ("identities", "crm"), ("package", "export"))
SAID = {("identities", "requester"), ("letter", "extension")}


async def holding_everything(open_harness: OpenHarness) -> tuple[Harness, RequestVerified]:
    """An access on its way, of whose subject the vault holds something of every kind."""
    harness = await open_harness(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(harness, Right.ACCESS)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.EXPORT, harness.fulfilments, [event], tx)
        sealings = [Sealing(event.subject, kind, source, b"[]") for kind, source in (*COLLECTED, *SAID)]
        await tx.vault.seal(tx.connection, sealings, tx.now)
    return harness, event


async def sealed(harness: Harness) -> set[tuple[Any, ...]]:
    return {*await rows(harness, "SELECT kind, source FROM vault.sealed")}


async def test_a_withdrawn_export_drops_what_was_collected_and_keeps_what_was_said(open_harness: OpenHarness) -> None:
    harness, event = await holding_everything(open_harness)
    async with harness.unit_of_work.begin() as tx:
        await export.cancel([a(RequestWithdrawn, about=event)], tx)
    assert await sealed(harness) == SAID
    assert await harness.states(event.request_id) == {"crm:export": "cancelled"}


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Outcome.PARTIALLY_FULFILLED, {("identities", "crm"), ("package", "export")}), (Outcome.REFUSED, set())],
)
async def test_an_export_that_a_person_closes_leaves_no_pieces_and_if_refused_nothing_of_what_was_collected(
    open_harness: OpenHarness, outcome: Outcome, kept: set[tuple[str, str]]
) -> None:
    harness, event = await holding_everything(open_harness)
    async with harness.unit_of_work.begin() as tx:
        await export.close([a(RequestClosed, about=event, outcome=outcome)], tx)
    assert await sealed(harness) == SAID | kept
    assert await harness.fulfilment_state(event.request_id) == "cancelled"
