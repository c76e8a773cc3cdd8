"""Kept data in intake: the answer, the task list, the certificate and the timeline."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.erasure import handlers, keys
from services.intake.queries import worklist
from services.intake.queries.worklist import Filters
from services.intake.request.stored_request import Waits
from shared.domain.errors import DataStillPresent, Misconfigured
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RequestClosed, RequestVerified, TimerFired
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.worker import Worker
from shared.storage import certificate
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing
from shared.systems.contract import Checkpoint, NotSearched, Receipt, Result, Task
from tests.fixtures.engine import DUE, Answer, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.policy import none_signed

CLAIMS = "because the data are needed to establish, exercise or defend legal claims (Art. 17(3)(e) GDPR)"
TAX = "because contracts and invoices are needed for tax purposes and to defend legal claims (Art. 17(1)(a) GDPR)"
KEPT_ANSWER = (
    f"We have erased a part of your data. In archive we keep data of yours, {CLAIMS}. Once that no longer applies we"
    f" erase them, unless another rule keeps them for longer: then we write to you."
    f" In billing we keep data of yours until 30 September 2027, {TAX}. After that day we erase them."
)


def report(system: str, outcome: TaskOutcome | None, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation=Operation.ERASE, outcome=outcome, **more)


def kept(system: str, ground: str, until: date | None) -> TaskReport:
    return report(system, TaskOutcome.RETAINED, found=3, remaining=3, ground=ground, until=until)


FIRST, LAST_DAY = date(2026, 10, 1), date(2028, 3, 30)
DONE_SINCE = (
    "We have erased your personal data, and have checked that nothing is left in the systems listed."
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
    assert (await intake.officer.post(f"{path}/previews")).status_code == 202, "its subject's key is kept with it"
    erased = report("billing", TaskOutcome.ERASED, found=3, changed=3)
    await intake.consume(completed(path, erased, deferred=True))
    intake.clock.pass_by(minutes=11)
    assert (await intake.officer.post(f"{path}/previews")).status_code == 410


async def test_repeated_request_is_found_by_identities_of_an_erasure_that_keeps_data(intake: Intake) -> None:
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
    assert await located(await intake.submit()) == [], "another person"
    assert await located(await intake.submit(subject=me, assurance=None, proofs=[])) == [], "who proves nothing"
    for system in ("billing", "archive"):
        erased = report(system, TaskOutcome.ERASED, found=3, changed=3)
        await intake.consume(completed(first, erased, deferred=True))
    assert await located(await intake.submit(subject=me, right="portability")) == [], "nothing is kept any more"


async def test_the_subject_reads_what_is_kept_until_when_and_why_and_later_that_it_is_erased(intake: Intake) -> None:
    path = await partly_erased(intake)
    assert (await intake.view(path))["answer"] == KEPT_ANSWER
    now = [report(system, TaskOutcome.ERASED, found=3, changed=3) for system in ("billing", "archive")]
    await intake.consume(*[completed(path, each, deferred=True) for each in now])  # two that end together
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


async def test_data_kept_again_are_reported_with_their_new_day(intake: Intake) -> None:
    path = await partly_erased(intake)
    await intake.consume(completed(path, kept("billing", "court_order", None), deferred=True))
    answer = (await intake.view(path))["answer"]
    assert "In billing we keep data of yours, because of: court order." in answer
    assert "2027" not in answer
    assert "court order" in (await letters(intake, path))[-1]["body"], "another ground is named"


async def test_deferral_for_review_stays_listed_until_it_is_done(intake: Intake) -> None:
    """A row of an answered erasure says no day from which its period counts."""
    path = await intake.submit(right="erasure")
    undated = Kept(category="invoice", rule="invoices_84m", count=1, period="P84M")
    left = kept("billing", "invoices_84m", None).model_copy(update={"kept": (undated,)})
    await intake.consume(completed(path, left))
    view = await intake.view(path)
    assert "our privacy team looks into it" in view["answer"]
    assert "In billing rows are kept that say no day" in view["blocked_by"][0]["message"]
    assert await waiting(intake) == [id_of(path)]
    (await intake.officer.post(f"{path}/actions/retry")).raise_for_status()
    dated = undated.model_copy(update={"first": LAST_DAY, "last": LAST_DAY})
    entered = left.model_copy(update={"task_id": uuid7(), "kept": (dated,), "until": LAST_DAY})
    await intake.consume(completed(path, entered, deferred=True))
    assert ((await intake.view(path))["blocked_by"], await waiting(intake)) == ([], [])


async def waiting(intake: Intake) -> list[str]:
    """Returns the requests in the privacy team's queue that wait for a person."""
    async with intake.unit_of_work.pool.acquire() as connection:
        page = await worklist.page(connection, Filters(waits=Waits.PERSON), 100)
    return [str(each.request_id) for each in page.requests]


