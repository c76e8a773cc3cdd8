"""Defines what every event has: its request, when it occurred, and its type."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar, Protocol, Self, Unpack
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from shared.domain.rights import Right
from shared.domain.topics import Topic

SubjectRef = UUID
"""Points at a subject in the vault; says nothing about who it is."""


UNPUBLISHED = datetime.min.replace(tzinfo=UTC)
"""When an event occurs that is not published yet."""


class Concerned(Protocol):
    """A request that an event can be about."""

    @property
    def request_id(self) -> UUID: ...
    @property
    def subject_ref(self) -> SubjectRef: ...
    @property
    def right(self) -> Right: ...


class Event(BaseModel):
    """A fact about one request."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topics: ClassVar[Mapping[Right, Topic]]

    event_id: UUID = Field(default_factory=uuid7)
    request_id: UUID
    occurred_at: AwareDatetime
    right: Right

    def __init_subclass__(cls, *, topic: Topic | Mapping[Right, Topic], **_config: Unpack[ConfigDict]) -> None:
        cls.topics = dict.fromkeys(Right, topic) if isinstance(topic, Topic) else topic

    @classmethod
    def about(cls, request: Concerned, **fields: object) -> Self:
        """This event about a request: what it does not say otherwise is as the request has it, field by field.

        It occurs when it is published: ``UnitOfWork.publish`` sets the instant.
        """
        known: dict[str, object] = {"occurred_at": UNPUBLISHED, "subject": request.subject_ref}
        for name in _in_common(cls, type(request)):
            known[name] = getattr(request, name)
        return cls.model_validate(known | fields)

    def occurs(self, at: datetime) -> None:
        """Sets when it occurs: when it is published."""
        self.__dict__["occurred_at"] = at


@cache
def _in_common(event: type[Event], concerned: type[Concerned]) -> tuple[str, ...]:
    """The fields of the event that whatever it is about has too, as an attribute or as a field of a data class."""
    has = {*dir(concerned), *getattr(concerned, "__dataclass_fields__", ())}
    return tuple(name for name in event.model_fields if name in has)


@cache
def type_of(event: type[Event]) -> str:
    """The ``ce_type`` of an event class."""
    return str(event.model_fields["type"].default)
