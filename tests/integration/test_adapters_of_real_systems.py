"""The requirements of every system (``tests/contract/test_adapters.py``), on the real systems that we run."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from deploy.local import postgres_databases as databases
from deploy.local.roundup import Roundup
from deploy.local.tryton import Tryton
from shared.domain.operations import Change
from shared.systems.conformance.checks import CHECKS, CheckContext, SamplePeople, Verdict, run
from tests.contract.adapter_stands import Erasable, OnStand, Plain, Stand
from tests.contract.test_adapters import ON_STANDS
from tests.fixtures import groups
from tests.fixtures.cdr import engine
from tests.fixtures.customer_store import CustomerStore, lay
from tests.fixtures.roundup import Ticketing
from tests.fixtures.tryton import Crm

CORRECTED = {
    "sql": Change(field="email", current=None, asserted="dsr-conformance-corrected@example.com"),
    "tryton": Change(field="name", current=None, asserted="Corrected Quarzfels"),
    "roundup": Change(field="name", current=None, asserted="Corrected Quarzfels"),
}
NOT_YES: Mapping[str, Mapping[str, Verdict]] = {
    "sql": {"restricted": Verdict.NOT_DECLARED},
    "tryton": {},
    "roundup": {},
}
"""Expected results other than ``yes``: a table cannot show a restriction."""
_numbers = itertools.count(1)


class RealStand(Plain):
    """An adapter over a system that many tests share: each test has a domain of its own."""

    def __init__(self, adapter: Erasable) -> None:
        self.adapter = adapter
        self._domain = f"x{uuid7().hex[-12:]}.example"

    def address(self, email: str) -> str:
        """The person's address in the domain of this test."""
        return email.replace("example.com", self._domain)


class SqlStand(RealStand):
    """A SQL store of customers and what they wrote."""

    def __init__(self, adapter: Erasable, store: CustomerStore) -> None:
        super().__init__(adapter)
        self._store = store

    def put(self, email: str, rows: int) -> int:
        address, key = self.address(email), next(_numbers) + 100
        contacts = ", ".join(f"({next(_numbers) + 100}, $1, 'Invoice', now())" for _ in range(rows - 1))
        customer = "INSERT INTO customer (account_id, name, email) VALUES ($2, 'Some Customer', $1)"
        databases.wait_for(databases.fetch(self._store.dsn, customer, address, f"K{key}"))
        databases.wait_for(databases.fetch(self._store.dsn, f"INSERT INTO contact VALUES {contacts}", address))
        return self.holds(email)

    def holds(self, email: str) -> int:
        counted = (
            "SELECT (SELECT count(*) FROM contact WHERE requester = $1)"
            " + (SELECT count(*) FROM customer WHERE email = $1)"
        )
        return int(databases.wait_for(databases.fetch(self._store.dsn, counted, self.address(email)))[0][0])


class TrytonStand(RealStand):
    """Customers in a CRM, each with an address and as many numbers as are wanted."""

    def __init__(self, adapter: Erasable, tryton: Tryton) -> None:
        super().__init__(adapter)
        self._tryton = tryton

    def put(self, email: str, rows: int) -> int:
        databases.wait_for(self._create(self.address(email), rows - 2))
        return self.holds(email)

    async def _create(self, address: str, numbers: int) -> None:
        held = [("email", address), *(("phone", f"+4915117{next(_numbers):06d}") for _ in range(numbers))]
        contacts = [{"type": kind, "value": value} for kind, value in held]
        party = {"name": address, "code": address, "contact_mechanisms": [["create", contacts]]}
        async with self._tryton.rpc() as rpc:
            await rpc.call("model.party.party.create", [party])

    def holds(self, email: str) -> int:
        counted = (
            "SELECT count(*) + count(DISTINCT other.party) FROM party_contact_mechanism mine"
            " JOIN party_contact_mechanism other USING (party) WHERE mine.value = $1"
        )
        return int(databases.wait_for(databases.fetch(self._tryton.dsn, counted, self.address(email)))[0][0])


class RoundupStand(RealStand):
    """Users of a tracker with their tickets, and the history of both."""

    def __init__(self, adapter: Erasable, ticketing: Ticketing) -> None:
        super().__init__(adapter)
        self._ticketing = ticketing

    def put(self, email: str, rows: int) -> int:
        user = self._ticketing.person(f"User {next(_numbers)}", self.address(email))
        for number in range(rows - 1):
            self._ticketing.create("issue", title=f"Trouble {number}", requester=user)
        return self.holds(email)

    def holds(self, email: str) -> int:
        counted = """
            WITH user AS (SELECT id FROM _user WHERE lower(_address) = ?),
                 issue AS (SELECT id FROM _issue WHERE _requester IN (SELECT id FROM user))
            SELECT (SELECT count(*) FROM user) + (SELECT count(*) FROM issue)
                 + (SELECT count(*) FROM user__journal WHERE nodeid IN (SELECT id FROM user))
                 + (SELECT count(*) FROM issue__journal WHERE nodeid IN (SELECT id FROM issue))
        """
        with closing(sqlite3.connect(f"file:{self._ticketing.roundup.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute(counted, [self.address(email)]).fetchone()[0])


@pytest.fixture(params=["sql", "tryton", "roundup"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue({"sql": "postgres_dsn"}.get(request.param, request.param))


@pytest.fixture
async def stand(server: Any, tmp_path: Path) -> AsyncIterator[Stand]:
    if isinstance(server, Tryton | Roundup):  # tests before may have ended it
        await asyncio.to_thread(server.start)
        groups.at_end(server.stop)
    async with AsyncExitStack() as stack:
        later: Callable[..., Any] = stack.push_async_callback
        match server:
            case Tryton():
                crm = Crm(server)
                later(crm.close)
                yield TrytonStand(crm.adapter, server)  # type: ignore[arg-type]
            case Roundup():
                ticketing = Ticketing(server)
                later(ticketing.close)
                yield RoundupStand(ticketing.adapter, ticketing)  # type: ignore[arg-type]
            case _:
                name = f"stand_{uuid7().hex[-12:]}"
                dsn = await databases.create(server, name)
                later(databases.drop, server, name)
                store = await lay(dsn, tmp_path)
                bears = 'category = "contact"\nstated = true'  # what is written there is not corrected
                store.dataset.write_text(store.dataset.read_text().replace('category = "contact"', bears))
                customers = await stack.enter_async_context(engine(dsn, store.dataset, {}))
                yield SqlStand(customers.adapter, store)


async def test_real_system_conforms(request: pytest.FixtureRequest, stand: Stand, subtests: pytest.Subtests) -> None:
    name = request.node.callspec.params["server"]
    trial = CheckContext(
        OnStand(stand, name),
        SamplePeople(domain=stand.address("@example.com")[1:]),
        change=CORRECTED[name],
        row_by_row=name == "sql",
    )
    for check in ON_STANDS:
        finding = await run(CHECKS[check], trial)
        with subtests.test(check):
            assert finding.verdict is NOT_YES[name].get(check, Verdict.YES), finding
