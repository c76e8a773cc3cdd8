"""Systems that are connected by the declarations that ship, each against its responder, without a socket."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from pydantic import JsonValue

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation
from shared.domain.policy import Policy
from shared.systems.contract import Pending, Result, Task
from shared.systems.http.adapter import HttpAdapter
from shared.systems.http.settings import DeclaredHttpSettings
from tests.fakes import hubspot_responder, stripe_responder, zendesk_responder
from tests.fixtures.engine import SetClock
from tests.fixtures.policy import signed_policy

SECRETS = {
    "ZENDESK_USER": "admin@example.com",
    "ZENDESK_TOKEN": "secret",
    "HUBSPOT_TOKEN": "secret",
    "STRIPE_KEY": "secret",
}
ADA = "ada@example.com"
System = TypeVar("System")


@dataclass
class Declared:
    """One declared system and the engine around its adapter: progress is kept, and what is pending is asked again."""

    adapter: HttpAdapter
    clock: SetClock
    progress: dict[UUID, dict[str, JsonValue]] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    async def save_progress(self, noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        for task_id, more in noted.items():
            self.progress.setdefault(task_id, {}).update(more)

    async def once(self, tasks: Sequence[Task]) -> Sequence[Result]:
        """One call with the progress of now."""
        known = [replace(task, progress=dict(self.progress.get(task.task_id, {}))) for task in tasks]
        return await self.adapter.erase(known, self.save_progress)

    async def once_amended(self, task: Task) -> Result:
        """One change in place, with the progress of now."""
        known = replace(task, progress=dict(self.progress.get(task.task_id, {})))
        return (await self.adapter.amend([known], self.save_progress))[0]

    async def erase(self, *tasks: Task, patience: int = 40) -> list[Result]:
        """Retries pending results after their time, which passes immediately."""
        final: dict[UUID, Result] = {}
        for _ in range(patience):
            waiting = [task for task in tasks if task.task_id not in final]
            results = await self.once(waiting)
            for task, result in zip(waiting, results, strict=True):
                if isinstance(result, Pending):
                    self.waited.append(result.retry_in.total_seconds())
                    self.clock.pass_by(seconds=result.retry_in.total_seconds())
                else:
                    final[task.task_id] = result
            if len(final) == len(tasks):
                return [final[task.task_id] for task in tasks]
        raise AssertionError(f"still pending after {patience} calls")


def task(operation: Operation = Operation.ERASE, email: str = ADA, *changes: Change) -> Task:
    """A task about the person with this address."""
    identities = (Identity(IdentityType.EMAIL, email),)
    return Task(uuid4(), uuid4(), uuid4(), "saas", operation, identities, changes=changes, at=SetClock().now())


@asynccontextmanager
async def declared(
    declaration: str | Path, transport: httpx.AsyncBaseTransport, clock: SetClock, **settings: object
) -> AsyncIterator[Declared]:
    """An adapter for that declaration over that transport, by the signed policy."""
    async with declared_by(signed_policy(), declaration, transport, clock, settings) as each:
        yield each


@asynccontextmanager
async def declared_by(
    policy: Policy,
    declaration: str | Path,
    transport: httpx.AsyncBaseTransport,
    clock: SetClock,
    settings: Mapping[str, object],
) -> AsyncIterator[Declared]:
    """The same by another policy."""
    given = {"url": "http://localhost/api", "declaration": str(declaration), **settings}
    dependencies: dict[str, Any] = {"clock": clock, "environment": SECRETS, "transport": transport}
    stated = DeclaredHttpSettings.model_validate(given)
    adapter = HttpAdapter("saas", stated, policy=policy, **dependencies)
    yield Declared(adapter, clock)
    await adapter.close()


@asynccontextmanager
async def zendesk(**settings: object) -> AsyncIterator[tuple[Declared, zendesk_responder.HelpDesk]]:
    """A help desk like Zendesk."""
    desk = zendesk_responder.HelpDesk(clock := SetClock())
    transport = httpx.ASGITransport(zendesk_responder.application(desk))
    async with declared("zendesk", transport, clock, **{"url": "http://localhost/api/v2", **settings}) as each:
        yield each, desk


@asynccontextmanager
async def hubspot() -> AsyncIterator[tuple[Declared, hubspot_responder.Crm]]:
    """A CRM like HubSpot."""
    crm = hubspot_responder.Crm(clock := SetClock())
    transport = httpx.ASGITransport(hubspot_responder.application(crm))
    async with declared("hubspot", transport, clock, url="http://localhost") as each:
        yield each, crm


@asynccontextmanager
async def stripe() -> AsyncIterator[tuple[Declared, stripe_responder.Payments]]:
    """A payment service like Stripe."""
    payments = stripe_responder.Payments(clock := SetClock())
    transport = httpx.ASGITransport(stripe_responder.application(payments))
    async with declared("stripe", transport, clock, url="http://localhost") as each:
        yield each, payments
