"""An answer follows from what was searched: asked in whatever way, calls are found, or somebody says how to go on."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from services.export import handlers as export
from shared.domain.events import RetryDecided
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, Unsearched
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import NotSearched, Receipt, Record, Result, Task
from shared.fulfilment.store import NewFulfilment
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
SINCE = datetime(2024, 2, 5, tzinfo=UTC)
ADDRESS, CODE = Identity(EMAIL, "ada@example.org"), Identity(IdentityType.ACCOUNT_ID, "C1")
OWN, DATED = Identity(PHONE, "+442079460000"), Identity(PHONE, "+442079460000", SINCE, source="crm")
SAID = Identity(PHONE, OWN.value, SINCE)
ELSEWHERE = Identity(PHONE, "+442079460999")
STRANGER = Identity(EMAIL, "stranger@example.org")
OPERATIONS = {
    Right.ACCESS: Operation.EXPORT,
    Right.PORTABILITY: Operation.EXPORT,
    Right.ERASURE: Operation.ERASE,
    Right.RECTIFICATION: Operation.RECTIFY,
    Right.RESTRICTION: Operation.RESTRICT,
    Right.OBJECTION: Operation.SUPPRESS,
    Right.CONSENT_WITHDRAWAL: Operation.SUPPRESS,
}
NOT_THEIRS, NOTHING = Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NOTHING_TO_SEARCH_BY


def crm() -> ScriptedSystem:
    """Knows one customer by address, number and code, and since when the number is theirs."""
    system = ScriptedSystem(
        "crm", needs=frozenset({EMAIL, PHONE, CODE.type}), yields=frozenset({PHONE, CODE.type}), assigns=True
    )

    def find(task: Task) -> Result:
        if {ADDRESS.value, OWN.value, CODE.value}.isdisjoint(identity.value for identity in task.identities):
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        return Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(DATED, ACCOUNT))

    system.answers[Operation.LOCATE] = each(find)
    return system


def cdr() -> ScriptedSystem:
    """Two calls of every number, to be found by number and period alone."""
    system = ScriptedSystem("cdr", needs=frozenset({PHONE}))

    def search(task: Task) -> Result:
        numbers = [identity for identity in task.identities if identity.type is PHONE]
        dated = {number.value for number in numbers if number.valid_from}
        reason = None if all(number.value in dated for number in numbers) else Unsearched.NUMBER_WITHOUT_PERIOD
        if not dated and reason:
            return NotSearched(task.task_id, reason)
        records = (
            (Record("call", "cdr", {"of": " ".join(sorted(dated))}),) if task.operation is Operation.EXPORT else ()
        )
        outcome = {Operation.EXPORT: TaskOutcome.EXPORTED, Operation.ERASE: TaskOutcome.ERASED}.get(task.operation)
        return Receipt(task.task_id, outcome or TaskOutcome.AMENDED, 2, 2, not_searched=reason, records=records)

    system.answers |= dict.fromkeys(OPERATIONS.values(), each(search))
    return system


def has_the_number(task: Task) -> bool:
    return any((each.value, each.valid_from) == (OWN.value, SINCE) for each in task.identities)


async def ask(harness: Harness, right: Right, *identities: Identity) -> NewFulfilment:
    new = NewFulfilment(uuid7(), await harness.subject(*identities), right, OPERATIONS[right], DUE)
    await harness.open(new)
    return new


async def work(harness: Harness) -> None:
    """Works whatever is ready, until nothing is."""
    steps = [(system, operation) for system in harness.systems for operation in Operation]
    able = [step for step in steps if step[1] not in {Operation.ESCALATE, Operation.FLAG}]
    while any([await harness.worker(system, operation).work() for system, operation in able]):
        pass


async def blocked(harness: Harness) -> Mapping[UUID, Mapping[str, Mapping[str, object]]]:
    """By request and system what was said of a blocked fulfilment."""
    rows = await harness.pool.fetch("SELECT convert_from(value, 'UTF8')::jsonb FROM outbox ORDER BY position")
    said = [row[0] for row in rows if row[0]["type"] == "dsr.fulfilment.blocked.v1"]
    return {UUID(one["request_id"]): {task["system"]: task for task in one["tasks"]} for one in said}


@pytest.mark.parametrize(
    "known", [(ADDRESS,), (CODE,), (OWN,), (ADDRESS, OWN)], ids=["e-mail", "code", "undated", "both"]
)
async def test_each_right_searches_registered_numbers(open_harness: OpenHarness, known: tuple[Identity, ...]) -> None:
    calls = cdr()
    harness = await open_harness(crm(), calls)
    await harness.register(DATED)
    asked = [await ask(harness, right, *known) for right in Right]
    await work(harness)
    assert {task.request_id for task in calls.asked if has_the_number(task)} == {one.request_id for one in asked}
    assert [done.outcome for done in harness.completed] == [Outcome.FULFILLED] * len(Right)


@pytest.mark.parametrize(
    ("known", "reason", "found"),
    [
        ((STRANGER,), NOTHING, 0),
        ((ELSEWHERE,), NOT_THEIRS, 0),
        ((STRANGER, ELSEWHERE), NOT_THEIRS, 0),
        ((ADDRESS, ELSEWHERE), NOT_THEIRS, 2),
        ((SAID, ELSEWHERE), NOT_THEIRS, 2),
    ],
    ids=["stranger's e-mail", "undated", "stranger's e-mail, undated", "e-mail, undated", "one of two"],
)
async def test_whatever_right_is_asked_for_what_could_not_be_searched_is_neither_fulfilled_nor_no_data(
    open_harness: OpenHarness, known: tuple[Identity, ...], reason: Unsearched, found: int
) -> None:
    harness = await open_harness(crm(), cdr())
    await harness.register(DATED)
    asked = [await ask(harness, right, *known) for right in Right]
    await work(harness)
    said = await blocked(harness)
    assert harness.completed == []
    assert set(said) == {one.request_id for one in asked}
    for one in asked:
        # What stops marketing is asked for any number that is stated; this system finds none without its period.
        stops = one.operation is Operation.SUPPRESS and reason is NOT_THEIRS
        systems, why = said[one.request_id], Unsearched.NUMBER_WITHOUT_PERIOD if stops else reason
        assert (systems["cdr"]["not_searched"], systems["cdr"]["found"]) == (why, found)
        assert (systems["cdr"]["outcome"] == TaskOutcome.NOT_SEARCHED) is (found == 0)


@pytest.mark.parametrize(
    ("known", "finder", "reason"),
    [
        (STRANGER, {EMAIL, CODE.type}, None),
        (STRANGER, {PHONE}, Unsearched.NO_ACCOUNT),
        (ADDRESS, {EMAIL, CODE.type}, None),
    ],
    ids=["nobody has them", "who would know could not look", "known"],
)
async def test_nothing_is_filed_by_account_of_whoever_has_none_once_those_who_find_accounts_have_looked(
    open_harness: OpenHarness, known: Identity, finder: set[IdentityType], reason: Unsearched | None
) -> None:
    party, audience, shop = crm(), ScriptedSystem("audience", needs=frozenset({CODE.type})), ScriptedSystem("shop")
    party.needs = frozenset(finder)
    shop.needs = frozenset({EMAIL, CODE.type})
    audience.categories = frozenset({"marketing"})
    partly = each(
        lambda t: Receipt(
            *(t.task_id, TaskOutcome.NO_MATCH),
            not_searched=(lacks := _lacks(t)),
            categories=("account",),
            by_account=("invoice",) if lacks else None,
        )
    )
    shop.answers |= dict.fromkeys([Operation.EXPORT, Operation.ERASE], partly)
    harness = await open_harness(party, audience, shop)
    asked = [await ask(harness, right, known) for right in (Right.ACCESS, Right.ERASURE)]
    await work(harness)
    if reason:
        said = await blocked(harness)
        assert {(said[one.request_id][s]["not_searched"]) for one in asked for s in ("audience", "shop")} == {reason}
        return
    assert {done.request_id for done in harness.completed} == {one.request_id for one in asked}
    told = {(r.system, r.not_searched) for done in harness.completed for r in done.reports}
    nothing = {r.system for done in harness.completed for r in done.reports if r.outcome == TaskOutcome.NO_MATCH}
    assert told >= {("audience", None), ("shop", None)}
    filed = {r.system: r.no_account for done in harness.completed for r in done.reports if r.operation != "locate"}
    nobody = known is STRANGER
    assert (filed["audience"], filed["shop"]) == ((("marketing",), ("invoice",)) if nobody else (None, None))
    assert ({"audience", "shop"} <= nothing, bool(audience.asked)) == ((known is STRANGER), known is ADDRESS)


def _lacks(task: Task) -> Unsearched | None:
    return None if any(each.type is CODE.type for each in task.identities) else Unsearched.NO_ACCOUNT


async def test_nothing_is_erased_before_all_yielding_systems_were_searched(open_harness: OpenHarness) -> None:
    party = crm()
    harness = await open_harness(party, cdr())
    await harness.register(DATED)
    asked = await ask(harness, Right.ERASURE, STRANGER)
    await work(harness)
    assert await harness.states(asked.request_id) == {"crm:locate": "done", "cdr:erase": "done", "crm:erase": "waiting"}
    report = (await blocked(harness))[asked.request_id]["crm"]
    assert (report["operation"], report["outcome"], report["failure"]) == ("erase", None, None)


async def test_new_identities_search_every_system_again_and_keep_results(open_harness: OpenHarness) -> None:
    calls, tickets = cdr(), ScriptedSystem("tickets")
    harness = await open_harness(crm(), calls, tickets)
    await harness.register(DATED)
    asked = await ask(harness, Right.ERASURE, STRANGER)
    await work(harness)
    async with harness.unit_of_work.begin() as tx:
        told = Sealing(asked.subject_ref, "identities", "requester", encode_identities([CODE]))
        await tx.vault.seal(tx.connection, [told], tx.now)
        assert set(await harness.fulfilments.retry(tx, [asked.request_id])) == {asked.request_id}
    await work(harness)
    [done] = harness.completed
    assert [(report.system, report.operation, report.not_searched) for report in done.reports] == [
        ("crm", "locate", None),
        ("tickets", "erase", None),
        ("crm", "locate", None),
        ("cdr", "erase", None),
        ("tickets", "erase", None),
        ("crm", "erase", None),
    ]
    assert done.outcome is Outcome.FULFILLED
    assert [has_the_number(task) for task in calls.asked] == [True]
    assert await harness.actions(asked.request_id) == [
        "fulfilment.opened",
        *["task.concluded"] * 3,
        "fulfilment.blocked",
        "fulfilment.begun_anew",
        *["task.concluded"] * 4,
    ]


async def test_a_copy_that_begins_anew_holds_everything_once(open_harness: OpenHarness) -> None:
    harness = await open_harness(crm(), cdr())
    await harness.register(DATED)
    asked = await ask(harness, Right.ACCESS, DATED, ELSEWHERE)
    await work(harness)
    async with harness.unit_of_work.begin() as tx:
        dated = encode_identities([Identity(PHONE, ELSEWHERE.value, proved_since=SINCE)])
        await tx.vault.seal(tx.connection, [Sealing(asked.subject_ref, "identities", "requester", dated)], tx.now)
        decided = a(RetryDecided, about=asked.request_id, right=asked.right, subject=asked.subject_ref)
        await export.retry(harness.fulfilments, [decided], tx)
    await work(harness)
    async with harness.unit_of_work.begin() as tx:
        pieces = await tx.vault.open_kind(tx.connection, asked.subject_ref, "records")
    assert [record[2] for _, _, content in pieces for record in orjson.loads(content)] == [
        {"of": f"{OWN.value} {ELSEWHERE.value}"}
    ]


async def test_a_system_that_still_cannot_be_searched_blocks_again(open_harness: OpenHarness) -> None:
    harness = await open_harness(crm(), cdr())
    await harness.register(DATED)
    asked = await ask(harness, Right.OBJECTION, STRANGER)
    for _ in range(2):
        await work(harness)
        assert await harness.fulfilment_state(asked.request_id) == "blocked"
        await harness.retry(asked.request_id)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"] * 2
