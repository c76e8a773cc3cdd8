"""Grants broker rights: to services as the code declares them, and to teams that erase their own store."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from shared.domain import topics as names
from shared.domain.operations import FULFILLED_BY, Operation
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.domain.user_events import read_emitters
from shared.runtime.settings import KafkaSettings

Teams = Mapping[str, Collection[Operation]]
"""The systems that are reached over the bus, each with the operations that its team does."""

_RESOURCES = {"topic": 2, "group": 3}
_OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8}
_LITERAL, _ALLOW = 3, 3


@dataclass(frozen=True, slots=True)
class Acl:
    """A user's right at the broker: operations on one topic or group."""

    kind: str
    name: str
    operations: tuple[str, ...]


def user_of(service: ServiceName) -> str:
    """A service's user at the broker."""
    return f"dsr-{service}"


def team_user(system: str) -> str:
    """The user of the team that works this system."""
    return f"dsr-{team_group(system)}"


def team_group(system: str) -> str:
    """Returns the group in which that team consumes its tasks."""
    return f"team-{system}"


def emitter_user(emitter: str) -> str:
    """The user of the service that tells of users by that name."""
    return f"dsr-emitter-{emitter}"


def of_service(service: ServiceName, teams: Teams) -> Iterator[Acl]:
    """Yields the rights of a service: the topics that it reads and writes."""
    for topic, access in TOPIC_ACCESS.items():
        if service is access.writer:
            yield writes(topic)
        if service in access.readers:
            yield from reads(topic, service)
    yield Acl("topic", names.dead_letters(service), ("Read", "Write", "Describe"))
    if service is ServiceName.INTAKE:
        yield writes(names.STATUS)
        for emitter in read_emitters():
            yield from reads(names.user_events(emitter), names.user_events_group(emitter))
    for system, operations in teams.items():
        yield from of_asking(service, system, operations)


def of_asking(service: ServiceName, system: str, operations: Collection[Operation]) -> Sequence[Acl]:
    """Returns the rights of a service to send tasks to that team and to consume its answers."""
    if service not in {FULFILLED_BY[operation] for operation in operations}:
        return []
    return [writes(names.tasks(system)), *reads(names.replies(system), f"{service}-replies")]


def of_team(system: str) -> Sequence[Acl]:
    """Returns the rights of a team to consume its tasks and to answer."""
    return [*reads(names.tasks(system), team_group(system)), writes(names.replies(system))]


def writes(topic: str) -> Acl:
    """Returns the right to write to a topic."""
    return Acl("topic", topic, ("Write", "Describe"))


def reads(topic: str, group: str) -> list[Acl]:
    """Returns the rights to read a topic in a group."""
    return [Acl("topic", topic, ("Read", "Describe")), Acl("group", group, ("Read",))]


async def give(settings: KafkaSettings, users: Mapping[str, Sequence[Acl]]) -> bool:
    """Grants users these rights; safe to repeat. Returns false if this broker checks no rights.

    Raises:
        KafkaError: what the broker answers.
    """
    client = AIOKafkaClient(**settings.client())
    await client.bootstrap()
    try:
        for user, acls in users.items():
            for acl in dict.fromkeys(acls):
                for operation in acl.operations:
                    what = (_RESOURCES[acl.kind], str(acl.name), _LITERAL, f"User:{user}", "*", _OPERATIONS[operation])
                    answer = await client.send(client.get_random_node(), CreateAclsRequest(*what, _ALLOW))
                    for code, _ in answer.creation_responses:
                        if code == SecurityDisabled.errno:
                            return False
                        if code:
                            raise for_code(code)
    finally:
        await client.close()
    return True