def flat(letter: dict[str, Any]) -> str:
    return " ".join(letter["body"].split())


async def letters(intake: Intake, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await intake.officer.get(f"{path}/letters")).raise_for_status().json()["data"]
    return found


async def test_failed_deferred_erasure_counts_as_kept_and_can_be_retried(intake: Intake) -> None:
    path = await partly_erased(intake)
    failed = report("billing", None, failure="data_still_present")
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(failed,), deferred=True))
    view = await intake.view(path)
    assert view["state"] == "closed"
    assert "It was to be erased in billing by now, and that has not succeeded yet" in view["answer"]
    assert "not succeeded yet" in flat((await letters(intake, path))[-1])
    assert [task["failure"] for task in view["tasks"] if "failure" in task] == ["data_still_present"]
    assert "we look into it" in view["blocked_by"][0]["message"]
    assert id_of(path) in await waiting(intake)
    decided = await intake.officer.post(f"{path}/actions/retry")
    assert (decided.status_code, decided.json()["state"]) == (200, "closed")
    assert (await intake.published())[-1]["type"] == "dsr.request.retry_requested.v1"


async def test_nothing_is_tried_again_of_a_closed_request_whose_kept_data_waits_for_its_day(intake: Intake) -> None:
    path = await intake.submit(right="erasure")
    await intake.consume(completed(path, kept("billing", "tax_law", date(2027, 9, 30))))
    decided = await intake.officer.post(f"{path}/actions/retry")
    assert decided.status_code == 409
    assert (await intake.published())[-1]["type"] == "dsr.request.closed.v1"


async def test_automatic_continuation_ends_or_blocks_again(intake: Intake) -> None:
    path, again = await intake.submit(right="erasure"), await intake.submit(right="erasure")
    for one in (path, again):
        waits = report("cdr", None, failure="system_quarantined")
        await intake.consume(a(FulfilmentBlocked, about=id_of(one), operation=Operation.ERASE, tasks=(waits,)))
    done = report("cdr", TaskOutcome.ERASED, found=1, changed=1)
    known = {"right": Right.ERASURE, "operation": Operation.ERASE, "outcome": Outcome.FULFILLED}
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), **known, tasks=(done,)))
    failed = report("cdr", None, failure="data_still_present")
    await intake.consume(a(FulfilmentBlocked, about=id_of(again), operation=Operation.ERASE, tasks=(failed,)))
    view = await intake.view(path)
    assert (view["state"], view["outcome"]) == ("closed", "fulfilled")
    view = await intake.view(again)
    assert (view["state"], view["tasks"][0]["failure"]) == ("awaiting_decision", "data_still_present")
    await intake.decide(again)
    await intake.report(again, failed)
    assert (await intake.view(again))["answer"].startswith("Nothing of what you asked for could be done in: cdr. We ")


# Erasure of what had to be kept: on those systems alone, by the subject's key, which goes with the last of them.
AGAIN = date(2027, 1, 1)
DAY = date(2026, 2, 1)
"""Until which day something was kept, and over by now."""


class Erasure:
    """One erasure, worked and closed by hand."""

    def __init__(self, harness: Harness, verified: RequestVerified) -> None:
        self.harness = harness
        self.verified = verified
        facts = verified.model_dump(include={"request_id", "occurred_at", "right", "subject"})
        self._closed = facts | {"outcome": Outcome.PARTIALLY_FULFILLED, "responded_at": verified.occurred_at}
        self._ended = facts | {"due_on": AGAIN}

    @classmethod
    async def begin(cls, harness: Harness) -> "Erasure":
        verified = a(RequestVerified, right=Right.ERASURE, subject=await harness.subject(), due_on=DUE)
        async with harness.unit_of_work.begin() as tx:
            await fulfilling.begin(Operation.ERASE, harness.fulfilments, [verified], tx)
        return cls(harness, verified)

    async def work(self) -> None:
        for system in self.harness.systems:
            await worker(self.harness, system).work()

    async def close(self, outcome: Outcome = Outcome.PARTIALLY_FULFILLED, *, resumable: bool = False) -> None:
        closed = RequestClosed.model_validate(self._closed | {"outcome": outcome, "resumable": resumable})
        async with self.harness.unit_of_work.begin() as tx:
            await handlers.shred_key([closed], tx)

    async def release(self, *systems: str) -> None:
        async with self.harness.unit_of_work.begin() as tx:
            ended = TimerFired.model_validate(
                self._ended | {"systems": systems, "kind": "retention", "step": "released"}
            )
            await handlers.release(self.harness.fulfilments, [ended], tx)

    async def has_key(self) -> bool:
        async with self.harness.pool.acquire() as connection:
            return bool(await self.harness.unit_of_work.vault.unshredded(connection, [self.verified.subject]))

    async def actions(self) -> list[str]:
        taken = await self.harness.actions(self.verified.request_id)
        return [action for action in taken if action.startswith("key")]


