"""Scenario 9: calls older than 18 months are erased immediately, the others on their day; the letter claims no law.

An erasure of calls from 2025-01-15 to 2026-09-30, executed on 2026-10-01. The restriction and reduction of kept calls
are tested in ``integration/test_sql_keeping.py``.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from deploy.demo.seed.cdr import CdrStore
from deploy.local.paths import ROOT
from services.erasure import handlers as erasure
from shared.domain.events import EVENT_TYPES, Event, FulfilmentCompleted, RequestReceived, TimerFired
from shared.domain.identities import Identity, IdentityType
from shared.domain.languages import LANGUAGES
from shared.domain.operations import Operation, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.domain.working_days import calendar
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.cdr import ANNA, LONG_AGO, OURS, ask, call, engine
from tests.fixtures.engine import ACCOUNT, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.policy import signed_policy
from tests.integration.deadline.conftest import PLANS, POLICY, deferrals
from tests.integration.deadline.conftest import Harness as Deadlines

EXECUTED = datetime(2026, 10, 1, 14, tzinfo=UTC)
CALLS = ("2025-01-15", "2025-03-31", "2025-04-01", "2025-08-31", "2026-09-30")
MIDNIGHTS = {  # in Denver: what is left from then on
    datetime(2026, 10, 2, 6, tzinfo=UTC): ("2025-08-31", "2026-09-30"),
    datetime(2027, 3, 1, 7, tzinfo=UTC): ("2026-09-30",),
    datetime(2028, 3, 31, 6, tzinfo=UTC): (),
}
NUMBER = Identity(IdentityType.PHONE, ANNA, LONG_AGO, source="crm")


class Case:
    """One erasure in the store of calls, and the service that says when its days are over."""

    def __init__(self, store: CdrStore, harness: Harness, deadline: Deadlines) -> None:
        self.store, self.harness, self.deadline = store, harness, deadline
        self._positions: dict[asyncpg.Pool, int] = {}

    async def erase(self) -> TaskReport:
        """Erases what may go now, and answers the request; what the store has said of it."""
        await self.harness.register(NUMBER)
        subject = await self.harness.subject(ACCOUNT, NUMBER)
        request = await self.deadline.receives(right=Right.ERASURE, subject=subject)
        facts = (request.request_id, subject, Right.ERASURE, Operation.ERASE, EXECUTED.date())
        await self.harness.open(NewFulfilment(*facts))
        return await self._work(request)

    async def _work(self, request: RequestReceived) -> TaskReport:
        await self.harness.worker("store").work()
        [done] = [e for e in await self._said(self.harness.pool) if isinstance(e, FulfilmentCompleted)]
        await self.deadline.consume(done)
        await self.deadline.closes(request, outcome=Outcome.PARTIALLY_FULFILLED)
        self._request = request
        return done.tasks[0]

    async def wake(self, at: datetime) -> TaskReport:
        """The moment at which a day is over: what was released by it is erased."""
        await self.deadline.sweeps(deferrals, at=at)
        [ended] = [e for e in await self._said(self.deadline.pool) if isinstance(e, TimerFired)]
        async with self.harness.unit_of_work.begin() as tx:
            await erasure.release(self.harness.fulfilments, [ended], tx)
        return await self._work(self._request)

    async def _said(self, pool: asyncpg.Pool) -> list[Event]:
        query = "SELECT position, value FROM outbox WHERE position > $1 ORDER BY position"
        rows = await pool.fetch(query, self._positions.get(pool, -1))
        self._positions[pool] = max([self._positions.get(pool, -1), *(row["position"] for row in rows)])
        types = {name.encode(): kind for name, kind in EVENT_TYPES.items()}
        return [next(k for n, k in types.items() if n in r["value"]).model_validate_json(r["value"]) for r in rows]

    async def days(self) -> tuple[str, ...]:
        found = await ask(self.store.admin, "SELECT start_time::date::text FROM acc_cdrs ORDER BY start_time")
        return tuple(row[0] for row in found)


@pytest.fixture
async def case(
    cdr_store: CdrStore, open_harness: OpenHarness, database: str, keys: Keyring, clock: SetClock
) -> AsyncIterator[Case]:
    """A store of calls, as the engine works it, where a counsel has signed the rules."""
    clock.at = EXECUTED
    calendar(POLICY.commitment.staff_calendar)  # the first reads all of them, which must not be in a transaction
    policy, store = signed_policy(), ScriptedSystem("store", needs=frozenset({IdentityType.PHONE}))
    async with (
        engine(cdr_store.privacy, "kamailio", {"ours": [OURS]}, policy) as calls,
        await connect_pool(PostgresSettings(dsn=database), ServiceName.DEADLINE) as pool,
    ):
        store.answers[Operation.ERASE] = calls.adapter.erase
        harness = await open_harness(store)
        harness.concludes = {Operation.ERASE: erasure.finish}
        unit_of_work = UnitOfWorkFactory(pool, ServiceName.DEADLINE, clock, Vault(keys), policy)
        yield Case(cdr_store, harness, Deadlines(unit_of_work, Fulfilments(PLANS), clock))


async def test_each_call_is_kept_until_its_own_day_and_no_longer(case: Case) -> None:
    await case.store.seed([call(ANNA, "", day) for day in CALLS])
    first = await case.erase()
    assert (first.outcome, first.ground, str(first.until)) == ("retained", "calls_us_18m", "2028-03-30")
    assert await case.days() == CALLS[2:]
    for midnight, left in MIDNIGHTS.items():
        assert await case.deadline.sweeps(deferrals, at=midnight.replace(hour=midnight.hour - 1)) == 0
        woken = await case.wake(midnight)
        assert (await case.days(), woken.outcome) == (left, "retained" if left else "erased")


def test_what_letters_say_of_a_foreign_rule_claims_no_legal_obligation() -> None:
    texts = [
        line
        for file in (ROOT / "shared" / "policy" / "languages").glob("*/words/policy.toml")
        for line in file.read_text(encoding="utf-8").splitlines()
        if "calls_us_18m" in line
    ]
    assert len(texts) == len(LANGUAGES), "in each language"
    for claim in ("obligation", "oblige", "erpflicht", "obligación", "obblig", "17(3)(b)"):
        assert claim not in "".join(texts)
    assert signed_policy().rules["calls_us_18m"].ground == "17(1)(a)"
