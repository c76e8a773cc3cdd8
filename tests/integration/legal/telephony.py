"""A company whose CRM knows whose a number was and when, and whose call records are Kamailio's, on PostgreSQL."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.storage.keyring import Keyring
from shared.storage.register import fill
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.engine import Answer, OpenHarness, ScriptedSystem, each
from tests.fixtures.intake import Intake
from tests.integration.legal.company import Company, opened

_CRM = "crm"
EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID


@dataclass(frozen=True)
class Holder:
    """Who held a number, from when until when."""

    email: str
    account: str
    number: str
    since: datetime
    until: datetime | None = None

    @property
    def assigned(self) -> Identity:
        """The number, as the CRM knows it."""
        return Identity(PHONE, self.number, self.since, self.until, _CRM)


@asynccontextmanager
async def telephony(
    intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring, calls: SqlEngine, *holders: Holder
) -> AsyncIterator[Company]:
    """The company, with its register of numbers filled from the CRM."""
    crm = ScriptedSystem(_CRM, yields=frozenset({PHONE, ACCOUNT}), assigns=True)
    by_email: Mapping[str, Holder] = {holder.email: holder for holder in holders}

    def find(task: Task) -> Result:
        said = {each.value for each in task.identities if each.type is EMAIL}
        known = [by_email[email] for email in said & by_email.keys()]
        if not known:
            return Receipt(task.task_id, TaskOutcome.NO_MATCH)
        (holder,) = known
        yielded = (Identity(ACCOUNT, holder.account, source=_CRM), holder.assigned)
        return Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=yielded)

    crm.answers = {
        Operation.LOCATE: each(find),
        Operation.EXPORT: each(lambda task: Receipt(task.task_id, TaskOutcome.NO_MATCH)),
    }
    done: dict[Operation, Answer] = {Operation.EXPORT: calls.adapter.export, Operation.RECTIFY: calls.adapter.amend}
    cdr = ScriptedSystem("cdr", needs=frozenset({PHONE}), answers=done, stated=calls.adapter.stated)
    rows = [AssignedNumber(holder.assigned, holder.account) for holder in holders]
    async with intake.unit_of_work.pool.acquire() as connection:
        await fill(connection, keys, _CRM, _CRM, rows, intake.clock.now())
    async with opened(intake, open_harness, database, keys, crm, cdr) as company:
        yield company
