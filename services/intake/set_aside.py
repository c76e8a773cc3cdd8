"""What services have set aside of the bus, and topics that they have paused for it: a person lets them go on.

Records are read by the service that has set them aside, and by nobody else: here are counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from services.intake.auth import Caller
from services.intake.errors import NotFound
from services.intake.schemas import Strict
from shared.domain.errors import IllegalTransition
from shared.domain.topics import ServiceName
from shared.messaging import dead_letters, hearing_again
from shared.messaging.hearing_again import Order
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class TopicSetAside:
    """How many records of a topic a service has set aside within the day that began then, and whether it reads on."""

    topic: str
    since: datetime
    number: int
    paused_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServiceStanding:
    """What one service has set aside lately, and the last order to hear that again."""

    service: ServiceName
    topics: Sequence[TopicSetAside]
    order: Order | None

    @property
    def is_at_it(self) -> bool:
        """Whether it has an order that it has not done yet."""
        return self.order is not None and self.order.done_at is None


class Resumed(Strict):
    """A topic is read again."""

    besides: int = Field(
        default=0, ge=0, le=10_000_000, description="so many more may be set aside in the next day before it pauses"
    )


def service_of(name: str) -> ServiceName:
    """The service of that name; raises ``NotFound``."""
    try:
        return ServiceName(name)
    except ValueError:
        raise NotFound("there is no service of that name") from None


async def standing(connection: Connection, service: ServiceName) -> ServiceStanding:
    """Where a service stands."""
    table = f"{service}.consumed_topic"
    query = f"SELECT topic, since, greatest(dead_letters, 0), paused_at FROM {table} ORDER BY paused_at, topic"  # noqa: S608  # a name of ours
    rows = await connection.fetch(query)
    topics = [TopicSetAside(*row) for row in rows]
    return ServiceStanding(service, topics, await hearing_again.last_order(connection, service))


async def hear_again(tx: UnitOfWork, service: ServiceName, caller: Caller) -> None:
    """Orders a service to hear again what it has set aside.

    Raises:
        IllegalTransition: it has an order that it has not done yet.
    """
    await hearing_again.order(tx, service, caller.holder)
    detail = {"service": service.value, "holder": caller.holder}
    tx.log_evidence(_of(service.value), "dead_letters.replay_ordered", detail, caller.actor)


async def read_again(tx: UnitOfWork, service: ServiceName, topic: str, said: Resumed, caller: Caller) -> None:
    """Lets a service read a topic again.

    Raises:
        IllegalTransition: it has not paused it.
    """
    if not await dead_letters.resume(tx.connection, service, topic, said.besides):
        raise IllegalTransition("the service reads that topic: somebody has let it, perhaps")
    detail = {"service": service.value, "topic": topic, "besides": said.besides, "holder": caller.holder}
    tx.log_evidence(_of(service.value), "topic.resumed", detail, caller.actor)


def _of(service: str) -> UUID:
    """Under which id the evidence has what is done about a service."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:service:{service}")
