"""What intake tells of data that had to be kept: in the answer, the task list, the certificate and the timeline."""

from datetime import date
from typing import Any

from uuid_utils.compat import uuid7

from services.intake import worklist
from services.intake.worklist import Filters, Waits
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.storage import certificate
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of

CLAIMS = "because the data are needed to establish, exercise or defend legal claims"
TAX = "because contracts and invoices are needed for tax purposes and to defend legal claims"
KEPT_ANSWER = (
    f"Your request was fulfilled in part. Kept in archive {CLAIMS}; once that no longer applies, it is"
    f" erased, unless another rule keeps it for longer: then we write to you."
    f" Kept in billing until 30 September 2027 {TAX}; it is to be erased after that day."
)


def report(system: str, outcome: TaskOutcome | None, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=Operation.ERASE, outcome=outcome, **more)


def kept(system: str, ground: str, until: date | None) -> TaskReport:
    return report(system, TaskOutcome.RETAINED, found=3, remaining=3, ground=ground, until=until)


FIRST, LAST_DAY = date(2026, 10, 1), date(2028, 3, 30)
DONE_SINCE = (
    "Your personal data was erased, and we have checked that nothing is left in the systems listed."
    " A part of it was done after your request had been closed."
)
ERASED_ANSWER = (
    f"{DONE_SINCE} What was kept in archive {CLAIMS}, has been erased."
    f" What was kept in billing until 30 September 2027 {TAX}, has been erased."
)


def completed(path: str, *tasks: TaskReport, deferred: bool = False) -> FulfilmentCompleted:
    outcome = Outcome.FULFILLED if deferred else Outcome.PARTIALLY_FULFILLED
    known = {"right": Right.ERASURE, "operation": Operation.ERASE, "outcome": outcome}
    return a(FulfilmentCompleted, about=id_of(path), **known, tasks=tasks, deferred=deferred)


async def partly_erased(intake: Intake) -> str:
    """A closed erasure of which two systems keep something."""
    path = await intake.submit(right="erasure")
    crm = report("crm", TaskOutcome.ERASED, found=1, changed=1)
    billing, archive = kept("billing", "tax_law", date(2027, 9, 30)), kept("archive", "legal_hold", None)
    await intake.consume(completed(path, crm, billing, archive))
    return path


