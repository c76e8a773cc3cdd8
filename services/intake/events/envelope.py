"""Reading one CloudEvent 1.0 from a Kafka record, in binary or structured content mode; pure.

Source: CloudEvents Kafka protocol binding 1.0.2, sections 3.1 to 3.3.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.intake.core.errors import MalformedEvent
from services.intake.core.schemas import MalformedBody, read_json
from shared.domain.topics import Message
from shared.domain.user_events import FIELDS, TYPES, Reported, RequestingEvent

_REQUIRED = ("specversion", "id", "source", "type")
_LONGEST = 256
_NAMES_A_PERSON = ("subject", "partitionkey")
"""Attributes that anybody on the way may log, and that would say whom an event is about."""
_IDS = UUID("0199a5c4-3f6e-7c21-9d0b-5d5f0f6a7b11")
_MOST_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Envelope:
    """A user event of a type that we know.

    ``event_id``: made of the topic, the source and the event's own id, which is unique within its source alone
    (CloudEvents 1.0, ``id``). ``content_id``: made of that, its type and whom it is about, which a repeat has too.
    ``partition``: in which it came.
    """

    event_id: UUID
    content_id: UUID
    type: str
    event: RequestingEvent | Reported
    traceparent: str | None
    partition: int | None


def read(record: Message) -> Envelope | None:
    """Returns the event of a record; None if its type is unknown; raises ``MalformedEvent``."""
    content_type = record.headers.get("content-type", "application/json").lower()
    attributes, data = (
        _structured(record.value, content_type)
        if content_type.startswith("application/cloudevents")
        else _binary(record, content_type)
    )
    for name in _REQUIRED:
        value = attributes.get(name)
        if not (isinstance(value, str) and 0 < len(value) <= _LONGEST):
            raise MalformedEvent(f"{name}: a context attribute of 1 to {_LONGEST} characters is needed")
    if attributes["specversion"] != "1.0":
        raise MalformedEvent("specversion: send 1.0")
    for name in _NAMES_A_PERSON:
        if name in attributes:
            raise MalformedEvent(f"{name}: leave it out; a person is named in the data, by the token")
    if (kind := TYPES.get(attributes["type"])) is None:
        return None
    try:
        event = kind.model_validate(data)
    except ValidationError as error:
        raise MalformedEvent(_faults(error)) from None
    event_id = uuid5(_IDS, "\0".join((record.topic, attributes["source"], attributes["id"])))
    content_id = uuid5(event_id, f"{attributes['type']}\0{event.subject}")
    traceparent = record.headers.get("traceparent")
    return Envelope(event_id, content_id, attributes["type"], event, traceparent, record.partition)


def _binary(record: Message, content_type: str) -> tuple[dict[str, Any], Any]:
    attributes = {name[3:]: value for name, value in record.headers.items() if name.startswith("ce_")}
    if content_type.partition(";")[0].strip() != "application/json":
        raise MalformedEvent("content-type: send the data as application/json")
    return attributes, _json(record.value)


def _structured(content: bytes, content_type: str) -> tuple[dict[str, Any], Any]:
    if content_type.partition(";")[0].strip() != "application/cloudevents+json":
        raise MalformedEvent("content-type: send application/cloudevents+json, one event in each record")
    whole = _json(content)
    if not isinstance(whole, dict):
        raise MalformedEvent("the whole: send a JSON object")
    if "data" not in whole:
        raise MalformedEvent("data: send it, as JSON")
    return whole, whole["data"]


def _json(content: bytes) -> Any:
    try:
        return read_json(content)
    except MalformedBody as error:
        raise MalformedEvent(f"the whole: {error}") from None


def _faults(error: ValidationError) -> str:
    """Names the wrong field and the fault; repeats neither an unknown field's name nor any part of a value."""
    faults = {f"{_place(each['loc'])}: {_reason(each)}" for each in error.errors(include_url=False)}
    return "; ".join(sorted(faults)[:_MOST_FAULTS])


def _reason(fault: ErrorDetails) -> str:
    quotes_nothing = fault["type"] in {"value_error", "missing", "extra_forbidden", "literal_error"}
    return fault["msg"].removeprefix("Value error, ") if quotes_nothing else fault["type"]


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(["data", *(str(name) if name in FIELDS else "(unknown)" for name in location)])
