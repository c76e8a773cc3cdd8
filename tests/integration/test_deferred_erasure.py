"""Erasure of what had to be kept: on those systems alone, by the subject's key, which goes with the last of them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from services.erasure import handlers, keys, retained
from shared.domain.errors import Misconfigured, ResidueFound
from shared.domain.events import FulfilmentBlocked, RequestClosed, RequestVerified, RetentionEnded
from shared.domain.identities import IdentityType
from shared.domain.operations import Kept, Operation, TaskOutcome, Unsearched
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import Checkpoint, NotSearched, Receipt, Result, Task
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import signed
from shared.fulfilment.worker import Worker
from tests.fixtures.engine import DUE, Answer, Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.policy import none_signed

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
            ended = RetentionEnded.model_validate(self._ended | {"systems": systems})
            await retained.release(self.harness.fulfilments, [ended], tx)

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


async def test_the_key_stays_while_a_system_keeps_data_and_goes_with_its_deferred_erasure(
    open_harness: OpenHarness,
) -> None:
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


async def test_a_deferred_erasure_knows_what_was_told_and_waits_where_the_sign_off_has_ended(
    open_harness: OpenHarness,
) -> None:
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
    assert (asks.failure, asks.exceeded and asks.exceeded.found) == ("rule_unsigned", 2), "nobody answers for the rule"
    await signed.go_on(erasure.harness.unit_of_work, erasure.harness.fulfilments)
    await erasure.work()
    assert len(billing.asked) == 1, "nobody has signed it yet"
    erasure.harness.unit_of_work.policy = policy
    await signed.go_on(erasure.harness.unit_of_work, erasure.harness.fulfilments)
    erasure.harness.unit_of_work.clock.pass_by(seconds=5)  # type: ignore[attr-defined]  # a clock of the test
    await erasure.work()
    assert [task.details.get("told") for task in billing.asked] == [None, {"billing": {"calls_us_18m": "P18M"}}]
    assert await erasure.has_key()


async def test_the_last_of_several_deferred_erasures_shreds_the_key_even_if_they_end_at_once(
    open_harness: OpenHarness,
) -> None:
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
    told = (await said(erasure.harness))[-1]
    assert (told["type"], told["deferred"], await erasure.has_key()) == ("dsr.fulfilment.blocked.v1", True, True)
    await erase_now(billing)
    await erasure.harness.retry(erasure.verified.request_id)
    await erasure.work()
    assert not await erasure.has_key()


refuse = each(lambda _: ResidueFound("one row"))
search_nothing = each(lambda task: NotSearched(task.task_id, Unsearched.NOTHING_TO_SEARCH_BY))


@pytest.mark.parametrize("undone", [refuse, search_nothing])
async def test_an_erasure_that_was_not_done_keeps_the_key_beyond_the_closure_and_can_be_tried_again(
    open_harness: OpenHarness, undone: Answer
) -> None:
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
    told = [(each["type"], each["deferred"]) for each in await said(erasure.harness)]
    assert told == [
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
async def test_the_key_goes_at_once_where_nothing_is_kept_or_nothing_is_wanted(
    open_harness: OpenHarness, *, withdrawn: bool
) -> None:
    erasure = await Erasure.begin(await open_harness(keeps("billing") if withdrawn else ScriptedSystem("billing")))
    await erasure.work()
    await erasure.close(Outcome.WITHDRAWN if withdrawn else Outcome.FULFILLED)
    assert (await erasure.has_key(), await erasure.actions()) == (False, ["key.shredded"])


async def test_who_may_still_resume_the_request_keeps_the_key_beyond_the_deferred_erasure(
    open_harness: OpenHarness,
) -> None:
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
