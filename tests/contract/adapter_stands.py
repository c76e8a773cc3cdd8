"""Stands: each an adapter over a system that a test can fill and look into, so that one suite examines them all."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx
from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation
from shared.systems.conformance import checks as conformance
from shared.systems.conformance.checks import SamplePerson
from shared.systems.contract import Checkpoint, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.http.adapter import HttpAdapter
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.opendsr.adapter import OpenDsrAdapter
from shared.systems.opendsr.settings import OpenDsrSettings
from tests.contract.bus_stand import BusStand
from tests.contract.csv_folder import CsvAdapter, FolderUnit
from tests.fakes import zendesk_responder
from tests.fakes.bus_responder import Billing
from tests.fakes.opendsr_responder import MailingSystem, application
from tests.fixtures.engine import SetClock
from tests.fixtures.policy import signed_policy

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIMEOUT_SECONDS = 12


class Erasable(Protocol):
    """An adapter that erases."""

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


class Stand(Protocol):
    """One adapter, and the store of the system behind it."""

    @property
    def adapter(self) -> Erasable:
        """The adapter under test."""

    def put(self, email: str, rows: int) -> int:
        """Let the system hold so many rows about the person with this address; returns what it holds then.

        That is more where it keeps a history.
        """

    def holds(self, email: str) -> int:
        """Counts its rows about a person."""

    def address(self, email: str) -> str:
        """Returns the person's address there, which differs where tests share the system."""

    def hear(self, progress: dict[UUID, dict[str, JsonValue]]) -> None:
        """Add to the tasks' progress what the system has answered meanwhile, where it answers on its own."""

    def wait(self, delay: timedelta) -> None:
        """Let so much time pass, where the system goes by a clock of the test's."""


class Plain:
    """Does what most stands do: people keep their address, and no answer or clock is waited for."""

    def address(self, email: str) -> str:
        return email

    def hear(self, progress: dict[UUID, dict[str, JsonValue]]) -> None:
        pass

    def wait(self, delay: timedelta) -> None:
        pass


def _pass(clock: Clock, delay: timedelta) -> None:
    assert isinstance(clock, SetClock)
    clock.at += delay


@dataclass
class OpenDsrStand(Plain):
    """OpenDSR over HTTP, without a socket."""

    adapter: OpenDsrAdapter
    system: MailingSystem

    def put(self, email: str, rows: int) -> int:
        self.system.rows += [{"email": email, "list": str(number)} for number in range(rows)]
        return self.holds(email)

    def holds(self, email: str) -> int:
        return sum(row["email"] == email for row in self.system.rows)

    def wait(self, delay: timedelta) -> None:
        _pass(self.system.clock, delay)


def opendsr_stand(
    system: MailingSystem, settings: Mapping[str, object] = {}, transport: httpx.AsyncBaseTransport | None = None
) -> OpenDsrStand:
    """An adapter whose HTTP goes straight into the example processor, or into ``transport``."""
    adapter = OpenDsrAdapter(
        "mailing",
        OpenDsrSettings.model_validate({"url": "http://localhost/v2", "token_env": "TOKEN", **settings}),
        clock=system.clock,
        environment={"TOKEN": "secret"},
        transport=transport or httpx.ASGITransport(application(system)),
    )
    return OpenDsrStand(adapter, system)


@asynccontextmanager
async def opendsr() -> AsyncIterator[OpenDsrStand]:
    """A mailing system that speaks OpenDSR."""
    stand = opendsr_stand(MailingSystem([], SetClock()))
    yield stand
    await stand.adapter.close()


@dataclass
class HttpStand(Plain):
    """A help desk that is declared, over HTTP without a socket: a user with so many rows, less one, of tickets."""

    adapter: HttpAdapter
    desk: zendesk_responder.HelpDesk

    def put(self, email: str, rows: int) -> int:
        user = self.desk.add_user(email)
        for _ in range(rows - 1):
            self.desk.add_ticket(user)
        return self.holds(email)

    def holds(self, email: str) -> int:
        users = {**self.desk.users, **self.desk.soft_users}
        theirs = {number for number, user in users.items() if user["email"] == email}
        tickets = [*self.desk.tickets.values(), *self.desk.soft_tickets.values()]
        return len(theirs) + sum(ticket["requester_id"] in theirs for ticket in tickets)

    def wait(self, delay: timedelta) -> None:
        _pass(self.desk.clock, delay)