def worker(harness: Harness, system: str) -> Worker:
    """A worker that concludes as the service does."""
    harness.concludes = {Operation.ERASE: handlers.finish}
    return harness.worker(system)


def keeps(system: str, needs: frozenset[IdentityType] = frozenset({IdentityType.EMAIL})) -> ScriptedSystem:
    """A system that has to keep two rows of everybody."""
    scripted = ScriptedSystem(system, needs=needs)

    async def retain(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        kept = TaskOutcome.RETAINED
        return [Receipt(t.task_id, kept, found=2, remaining=2, ground="tax_law", until=AGAIN) for t in asked]

    scripted.answers[Operation.ERASE] = retain
    return scripted


async def erase_now(system: ScriptedSystem) -> None:
    del system.answers[Operation.ERASE]


async def said(harness: Harness) -> list[Mapping[str, object]]:
    rows = await harness.pool.fetch("SELECT convert_from(value, 'UTF8')::jsonb FROM outbox ORDER BY position")
    return [row[0] for row in rows]


async def test_key_stays_until_the_deferred_erasure_of_kept_data(open_harness: OpenHarness) -> None:
    billing, crm = keeps("billing"), ScriptedSystem("crm")
    erasure = await Erasure.begin(await open_harness(billing, crm))
    await erasure.work()
    await erasure.close()
    assert (await erasure.has_key(), await erasure.actions()) == (True, ["key.kept"])
    await erase_now(billing)
    await erasure.release("billing")
    assert await erasure.has_key()
    await erasure.work()
    assert (len(billing.asked), len(crm.asked)) == (2, 1)
    first, second = billing.asked
    assert (first.task_id != second.task_id, second.identities, second.due_on) == (True, first.identities, AGAIN)
    assert [(each["outcome"], each["deferred"]) for each in await said(erasure.harness)] == [
        ("partially_fulfilled", False),
        ("fulfilled", True),
    ]
    assert (await erasure.has_key(), await erasure.actions()) == (False, ["key.kept", "key.shredded"])


async def test_deferred_erasure_keeps_promises_and_waits_for_a_sign_off(open_harness: OpenHarness) -> None:
    billing = ScriptedSystem("billing", needs=frozenset({IdentityType.EMAIL}))

    async def by_rule(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        kept = (Kept(category="call_record", rule="calls_us_18m", count=2, first=DAY, last=DAY, period="P18M"),)
        return [Receipt(t.task_id, TaskOutcome.RETAINED, 2, 0, 2, ground="calls_us_18m", kept=kept) for t in asked]

    billing.answers[Operation.ERASE] = by_rule
    erasure = await Erasure.begin(await open_harness(billing))
    await erasure.work()
    await erasure.close()
    policy = erasure.harness.unit_of_work.policy
    erasure.harness.unit_of_work.policy = none_signed(policy)
    await erasure.release("billing")
    await erasure.work()
    [asks] = (FulfilmentBlocked.model_validate((await said(erasure.harness))[-1])).tasks
    assert (asks.failure, asks.exceeded and asks.exceeded.found) == ("rule_unsigned", 2), "the rule is unsigned"
    await erasure.harness.retry(erasure.verified.request_id)
    await erasure.work()
    assert len(billing.asked) == 1, "it is unsigned"
    erasure.harness.unit_of_work.policy = policy
    await erasure.harness.retry(erasure.verified.request_id)
    await erasure.work()
    assert [task.details.get("announced") for task in billing.asked] == [None, {"billing": {"calls_us_18m": "P18M"}}]
    assert await erasure.has_key()


async def test_last_of_several_deferred_erasures_shreds_the_key(open_harness: OpenHarness) -> None:
    systems = [keeps(name) for name in ("a", "b", "c")]
    erasure = await Erasure.begin(await open_harness(*systems))
    await erasure.work()
    await erasure.close()
    for system in systems:
        await erase_now(system)
        await erasure.release(system.system)
    await asyncio.gather(*(worker(erasure.harness, system.system).work() for system in systems))
    assert not await erasure.has_key()
    assert (await erasure.actions()).count("key.shredded") == 1


async def test_what_is_kept_again_keeps_the_key_again(open_harness: OpenHarness) -> None:
    billing = keeps("billing")
    erasure = await Erasure.begin(await open_harness(billing))
    await erasure.work()
    await erasure.close()
    await erasure.release("billing")
    await erasure.work()
    assert await erasure.has_key()
    await erase_now(billing)
    await erasure.release("billing")
    await erasure.work()
    assert not await erasure.has_key()


async def test_a_deferred_erasure_that_fails_keeps_the_key_until_it_is_tried_again(open_harness: OpenHarness) -> None:
    billing = keeps("billing")
    erasure = await Erasure.begin(await open_harness(billing))
    await erasure.work()
    await erasure.close()
    billing.answers[Operation.ERASE] = refuse
    await erasure.release("billing")
    await erasure.work()
    event = (await said(erasure.harness))[-1]
    assert (event["type"], event["deferred"], await erasure.has_key()) == ("dsr.fulfilment.blocked.v1", True, True)
    await erase_now(billing)
    await erasure.harness.retry(erasure.verified.request_id)
    await erasure.work()
    assert not await erasure.has_key()


refuse = each(lambda _: DataStillPresent("one row"))
search_nothing = each(lambda task: NotSearched(task.task_id, Unsearched.NOTHING_TO_SEARCH_BY))


@pytest.mark.parametrize("undone", [refuse, search_nothing])
async def test_failed_erasure_keeps_the_key_beyond_the_closure(open_harness: OpenHarness, undone: Answer) -> None:
    crm, billing = ScriptedSystem("crm"), ScriptedSystem("billing")
    crm.answers[Operation.ERASE] = undone
    erasure = await Erasure.begin(await open_harness(crm, billing))
    await erasure.work()
    await erasure.close()
    assert (await erasure.has_key(), await erasure.actions()) == (True, ["key.kept"])
    for again in (False, True):
        if again:
            await erase_now(crm)
        await erasure.harness.retry(erasure.verified.request_id)
        await erasure.work()
        assert await erasure.has_key() is not again
    events = [(each["type"], each["deferred"]) for each in await said(erasure.harness)]
    assert events == [
        ("dsr.fulfilment.blocked.v1", False),
        ("dsr.fulfilment.blocked.v1", True),
        ("dsr.fulfilment.completed.v1", True),
    ]


async def test_who_withdraws_what_was_not_done_wants_nothing_tried_again(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    crm.answers[Operation.ERASE] = refuse
    erasure = await Erasure.begin(await open_harness(crm))
    await erasure.work()
    await erasure.close(Outcome.WITHDRAWN)
    assert (await erasure.has_key(), await erasure.actions()) == (False, ["key.shredded"])


@pytest.mark.parametrize("withdrawn", [True, False])
async def test_key_is_shredded_immediately_if_nothing_is_kept(open_harness: OpenHarness, *, withdrawn: bool) -> None:
    erasure = await Erasure.begin(await open_harness(keeps("billing") if withdrawn else ScriptedSystem("billing")))
    await erasure.work()
    await erasure.close(Outcome.WITHDRAWN if withdrawn else Outcome.FULFILLED)
    assert (await erasure.has_key(), await erasure.actions()) == (False, ["key.shredded"])


async def test_resumable_request_keeps_the_key_beyond_the_deferred_erasure(open_harness: OpenHarness) -> None:
    billing = keeps("billing")
    erasure = await Erasure.begin(await open_harness(billing))
    await erasure.work()
    await erasure.close(resumable=True)
    await erase_now(billing)
    await erasure.release("billing")
    await erasure.work()
    assert await erasure.has_key()

    await erasure.close(Outcome.FULFILLED)
    assert not await erasure.has_key()


async def test_a_system_that_can_no_longer_be_asked_is_named(open_harness: OpenHarness) -> None:
    erasure = await Erasure.begin(await open_harness(keeps("billing")))
    with pytest.raises(Misconfigured, match="erase: archive"):
        await erasure.release("billing", "archive")


async def test_whether_something_is_kept_is_read_from_an_index_that_holds_only_that(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("billing"))
    erasures = [await Erasure.begin(harness) for _ in range(200)]
    await erasures[0].work()
    await harness.pool.execute("ANALYZE task, fulfilment")
    requests = [each.verified.request_id for each in erasures[:3]]
    plan = "\n".join(row[0] for row in await harness.pool.fetch(f"EXPLAIN {keys.KEPT}", requests))
    assert "task_retained" in plan
