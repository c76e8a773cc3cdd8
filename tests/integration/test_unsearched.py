"""A system that could not be searched: intake asks the requester, or a person decides; the answer says so."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from services.export import handlers as export
from shared.domain.events import FulfilmentBlocked, FulfilmentReported, RetryRequested
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.fulfilment.store import FulfilmentState, NewFulfilment
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from shared.systems.contract import CopiedRecord, NotSearched, Receipt, Result, Task
from tests.fixtures.engine import ACCOUNT, DUE, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of

MORE = {"text": "My number is in the form.", "subject": {"phones": [{"number": "+442079460000"}], "account_id": "C1"}}
LITTLE = {"text": "I have had no number."}


def report(system: str, operation: Operation = Operation.EXPORT, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=operation, **{"outcome": None, **more})


UNSEARCHED = report("cdr", outcome=TaskOutcome.NOT_SEARCHED, not_searched=Unsearched.NOTHING_TO_SEARCH_BY)
COPIED = report("ticketing", outcome=TaskOutcome.EXPORTED, found=5)


async def blocked(intake: Intake, path: str, *tasks: TaskReport, operation: Operation = Operation.EXPORT) -> None:
    reports = tasks or (COPIED, UNSEARCHED)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=operation, tasks=reports))


@pytest.fixture
async def asked(intake: Intake) -> str:
    """A request of which one system could not be searched."""
    path = await intake.submit()
    await blocked(intake, path)
    return path


async def test_who_asks_is_asked_by_what_else_they_are_known(intake: Intake, asked: str) -> None:
    shown = await intake.view(asked)
    (letter,) = await intake.letters(asked)
    assert (shown["state"], shown["outcome"]) == ("awaiting_clarification", None)
    assert [task.get("not_searched") for task in shown["tasks"]] == [None, "nothing_to_search_by"]
    assert letter["kind"] == "question"
    assert "from when to when" in letter["body"]
    assert await intake.types() == ["verified", "question_sent"]


async def test_what_they_answer_is_known_of_them_and_the_work_goes_on_by_it(intake: Intake, asked: str) -> None:
    answered = await intake.channel.post(f"{asked}/actions/record-reply", json=MORE)
    assert answered.json()["state"] == "in_progress"
    assert (await intake.types())[-2:] == ["question_answered", "retry_requested"]
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        known = (await tx.vault.subject_data(tx.connection, [subject]))[subject].identities
    assert set(known[1:]) == {Identity(IdentityType.ACCOUNT_ID, "C1"), Identity(IdentityType.PHONE, "+442079460000")}


async def test_an_account_that_was_found_before_does_not_vouch_for_what_is_answered(intake: Intake, asked: str) -> None:
    account = Identity(IdentityType.ACCOUNT_ID, "K7", source="crm")
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request")
        located = Sealing(subject, "identities", "crm", encode_identities([account]))
        await tx.vault.seal(tx.connection, [located], tx.now)
    await intake.channel.post(f"{asked}/actions/record-reply", json=MORE)
    async with intake.unit_of_work.begin() as tx:
        known = (await tx.vault.subject_data(tx.connection, [subject]))[subject].identities
    assert account not in known
    assert Identity(IdentityType.PHONE, "+442079460000") in known


async def test_period_of_a_number_is_stored_and_a_future_proof_refused(intake: Intake, asked: str) -> None:
    later = {"number": "+442079460000", "since": "2099-01-01T00:00:00Z"}
    proofs = [{"identity": "phones.0", "method": "sms_code", "proved_at": "2099-01-01T00:00:00Z"}]
    taken = await intake.channel.post("/v1/requests", json={"right": "access", "subject": {"phones": [later]}})
    reply = {**MORE, "subject": {"phones": [later]}, "proofs": proofs}
    refused = await intake.channel.post(f"{asked}/actions/record-reply", json=reply)
    submission = {"right": "access", "subject": {"phones": [later]}, "proofs": proofs}
    submitted = await intake.channel.post("/v1/requests", json=submission)
    assert (taken.status_code, refused.status_code, submitted.status_code) == (201, 400, 400)
    assert "future" in refused.json()["detail"]
    assert (await intake.view(asked))["state"] == "awaiting_clarification"


async def test_an_answer_that_names_nothing_is_read_by_a_person(intake: Intake, asked: str) -> None:
    answered = await intake.channel.post(f"{asked}/actions/record-reply", json=LITTLE)
    assert answered.json()["state"] == "awaiting_decision"
    assert (await intake.types())[-1] == "question_answered"


async def test_unanswered_question_ends_with_what_was_found(intake: Intake, asked: str) -> None:
    await intake.leave_unanswered(asked, "clarification")
    said = (await intake.published())[-1]
    assert (said["type"], said["outcome"], said["owed"]) == (
        "dsr.request.answer_decided.v1",
        "partially_fulfilled",
        False,
    )
    package = str(uuid7())
    reported = a(FulfilmentReported, about=id_of(asked), tasks=(COPIED, UNSEARCHED), package_id=package)
    await intake.consume(reported)
    shown = await intake.view(asked)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "partially_fulfilled", True)
    assert shown["package"]
    assert "We could not search cdr: nothing that we know of you leads there." in shown["answer"]
    notice, answered = (await intake.letters(asked))[-2:]
    assert (notice["kind"], answered["kind"]) == ("last_notice", "answer")
    assert "Art. 11(2)" in notice["body"]
    assert "what you mean" not in notice["body"]


async def test_unknown_stranger_is_unidentified_and_may_resume(intake: Intake) -> None:
    path = await intake.submit()
    nothing = report("crm", outcome=TaskOutcome.NO_MATCH)
    await blocked(intake, path, nothing, UNSEARCHED)
    await intake.leave_unanswered(path, "clarification")
    await intake.consume(a(FulfilmentReported, about=id_of(path), tasks=(nothing, UNSEARCHED)))
    shown = await intake.view(path)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "unidentified", True)
    assert shown["answer"] == (
        "We searched crm, and hold no data about you there."
        " We could not search cdr: nothing that we know of you leads there."
        " Our question to you is still open: answer it at any time, and we go on."
    )
    letter = (await intake.letters(path))[-1]
    assert letter["kind"] == "answer"
    assert shown["answer"] in letter["body"].replace("\n", " ")
    proof = await intake.channel.post(
        f"{path}/actions/verify", json={"assurance": {"level": "L2", "method": "signed_in_mfa"}}
    )
    assert proof.status_code == 409  # that was not the question
    more = await intake.channel.post(f"{path}/actions/record-reply", json=MORE)
    assert (more.status_code, more.json()["state"]) == (200, "in_progress")
    assert (await intake.types())[-2:] == ["reopened", "verified"]


@pytest.mark.parametrize("found", [0, 4])
async def test_finding_counts_until_the_outcome_is_known(intake: Intake, found: int) -> None:
    path = await intake.submit()
    await blocked(intake, path, UNSEARCHED)
    await intake.leave_unanswered(path, "clarification")
    late = report("ticketing", outcome=TaskOutcome.EXPORTED, found=found)
    await intake.consume(a(FulfilmentReported, about=id_of(path), tasks=(late, UNSEARCHED)))
    assert (await intake.view(path))["outcome"] == ("partially_fulfilled" if found else "unidentified")


async def test_a_question_that_a_person_has_asked_already_is_waited_for(intake: Intake) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/actions/ask", json={"question": "clarification", "text": "Which contract?"})
    await blocked(intake, path)
    assert (await intake.view(path))["state"] == "awaiting_clarification"


async def test_identities_are_no_answer_to_another_question(intake: Intake) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/actions/ask", json={"question": "clarification", "text": "Which contract?"})
    refused = await intake.channel.post(f"{path}/actions/record-reply", json=MORE)
    assert (refused.status_code, (await intake.view(path))["state"]) == (400, "awaiting_clarification")


# The proved part is worked immediately, the rest waits for proof, and unproved identities find nothing.
SINCE = datetime(2024, 2, 5, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
STRANGERS = (Identity(IdentityType.PHONE, "+493023125009", SINCE), Identity(IdentityType.ACCOUNT_ID, "C9"))
NUMBER = Identity(IdentityType.PHONE, "+493023125001", SINCE, source="crm")


EMAIL_OF_RECORD = replace(EMAIL, source="crm")


def systems(*more: Identity) -> tuple[ScriptedSystem, ScriptedSystem, ScriptedSystem]:
    """The CRM yields account and number of a person found by the address; the others hold calls and tickets."""
    known = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID})

    def located(task: Task) -> Result:
        found = (ACCOUNT, NUMBER, *more) if any(i.type is IdentityType.EMAIL for i in task.identities) else ()
        return Receipt(task.task_id, TaskOutcome.LOCATED if found else TaskOutcome.NO_MATCH, identities=found)

    crm = ScriptedSystem("crm", known, known, {Operation.LOCATE: each(located)}, assigns=True, needed="L1")
    cdr = ScriptedSystem("cdr", frozenset({IdentityType.PHONE}), needed="L2")
    return crm, cdr, ScriptedSystem("tickets", needed="L1")


async def erase(harness: Harness, *identities: Identity) -> NewFulfilment:
    await harness.register(NUMBER)
    new = replace(await harness.new_fulfilment(), subject_ref=await harness.subject(*identities))
    await harness.open(new)
    await work(harness)
    return new


async def work(harness: Harness) -> None:
    for system, operation in (("crm", Operation.LOCATE), *((s, Operation.ERASE) for s in ("cdr", "tickets", "crm"))):
        await harness.worker(system, operation).work()


async def prove(harness: Harness, asked: NewFulfilment, *identities: Identity) -> None:
    async with harness.unit_of_work.begin() as tx:
        proved = Sealing(asked.subject_ref, "identities", "requester", encode_identities(identities))
        await tx.vault.seal(tx.connection, [proved], tx.now)
    await harness.retry(asked.request_id)
    await work(harness)


def values(tasks: Sequence[Task]) -> set[str]:
    return {identity.value for task in tasks for identity in task.identities}


async def reports(harness: Harness, asked: NewFulfilment) -> dict[str, tuple[str, str | None, str | None]]:
    rows = await harness.pool.fetch(
        "SELECT t.system, receipt ->> 'outcome', receipt ->> 'not_searched', receipt ->> 'level' FROM task t"
        " JOIN fulfilment USING (fulfilment_id) WHERE request_id = $1 AND t.operation = 'erase' AND t.state = 'done'",
        asked.request_id,
    )
    return {row[0]: tuple(row)[1:] for row in rows}


async def test_low_proof_erases_tickets_and_touches_no_call(open_harness: OpenHarness) -> None:
    crm, cdr, tickets = systems()
    harness = await open_harness(crm, cdr, tickets)
    asked = await erase(harness, EMAIL)
    assert cdr.asked == []
    assert await reports(harness, asked) == {
        "cdr": ("not_searched", "not_proved", "L2"),
        "tickets": ("erased", None, None),
    }
    assert [task.operation for task in crm.asked] == [Operation.LOCATE]  # by what it yields the calls are found later
    assert await harness.fulfilment_state(asked.request_id) == FulfilmentState.BLOCKED


async def test_a_proved_address_carries_no_strangers_number_and_account(open_harness: OpenHarness) -> None:
    harness = await open_harness(*systems())
    await erase(harness, replace(EMAIL, level="L2"), *STRANGERS)
    asked = [task for system in harness.systems.values() for task in system.asked]
    assert {"+493023125001", "ada@example.org"} <= values(asked)
    assert not values(asked) & {identity.value for identity in STRANGERS}


async def test_stated_identity_finds_nothing(open_harness: OpenHarness) -> None:
    harness = await open_harness(*systems())
    asked = await erase(harness, replace(EMAIL, level="L0"), *STRANGERS)
    assert not any(system.asked for system in harness.systems.values())
    assert {report[1] for report in (await reports(harness, asked)).values()} == {"not_proved"}


async def test_with_its_proof_the_rest_goes_on_and_what_was_done_is_not_done_again(open_harness: OpenHarness) -> None:
    crm, cdr, tickets = systems()
    harness = await open_harness(crm, cdr, tickets)
    asked = await erase(harness, EMAIL)
    await prove(harness, asked, replace(EMAIL, level="L2"))
    assert values(cdr.asked) == {NUMBER.value}
    assert [task.level for task in cdr.asked] == ["L2"]
    assert len(tickets.asked) == 1
    assert [task.operation for task in crm.asked] == [Operation.LOCATE, Operation.LOCATE, Operation.ERASE]
    assert await harness.fulfilment_state(asked.request_id) == FulfilmentState.COMPLETE
    [done] = harness.completed
    assert {(report.system, report.outcome) for report in done.reports if report.operation == "erase"} == {
        *(("crm", "erased"), ("cdr", "erased"), ("tickets", "erased"))
    }


BOTH = (replace(EMAIL, level="L2", together=True), replace(NUMBER, source="requester", level="L2", together=True))
ANY_SIM = replace(BOTH[1], value="+493023125099")


@pytest.mark.parametrize(("stated", "searched"), [(BOTH, {NUMBER.value}), ((BOTH[0], ANY_SIM), set())])
async def test_two_contact_points_open_the_calls_only_where_the_register_shows_both_as_one_accounts(
    open_harness: OpenHarness, stated: tuple[Identity, ...], searched: set[str]
) -> None:
    harness = await open_harness(*systems(EMAIL_OF_RECORD))
    asked = await erase(harness, *stated)
    cdr = harness.systems["cdr"]
    assert values(cdr.asked) == searched
    if not searched:
        assert (await reports(harness, asked))["cdr"] == ("not_searched", "not_proved", "L2")


async def test_yielded_identity_has_the_proof_of_its_search(open_harness: OpenHarness) -> None:
    harness = await open_harness(*systems())
    asked = await erase(harness, EMAIL)
    for level in ("L1", "L2"):
        async with harness.unit_of_work.begin() as tx:
            known = (await tx.vault.subject_data(tx.connection, [asked.subject_ref]))[asked.subject_ref].identities
        assert {each.level for each in known if each.source == "crm"} == {level}
        await prove(harness, asked, replace(EMAIL, level="L2"))


# An answer follows from the search: calls are found, or a person decides how to go on.

EMAIL_COVERED, PHONE = IdentityType.EMAIL, IdentityType.PHONE
ADDRESS, CODE = Identity(EMAIL_COVERED, "ada@example.org"), Identity(IdentityType.ACCOUNT_ID, "C1")
OWN, DATED = Identity(PHONE, "+442079460000"), Identity(PHONE, "+442079460000", SINCE, source="crm")
SAID = Identity(PHONE, OWN.value, SINCE)
ELSEWHERE = Identity(PHONE, "+442079460999")
STRANGER = Identity(EMAIL_COVERED, "stranger@example.org")
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
        "crm", needs=frozenset({EMAIL_COVERED, PHONE, CODE.type}), yields=frozenset({PHONE, CODE.type}), assigns=True
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
        copied = CopiedRecord("call", "cdr", {"of": " ".join(sorted(dated))})
        records = (copied,) if task.operation is Operation.EXPORT else ()
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


async def work_covered(harness: Harness) -> None:
    """Works whatever is ready, until nothing is."""
    steps = [(system, operation) for system in harness.systems for operation in Operation]
    able = [step for step in steps if step[1] not in {Operation.ESCALATE, Operation.FLAG}]
    while any([await harness.worker(system, operation).work() for system, operation in able]):
        pass


async def blocked_covered(harness: Harness) -> Mapping[UUID, Mapping[str, Mapping[str, object]]]:
    """Returns the reports of blocked fulfilments, by request and system."""
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
    await work_covered(harness)
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
    await work_covered(harness)
    said = await blocked_covered(harness)
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
        (STRANGER, {EMAIL_COVERED, CODE.type}, None),
        (STRANGER, {PHONE}, Unsearched.NO_ACCOUNT),
        (ADDRESS, {EMAIL_COVERED, CODE.type}, None),
    ],
    ids=["no account", "who would know could not look", "known"],
)
async def test_subject_without_an_account_has_no_rows_by_account(
    open_harness: OpenHarness, known: Identity, finder: set[IdentityType], reason: Unsearched | None
) -> None:
    party, audience, shop = crm(), ScriptedSystem("audience", needs=frozenset({CODE.type})), ScriptedSystem("shop")
    party.needs = frozenset(finder)
    shop.needs = frozenset({EMAIL_COVERED, CODE.type})
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
    await work_covered(harness)
    if reason:
        said = await blocked_covered(harness)
        assert {(said[one.request_id][s]["not_searched"]) for one in asked for s in ("audience", "shop")} == {reason}
        return
    assert {done.request_id for done in harness.completed} == {one.request_id for one in asked}
    searched = {(r.system, r.not_searched) for done in harness.completed for r in done.reports}
    nothing = {r.system for done in harness.completed for r in done.reports if r.outcome == TaskOutcome.NO_MATCH}
    assert searched >= {("audience", None), ("shop", None)}
    filed = {r.system: r.no_account for done in harness.completed for r in done.reports if r.operation != "locate"}
    stranger = known is STRANGER
    assert (filed["audience"], filed["shop"]) == ((("marketing",), ("invoice",)) if stranger else (None, None))
    assert ({"audience", "shop"} <= nothing, bool(audience.asked)) == ((known is STRANGER), known is ADDRESS)


def _lacks(task: Task) -> Unsearched | None:
    return None if any(each.type is CODE.type for each in task.identities) else Unsearched.NO_ACCOUNT


async def test_nothing_is_erased_before_all_yielding_systems_were_searched(open_harness: OpenHarness) -> None:
    party = crm()
    harness = await open_harness(party, cdr())
    await harness.register(DATED)
    asked = await ask(harness, Right.ERASURE, STRANGER)
    await work_covered(harness)
    assert await harness.states(asked.request_id) == {"crm:locate": "done", "cdr:erase": "done", "crm:erase": "waiting"}
    report = (await blocked_covered(harness))[asked.request_id]["crm"]
    assert (report["operation"], report.get("outcome"), report.get("failure")) == ("erase", None, None)


async def test_new_identities_search_every_system_again_and_keep_results(open_harness: OpenHarness) -> None:
    calls, tickets = cdr(), ScriptedSystem("tickets")
    harness = await open_harness(crm(), calls, tickets)
    await harness.register(DATED)
    asked = await ask(harness, Right.ERASURE, STRANGER)
    await work_covered(harness)
    async with harness.unit_of_work.begin() as tx:
        statement = Sealing(asked.subject_ref, "identities", "requester", encode_identities([CODE]))
        await tx.vault.seal(tx.connection, [statement], tx.now)
        assert set(await harness.fulfilments.retry(tx, [asked.request_id])) == {asked.request_id}
    await work_covered(harness)
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
        "fulfilment.restarted",
        *["task.concluded"] * 4,
    ]


async def test_restarted_copy_holds_everything_once(open_harness: OpenHarness) -> None:
    harness = await open_harness(crm(), cdr())
    await harness.register(DATED)
    asked = await ask(harness, Right.ACCESS, DATED, ELSEWHERE)
    await work_covered(harness)
    async with harness.unit_of_work.begin() as tx:
        dated = encode_identities([Identity(PHONE, ELSEWHERE.value, proved_since=SINCE)])
        await tx.vault.seal(tx.connection, [Sealing(asked.subject_ref, "identities", "requester", dated)], tx.now)
        decided = a(RetryRequested, about=asked.request_id, right=asked.right, subject=asked.subject_ref)
        await export.retry(harness.fulfilments, [decided], tx)
    await work_covered(harness)
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
        await work_covered(harness)
        assert await harness.fulfilment_state(asked.request_id) == "blocked"
        await harness.retry(asked.request_id)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"] * 2