async def test_what_is_kept_still_has_a_plan_and_what_is_gone_has_none(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    billing = kept("billing", "tax_law", date(2027, 9, 30))
    await intake.consume(completed(path, billing))
    assert (await intake.officer.get(f"{path}/plan")).status_code == 202, "its subject's key is kept with it"
    erased = report("billing", TaskOutcome.ERASED, found=3, changed=3)
    await intake.consume(completed(path, erased, deferred=True))
    intake.clock.pass_by(minutes=11)
    assert (await intake.officer.get(f"{path}/plan")).status_code == 410


async def test_whoever_asks_again_is_found_by_what_their_erasure_had_located_while_something_of_it_is_kept(
    intake: Intake,
) -> None:
    first = await partly_erased(intake)
    tx_of, vault = intake.unit_of_work.begin, intake.unit_of_work.vault
    refs = "SELECT subject_ref FROM request WHERE request_id = $1"
    account = Identity(IdentityType.ACCOUNT_ID, "A-19", source="desk", level="L2")
    async with tx_of() as tx:
        ref = await tx.connection.fetchval(refs, id_of(first))
        await vault.seal(tx.connection, [Sealing(ref, "identities", "desk", encode_identities([account]))], tx.now)

    async def located(path: str) -> list[str]:
        async with tx_of() as tx:
            ref = await tx.connection.fetchval(refs, id_of(path))
            known = (await vault.subject_data(tx.connection, [ref]))[ref].identities
        return [each.value for each in known if each.source != "requester"]

    me = {"email": "ada@example.org", "country": "DE"}
    for said in ({"right": "erasure"}, {"right": "access"}, {"right": "restriction", "ground": "unlawful"}):
        assert await located(await intake.submit(subject=me, **said)) == ["A-19"], said
    assert await located(await intake.submit()) == [], "somebody else"
    assert await located(await intake.submit(subject=me, assurance=None, proofs=[])) == [], "who proves nothing"
    for system in ("billing", "archive"):
        erased = report(system, TaskOutcome.ERASED, found=3, changed=3)
        await intake.consume(completed(first, erased, deferred=True))
    assert await located(await intake.submit(subject=me, right="portability")) == [], "nothing is kept any more"


async def test_the_reference_tells_the_days_of_what_is_kept_by_rule_and_no_contact_after_the_erasure(
    intake: Intake,
) -> None:
    path = await intake.submit(right="erasure")
    by_rule = Kept(category="call_record", rule="calls_us_18m", count=3, first=FIRST, last=LAST_DAY, period="P18M")
    cdr = kept("cdr", "calls_us_18m", LAST_DAY).model_copy(update={"kept": (by_rule,)})
    await intake.consume(completed(path, report("crm", TaskOutcome.ERASED, found=1, changed=1), cdr))
    shown = await intake.view(path)
    [told] = next(task["kept"] for task in shown["tasks"] if task["system"] == "cdr")
    assert (told["rule"], told["first"], told["last"]) == ("calls_us_18m", "2026-10-01", "2028-03-30")
    assert "example.com" not in str(shown)


async def test_the_subject_reads_what_is_kept_until_when_and_why_and_later_that_it_is_erased(intake: Intake) -> None:
    path = await partly_erased(intake)
    assert (await intake.view(path))["answer"] == KEPT_ANSWER
    now = [report(system, TaskOutcome.ERASED, found=3, changed=3) for system in ("billing", "archive")]
    await intake.consume(*[completed(path, each, deferred=True) for each in now])  # two that end at once
    view = await intake.view(path)
    assert (view["answer"], view["state"], view["outcome"]) == (ERASED_ANSWER, "closed", "partially_fulfilled")
    tasks = {task["system"]: task for task in view["tasks"]}
    assert {name: task["outcome"] for name, task in tasks.items()} == dict.fromkeys(tasks, "erased")
    assert (tasks["billing"]["task_id"], tasks["billing"]["until"]) == (str(now[0].task_id), "2027-09-30")
    later = await intake.details(path, "erasure.deferred_completed")
    assert later == [{"systems": {"billing": "erased"}}, {"systems": {"archive": "erased"}}]
    assert "completion.late" not in await intake.actions(path)
    signed = (await intake.channel.get(f"{path}/certificate")).json()
    assert (certificate.verify(signed), signed["request"]["answer"]) == ([], ERASED_ANSWER)


async def test_a_request_whose_completion_and_deferred_erasure_come_in_one_batch_stays_closed(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    first = completed(path, kept("billing", "tax_law", date(2027, 9, 30)))
    await intake.consume(first, completed(path, report("billing", TaskOutcome.ERASED, found=3), deferred=True))
    view = await intake.view(path)
    assert (view["state"], view["outcome"]) == ("closed", "partially_fulfilled")
    assert [(task["outcome"], task["until"]) for task in view["tasks"]] == [("erased", "2027-09-30")]


async def test_what_is_kept_again_is_told_with_its_new_day(intake: Intake) -> None:
    path = await partly_erased(intake)
    await intake.consume(completed(path, kept("billing", "court_order", None), deferred=True))
    answer = (await intake.view(path))["answer"]
    assert "Kept in billing because of: court order;" in answer
    assert "2027" not in answer
    assert "court order" in (await letters(intake, path))[-1]["body"], "another ground is told"


async def test_when_a_hold_is_lifted_what_went_and_what_another_rule_keeps_is_told_by_letter(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    told = Kept(category="call", rule="legal_hold", count=5)
    calls = kept("shop", "legal_hold", None).model_copy(
        update={"kept": (told,), "found": 9, "changed": 4, "by_category": {"call": 5, "customer": 4}}
    )
    await intake.consume(completed(path, calls))
    rule = Kept(category="call", rule="calls_us_18m", count=3, first=FIRST, last=LAST_DAY, period="P18M")
    left = kept("shop", "calls_us_18m", LAST_DAY).model_copy(
        update={"kept": (rule,), "found": 5, "changed": 2, "by_category": {"call": 5}}
    )
    await intake.consume(completed(path, left, deferred=True))
    fewer = left.model_copy(
        update={"task_id": uuid7(), "kept": (rule.model_copy(update={"count": 2}),), "found": 3, "changed": 1}
    )
    await intake.consume(completed(path, fewer, deferred=True))
    [_, first, second] = await letters(intake, path)
    assert "5 records (calls) are kept because the data are needed to establish" in flat(first)
    assert (second["kind"], "legal claims" in flat(second)) == ("partial", False)
    assert "3 records (calls) are kept" in flat(second)
    assert "last after 30 March 2028" in flat(second)
    assert "shop: 6 of 9 records erased (calls: 2, customer data: 4)." in flat(second)


async def test_what_one_of_us_is_to_look_into_stands_in_the_list_of_what_waits_for_a_person_until_it_is_done(
    intake: Intake,
) -> None:
    """A row of an answered erasure says no day from which its period counts."""
    path = await intake.submit(right="erasure")
    undated = Kept(category="invoice", rule="invoices_84m", count=1, period="P84M")
    left = kept("billing", "invoices_84m", None).model_copy(update={"kept": (undated,)})
    await intake.consume(completed(path, left))
    view = await intake.view(path)
    assert "one of us looks into it" in view["answer"]
    assert "In billing rows are kept that say no day" in view["waits_for"]
    assert await waiting(intake) == [id_of(path)]
    (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).raise_for_status()
    dated = undated.model_copy(update={"first": LAST_DAY, "last": LAST_DAY})
    entered = left.model_copy(update={"task_id": uuid7(), "kept": (dated,), "until": LAST_DAY})
    await intake.consume(completed(path, entered, deferred=True))
    assert ("waits_for" in await intake.view(path), await waiting(intake)) == (False, [])


async def waiting(intake: Intake) -> list[str]:
    """What stands in the queue of the privacy team as waiting for a person."""
    async with intake.unit_of_work.pool.acquire() as connection:
        page = await worklist.page(connection, Filters(waits=Waits.PERSON), 100)
    return [str(each.request_id) for each in page.requests]


def flat(letter: dict[str, Any]) -> str:
    return " ".join(letter["body"].split())


async def letters(intake: Intake, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    return [each for each in found if each["kind"] != "recipient_notice"]


async def test_a_deferred_erasure_that_failed_is_still_told_as_kept_and_tried_again_by_the_privacy_team(
    intake: Intake,
) -> None:
    path = await partly_erased(intake)
    failed = report("billing", None, failure="residue_found")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(failed,), deferred=True))
    view = await intake.view(path)
    assert view["state"] == "closed"
    assert "It was to be erased in billing by now, and that has not succeeded yet" in view["answer"]
    assert "not succeeded yet" in flat((await letters(intake, path))[-1])
    assert [task["failure"] for task in view["tasks"] if "failure" in task] == ["residue_found"]
    assert "one of us looks into it" in view["waits_for"]
    assert id_of(path) in await waiting(intake)
    decided = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert (decided.status_code, decided.json()["state"]) == (200, "closed")
    assert (await intake.published())[-1]["type"] == "dsr.request.retry_decided.v1"


async def test_nothing_is_tried_again_of_a_closed_request_whose_kept_data_waits_for_its_day(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(completed(path, kept("billing", "tax_law", date(2027, 9, 30))))
    decided = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert decided.status_code == 409
    assert (await intake.published())[-1]["type"] == "dsr.request.closed.v1"


async def test_what_goes_on_by_itself_is_complete_or_blocked_anew_though_a_person_was_to_decide(intake: Intake) -> None:
    path, again = await intake.submit(right="erasure"), await intake.submit(right="erasure")
    for each in (path, again):
        waits = report("cdr", None, failure="system_quarantined")
        await intake.consume(a(FulfilmentBlocked, about=id_of(each), operation=Operation.ERASE, tasks=(waits,)))
    done = report("cdr", TaskOutcome.ERASED, found=1, changed=1)
    known = {"right": Right.ERASURE, "operation": Operation.ERASE, "outcome": Outcome.FULFILLED}
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), **known, tasks=(done,)))
    failed = report("cdr", None, failure="residue_found")
    await intake.consume(a(FulfilmentBlocked, about=id_of(again), operation=Operation.ERASE, tasks=(failed,)))
    view = await intake.view(path)
    assert (view["state"], view["outcome"]) == ("closed", "fulfilled")
    view = await intake.view(again)
    assert (view["state"], view["tasks"][0]["failure"]) == ("awaiting_decision", "residue_found")
    await intake.decide(again)
    await intake.report(again, failed)
    assert (await intake.view(again))["answer"].startswith("Nothing of what you asked for could be done in: cdr. We ")


async def test_an_erasure_that_was_done_after_the_request_was_closed_without_it_is_told(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    undone = (report("crm", None, failure="residue_found"), report("billing", None))
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=undone))
    await intake.decide(path)
    await intake.report(path, *undone)
    assert "Nothing of what you asked for could be done in: billing and crm." in (await intake.view(path))["answer"]
    done = [report(system, TaskOutcome.ERASED, found=1, changed=1) for system in ("crm", "billing")]
    await intake.consume(completed(path, *done, deferred=True))
    view = await intake.view(path)
    assert (view["outcome"], view["answer"]) == ("partially_fulfilled", DONE_SINCE)
    assert {task["system"]: task["outcome"] for task in view["tasks"]} == {"crm": "erased", "billing": "erased"}
    assert (await intake.officer.post(f"{path}/decision", json={"decision": "retry"})).status_code == 409