@asynccontextmanager
async def http() -> AsyncIterator[HttpStand]:
    """A help desk that is connected by a declaration."""
    desk = zendesk_responder.HelpDesk(SetClock())
    adapter = HttpAdapter(
        "helpdesk",
        DeclaredHttpSettings(url="http://localhost/api/v2", declaration="zendesk"),
        clock=desk.clock,
        environment={"ZENDESK_USER": "admin@example.com", "ZENDESK_TOKEN": "secret"},
        policy=signed_policy(),
        transport=httpx.ASGITransport(zendesk_responder.application(desk)),
    )
    yield HttpStand(adapter, desk)
    await adapter.close()


@asynccontextmanager
async def bus() -> AsyncIterator[BusStand]:
    """A billing team that erases its own store."""
    store = Billing(":memory:")
    yield BusStand(store, SetClock())
    store.close()


@dataclass
class CsvStand(Plain):
    """A folder of CSV files: a customer with so many rows, less one, of orders."""

    adapter: CsvAdapter

    def put(self, email: str, rows: int) -> int:
        folder = self.adapter.folder
        unit = FolderUnit(folder.path / "now")
        key = str(len(unit.rows["customers"]) + 1)
        customer = {"id": key, "email": email, "name": "Quarzfels", "restricted": "no", "no_marketing": "no"}
        unit.rows["customers"][key] = customer
        for n in range(rows - 1):
            order = {"id": f"{key}.{n}", "customer": key, "goods": "a cable", "ordered": f"2026-01-0{n + 1}"}
            unit.rows["orders"][order["id"]] = order
        folder.keep(unit)
        return self.holds(email)

    def holds(self, email: str) -> int:
        rows = FolderUnit(self.adapter.folder.path / "now").rows
        theirs = {key for key, row in rows["customers"].items() if row["email"] == email}
        return len(theirs) + sum(row["customer"] in theirs for row in rows["orders"].values())


@asynccontextmanager
async def csv() -> AsyncIterator[CsvStand]:
    """A folder of CSV files."""
    with TemporaryDirectory() as folder:
        yield CsvStand(CsvAdapter("files", Path(folder), signed_policy()))


STANDS: Mapping[str, Callable[[], AbstractAsyncContextManager[Stand]]] = {
    "opendsr": opendsr,
    "bus": bus,
    "http": http,
    "csv": csv,
}
"""The adapters under test by name; add one here, and the whole suite runs on it.

Those of systems that must run are in ``tests/integration/test_adapters_of_real_systems.py``.
"""


@dataclass
class OnStand:
    """A stand as a system under examination."""

    stand: Stand
    name: str = "system"

    @property
    def downstream(self) -> Downstream:
        adapter: Any = self.stand.adapter
        return Downstream(self.name, frozenset({IdentityType.EMAIL}), adapter=adapter)

    async def put(self, person: SamplePerson, rows: int) -> int | None:
        return self.stand.put(person.email, rows)

    async def share(self, _person: SamplePerson, _other: SamplePerson) -> bool:
        return False

    async def held(self, person: SamplePerson) -> int | None:
        return self.stand.holds(person.email)

    def about(self, task: Task) -> None:
        if isinstance(self.stand, BusStand):
            self.stand.people[task.subject_ref] = task.identities
            self.stand.changes[task.subject_ref] = task.changes

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        self.stand.hear(progress)
        self.stand.wait(delay)


class Engine(conformance.TaskRunner):
    """The engine's part around the adapter of a stand."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(OnStand(stand))

    erase = conformance.TaskRunner.run


def erasure_of(stand: Stand, email: str) -> Task:
    """A task to erase the person with this address."""
    return task_of(stand, email, Operation.ERASE)


def task_of(stand: Stand, email: str, operation: Operation, *changes: Change) -> Task:
    """A task about the person with this address."""
    identities = (Identity(IdentityType.EMAIL, stand.address(email)),)
    subject_ref = uuid4()
    if isinstance(stand, BusStand):
        stand.people[subject_ref], stand.changes[subject_ref] = identities, changes
    return Task(
        task_id=uuid4(),
        request_id=uuid4(),
        subject_ref=subject_ref,
        system="billing" if isinstance(stand, BusStand) else "mailing",
        operation=operation,
        identities=identities,
        due_on=date(2026, 4, 2),
        changes=changes,
    )
