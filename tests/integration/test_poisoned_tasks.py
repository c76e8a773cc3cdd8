"""One bad thing costs one: a value that a SQL store cannot take, or a subject too big, fails its own task alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.demo.traces import forms
from shared.domain.errors import Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation
from shared.domain.proofs import ProofAction
from shared.domain.rights import Right
from shared.domain.topics import Message
from shared.fulfilment.store import NewFulfilment
from shared.storage.subject_data import SubjectData
from shared.systems.bus.adapter import BusAdapter
from shared.systems.bus.settings import BusSettings
from shared.systems.bus.upload import NoUploads
from shared.systems.contract import Receipt, Task
from shared.systems.downstream import Downstream
from shared.systems.opendsr.adapter import OpenDsrAdapter
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.protocols import Adapter
from shared.systems.roundup.adapter import RoundupAdapter
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.tryton.adapter import TrytonAdapter
from shared.systems.tryton.settings import TrytonSettings
from tests.fakes import slow_crm, slow_ticketing
from tests.fakes.opendsr_responder import MailingSystem, application
from tests.fixtures.cdr import LONG_AGO, SqlEngine, engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.stores import Subject
from tests.fixtures.wiretap import wiretap

FOUR_MORE = """
INSERT INTO customer (account_id, name, email) SELECT 'D' || n, 'Dana', 'd' || n || '@example.org'
FROM generate_series(1, 4) n
"""
SHORT = "ALTER TABLE customer ALTER COLUMN street TYPE varchar(20)"
RECTIFIES = Operation.RECTIFY
ORDERS = """
CREATE TABLE "order" (id int PRIMARY KEY, account_id int NOT NULL, email text NOT NULL, closed boolean NOT NULL);
CREATE INDEX ON "order" (account_id);
CREATE INDEX ON "order" (email);
INSERT INTO "order" SELECT n, n, 'd' || n || '@example.org', false FROM generate_series(1, 5) n
"""
ORDERS_DECLARED = """
name = "orders"
[tables.order]
category = "order"
primary_key = ["id"]
restrict = { closed = true }
[tables.order.columns]
id = { class = "T" }
account_id = { class = "A", identity = "account_id" }
email = { class = "A", identity = "email" }
closed = { class = "M" }
"""


@dataclass
class Store(ScriptedSystem):
    """A SQL store in place of a scripted system."""

    sql: SqlEngine | None = None

    @property
    def declared(self) -> Downstream:
        assert self.sql is not None
        return Downstream(
            self.system, frozenset(IdentityType), adapter=self.sql.adapter, needed=dict.fromkeys(ProofAction, "L0")
        )


async def worked(
    harness: Harness, operation: Operation, subjects: Sequence[SubjectData]
) -> list[tuple[str, str | None]]:
    """Returns the state and failure of each subject's task, worked as one batch."""
    requests = []
    async with harness.unit_of_work.begin() as tx:
        for known in subjects:
            ref, request = uuid7(), uuid7()
            await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(ref, known, tx.now)])
            await harness.fulfilments.open_all(tx, [NewFulfilment(request, ref, Right.ERASURE, operation, DUE)])
            requests.append(request)
    await harness.worker("store", Operation.LOCATE).work()
    assert await harness.worker("store", operation).work() == len(subjects)
    await harness.worker("store", operation).work()  # what could not be stopped immediately
    rows = await harness.pool.fetch(
        "SELECT t.state, t.failure FROM task t JOIN fulfilment f USING (fulfilment_id) WHERE t.operation = $2"
        " AND NOT t.immediate ORDER BY array_position($1, f.request_id)",
        requests,
        operation,
    )
    return [(row[0], row[1]) for row in rows]


def of(n: int, **change: str) -> SubjectData:
    identities = (Identity(IdentityType.EMAIL, f"d{n}@example.org"),)
    changes = tuple(Change(field=field, current=None, asserted=asserted) for field, asserted in change.items())
    return SubjectData(identities, changes)


@pytest.mark.parametrize("poison", [{"born": "soon"}, {"street": "a street with a long name"}])
@pytest.mark.parametrize("place", [0, 2, 4])
async def test_a_value_that_a_store_cannot_take_leaves_four_of_four_neighbours_corrected(
    open_harness: OpenHarness,
    customer_store: CustomerStore,
    customers: SqlEngine,
    poison: Mapping[str, str],
    place: int,
) -> None:
    await customer_store.run(FOUR_MORE, SHORT)
    harness = await open_harness(Store("store", sql=customers))
    subjects = [of(n, name="Diana", street="Oak Street 1", born="1970-01-02") for n in range(1, 5)]
    subjects.insert(place, SubjectData((Identity(IdentityType.EMAIL, "boris@example.org"),), of(0, **poison).changes))
    became = await worked(harness, RECTIFIES, subjects)
    assert became.pop(place) == ("failed", "refused")
    assert became == [("done", None)] * 4
    changed = await customer_store.ask("SELECT name, street, born::text FROM customer WHERE account_id LIKE 'D%'")
    assert changed == [("Diana", "Oak Street 1", "1970-01-02")] * 4
    assert await harness.pool.fetchval("SELECT sum((receipt->'changed')::int) FROM task WHERE state = 'done'") == 4


