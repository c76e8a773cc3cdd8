"""What intake does where a system could not be searched: ask who can help, else let a person decide; then say it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.events import FulfilmentBlocked, FulfilmentReported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.downstreams.contract import Receipt, Result, Task
from shared.fulfilment.store import FulfilmentState, NewFulfilment
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import LAST, Intake, id_of

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
    assert letter["kind"] == "clarification_question"
    assert "from when to when" in letter["body"]
    assert await intake.types() == ["received", "verified", "question_sent"]


async def test_what_they_answer_is_known_of_them_and_the_work_goes_on_by_it(intake: Intake, asked: str) -> None:
    answered = await intake.channel.post(f"{asked}/reply", json=MORE)
    assert answered.json()["state"] == "in_progress"
    assert (await intake.types())[-2:] == ["question_answered", "retry_decided"]
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
    await intake.channel.post(f"{asked}/reply", json=MORE)
    async with intake.unit_of_work.begin() as tx:
        known = (await tx.vault.subject_data(tx.connection, [subject]))[subject].identities
    assert account not in known
    assert Identity(IdentityType.PHONE, "+442079460000") in known


async def test_period_of_a_number_is_stored_and_a_future_proof_refused(intake: Intake, asked: str) -> None:
    later = {"number": "+442079460000", "since": "2099-01-01T00:00:00Z"}
    proofs = [{"identity": "phones.0", "method": "sms_code", "proved_at": "2099-01-01T00:00:00Z"}]
    taken = await intake.channel.post("/v1/requests", json={"right": "access", "subject": {"phones": [later]}})
    reply = {**MORE, "subject": {"phones": [later]}, "proofs": proofs}
    refused = await intake.channel.post(f"{asked}/reply", json=reply)
    submission = {"right": "access", "subject": {"phones": [later]}, "proofs": proofs}
    submitted = await intake.channel.post("/v1/requests", json=submission)
    assert (taken.status_code, refused.status_code, submitted.status_code) == (201, 400, 400)
    assert "future" in refused.json()["detail"]
    assert (await intake.view(asked))["state"] == "awaiting_clarification"


async def test_an_answer_that_names_nothing_is_read_by_a_person(intake: Intake, asked: str) -> None:
    answered = await intake.channel.post(f"{asked}/reply", json=LITTLE)
    assert answered.json()["state"] == "awaiting_decision"
    assert (await intake.types())[-1] == "question_answered"


async def give_up(intake: Intake, path: str, clock: SetClock) -> None:
    question_id = str((await intake.published())[-1]["question_id"])
    clock.at = LAST
    await intake.unanswered(path, question_id, "last_notice", "clarification")


async def test_unanswered_question_ends_with_what_was_found(intake: Intake, asked: str, clock: SetClock) -> None:
    await give_up(intake, asked, clock)
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
    assert (notice["kind"], answered["kind"]) == ("clarification_last_notice", "partial")
    assert "Art. 11(2)" in notice["body"]
    assert "what you mean" not in notice["body"]


async def test_unknown_stranger_is_unidentified_and_may_resume(intake: Intake, clock: SetClock) -> None:
    path = await intake.submit()
    nothing = report("crm", outcome=TaskOutcome.NO_MATCH)
    await blocked(intake, path, nothing, UNSEARCHED)
    await give_up(intake, path, clock)
    await intake.consume(a(FulfilmentReported, about=id_of(path), tasks=(nothing, UNSEARCHED)))
    shown = await intake.view(path)
    assert (shown["state"], shown["outcome"], shown["resumable"]) == ("closed", "unidentified", True)
    assert shown["answer"] == (
        "We searched crm, and hold no data about you there."
        " We could not search cdr: nothing that we know of you leads there."
        " Our question to you is still open: answer it at any time, and we go on."
    )
    letter = (await intake.letters(path))[-1]
    assert letter["kind"] == "unidentified"
    assert shown["answer"] in letter["body"].replace("\n", " ")
    proof = await intake.channel.post(f"{path}/verify", json={"assurance": {"level": "L2", "method": "signed_in_mfa"}})
    assert proof.status_code == 409  # that was not the question
    more = await intake.channel.post(f"{path}/reply", json=MORE)
    assert (more.status_code, more.json()["state"]) == (200, "in_progress")
    assert (await intake.types())[-2:] == ["reopened", "verified"]


@pytest.mark.parametrize("found", [0, 4])
async def test_finding_counts_until_the_outcome_is_known(intake: Intake, clock: SetClock, found: int) -> None:
    path = await intake.submit()
    await blocked(intake, path, UNSEARCHED)
    await give_up(intake, path, clock)
    late = report("ticketing", outcome=TaskOutcome.EXPORTED, found=found)
    await intake.consume(a(FulfilmentReported, about=id_of(path), tasks=(late, UNSEARCHED)))
    assert (await intake.view(path))["outcome"] == ("partially_fulfilled" if found else "unidentified")


async def test_a_question_that_a_person_has_asked_already_is_waited_for(intake: Intake) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/question", json={"question": "clarification", "text": "Which contract?"})
    await blocked(intake, path)
    assert (await intake.view(path))["state"] == "awaiting_clarification"


async def test_officer_need_not_wait_and_the_answer_names_the_gap(intake: Intake, asked: str) -> None:
    await intake.decide(asked, reason="NOT_SEARCHABLE", article="11(2)")
    await intake.report(asked, UNSEARCHED)
    shown = await intake.view(asked)
    assert (shown["state"], shown["outcome"]) == ("closed", "partially_fulfilled")
    assert shown["answer"] == (
        "Nothing of what you asked for could be done in: cdr."
        " We could not search cdr: nothing that we know of you leads there."
    )
    assert (await intake.actions(asked))[-5:] == [
        *("decision.proposed", "question.answered", "decision.made", "letter.written", "request.closed")
    ]


async def test_identities_are_no_answer_to_another_question(intake: Intake) -> None:
    path = await intake.submit()
    await intake.officer.post(f"{path}/question", json={"question": "clarification", "text": "Which contract?"})
    refused = await intake.channel.post(f"{path}/reply", json=MORE)
    assert (refused.status_code, (await intake.view(path))["state"]) == (400, "awaiting_clarification")


async def test_failed_erasure_is_reported_and_can_be_retried_after_closure(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    lost = report("crm", Operation.LOCATE, failure="residue_found")
    waiting = report("crm", Operation.ERASE), report("cdr", Operation.ERASE)
    await blocked(intake, path, lost, *waiting, operation=Operation.ERASE)
    await intake.decide(path)
    await intake.report(path, lost, *waiting)
    answer = (await intake.view(path))["answer"]
    again = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert answer == (
        "Nothing of what you asked for could be done in: cdr and crm."
        " We still owe you what is missing in: cdr and crm. You will hear from us when it is done."
    )
    assert (again.status_code, again.json()["state"]) == (200, "closed")
    assert (await intake.types())[-1] == "retry_decided"


# The part that is proved is worked at once, the rest waits for proof, and what is not proved finds nobody.
SINCE = datetime(2024, 2, 5, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
STRANGERS = (Identity(IdentityType.PHONE, "+493023125009", SINCE), Identity(IdentityType.ACCOUNT_ID, "C9"))
NUMBER = Identity(IdentityType.PHONE, "+493023125001", SINCE, source="crm")
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm")


EMAIL_OF_RECORD = replace(EMAIL, source="crm")


def systems(*more: Identity) -> tuple[ScriptedSystem, ScriptedSystem, ScriptedSystem]:
    """The CRM yields account and number of whoever is found by the address; the others hold calls and tickets."""
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


async def test_a_proved_address_carries_no_strangers_number_and_account(open_harness: OpenHarness) -> None:  # C4
    harness = await open_harness(*systems())
    await erase(harness, replace(EMAIL, level="L2"), *STRANGERS)
    asked = [task for system in harness.systems.values() for task in system.asked]
    assert {"+493023125001", "ada@example.org"} <= values(asked)
    assert not values(asked) & {identity.value for identity in STRANGERS}


async def test_what_is_only_stated_finds_nobody(open_harness: OpenHarness) -> None:  # C4
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
