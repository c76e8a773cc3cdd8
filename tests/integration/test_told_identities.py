"""A system is told only the identity types that it needs: all that each adapter says is recorded and searched."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from deploy.demo.traces import forms
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.downstreams.bus.adapter import BusAdapter
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.bus.upload import NoUploads
from shared.downstreams.downstream import Downstream
from shared.downstreams.opendsr.adapter import OpenDsrAdapter
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.protocols import Adapter
from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.tryton.adapter import TrytonAdapter
from shared.downstreams.tryton.settings import TrytonSettings
from tests.fakes import slow_crm, slow_ticketing
from tests.fakes.opendsr_responder import MailingSystem, application
from tests.fixtures.cdr import engine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, task
from tests.fixtures.engine import SetClock
from tests.fixtures.stores import Subject
from tests.fixtures.wiretap import wiretap

SINCE = datetime(2024, 2, 5, tzinfo=UTC)
NOT_NEEDED = {
    IdentityType.PHONE: "+34911234567",
    IdentityType.ACCOUNT_ID: "hidden-4711-k",
    IdentityType.SIP_URI: "sip:hidden.4712@voice.example",
    IdentityType.NAME: "Hildegard Verborgen",
}
"""What the requester, or another system, says of the subject besides the address that the system is searched by."""
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
    """All that is known of a subject; the last is what the system itself has yielded, so it may hear it again."""
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


async def worked(system: str, adapter: Adapter, address: str) -> list[Operation]:
    """Works a task of each operation that the adapter has, as the engine would; returns which those were."""
    needs = Downstream(system, frozenset({IdentityType.EMAIL}), adapter=adapter)
    does = [(operation, more) for operation, more in OPERATIONS if needs.can(operation)]
    for operation, more in does:
        asked = task(operation, *needs.may_hear(known(address, system)), **more)
        assert await WorkedSystem(adapter).run(asked)
    return [operation for operation, _ in does]


def found_in(heard: Iterable[bytes], value: str) -> bool:
    """Whether what was said holds the value in any form: raw, URL-encoded, escaped, base64, hex, in any case."""
    heard = list(heard)
    spellings = {value, value.lower(), value.upper(), value.lstrip("+"), value.removeprefix("sip:")}
    written = {form for each in spellings for form in forms(each)}
    written |= {
        form for each in spellings for form in (each.encode().hex().encode(), each.encode().hex().upper().encode())
    }
    return any(form in said for said in heard for form in written)


def must_not_know(heard: Sequence[bytes], address: str) -> None:
    """It was told the address, so the search works, and nothing else."""
    assert found_in(heard, address)
    assert [kind for kind, value in NOT_NEEDED.items() if found_in(heard, value)] == []


class Recording(httpx.ASGITransport):
    """A system behind HTTP that keeps what it is sent: line, headers and body."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.heard: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = b"\n".join(name + b": " + value for name, value in request.headers.raw)
        self.heard.append(
            b"\n".join((request.method.encode(), str(request.url).encode(), headers, await request.aread()))
        )
        return await super().handle_async_request(request)


async def test_a_sql_store_is_told_an_address_alone(customer_store: CustomerStore) -> None:
    address = "anna.meier@example.org"
    async with wiretap(customer_store.dsn) as tap, engine(tap.url, customer_store.dataset, {}) as store:
        done = await worked("store", store.adapter, address)
    assert len(done) == 7
    must_not_know([bytes(tap.heard)], address)


async def test_a_crm_is_told_an_address_alone() -> None:
    settings = TrytonSettings(url="http://crm", password_env="CRM")
    transport = Recording(slow_crm.application(3))
    adapter = TrytonAdapter("crm", settings, environment={"CRM": "secret"}, transport=transport)
    assert len(await worked("crm", adapter, Subject(1).email)) == 8
    await adapter.close()
    must_not_know(transport.heard, Subject(1).email)


async def test_a_tracker_is_told_an_address_alone() -> None:
    settings = RoundupSettings.model_validate({"url": "http://tickets/", "password_env": "TICKETS"})
    transport = Recording(slow_ticketing.application(3))
    adapter = RoundupAdapter("tickets", settings, environment={"TICKETS": "secret"}, transport=transport)
    assert {Operation.EXPORT, Operation.ERASE} <= {*await worked("tickets", adapter, Subject(1).email)}
    await adapter.close()
    must_not_know(transport.heard, Subject(1).email)


async def test_a_processor_is_told_an_address_alone() -> None:
    settings = OpenDsrSettings.model_validate({"url": "http://localhost/v2"})
    address = "ada@example.com"
    transport = Recording(application(MailingSystem([{"email": address, "list": "news"}], SetClock())))
    adapter = OpenDsrAdapter("mailing", settings, clock=SetClock(), environment={}, transport=transport)
    assert await worked("mailing", adapter, address) == [Operation.EXPORT, Operation.ERASE]
    await adapter.close()
    must_not_know(transport.heard, address)


async def test_a_team_on_the_bus_is_told_nobody() -> None:
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
    assert await worked("billing", adapter, address) == [Operation.ERASE]
    heard = [b"\n".join((m.topic.encode(), m.key, m.value, repr(m.headers).encode())) for m in published]
    assert len(heard) == 1
    for value in (address, *NOT_NEEDED.values()):
        assert not found_in(heard, value)
