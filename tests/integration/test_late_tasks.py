"""A task that ends after its request was withdrawn leaves nothing behind, and waits for nobody."""

from collections.abc import Sequence

import pytest

from shared.domain.errors import TableMissing, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result, Task
from tests.fixtures.engine import Answer, Harness, OpenHarness, ScriptedSystem, each

RECORD = Record("contact", "party", {"name": "Ada"}, portable=True)
NUMBER = Identity(IdentityType.PHONE, "+442079460000")


async def withdrawn_meanwhile(open_harness: OpenHarness, operation: Operation, answer: Answer) -> Harness:
    """An export that was withdrawn while the CRM worked on it, which has answered since."""
    phone = frozenset({IdentityType.PHONE})
    crm = ScriptedSystem("crm", yields=phone)
    harness = await open_harness(crm, ScriptedSystem("cdr", needs=phone))
    [request] = await harness.open(await harness.new_fulfilment(Operation.EXPORT))

    async def withdraw_then_answer(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return await answer(asked, save_progress)

    if operation is Operation.EXPORT:
        await harness.worker("crm", Operation.LOCATE).work()
    crm.answers[operation] = withdraw_then_answer
    assert await harness.worker("crm", operation).work() == 1
    assert await harness.fulfilment_state(request) == "cancelled"
    return harness


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        (Operation.LOCATE, {"identities": (NUMBER,)}),
        (Operation.EXPORT, {"records": (RECORD,)}),
    ],
)
async def test_what_a_task_brings_after_the_withdrawal_is_not_kept_but_its_receipt_is(
    open_harness: OpenHarness, operation: Operation, given: dict[str, tuple[object, ...]]
) -> None:
    def found(task: Task) -> Receipt:
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, **given)  # type: ignore[arg-type]

    harness = await withdrawn_meanwhile(open_harness, operation, each(found))
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed") == 0
    receipts = await harness.pool.fetch("SELECT receipt->>'found' FROM task WHERE state = 'done' ORDER BY stage DESC")
    assert receipts[0][0] == "1"


@pytest.mark.parametrize("error", [TableMissing("gone"), Unavailable("away")])
async def test_what_fails_after_the_withdrawal_waits_for_nobody(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture, error: TableMissing | Unavailable
) -> None:
    harness = await withdrawn_meanwhile(open_harness, Operation.EXPORT, each(lambda _: error))
    assert await harness.pool.fetchval("SELECT state FROM task WHERE operation = 'export'") == "cancelled"
    assert "waits for a person" not in caplog.text