async def test_rejected_value_leaves_neighbours_corrected(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run(FOUR_MORE)

    def to(n: int, asserted: str) -> Task:
        change = Change.model_construct(field="name", current=None, asserted=asserted)  # the door takes none of these
        return replace(task(RECTIFIES, *of(n).identities), changes=(change,))

    results = await customers.run(to(1, "Diana"), to(2, "\x00"), to(3, "\ud800"), to(4, "Diana"))
    assert [type(result) for result in results] == [Receipt, Refused, Refused, Receipt]
    names = await customer_store.ask("SELECT name FROM customer WHERE account_id LIKE 'D%' ORDER BY account_id")
    assert names == [("Diana",), ("Dana",), ("Dana",), ("Diana",)]


@pytest.mark.parametrize("settings", [{"max_rows": 1, "max_people": 2}])
@pytest.mark.parametrize("operation", [Operation.SUPPRESS, Operation.RESTRICT, Operation.ERASE, Operation.RECTIFY])
async def test_a_subject_who_is_too_big_fails_alone(
    open_harness: OpenHarness, customer_store: CustomerStore, customers: SqlEngine, operation: Operation
) -> None:
    await customer_store.run(FOUR_MORE)
    await customer_store.run("UPDATE customer SET phone = '+441632960001' WHERE account_id IN ('C1', 'C2')")
    harness = await open_harness(Store("store", sql=customers))
    big = SubjectData(
        (Identity(IdentityType.PHONE, "+441632960001", proved_since=LONG_AGO),), of(0, name="Ann").changes
    )
    became = await worked(harness, operation, [of(1, name="Ann"), big, of(2, name="Ann"), of(3, name="Ann")])
    assert became.pop(1) == ("failed", "limit_exceeded")
    assert became == [("done", None)] * 3


@pytest.mark.parametrize("operation", [Operation.ERASE, Operation.EXPORT, Operation.RESTRICT])
@pytest.mark.parametrize("settings", [{}])
async def test_an_account_of_another_system_finds_nothing_in_a_store_that_counts_its_own(
    open_harness: OpenHarness,
    customer_store: CustomerStore,
    tmp_path: Path,
    operation: Operation,
    settings: Mapping[str, Any],
) -> None:
    await customer_store.run(*ORDERS.strip().split(";"))
    declared = tmp_path / "orders.toml"
    declared.write_text(ORDERS_DECLARED)
    async with engine(customer_store.dsn, declared, settings) as orders:
        harness = await open_harness(Store("store", sql=orders))
        foreign = SubjectData((*of(5).identities, Identity(IdentityType.ACCOUNT_ID, "C-1")))
        numbered = SubjectData((Identity(IdentityType.ACCOUNT_ID, "4"),))
        became = await worked(harness, operation, [of(1), foreign, of(2), numbered, of(3)])
    assert became == [("done", None)] * 5
    assert await harness.pool.fetchval("SELECT sum((receipt->'found')::int) FROM task WHERE state = 'done'") == 5


# A system gets only the identity types that it needs: everything that each adapter sends is recorded and searched.
SINCE = datetime(2024, 2, 5, tzinfo=UTC)
NOT_NEEDED = {
    IdentityType.PHONE: "+34911234567",
    IdentityType.ACCOUNT_ID: "hidden-4711-k",
    IdentityType.SIP_URI: "sip:hidden.4712@voice.example",
    IdentityType.NAME: "Hildegard Verborgen",
}
"""Further identities from the requester or another system."""
OPERATIONS: Sequence[tuple[Operation, dict[str, Any]]] = [
    (Operation.LOCATE, {}),
    (Operation.EXPORT, {}),
    (Operation.RECTIFY, {"changes": [("name", None, "Erika Muster")]}),
    (Operation.RESTRICT, {"ground": "accuracy_contested"}),
    (Operation.LIFT, {}),
    (Operation.SUPPRESS, {}),
    (Operation.FLAG, {"open": True}),
    (Operation.ERASE, {}),
]


def known(address: str, system: str) -> tuple[Identity, ...]:
    """Returns the subject's identities; the system itself yielded the last, so it may receive it again."""
    others = (
        Identity(kind, value, SINCE, None, source)
        for kind, value in NOT_NEEDED.items()
        for source in ("requester", "x")
    )
    return (
        Identity(IdentityType.EMAIL, address),
        *others,
        Identity(IdentityType.PHONE, "+34688886392", SINCE, None, system),
    )


async def worked_by(system: str, adapter: Adapter, address: str) -> list[Operation]:
    """Works a task of each operation that the adapter has, as the engine would; returns which those were."""
    needs = Downstream(system, frozenset({IdentityType.EMAIL}), adapter=adapter)
    does = [(operation, more) for operation, more in OPERATIONS if needs.can(operation)]
    for operation, more in does:
        asked = task(operation, *needs.may_receive(known(address, system)), **more)
        assert await WorkedSystem(adapter).run(asked)
    return [operation for operation, _ in does]


def found_in(sent: Iterable[bytes], value: str) -> bool:
    """Whether what was said holds the value in any form: raw, URL-encoded, escaped, base64, hex, in any case."""
    sent = list(sent)
    spellings = {value, value.lower(), value.upper(), value.lstrip("+"), value.removeprefix("sip:")}
    written = {form for each in spellings for form in forms(each)}
    written |= {
        form for each in spellings for form in (each.encode().hex().encode(), each.encode().hex().upper().encode())
    }
    return any(form in said for said in sent for form in written)


def must_not_know(sent: Sequence[bytes], address: str) -> None:
    """Asserts that the system got the address, and nothing else."""
    assert found_in(sent, address)
    assert [kind for kind, value in NOT_NEEDED.items() if found_in(sent, value)] == []


class Recording(httpx.ASGITransport):
    """A system behind HTTP that keeps what it is sent: line, headers and body."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.received: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = b"\n".join(name + b": " + value for name, value in request.headers.raw)
        self.received.append(
            b"\n".join((request.method.encode(), str(request.url).encode(), headers, await request.aread()))
        )
        return await super().handle_async_request(request)


async def test_sql_store_gets_only_an_address(customer_store: CustomerStore) -> None:
    address = "anna.meier@example.org"
    async with wiretap(customer_store.dsn) as tap, engine(tap.url, customer_store.dataset, {}) as store:
        done = await worked_by("store", store.adapter, address)
    assert len(done) == 7
    must_not_know([bytes(tap.received)], address)


async def test_crm_gets_only_an_address() -> None:
    settings = TrytonSettings(url="http://crm", password_env="CRM")
    transport = Recording(slow_crm.application(3))
    adapter = TrytonAdapter("crm", settings, environment={"CRM": "secret"}, transport=transport)
    assert len(await worked_by("crm", adapter, Subject(1).email)) == 8
    await adapter.close()
    must_not_know(transport.received, Subject(1).email)


async def test_tracker_gets_only_an_address() -> None:
    settings = RoundupSettings.model_validate({"url": "http://tickets/", "password_env": "TICKETS"})
    transport = Recording(slow_ticketing.application(3))
    adapter = RoundupAdapter("tickets", settings, environment={"TICKETS": "secret"}, transport=transport)
    assert {Operation.EXPORT, Operation.ERASE} <= {*await worked_by("tickets", adapter, Subject(1).email)}
    await adapter.close()
    must_not_know(transport.received, Subject(1).email)


async def test_processor_gets_only_an_address() -> None:
    settings = OpenDsrSettings.model_validate({"url": "http://localhost/v2"})
    address = "ada@example.com"
    transport = Recording(application(MailingSystem([{"email": address, "list": "news"}], SetClock())))
    adapter = OpenDsrAdapter("mailing", settings, clock=SetClock(), environment={}, transport=transport)
    assert await worked_by("mailing", adapter, address) == [Operation.EXPORT, Operation.ERASE]
    await adapter.close()
    must_not_know(transport.received, address)


async def test_team_on_the_bus_gets_no_identity() -> None:
    published: list[Message] = []

    async def publish(messages: Sequence[Message]) -> None:
        published.extend(messages)

    needs = frozenset({IdentityType.EMAIL})
    adapter = BusAdapter(
        "billing",
        BusSettings(),
        needs=needs,
        publish=publish,
        token_key=b"k" * 32,
        clock=SetClock(),
        uploads=NoUploads(),
    )
    address = "ada@example.com"
    assert await worked_by("billing", adapter, address) == [Operation.ERASE]
    sent = [b"\n".join((m.topic.encode(), m.key, m.value, repr(m.headers).encode())) for m in published]
    assert len(sent) == 1
    for value in (address, *NOT_NEEDED.values()):
        assert not found_in(sent, value)
