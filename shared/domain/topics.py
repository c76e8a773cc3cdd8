"""Lists the topics of the bus with the writing service of each; the broker's rights follow this table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from shared.domain.rights import Right


class Topic(StrEnum):
    """The topics between the services; each has one writing service."""

    REQUESTS = "dsr.requests"
    ERASURE_COMPLETIONS = "dsr.completions.erasure"
    EXPORT_COMPLETIONS = "dsr.completions.export"
    AMENDMENT_COMPLETIONS = "dsr.completions.amendment"
    DEADLINES = "dsr.deadlines"
    NOTICES = "dsr.notices"
    DELIVERIES = "dsr.deliveries"


class ServiceName(StrEnum):
    """The six services; the name is also the consumer group, the database schema and the evidence chain."""

    INTAKE = "intake"
    ERASURE = "erasure"
    EXPORT = "export"
    AMENDMENT = "amendment"
    DEADLINE = "deadline"
    CORRESPONDENCE = "correspondence"


@dataclass(frozen=True, slots=True)
class TopicAccess:
    """The service that writes to a topic, and those that read it."""

    writer: ServiceName
    readers: frozenset[ServiceName]


COMPLETIONS: Final[Mapping[Right, Topic]] = {
    Right.ERASURE: Topic.ERASURE_COMPLETIONS,
    **dict.fromkeys((Right.ACCESS, Right.PORTABILITY), Topic.EXPORT_COMPLETIONS),
    **dict.fromkeys(
        (Right.RECTIFICATION, Right.RESTRICTION, Right.OBJECTION, Right.CONSENT_WITHDRAWAL), Topic.AMENDMENT_COMPLETIONS
    ),
}
"""The topic that reports on the work on each right: only the service that works the right may write to it."""

_WORK_READERS = frozenset({ServiceName.INTAKE, ServiceName.DEADLINE})
TOPIC_ACCESS: dict[Topic, TopicAccess] = {
    Topic.REQUESTS: TopicAccess(
        ServiceName.INTAKE, frozenset(ServiceName) - {ServiceName.INTAKE, ServiceName.CORRESPONDENCE}
    ),
    Topic.ERASURE_COMPLETIONS: TopicAccess(ServiceName.ERASURE, _WORK_READERS),
    Topic.EXPORT_COMPLETIONS: TopicAccess(ServiceName.EXPORT, _WORK_READERS),
    Topic.AMENDMENT_COMPLETIONS: TopicAccess(ServiceName.AMENDMENT, _WORK_READERS),
    Topic.DEADLINES: TopicAccess(ServiceName.DEADLINE, frozenset({ServiceName.INTAKE, ServiceName.ERASURE})),
    Topic.NOTICES: TopicAccess(ServiceName.INTAKE, frozenset({ServiceName.CORRESPONDENCE})),
    Topic.DELIVERIES: TopicAccess(ServiceName.CORRESPONDENCE, frozenset({ServiceName.INTAKE})),
}


def read_by(service: ServiceName) -> list[Topic]:
    """The topics that a service reads."""
    return [topic for topic, access in TOPIC_ACCESS.items() if service in access.readers]


PARTITIONS = 4
"""Partitions per topic on a single machine; a cluster declares its own in ``deploy/k8s``."""

RETENTION_MS = 7 * 24 * 3600 * 1000
"""Seven days: longer than any outage that is not a disaster, short enough to keep nothing for ever."""


MAX_BYTES = 1024 * 1024
"""The largest record of a topic, in bytes with its key and headers."""

MAX_DEAD_LETTER_BYTES = 2 * MAX_BYTES
"""The largest dead letter: the record that it was, why it was set aside, and room to spare."""


DEAD_LETTERS = "dsr.dead-letters."
"""The prefix of every topic of dead letters."""


STATUS = "dsr.status"
"""The compacted topic with the current status of each request."""

TOMBSTONE_MS = 30 * 24 * 3600 * 1000
"""Keeps tombstones longer than any reader is away."""


USER_EVENTS = "user.events."
"""The prefix of every topic of user events."""


def user_events(emitter: str) -> str:
    """Returns the topic of an emitter, to which only it may write."""
    return f"{USER_EVENTS}{emitter}"


def partitions_of(topic: str, most: int) -> int:
    """Returns the number of partitions of a topic: one for an emitter.

    Its records are read in order without a key, which could identify a person.
    """
    return 1 if topic.startswith(USER_EVENTS) else most


def user_events_group(emitter: str) -> str:
    """Returns the consumer group in which intake reads that emitter only."""
    return f"{ServiceName.INTAKE}-events-{emitter}"


def dead_letters(service: ServiceName) -> str:
    """The topic for records that this service could not handle."""
    return f"{DEAD_LETTERS}{service}"


def tasks(system: str) -> str:
    """Returns the topic on which a team receives its tasks."""
    return f"dsr.tasks.{system}"


def replies(system: str) -> str:
    """The topic on which that team answers."""
    return f"dsr.tasks.{system}.replies"


def is_foreign(topic: str) -> bool:
    """Returns whether teams or emitters write to this topic."""
    return topic.startswith(USER_EVENTS) or (topic.startswith("dsr.tasks.") and topic.endswith(".replies"))


def system_of(replies_topic: str) -> str:
    """The system that answers on this topic."""
    return replies_topic.removeprefix("dsr.tasks.").removesuffix(".replies")


@dataclass(frozen=True, slots=True)
class Message:
    """A record for the broker or from it; ``key`` decides the partition and so the order.

    ``partition`` and ``offset`` say where the broker has it, ``unreadable`` why it has no content that we can read.
    """

    topic: str
    key: bytes
    value: bytes
    headers: dict[str, str] = field(default_factory=dict)
    partition: int | None = None
    offset: int | None = None
    unreadable: str = ""
