"""A request that is due tomorrow and was submitted behind 10,000 others is worked next, in every service."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from services.deadline import notifications
from services.deadline.clock import FLAG, Due
from services.deadline.transitions import start
from shared.domain.events import RequestReceived, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.proofs import Action
from shared.domain.rights import Right
from shared.domain.stages import Step
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.downstream import Downstream
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.lease import Lease
from shared.fulfilment.store import Completed
from shared.fulfilment.worker import Worker
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.settings import WorkSettings
from shared.storage import keyring
from shared.storage.postgres import connect_pool
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Vault
from tests.fixtures.databases import in_process
from tests.fixtures.engine import TRACING, SetClock
from tests.fixtures.events import a

OTHERS, BATCH, AT_ONCE = 10_000, 200, 500
EXPORT = partial(fulfilling.begin, Operation.EXPORT)
Begin = Callable[[Fulfilments, Sequence[RequestVerified], UnitOfWork], Awaitable[None]]


@dataclass
class Store:
    """A downstream that notes what it was asked, in order."""

    asked: list[UUID] = field(default_factory=list)

    async def close(self) -> None:
        """Nothing to close."""

    async def _do(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        del save_progress
        self.asked += [task.request_id for task in tasks]
        return [Receipt(task.task_id, TaskOutcome.AMENDED, found=1, changed=1) for task in tasks]

    erase = export = amend = flag = _do


async def _nothing(completed: Sequence[Completed], tx: UnitOfWork) -> None:
    """Nothing follows in this test."""


async def flag(fulfilments: Fulfilments, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
    """What the sweep of deadline does with requests that are still open after a while."""
    policy = read_policy()
    clocks = [start(a(RequestReceived, event), policy, None) for event in events]
    await notifications.tell(fulfilments, tx, [(clock, Due(tx.now, FLAG, clock.due_on)) for clock in clocks])


@pytest.mark.parametrize(
    ("service", "begin", "right", "operation"),
    [
        (ServiceName.ERASURE, partial(fulfilling.begin, Operation.ERASE), Right.ERASURE, Operation.ERASE),
        (ServiceName.EXPORT, EXPORT, Right.ACCESS, Operation.EXPORT),
        (ServiceName.EXPORT, EXPORT, Right.PORTABILITY, Operation.EXPORT),
        (ServiceName.AMENDMENT, amendment.begin, Right.RECTIFICATION, Operation.RECTIFY),
        (ServiceName.AMENDMENT, amendment.begin, Right.RESTRICTION, Operation.RESTRICT),
        (ServiceName.AMENDMENT, amendment.begin, Right.OBJECTION, Operation.SUPPRESS),
        (ServiceName.DEADLINE, flag, Right.ACCESS, Operation.FLAG),
    ],
)
async def test_what_is_due_tomorrow_is_worked_next_behind_ten_thousand_others(
    database: str,
    clock: SetClock,
    keys: keyring.Keyring,
    service: ServiceName,
    begin: Begin,
    right: Right,
    operation: Operation,
) -> None:
    store = Store()
    async with await connect_pool(in_process(database), service) as pool:
        harness = UnitOfWorkFactory(pool, service, clock, Vault(keys))
        fulfilments = Fulfilments({operation: ((Step("store", operation),),)})
        subject = uuid7()
        known = SubjectData((Identity(IdentityType.EMAIL, "ada@example.org"),))
        today = clock.now().date()

        def verified(due_on: date) -> RequestVerified:
            return a(RequestVerified, right=right, subject=subject, due_on=due_on)

        others = [verified(today + timedelta(days=28)) for _ in range(OTHERS)]
        urgent = verified(today + timedelta(days=1))
        async with harness.begin() as tx:
            await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(subject, known, tx.now)])
        for batch in (*(others[n : n + AT_ONCE] for n in range(0, OTHERS, AT_ONCE)), [urgent]):
            async with harness.begin() as tx:
                await begin(fulfilments, batch, tx)
        settings = WorkSettings.model_validate({"downstreams": "none", "batch": BATCH})
        declared = Downstream("store", frozenset(), adapter=store, needed=dict.fromkeys(Action, "L0"))
        lease = Lease(3600)
        async with pool.acquire() as connection:
            await lease.renew(connection)
        worker = Worker(
            declared, operation, harness, fulfilments, dict.fromkeys(Operation, _nothing), settings, TRACING, lease
        )
        assert await worker.work() == BATCH
    assert store.asked[0] == urgent.request_id
    assert store.asked[1:] == [event.request_id for event in others[: BATCH - 1]]
